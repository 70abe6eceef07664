"""Reads and writes JSON, CSV and arrays that pass from stage to stage. For tensors see `runtime.tensors`.

Writing is atomic: a file is written under a temporary name in the same folder, flushed to disk and renamed. So a file
with its final name is complete.
"""

import contextlib
import csv
import errno
import hashlib
import io
import json
import os
import platform
import re
import secrets
import shutil
import time
import tokenize
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import DTypeLike

from twostage.errors import TwostageError

# Error codes of a folder that cannot be written: wrong owner, or mounted read-only.
NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)
DAY_SECONDS = 24 * 3600


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`. If the block ends without an error, flushes and renames it to `path`.

    No two writers share a temporary path. Temporary files of killed writers of the same target are removed first.
    Raises OSError(ENOSPC) on a full disk, whichever library noticed it, and TwostageError for a folder that cannot be
    written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{_NODE}.{os.getpid()}.{secrets.token_hex(4)}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        temporary.write_bytes(b"")
        yield temporary
        _flush(temporary)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
        _flush(path.parent)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in NOT_WRITABLE and error.filename in _names(path, temporary):
            raise TwostageError(
                f"{path} cannot be written ({error.strerror}); make {error.filename} writable for you, or work in a "
                "folder of your own"
            ) from error
        if _is_full_disk(error, path.parent):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise
    finally:
        # In a read-only folder removing fails, too; keep the first error.
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


# Part of temporary names: on a shared disk, the process number alone does not identify the writer.
_NODE = hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def _remove_leftovers(path: Path) -> None:
    """Removes temporary files of `path` whose writer is gone; on another machine, it counts as gone after a day."""
    pattern = re.compile(rf"\.{re.escape(path.name)}\.(?P<node>[0-9a-f]{{8}})\.(?P<pid>\d+)\.[0-9a-f]{{8}}\.partial")
    for other in path.parent.iterdir():
        found = pattern.fullmatch(other.name)
        if found is None:
            continue
        # Another writer may remove the same file first.
        with contextlib.suppress(FileNotFoundError):
            here = found["node"] == _NODE
            if not psutil.pid_exists(int(found["pid"])) if here else time.time() - other.stat().st_mtime > DAY_SECONDS:
                other.unlink()


def _names(path: Path, temporary: Path) -> set[str]:
    """The file names in errors about this file. An error that names another file is not ours."""
    return {str(name) for name in (path, temporary, *path.parents)}


def _is_full_disk(error: Exception, folder: Path) -> bool:
    # NumPy and safetensors report a full disk in their own words; torch's message does not mention it.
    if any(words in str(error) for words in ("No space left", "Not enough free space")):
        return True
    return isinstance(error, RuntimeError | OSError) and folder.is_dir() and shutil.disk_usage(folder).free == 0


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_file(path: Path) -> str:
    """Hex sha256 of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_json(value: Any) -> str:
    """Hex sha256 of a JSON value. The order of keys does not matter."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as indented JSON. Raises ValueError for NaN and infinity, which JSON cannot express."""
    text = json.dumps(value, indent=2, allow_nan=False) + "\n"
    with atomic_path(path) as temporary:
        temporary.write_text(text)


def read_json(path: Path) -> Any:
    """Reads JSON. Raises TwostageError if the file is missing or is not JSON."""
    try:
        return json.loads(Path(path).read_bytes())
    except FileNotFoundError as error:
        raise TwostageError(f"{path} is missing; ask snakemake for it: snakemake --cores all {path}") from error
    except RecursionError as error:
        raise TwostageError(f"{path} nests lists or keys too deeply to be read; make it again") from error
    except ValueError as error:
        raise TwostageError(f"{path} is not JSON ({error}); delete it and ask snakemake for it again") from error


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes rows under one header line. Missing keys become empty cells. Raises ValueError if there are no rows."""
    if not rows:
        raise ValueError(f"{path}: no rows to write")
    names = dict.fromkeys(name for row in rows for name in row)
    with atomic_path(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(names), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_csv(path: Path) -> list[dict[str, str]]:
    """Reads the rows of a CSV with a header line. All values are strings.

    Raises TwostageError if the file is missing, truncated or not text, if two columns have one name, or if a row does
    not match the header.
    """
    try:
        text = Path(path).read_bytes().decode()
        # All our writers end the last line, so a file that does not was probably truncated.
        lines = list(csv.reader(io.StringIO(text, newline=""), strict=True)) if text.endswith("\n") else []
    except FileNotFoundError as error:
        raise TwostageError(f"{path} is missing; ask snakemake for it: snakemake --cores all {path}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise TwostageError(f"{path} is not a CSV ({error}); delete it and ask snakemake for it again") from error
    if len(lines) < 2 or any(len(line) != len(lines[0]) for line in lines):
        raise TwostageError(f"{path} is truncated; delete it and ask snakemake for it again")
    if twins := sorted(name for name, count in Counter(lines[0]).items() if count > 1):
        raise TwostageError(f"{path} has two columns {twins[0]}; delete it and ask snakemake for it again")
    return [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]


def write_array(path: Path, array: np.ndarray) -> None:
    """Writes a `.npy` file."""
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.save(file, array)


@contextlib.contextmanager
def new_array(path: Path, shape: tuple[int, ...], dtype: DTypeLike) -> Iterator[np.memmap]:
    """Yields a writable memory map. If the block ends without an error, it becomes the `.npy` file `path`."""
    with atomic_path(path) as temporary:
        array = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.dtype(dtype), shape=shape)
        _reserve(temporary)
        yield array
        array.flush()


def _reserve(path: Path) -> None:
    # A memory map is a sparse file: on a full disk, writing to it kills the process (SIGBUS) without a message.
    if hasattr(os, "posix_fallocate"):
        with open(path, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def read_array(path: Path) -> np.ndarray:
    """A read-only memory map of a `.npy` file.

    Raises TwostageError if the file is missing, is not a `.npy` file, holds Python objects, or is not as long as its
    header says.
    """
    try:
        array = np.lib.format.open_memmap(path, mode="r")
        expected = array.offset + array.nbytes
        if Path(path).stat().st_size != expected:
            raise ValueError(f"{Path(path).stat().st_size} bytes, its header says {expected}")
    except FileNotFoundError as error:
        raise TwostageError(f"{path} is missing; ask snakemake for it: snakemake --cores all {path}") from error
    # NumPy parses the header as Python, so a damaged header raises any of these.
    except (ValueError, EOFError, SyntaxError, OverflowError, tokenize.TokenError) as error:
        raise TwostageError(f"{path} is not a complete .npy file ({error}); delete it and run again") from error
    return array
