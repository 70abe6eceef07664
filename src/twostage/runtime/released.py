"""The checksums of a released model: they say whether its files are those that were released."""

import os
from pathlib import Path

from twostage.errors import TwostageError
from twostage.runtime.artifacts import read_json, sha256_file, write_json

# The path of each file below the model's folder -> hex sha256.
CHECKSUMS = "checksums.json"


def write_checksums(model: Path) -> None:
    """Writes checksums.json: the sha256 of every other file in the folder of a model."""
    paths = sorted(path for path in model.rglob("*") if path.is_file() and path != model / CHECKSUMS)
    write_json(model / CHECKSUMS, {path.relative_to(model).as_posix(): sha256_file(path) for path in paths})


def require_as_released(folder: Path) -> None:
    """Raises TwostageError if a file of the part differs from its checksum. A model that has none is not released."""
    folder = Path(os.path.abspath(folder))
    path = folder.parent / CHECKSUMS
    if not path.is_file():
        return
    known = read_json(path)
    if not isinstance(known, dict):
        raise TwostageError(f"{path} holds no checksums of files; bring the model again")
    for name in ("config.json", "model.safetensors"):
        wanted, file = known.get(f"{folder.name}/{name}"), folder / name
        if wanted is not None and file.is_file() and (found := sha256_file(file)) != wanted:
            raise TwostageError(
                f"{file} is not the file that was released (sha256 {found[:12]}, expected {str(wanted)[:12]}); bring "
                "the model again"
            )
