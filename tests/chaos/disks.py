"""Small disks and read-only ones, as root mounts them; where nothing can be mounted, the tests that need them skip."""

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


def _mount(*arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run(["mount", *map(str, arguments)], capture_output=True, text=True, check=False)


def require_mounts() -> None:
    """Skips the test on a machine that lets nothing be mounted."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            result = _mount("-t", "tmpfs", "-o", "size=64k", "tmpfs", folder)
        except FileNotFoundError:
            pytest.skip("there is no `mount` on this machine")
        if result.returncode != 0:
            pytest.skip(f"nothing can be mounted here: {result.stderr.strip()}")
        subprocess.run(["umount", folder], check=True)


@contextlib.contextmanager
def small_disk(folder: Path, num_bytes: int) -> Iterator[Path]:
    """An empty disk of that size over the folder, which is made if it is not there."""
    require_mounts()
    folder.mkdir(parents=True, exist_ok=True)
    assert _mount("-t", "tmpfs", "-o", f"size={num_bytes}", "tmpfs", folder).returncode == 0
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def enlarge(folder: Path, num_bytes: int) -> None:
    """Gives a small disk more room."""
    assert _mount("-o", f"remount,size={num_bytes}", folder).returncode == 0


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[Path]:
    """The folder, which nobody can write: permission bits would not hold root back."""
    require_mounts()
    assert _mount("--bind", folder, folder).returncode == 0
    try:
        assert _mount("-o", "remount,bind,ro", folder).returncode == 0
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
