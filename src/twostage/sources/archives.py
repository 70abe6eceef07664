"""Extracts chosen members from downloaded archives, which are not trusted.

Only requested members are read, and we choose the names under which they are written. An archive is refused if any of
its names leads out of its folder.
"""

import contextlib
import errno
import lzma
import shutil
import struct
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from twostage.errors import TwostageError

# Raised for damaged archives. An OSError may also come from the disk.
DAMAGED = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error,
    EOFError, LookupError, ValueError, RuntimeError, OSError,
)  # fmt: skip


@contextlib.contextmanager
def damage_named(archive: Path) -> Iterator[None]:
    """Turns errors of a damaged archive into a TwostageError. Errors of the disk stay unchanged."""
    try:
        yield
    except TwostageError:
        raise
    except DAMAGED as error:
        # bz2 and gzip raise an OSError without a number; zipfile seeks to an invalid position.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        raise TwostageError(f"{archive.name} is damaged ({error}); remove it and run again") from error


def extract(archive: Path, members: Mapping[str, Path]) -> None:
    """Writes members (name in the archive -> path to write) of a .tar.gz, .tgz, .whl, .zip or .deb.

    Raises TwostageError if the archive is damaged, lacks a member, or has a name that leads out of its folder.
    """
    with damage_named(archive):
        if archive.suffix in (".whl", ".zip"):
            _extract_zip(archive, members)
        elif archive.suffix == ".deb":
            _extract_deb(archive, members)
        else:
            with tarfile.open(archive) as tar:
                _extract_tar(archive, tar, members)


def _extract_tar(archive: Path, tar: tarfile.TarFile, members: Mapping[str, Path]) -> None:
    wanted = dict(members)
    for entry in tar:
        _refuse_escape(archive, entry.name)
        path = wanted.pop(entry.name.removeprefix("./"), None)
        if path is None:
            continue
        content = tar.extractfile(entry) if entry.isreg() else None
        if content is None:
            raise TwostageError(f"{archive.name}: {entry.name} is not a regular file; do not trust this archive")
        with content, open(path, "wb") as file:
            shutil.copyfileobj(content, file, 1 << 20)
    _refuse_lack(archive, wanted)


def _extract_zip(archive: Path, members: Mapping[str, Path]) -> None:
    with zipfile.ZipFile(archive) as whole:
        names = whole.namelist()
        for name in names:
            _refuse_escape(archive, name)
        _refuse_lack(archive, [name for name in members if name not in names])
        for name, path in members.items():
            with whole.open(name) as content, open(path, "wb") as file:
                shutil.copyfileobj(content, file, 1 << 20)


def _extract_deb(archive: Path, members: Mapping[str, Path]) -> None:
    with _deb_files(archive) as tar:
        _extract_tar(archive, tar, members)


@contextlib.contextmanager
def _deb_files(archive: Path) -> Iterator[tarfile.TarFile]:
    try:
        process = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(archive)], stdout=subprocess.PIPE)
    except FileNotFoundError as error:
        raise TwostageError(f"dpkg-deb is needed to read {archive.name}; install dpkg") from error
    with process:
        with tarfile.open(fileobj=process.stdout, mode="r|") as tar:
            yield tar
        assert process.stdout is not None
        # Read the rest of the stream, so that dpkg-deb does not fail with a broken pipe.
        while process.stdout.read(1 << 20):
            pass
    if process.returncode != 0:
        raise TwostageError(f"dpkg-deb cannot read {archive.name}; remove it and run again")


def _refuse_escape(archive: Path, name: str) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts:
        raise TwostageError(
            f"{archive.name} has a member {name!r}, which leads out of its folder; do not trust this archive"
        )


def _refuse_lack(archive: Path, lacking: Mapping[str, Path] | list[str]) -> None:
    if lacking:
        raise TwostageError(f"{archive.name} lacks {', '.join(lacking)}; it is not the expected file")
