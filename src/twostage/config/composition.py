"""Composes config trees from `conf/` and parses a job's slice of a tree into its dataclass."""

import dataclasses
import functools
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import OmegaConf

from twostage.config.errors import UNREADABLE, first_line
from twostage.config.schema import Config
from twostage.config.trees import Trees
from twostage.config.values import check
from twostage.errors import TwostageError
from twostage.home import home

# A wheel contains the files of conf/. In a clone this is a link to conf/.
PACKAGED = Path(__file__).parents[1] / "conf"
CONF = Path("conf") if Path("conf/config.yaml").is_file() or not PACKAGED.is_dir() else PACKAGED
# The user's folders with more options, see `add_folder`.
_added: list[Path] = []
# Study files of the user, by their names: see `add_study`.
_studies: dict[str, Path] = {}
T = TypeVar("T")


def add_folder(folder: Path) -> None:
    """Makes the files FOLDER/GROUP/NAME.yaml options of their group, in addition to those of `conf/`.

    Raises TwostageError if the folder has no such file, or one with the name of an existing option.
    """
    folder = home(folder)
    if not [path for group in groups() for path in folder.glob(f"{group}/[!.]*.yaml")]:
        raise TwostageError(f"{folder} has no config files; put files GROUP/NAME.yaml there, GROUP one of {_listed()}")
    if folder not in _added:
        _added.append(folder)
    trees()


def add_study(path: Path) -> str:
    """From now on the file is an option of the group study, wherever it lies; returns its name, which is that of the
    file. A file of `conf/study/` is one already.

    Raises TwostageError if there is no such file, or its name is none, or another study's.
    """
    path = home(path).resolve()
    if path.suffix != ".yaml" or not path.is_file():
        raise TwostageError(f"no study {path}; name a file that ends in .yaml")
    if not path.stem.isidentifier():
        raise TwostageError(f"{path}: no target can have this name; use letters, digits and _")
    if path.parent == (CONF / "study").resolve():
        return path.stem
    other = _studies.get(path.stem) or next(
        (folder / "study" / path.name for folder in (CONF, *_added) if (folder / "study" / path.name).exists()), path
    )
    if other != path:
        raise TwostageError(f"{path} and {other} have one name; give yours another")
    _studies[path.stem] = path
    return path.stem


def added_studies() -> dict[str, Path]:
    """The files of `add_study`, by their names."""
    return dict(_studies)


def study_file(name: str) -> str:
    """Where a study's file lies, for messages: in conf/study/, or its whole path."""
    return str(_studies.get(name, f"conf/study/{name}.yaml"))


def folder_of_study(name: str) -> Path:
    """The folder of a study's file, where the paths in it begin."""
    return _studies[name].parent if name in _studies else CONF / "study"


def added_folders() -> tuple[Path, ...]:
    """The folders that `add_folder` added."""
    return tuple(_added)


def groups() -> list[str]:
    """The folders of `conf/`, in the order of the stages."""
    return [field.name for field in dataclasses.fields(Config)]


def options(group: str) -> list[str]:
    """The options of a group. Raises TwostageError if there is no such group."""
    if group not in groups():
        raise TwostageError(f"no group {group}; choose one of {_listed()}")
    return trees().options(group)


def default(group: str) -> str:
    """The option of a group that is used if none is chosen."""
    return trees().default(group)


def _listed() -> str:
    return ", ".join(groups())


def parse(kind: type[T], values: dict[str, Any]) -> T:
    """`values` as an instance of the dataclass `kind`.

    Raises TwostageError if a key is unknown or missing, or if a value has the wrong type or is out of range.
    """
    try:
        merged = OmegaConf.merge(OmegaConf.structured(kind), values)
        parsed: T = OmegaConf.to_object(merged)  # type: ignore[assignment]
    except UNREADABLE as error:
        raise TwostageError(f"{kind.__name__}: {first_line(error)}") from error
    check(kind, OmegaConf.to_container(merged), kind.__name__, "config")
    return parsed


def trees() -> Trees:
    """Composes config trees from the current `conf/`."""
    found = [path for folder in (CONF, *_added) for path in sorted(folder.rglob("*.yaml")) if path.is_file()]
    files = [(str(path), path.stat()) for path in (*found, *_studies.values())]
    state = tuple((path, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns) for path, stat in files)
    return _trees((CONF, *_added), tuple(_studies.items()), state)


@functools.lru_cache(maxsize=4)
def _trees(
    folders: tuple[Path, ...],
    studies: tuple[tuple[str, Path], ...],
    state: tuple[Any, ...],  # noqa: ARG001
) -> Trees:
    """One instance per state of the files, so that unchanged files are read once."""
    return Trees(folders[0], Config, folders[1:], dict(studies))


def compose(overrides: tuple[str, ...] = ()) -> dict[str, Any]:
    """The resolved config tree of `conf/config.yaml` under the overrides that a person types, as plain dicts.

    Its study is None if no override chooses one. Raises TwostageError, one line, for an unknown group, option or
    key, and for a value of the wrong type or out of range.
    """
    # Importing Hydra's parser takes a third of a second, and plans do not need it.
    from twostage.config.overrides import changes

    return trees().tree(changes(overrides, Config))
