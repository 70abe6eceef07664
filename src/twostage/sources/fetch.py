"""The user cache: verified files of the registry's sources, shared by clones and by parallel jobs.

`python -m twostage fetch cifar10 vgg16` fills it ahead of time, on a machine with network.
"""

import errno
import hashlib
import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import platformdirs
from filelock import FileLock

from twostage.errors import TwostageError
from twostage.runtime.artifacts import NOT_WRITABLE, sha256_file
from twostage.sources.clients import UnreachableError, download
from twostage.sources.registry import Address, Content, Package, Road, Source, find

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Obtained:
    """Verified files of one source: file name -> path in the cache, and file name -> sha256."""

    paths: dict[str, Path]
    sha256: dict[str, str]


def cache_folder() -> Path:
    """`TWOSTAGE_CACHE`, or `twostage` in the user's cache folder."""
    return Path(os.environ.get("TWOSTAGE_CACHE") or platformdirs.user_cache_dir("twostage")).expanduser()


def obtain(name: str) -> Obtained:
    """Content of the source `name`, from the cache or downloaded from the first mirror that works.

    Every file is verified before use. A damaged file is named in the log and fetched again. Reading writes nothing, so
    a complete cache may be read-only or belong to another user. Processes that ask at the same time download once.
    Raises TwostageError if no mirror works, if a download does not match its checksum, or if something must be fetched
    and the cache cannot be written.
    """
    source, cache = find(name), cache_folder()
    found = _found(source, cache)
    if found is not None:
        return found
    try:
        cache.mkdir(parents=True, exist_ok=True)
        # Everybody who may write into a shared cache may also lock it.
        with FileLock(cache / f".{name}.lock", mode=0o666):
            # Another process may have fetched it in the meantime.
            found = _found(source, cache)
            if found is not None:
                return found
            _remove_damaged(source, cache)
            return _fetch(source, cache)
    except OSError as error:
        if error.errno in (*NOT_WRITABLE, errno.EEXIST, errno.ENOTDIR):
            raise TwostageError(_explain_unwritable(source, cache, error)) from error
        raise


def _found(source: Source, cache: Path) -> Obtained | None:
    """The files of the first mirror whose files are all in the cache; None if there is none. Writes nothing."""
    for road in source.roads:
        paths = [cache / content.path for content in road.contents]
        if all(path.is_file() for path in paths):
            faults, digests = _faults(road, cache)
            if not faults:
                return Obtained({path.name: path for path in paths}, digests)
    return None


def _faults(road: Road, cache: Path) -> tuple[dict[Path, str], dict[str, str]]:
    """The mirror's files in the cache: the fault of each damaged file, and the sha256 of each good one."""
    faults, digests = {}, {}
    for content in road.contents:
        path = cache / content.path
        try:
            digest = sha256_file(path)
        except (FileNotFoundError, NotADirectoryError):
            faults[path] = "missing"
            continue
        if digest.startswith(content.sha256):
            digests[path.name] = digest
        else:
            faults[path] = f"damaged ({_expected(content.sha256, digest)})"
    return faults, digests


def _remove_damaged(source: Source, cache: Path) -> None:
    for road in source.roads:
        for path, fault in _faults(road, cache)[0].items():
            if path.exists():
                log.warning("%s is %s; fetching it again", path, fault)
                path.unlink()


def _explain_unwritable(source: Source, cache: Path, error: OSError) -> str:
    """The error for a cache that lacks files and cannot be written: what is missing, why, and what to do."""
    # The mirror with the fewest missing files.
    faults = min((_faults(road, cache)[0] for road in source.roads), key=len)
    lacking = "; ".join(f"{path} is {fault}" for path, fault in faults.items())
    return (
        f"{source.name} must be fetched ({lacking}), but {error.filename or cache} cannot be written "
        f"({error.strerror}); set TWOSTAGE_CACHE to a folder of yours, or ask the owner of {cache} to run "
        f"`python -m twostage fetch {source.name}`"
    )


def _fetch(source: Source, cache: Path) -> Obtained:
    failures = []
    for road in source.roads:
        try:
            return _take(source, road, cache)
        except UnreachableError as error:
            failures.append(str(error))
            log.warning("%s: not reached: %s", source.name, error)
    raise TwostageError(_explain(source, cache, failures))


def _explain(source: Source, cache: Path, failures: list[str]) -> str:
    names = " or ".join(dict.fromkeys(archive.filename for road in source.roads[:1] for archive in road.archives))
    return (
        f"{source.name} cannot be downloaded; tried {'; '.join(failures)}. Put {names} into {cache / 'downloads'}/, or "
        f"run `python -m twostage fetch {source.name}` where there is network and set TWOSTAGE_CACHE to "
        "the folder it filled"
    )


def _take(source: Source, road: Road, cache: Path) -> Obtained:
    """Downloads and unpacks in a folder of the cache, then renames each file to its final name."""
    # We hold the lock, so a folder of this name was left by a killed process.
    partial = cache / f".{source.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        archives = [_archive(archive, partial, cache) for archive in road.archives]
        content = partial / "content"
        content.mkdir()
        paths = [content / Path(entry.path).name for entry in road.contents]
        road.unpack(archives, paths)
        for entry, path in zip(road.contents, paths, strict=True):
            _verify(entry, path, source.name)
        for entry, path in zip(road.contents, paths, strict=True):
            _keep(path, cache / entry.path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    found = _found(source, cache)
    if found is None:
        raise TwostageError(f"files written to {cache} come back changed; set TWOSTAGE_CACHE to another folder")
    return found


def _archive(archive: Address | Package, partial: Path, cache: Path) -> Path:
    """The archive, from the cache's `downloads` if the user put it there, else downloaded. Verified in both cases."""
    path = cache / "downloads" / archive.filename
    if not path.is_file():
        log.info("downloading %s", archive)
        path = download(archive, partial)
    algorithm, expected = archive.digest.split(":")
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, algorithm).hexdigest()
    if not digest.startswith(expected):
        raise UnreachableError(f"{archive} (checksum of {path.name}: {_expected(expected, digest)})")
    return path


def _verify(content: Content, path: Path, name: str) -> None:
    digest = sha256_file(path)
    if not digest.startswith(content.sha256):
        raise UnreachableError(f"{name} (content of {path.name}: {_expected(content.sha256, digest)})")


def _keep(path: Path, final: Path) -> None:
    final.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "rb") as file:
        os.fsync(file.fileno())
    os.replace(path, final)


def _expected(expected: str, got: str) -> str:
    return f"expected {expected[:12]}, got {got[:12]}"
