"""Snakemake's own time for each job, where it can be spared."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from snakemake.io import _IOFile

from twostage.runtime.checksums import checksums

_read: Callable[..., Any] = _IOFile.checksum


def look_checksums_up() -> None:
    """Has Snakemake ask `twostage.runtime.checksums`, which reads a file again only if it has changed.

    Beside every output Snakemake notes the checksum of every input, and reads that input again each time: a training
    with five outputs would read its images five times more.
    """
    _IOFile.checksum = _checksum


async def _checksum(
    file: Any, threshold: int | None = None, force: bool = False, algorithm: str | Callable[..., Any] | None = None
) -> str | None:
    """Snakemake's "sha256:HEX" of a local file; other files and algorithms are left to Snakemake."""
    if file.is_storage or force or algorithm is not None or not await file.is_checksum_eligible(threshold):
        found: str | None = await _read(file, threshold, force, algorithm)
        return found
    path = Path(file.file)
    return f"sha256:{checksums(path.parent, [path.name])[path.name]}"


def look_at_jobs_when_one_ends(workflow: Any) -> None:
    """Has Snakemake look for the next job of a machine only when one ends. Call it before the first job.

    It limits how many jobs start in a timespan, and for that looks again after one, each time that it has looked: every
    job that ends adds a look in each timespan, at all inputs of all ready jobs. A cluster keeps its limit.
    """
    if workflow.local_exec:
        workflow.scheduler.job_rate_limiter = None
