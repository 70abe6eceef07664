"""Snakemake's lock: a killed run leaves it behind, and a living one is named."""

import platform
from pathlib import Path

import psutil

from twostage.errors import TwostageError
from twostage.rules import asked

LOCKS = Path(".snakemake/locks")
# Empty files named by the host, process and start of the runs that may hold the lock.
HOLDERS = Path(".snakemake/holders")


def take_over() -> None:
    """Drops the lock of a killed run, and names this run as one that may hold it.

    The lock goes if no process that could hold it is left: a job that outlived its run holds its own folder, for which
    the same job of this run waits. While a run of another host is named, or nobody is, it stays until `--unlock`.
    Who only looks goes on beside a living run. Raises TwostageError for others.
    """
    if asked.unlocks():
        for holder in HOLDERS.glob("*"):
            holder.unlink(missing_ok=True)
    locks, holders = list(LOCKS.glob("*.lock")), list(HOLDERS.glob("*"))
    here = [holder for holder in holders if _named(holder)[0] == platform.node()]
    dead = [holder for holder in here if not lives(*_named(holder)[1:])]
    alive = [holder for holder in here if holder not in dead]
    if dead and len(dead) == len(holders):
        for lock in locks:
            lock.unlink(missing_ok=True)
    if asked.only_looks():
        return
    if locks and alive:
        # Snakemake looks at its lock only after the whole plan, for which the other run pulls files away.
        raise TwostageError(
            f"snakemake (process {_named(alive[0])[1]}) is at work in this clone; wait for it, or stop it"
        )
    for holder in dead:
        holder.unlink(missing_ok=True)
    HOLDERS.mkdir(parents=True, exist_ok=True)
    own = psutil.Process()
    (HOLDERS / f"{platform.node()}.{own.pid}.{seconds_since_boot(own)}").touch()


def _named(holder: Path) -> tuple[str, int, int]:
    """Host, process and start of the run that a file names."""
    host, pid, start = holder.name.rsplit(".", 2)
    return host, int(pid), int(start)


def lives(pid: int, start: int) -> bool:
    """Whether the process that began `start` seconds after the machine is still there, and no other one has its number.

    A killed process stays in the table until its parent, such as a container's first process, asks for its status.
    """
    try:
        process = psutil.Process(pid)
        is_it = abs(seconds_since_boot(process) - start) <= 1
        return is_it and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def seconds_since_boot(process: psutil.Process) -> int:
    """When the process began, by a clock that nobody sets. Up to a second off: the machine's start is rounded anew."""
    return round(process.create_time() - psutil.boot_time())
