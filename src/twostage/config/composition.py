"""Config trees out of `conf/`, and a job's own slice of one as its dataclass."""

import dataclasses
import functools
import os
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import OmegaConf

from twostage.config.errors import UNREADABLE, first_line
from twostage.config.schema import Config
from twostage.config.trees import Trees
from twostage.config.values import check
from twostage.errors import TwostageError

# A wheel brings the files of conf/ along; in a clone this is a link to them.
PACKAGED = Path(__file__).parents[1] / "conf"
CONF = Path("conf") if Path("conf/config.yaml").is_file() or not PACKAGED.is_dir() else PACKAGED
# Further folders, of the user, whose files are options beside those of CONF: see `add_folder`.
_added: list[Path] = []
T = TypeVar("T")


def add_folder(folder: Path) -> None:
    """From now on files FOLDER/GROUP/NAME.yaml are options of their group, beside those of `conf/`.

    Raises TwostageError if the folder has none, or one of the name of another option.
    """
    folder = folder.expanduser()
    if not [path for group in groups() for path in folder.glob(f"{group}/[!.]*.yaml")]:
        raise TwostageError(f"{folder} holds no config; put files GROUP/NAME.yaml there, GROUP one of {_listed()}")
    if folder not in _added:
        _added.append(folder)
    trees()


def added_folders() -> tuple[Path, ...]:
    """The folders of `add_folder`."""
    return tuple(_added)


def groups() -> list[str]:
    """The folders of `conf/`, in the order of the stages."""
    return [field.name for field in dataclasses.fields(Config)]


def options(group: str) -> list[str]:
    """The files that may be chosen of a group. Raises TwostageError for a group that there is not."""
    if group not in groups():
        raise TwostageError(f"no group {group}; name one of {_listed()}")
    return trees().options(group)


def default(group: str) -> str:
    """The option of a group that holds where none is chosen."""
    return trees().default(group)


def _listed() -> str:
    return ", ".join(groups())


def parse(kind: type[T], values: dict[str, Any]) -> T:
    """`values` as an instance of the dataclass `kind`.

    Raises TwostageError if a key is unknown or missing, or a value has the wrong type or is out of its range.
    """
    try:
        merged = OmegaConf.merge(OmegaConf.structured(kind), values)
        parsed: T = OmegaConf.to_object(merged)  # type: ignore[assignment]
    except UNREADABLE as error:
        raise TwostageError(f"{kind.__name__}: {first_line(error)}") from error
    check(kind, OmegaConf.to_container(merged), kind.__name__, "config")
    return parsed


def trees() -> Trees:
    """Composes the trees of a plan out of `conf/` and the environment as they are now."""
    found = (path for folder in (CONF, *_added) for path in sorted(folder.rglob("*.yaml")) if path.is_file())
    files = [(str(path), path.stat()) for path in found]
    state = tuple((path, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns) for path, stat in files)
    return _trees((CONF, *_added), state, frozenset(os.environ.items()))


@functools.lru_cache(maxsize=4)
def _trees(
    folders: tuple[Path, ...],
    state: tuple[Any, ...],  # noqa: ARG001
    environment: frozenset[tuple[str, str]],  # noqa: ARG001
) -> Trees:
    """One for every state, as what it has read and resolved is good for all who ask while nothing changes."""
    return Trees(folders[0], Config, folders[1:])


def compose(overrides: tuple[str, ...] = ()) -> dict[str, Any]:
    """The resolved config tree of `conf/config.yaml` under overrides that a person types, as plain dicts.

    Its experiment is None if no override chooses one. Raises TwostageError, one line, for an unknown group, option or
    key, and for a value of the wrong type or out of its range.
    """
    # Hydra's parser takes a third of a second to import, which a plan has no need of.
    from twostage.config.overrides import changes

    return trees().tree(changes(overrides, Config))
