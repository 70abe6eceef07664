"""Checksums of whole folders, without reading a file twice.

A file is read again only if its size, times or inode changed since it was hashed, as git's index does it. So "has it
changed?" is asked by content, and costs a look at the folder.
"""

import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from twostage.runtime.artifacts import sha256_file, sha256_json, write_json

KEPT = Path("build/checksums")
# Two writes within one tick of the file system's clock leave the same times.
TICK_SECONDS = 0.05


def checksums(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Name -> hex sha256 of these files of the folder, given by their paths below it. Raises OSError for a missing one.

    What is known is kept in build/checksums/, a file for each folder; whoever deletes it only makes hashing slow again.
    """
    kept_at = KEPT / f"{sha256_json(str(folder.resolve()))[:16]}.json"
    known = _read(kept_at)
    found = {name: _entry(folder / name, known.get(name)) for name in names}
    settled = {name: entry for name, entry in found.items() if time.time_ns() - entry[3] > TICK_SECONDS * 1e9}
    if any(known.get(name) != entry for name, entry in settled.items()):
        write_json(kept_at, known | settled)
    return {name: entry[-1] for name, entry in found.items()}


def _entry(path: Path, known: list[Any] | None) -> list[Any]:
    """Size, inode, time of content, time of change (ns), sha256."""
    status = os.stat(path)
    now = [status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns]
    return [*now, known[-1] if known and known[:-1] == now else sha256_file(path)]


def _read(path: Path) -> dict[str, list[Any]]:
    """What was kept; nothing if it is missing or damaged, as it can all be worked out again."""
    try:
        kept = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    is_whole = isinstance(kept, dict) and all(isinstance(each, list) and len(each) == 5 for each in kept.values())
    return kept if is_whole else {}
