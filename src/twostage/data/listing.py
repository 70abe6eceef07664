"""Every file below a folder, by what can be done with it; and names that two systems write in different bytes."""

import os
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from twostage.data.pictures import suffixes
from twostage.errors import TwostageError

T = TypeVar("T")
# How many files a line names.
NAMED = 5

HIDDEN = "hidden"
LINK = "a link that is not followed"
NO_FILE = "neither a file nor a folder"

# Why files were left out -> their names, relative to the folder.
LeftOut = dict[str, list[str]]


@dataclass
class Listing:
    """All files below `root`: those that may be pictures, sorted, and the others by the reason why they are none.

    `wrong`: links that would have to be followed, with what is wrong with each.
    """

    root: Path
    pictures: list[Path] = field(default_factory=list)
    others: dict[Path, str] = field(default_factory=dict)
    wrong: dict[Path, str] = field(default_factory=dict)

    def below(self, folder: Path) -> list[Path]:
        """The pictures below a folder. Raises TwostageError if there is a link among them that leads out of the root,
        to a folder or nowhere.
        """
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
    """All but the folders, and whether they or a folder above them are hidden."""
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
    # Of links in a circle `realpath`, unlike `Path.resolve`, makes no error: they lead nowhere.
    if path.is_dir() or not Path(os.path.realpath(path)).is_relative_to(root):
        return f"{path} is a link to a folder or out of {root}; copy what it points to in its place"
    if not path.exists():
        return f"{path} is a link to nothing; remove it, or bring what it points to"
    return None


def _no_picture(suffix: str) -> str:
    if suffix in (".heic", ".heif"):
        return f"{suffix} is not read: convert it to PNG or JPEG"
    return f"{suffix} is no kind of picture that is read" if suffix else "no file name extension of a picture"


class ByName(Generic[T]):
    """Finds by name; by its Unicode normal form (NFC) if there is none of just that name and one alone has that form.

    macOS and other systems write the same accents in different bytes.
    """

    def __init__(self, found: Mapping[str, T]) -> None:
        self.found = found
        self.normal: dict[str, list[T]] = {}
        for name, value in found.items():
            self.normal.setdefault(nfc(name), []).append(value)

    def get(self, name: str) -> T | None:
        """What has this name, or None."""
        if name in self.found:
            return self.found[name]
        alike = self.normal.get(nfc(name), [])
        return alike[0] if len(alike) == 1 else None


def nfc(name: str) -> str:
    """The name in Unicode's composed normal form."""
    return unicodedata.normalize("NFC", name)


def named(paths: Sequence[Path | str]) -> str:
    """The first few of them, and how many there are in all; bytes that are no UTF-8 are escaped."""
    names = ", ".join(str(path).encode("utf-8", "backslashreplace").decode() for path in paths[:NAMED])
    return names if len(paths) <= NAMED else f"{names} and {len(paths) - NAMED} more ({len(paths)} in all)"


def lines_of(left_out: LeftOut) -> list[str]:
    """A line for every reason: how many files, and the first of them."""
    return [f"left out {len(names)} ({reason}): {named(names)}" for reason, names in sorted(left_out.items())]
