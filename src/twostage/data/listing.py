"""Lists the files below a folder, and finds names whose bytes differ between operating systems."""

import os
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from twostage.data.pictures import suffixes
from twostage.errors import TwostageError

T = TypeVar("T")
# How many files a message names.
NAMED = 5

HIDDEN = "hidden"
LINK = "a link that is not followed"
NO_FILE = "neither a file nor a folder"

# Why files were left out -> their names, relative to the folder.
LeftOut = dict[str, list[str]]


@dataclass
class Listing:
    """All files below `root`: possible pictures, sorted, and the other files by the reason why they are left out.

    `wrong`: links that cannot be followed, with the reason.
    """

    root: Path
    pictures: list[Path] = field(default_factory=list)
    others: dict[Path, str] = field(default_factory=dict)
    wrong: dict[Path, str] = field(default_factory=dict)

    def below(self, folder: Path) -> list[Path]:
        """The pictures below a folder. Raises TwostageError for a link to a folder, out of the root or to nothing."""
        for path, line in sorted(self.wrong.items()):
            if path.is_relative_to(folder):
                raise TwostageError(line)
        return [path for path in self.pictures if path.is_relative_to(folder)]


def walk(root: Path) -> Listing:
    """Lists `root`. Links to folders are not followed. Raises TwostageError if a folder cannot be read."""
    listing, extensions = Listing(root), suffixes()
    inside = os.path.realpath(root)
    for entry, hidden in _entries(root, hidden=False):
        path = Path(entry.path)
        suffix = path.suffix.lower()
        if hidden:
            listing.others[path] = HIDDEN
        elif entry.is_symlink() and (line := _wrong_link(path, inside)) and (path.is_dir() or suffix in extensions):
            listing.wrong[path] = line
        elif not path.is_file():
            listing.others[path] = LINK if entry.is_symlink() else NO_FILE
        elif suffix in extensions:
            listing.pictures.append(path)
        else:
            listing.others[path] = _no_picture(suffix)
    listing.pictures.sort()
    return listing


def _entries(folder: Path, hidden: bool) -> Iterator[tuple[os.DirEntry[str], bool]]:
    """Everything except folders, and whether it or a folder above it is hidden."""
    try:
        with os.scandir(folder) as found:
            entries = list(found)
    except OSError as error:
        raise TwostageError(f"{folder} cannot be listed ({error.strerror}); make it readable or remove it") from error
    for entry in entries:
        is_hidden = hidden or entry.name.startswith(".")
        if entry.is_dir(follow_symlinks=False):
            yield from _entries(Path(entry.path), is_hidden)
        else:
            yield entry, is_hidden


def _wrong_link(path: Path, root: str) -> str | None:
    # For links in a circle `realpath` raises no error, unlike `Path.resolve`. They count as links to nothing.
    if path.is_dir() or not Path(os.path.realpath(path)).is_relative_to(root):
        return f"{path} is a link to a folder or out of {root}; copy what it points to in its place"
    if not path.exists():
        return f"{path} is a link to nothing; remove it, or add its target"
    return None


def _no_picture(suffix: str) -> str:
    if suffix in (".heic", ".heif"):
        return f"{suffix} is not read: convert it to PNG or JPEG"
    return f"{suffix} is not a supported picture format" if suffix else "the file name has no extension of a picture"


class ByName(Generic[T]):
    """Finds paths by name. If no name is equal, a single one with the same Unicode normal form (NFC) is found.

    macOS and other systems write the same accents as different bytes.
    """

    def __init__(self, found: Mapping[str, T]) -> None:
        self.found = found
        self.normal: dict[str, list[T]] = {}
        for name, value in found.items():
            self.normal.setdefault(nfc(name), []).append(value)

    def get(self, name: str) -> T | None:
        """The path with this name, or None."""
        if name in self.found:
            return self.found[name]
        alike = self.normal.get(nfc(name), [])
        return alike[0] if len(alike) == 1 else None


def nfc(name: str) -> str:
    """The name in Unicode's composed normal form (NFC)."""
    return unicodedata.normalize("NFC", name)


def named(paths: Sequence[Path | str]) -> str:
    """The first few names and the total number. Bytes that are not UTF-8 are escaped."""
    names = ", ".join(str(path).encode("utf-8", "backslashreplace").decode() for path in paths[:NAMED])
    return names if len(paths) <= NAMED else f"{names} and {len(paths) - NAMED} more ({len(paths)} in all)"


def lines_of(left_out: LeftOut) -> list[str]:
    """One line per reason: how many files, and the names of the first ones."""
    return [f"left out {len(names)} ({reason}): {named(names)}" for reason, names in sorted(left_out.items())]
