"""Python files of the user's that add orderings, priors and quantities: loaded by their paths, once a process.

A plugin calls `add_ordering`, `add_prior` or `add_quantity`, which stand beside our own. Each word that it adds is
remembered with the file, so that exactly the jobs that name the word load the file and count its content.
"""

import importlib.util
import sys
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from twostage.errors import TwostageError
from twostage.home import home

# (config key, word) -> the file that added it, and the registry where it stands.
_added: dict[tuple[str, str], tuple[Path, MutableMapping[str, Any]]] = {}
_loaded: dict[str, Path] = {}  # name -> file
_loading: list[Path] = []


def load(path: Path) -> None:
    """Runs the file, unless this process has done so.

    Raises TwostageError, one line, if it is missing, cannot be run, or adds a name that is taken.
    """
    path = home(path).resolve()
    if _loaded.get(path.stem) == path:
        return
    if path.suffix != ".py" or not path.is_file():
        raise TwostageError(f"no plugin {path}; name a Python file, by a path that begins at the study's folder")
    if path.stem in _loaded:
        raise TwostageError(f"plugins {_loaded[path.stem]} and {path} have one name; give one another")
    # A name of its own: dataclasses and pickles look a module up by it.
    name = f"twostage_plugin_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    _loading.append(path)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        forget(path)
        raise TwostageError(f"plugin {path}: {_said(error, path)}") from error
    finally:
        _loading.pop()
    _loaded[path.stem] = path


@contextmanager
def running(key: str, word: str) -> Iterator[None]:
    """Context manager: an error in the code of a plugin's word is one line that names its file and line."""
    try:
        yield
    except TwostageError:
        raise
    except Exception as error:
        if (key, word) not in _added:
            raise
        path, _ = _added[key, word]
        raise TwostageError(f"plugin {path}: {_said(error, path)}") from error


def _said(error: BaseException, path: Path) -> str:
    """What went wrong in a plugin, and in which of its lines."""
    if isinstance(error, TwostageError):
        return str(error)
    line = error.lineno if isinstance(error, SyntaxError) else None
    trace = error.__traceback__
    while trace is not None:
        line = trace.tb_lineno if trace.tb_frame.f_code.co_filename == str(path) else line
        trace = trace.tb_next
    text = error.msg if isinstance(error, SyntaxError) else (str(error).strip().splitlines() or [""])[0]
    return f"line {line}: {type(error).__name__}: {text}; mend it" if line else f"{type(error).__name__}: {text}"


def add(key: str, word: str, registry: MutableMapping[str, Any], value: Any, taken: Iterable[str] = ()) -> None:
    """Adds a word that the config key may have from now on, with what it stands for.

    Raises TwostageError if the word is no name, or is in the registry or in `taken`.
    """
    if not isinstance(word, str) or not word.isidentifier():
        raise TwostageError(f"{key} {word!r} is no name; use letters, digits and _")
    if word in registry or word in taken:
        raise TwostageError(f"{key} {word} is taken; give yours another name")
    if not _loading:
        raise TwostageError(f"{key} {word} is added by no plugin; name the file in a study: plugins: [mine.py]")
    registry[word] = value
    _added[key, word] = (_loading[-1], registry)


def loaded() -> list[Path]:
    """The plugins of this process."""
    return list(_loaded.values())


def words(key: str) -> tuple[str, ...]:
    """The words that plugins have added to a config key."""
    return tuple(word for of, word in _added if of == key)


def files_of(choices: Mapping[str, Iterable[str | None]] | None) -> list[str]:
    """The plugins that added one of these words: config key -> words. None, nothing known, is of all plugins."""
    if choices is None:
        return sorted({str(path) for path, _ in _added.values()})
    pairs = ((key, word) for key, found in choices.items() for word in found)
    return sorted({str(_added[key, word][0]) for key, word in pairs if word is not None and (key, word) in _added})


def forget(path: Path) -> None:
    """Takes back what a plugin has added."""
    for (key, word), (file, registry) in list(_added.items()):
        if file == path:
            del registry[word], _added[key, word]
    _loaded.pop(path.stem, None)
    sys.modules.pop(f"twostage_plugin_{path.stem}", None)
