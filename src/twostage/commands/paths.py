"""Checks paths that a person typed before anything is made, so that no work is lost at its end."""

import os
from pathlib import Path

from twostage.errors import TwostageError
from twostage.home import home

# Bytes that file systems take for one name and for a path. A file that is written has a longer name until it is whole.
LONGEST_NAME, LONGEST_PATH, LONGEST_WRITTEN = 255, 4000, 200


def expanded(path: str | Path) -> Path:
    """The path with `~` as the home folder. Raises TwostageError for what no file or folder can be called."""
    try:
        found = home(path)
        names = [os.fsencode(name) for name in found.parts]
    # Characters that no name has.
    except ValueError as error:
        raise TwostageError(f"{str(path)[:80]!r} names no file or folder ({error}); name another one") from error
    whole = b"/".join(names)
    if b"\0" in whole:
        raise TwostageError(f"{str(path)[:80]!r} has a NUL character, which no name may have; remove it")
    if len(whole) > LONGEST_PATH or any(len(name) > LONGEST_NAME for name in names):
        raise TwostageError(
            f"{str(path)[:80]!r} is too long with {len(whole)} bytes; take at most {LONGEST_NAME} for a name, "
            f"{LONGEST_PATH} in all"
        )
    return found


def writable(typed: str | Path) -> Path:
    """The path, expanded, where a file or folder can be written. Makes nothing.

    Raises TwostageError for an empty or too long name, if there is a file where a folder must be, or if the folder
    cannot be written.
    """
    if not str(typed):
        raise TwostageError("the path to write is empty; name a file or folder, such as drawn")
    path = expanded(typed)
    # A device such as /dev/null, or a folder: a finished one may be read-only, as nothing is written into it.
    if path.is_dir() or (path.exists() and not path.is_file()):
        return path
    place = next(folder for folder in path.parents if os.path.lexists(folder))
    if not place.is_dir():
        raise TwostageError(f"{path} cannot be written: {place} is no folder; name another place")
    if not os.access(place, os.W_OK | os.X_OK):
        raise TwostageError(f"{path} cannot be written: no permission for {place}; make it writable, or name another")
    return path


def writable_folder(typed: str | Path) -> Path:
    """As `writable`, and no file lies there."""
    path = writable(typed)
    if os.path.lexists(path) and not path.is_dir():
        raise TwostageError(f"{path} is no folder; name a new or another one")
    return path


def writable_file(typed: str | Path) -> Path:
    """As `writable`, and no folder lies there."""
    path = writable(typed)
    if path.is_dir():
        raise TwostageError(f"{path} is a folder; name a file in it")
    if len(os.fsencode(path.name)) > LONGEST_WRITTEN:
        raise TwostageError(f"{path.name[:80]}... is too long for a file; take at most {LONGEST_WRITTEN} bytes")
    return path
