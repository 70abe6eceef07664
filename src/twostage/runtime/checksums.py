"""Checksums of folders, without reading unchanged files again.

Like git's index, it reads a file again only if its size, times or inode changed since the last time.
"""

import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from twostage.runtime.artifacts import sha256_file, sha256_json, write_json

KEPT = Path("build/checksums")
# Two writes within one tick of the file system's clock have the same times.
TICK_SECONDS = 0.05


def checksums(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Name -> hex sha256 of files, given by their paths below the folder. Raises OSError if a file is missing.

    Known checksums are kept in build/checksums/, one file per folder. Deleting it only makes hashing slow again.
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
    """The stored checksums; none if the file is missing or damaged, since they can be computed again."""
    try:
        kept = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    is_whole = isinstance(kept, dict) and all(isinstance(each, list) and len(each) == 5 for each in kept.values())
    return kept if is_whole else {}
