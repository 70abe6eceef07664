"""Trees of plain values, kept on disk under a name that says all they depend on."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twostage.artifacts import sha256_file, sha256_json


def kept(path: Path, make: Callable[[], Any]) -> Any:
    """What JSON lies at `path`; if there is none, what `make` gives is kept there first."""
    if not path.exists():
        value = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        # A name of its own, as processes may make the same at once.
        partial = path.with_suffix(f".{os.getpid()}.partial")
        partial.write_text(json.dumps(value))
        partial.replace(path)
    return json.loads(path.read_bytes())


def folder_sha256(folder: Path) -> str:
    """Of the names and contents of all files below it."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return sha256_json([(path.relative_to(folder).as_posix(), sha256_file(path)) for path in paths])
