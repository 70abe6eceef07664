"""GPUs of this machine for one job: Snakemake counts them, and here each job gets its own."""

import contextlib
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

import platformdirs
from filelock import FileLock, Timeout

from twostage.runtime import launch

log = logging.getLogger("twostage")

POLL_SECONDS = 1.0


@contextlib.contextmanager
def own_gpus() -> Iterator[None]:
    """While the block runs, CUDA_VISIBLE_DEVICES names cards that no other job here uses: one for each process of the
    job on this machine, as torchrun started them.

    Waits until so many are free. If no more are visible, they are left as they are: a cluster chose them for this job.
    So they are if TWOSTAGE_DEVICE is "cpu" or names one card. Enter it before CUDA starts, which reads the variable
    once. A lock ends with its process. The first process of a machine takes the cards for all of them.
    """
    wanted = launch.count_here()
    visible = _visible() if (os.environ.get("TWOSTAGE_DEVICE") or "cuda") == "cuda" else []
    if len(visible) <= wanted:
        yield
        return
    before = os.environ.get("CUDA_VISIBLE_DEVICES")
    locks = _locked(visible, wanted) if launch.is_first_here() else {}
    try:
        os.environ["CUDA_VISIBLE_DEVICES"] = launch.from_first_here("gpus", lambda: ",".join(locks))
        log.info("GPUs of this job: %s", os.environ["CUDA_VISIBLE_DEVICES"])
        yield
    finally:
        os.environ.pop("CUDA_VISIBLE_DEVICES", None)
        if before is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = before
        for lock in locks.values():
            lock.release()


def _visible() -> list[str]:
    """Names of the cards that this process may use, counted without starting CUDA."""
    # Loaded only for a job that may run on a GPU: what was mistyped is told at once.
    import torch

    count = torch.cuda.device_count()
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return (named.split(",") if named else [str(number) for number in range(count)])[:count]


def _locked(names: list[str], wanted: int) -> dict[str, FileLock]:
    """The first cards that are free, and their locks: the same files for all clones of a user on this machine."""
    folder = Path(platformdirs.user_runtime_dir("twostage")) / "gpus"
    folder.mkdir(parents=True, exist_ok=True)
    told = False
    while True:
        locks: dict[str, FileLock] = {}
        for name in names:
            lock = FileLock(folder / f"{name}.lock")
            with contextlib.suppress(Timeout):
                lock.acquire(timeout=0)
                locks[name] = lock
            if len(locks) == wanted:
                return locks
        # Two jobs that hold a part each would wait for one another.
        for lock in locks.values():
            lock.release()
        if not told:
            log.info("%d of %d GPUs are free and %d are needed; waiting", len(locks), len(names), wanted)
            told = True
        time.sleep(POLL_SECONDS)
