"""The user cache's `released/NAME/`: config.yaml and checkpoint.ckpt of one released model, downloaded and verified.

A broken download goes on where it stopped. A file has its final name only when it is whole. A checksum that nobody
gives is recorded in checksums.json at the first download and compared ever after. Nothing is unpickled here.
"""

import errno
import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import requests
from filelock import FileLock
from tqdm import tqdm

from twostage.errors import TwostageError
from twostage.runtime.artifacts import read_json, sha256_file, write_json
from twostage.sources.clients import TIMEOUT_SECONDS, UnreachableError
from twostage.sources.fetch import cache_folder
from twostage.sources.released import File, Released

log = logging.getLogger(__name__)

CONFIG, CHECKPOINT, CHECKSUMS = "config.yaml", "checkpoint.ckpt", "checksums.json"
CHUNK_BYTES = 2**16  # a chunk is written when all of it has come


@dataclass(frozen=True)
class Fetched:
    """Verified files of one released model, and their sha256 by name."""

    config: Path
    checkpoint: Path
    sha256: dict[str, str]


def folder_of(entry: Released) -> Path:
    """Where the entry's files lie in the user cache."""
    return cache_folder() / "released" / entry.name


def fetched(entry: Released) -> Fetched | None:
    """The entry's files if they are in the cache and as recorded, else None. Downloads and writes nothing."""
    folder = folder_of(entry)
    recorded, digests = _recorded(folder), {}
    for name, file in _files(entry).items():
        expected = file.sha256 or recorded.get(name)
        if expected is None or not (folder / name).is_file():
            return None
        digests[name] = sha256_file(folder / name)
        if digests[name] != expected:
            return None
    return Fetched(folder / CONFIG, folder / CHECKPOINT, digests)


def obtain_released(entry: Released) -> Fetched:
    """The entry's files, from the cache or downloaded.

    Raises TwostageError if an address is unknown or does not answer, if a file has another checksum than the one that
    is given or recorded, or if the disk is full.
    """
    found = fetched(entry)
    if found is not None:
        return found
    folder = folder_of(entry)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TwostageError(
            f"{folder} cannot be made ({error.strerror}); set TWOSTAGE_CACHE to a folder of yours"
        ) from error
    with FileLock(folder / ".lock", mode=0o666):
        for name, file in _files(entry).items():
            _obtain(entry, name, file, folder)
    found = fetched(entry)
    if found is None:
        raise TwostageError(f"files written to {folder} come back changed; set TWOSTAGE_CACHE to another folder")
    return found


def _files(entry: Released) -> dict[str, File]:
    return {CONFIG: entry.config, CHECKPOINT: entry.checkpoint}


def _recorded(folder: Path) -> dict[str, str]:
    recorded: dict[str, str] = read_json(folder / CHECKSUMS) if (folder / CHECKSUMS).exists() else {}
    return recorded


def _obtain(entry: Released, name: str, file: File, folder: Path) -> None:
    path, partial = folder / name, folder / f".{name}.partial"
    expected = file.sha256 or _recorded(folder).get(name)
    if path.is_file():
        digest = sha256_file(path)
        if expected is None:
            _record(entry, folder, name, digest)
        if expected in (None, digest):
            return
        if file.url is None:
            raise TwostageError(
                f"{path} is another file than recorded ({_unlike(expected, digest)}); bring the recorded one from "
                f"{entry.page}, or delete {folder / CHECKSUMS} to take this one"
            )
        log.warning("%s is damaged (%s); fetching it again", path, _unlike(expected, digest))
    if file.url is None:
        raise TwostageError(f"{entry.name}: no address of {name} is known; get it from {entry.page} as {path}")
    log.info("downloading %s of %s from %s", name, entry.name, file.url)
    download(file.url, partial)
    digest = sha256_file(partial)
    if expected is not None and digest != expected:
        _forget(partial)
        raise TwostageError(
            f"{file.url} has another checksum ({_unlike(expected, digest)}); it is not kept. If the authors changed "
            f"the file, get it from {entry.page} as {path} and delete {folder / CHECKSUMS}"
        )
    size = partial.stat().st_size
    if expected is None and file.num_bytes not in (None, size):
        _forget(partial)
        raise TwostageError(
            f"{file.url} has {size:,} bytes, expected {file.num_bytes:,}; it is not kept, get it from {entry.page}"
        )
    os.replace(partial, path)
    _forget(partial)
    if expected is None:
        _record(entry, folder, name, digest)


def _record(entry: Released, folder: Path, name: str, digest: str) -> None:
    write_json(folder / CHECKSUMS, _recorded(folder) | {name: digest})
    log.info("%s: no checksum of %s is given; recorded sha256 %s, compared from now on", entry.name, name, digest)


def _unlike(expected: str | None, digest: str) -> str:
    return f"expected {str(expected)[:12]}, got {digest[:12]}"


def _forget(partial: Path) -> None:
    for path in (partial, _tag(partial)):
        path.unlink(missing_ok=True)


def _tag(partial: Path) -> Path:
    """Holds the server's name of the version that the partial file is of."""
    return partial.with_name(f"{partial.name}.tag")


def download(url: str, partial: Path) -> None:
    """Downloads into `partial`, from where an earlier call stopped if the server vouches for the same version (ETag).

    Raises UnreachableError if the server fails, breaks off or answers with a web page; TwostageError if the disk is
    full. What came by then is kept.
    """
    try:
        with _answer(url, partial) as answer:
            if answer.status_code != requests.codes.requested_range_not_satisfiable:
                _write(answer, url, partial)
                return
            # Nothing lies behind what we have: it is whole, or of another version.
            if answer.headers.get("Content-Range", "").endswith(f"/{partial.stat().st_size}"):
                return
        _forget(partial)
        with _answer(url, partial) as answer:
            _write(answer, url, partial)
    except requests.RequestException as error:
        status = getattr(error.response, "status_code", None)
        reason = f"HTTP status {status}" if status else f"broke off: {type(error).__name__}"
        raise UnreachableError(f"{url} ({reason}); {_kept(partial)}") from error
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise TwostageError(
            f"the disk is full: {partial} cannot be written; free some space; {_kept(partial)}"
        ) from error


def _kept(partial: Path) -> str:
    size = partial.stat().st_size if partial.is_file() else 0
    return f"{size:,} bytes are kept, the same command goes on from there" if size else "run the same command again"


def _answer(url: str, partial: Path) -> requests.Response:
    # Without, a server may compress, and the length would not be the file's.
    headers = {"Accept-Encoding": "identity"}
    if partial.is_file() and partial.stat().st_size and _tag(partial).is_file():
        headers["Range"] = f"bytes={partial.stat().st_size}-"
        headers["If-Range"] = _tag(partial).read_text()
    return requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS)


def _write(answer: requests.Response, url: str, partial: Path) -> None:
    answer.raise_for_status()
    if answer.headers.get("Content-Type", "").startswith("text/html"):
        raise UnreachableError(f"{url} answers with a web page, not with a file; get the file by hand")
    start = partial.stat().st_size if answer.status_code == requests.codes.partial_content else 0
    if start and not answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
        _forget(partial)
        raise UnreachableError(f"{url} answers with another part than asked for; run the same command again")
    rest = int(answer.headers.get("Content-Length", 0))
    free = shutil.disk_usage(partial.parent).free
    if rest > free:
        raise TwostageError(
            f"{url} needs {rest:,} bytes, {partial.parent} has {free:,} free; free some, or set TWOSTAGE_CACHE to a "
            "folder on another disk"
        )
    tag = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
    if not start:
        _tag(partial).unlink(missing_ok=True)
    # A weak tag does not vouch for single bytes.
    if tag and not tag.startswith("W/"):
        _tag(partial).write_text(tag)
    with (
        open(partial, "ab" if start else "wb") as file,
        tqdm(total=start + rest or None, initial=start, unit="B", unit_scale=True, disable=None) as bar,
    ):
        for chunk in answer.iter_content(CHUNK_BYTES):
            file.write(chunk)
            bar.update(len(chunk))
        file.flush()
        os.fsync(file.fileno())
