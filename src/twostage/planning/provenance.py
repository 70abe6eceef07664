"""Where a job's files come from: commit, versions, machine, cost, and a checksum of each. One record beside them.

No job reads a record but to pass it on in its own, so a later commit or a faster machine makes nothing run again.
"""

import importlib.metadata
import os
import platform
import resource
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from twostage.planning.made import asked_sha256, brought, job_id, missing, read_record
from twostage.runtime.artifacts import read_json, sha256_file, sha256_json, write_json
from twostage.runtime.checksums import checksums
from twostage.runtime.job import PROVENANCE, Job

Record = dict[str, Any]

# Of these a total lists each value that occurs.
ORIGINS = ("scale", "commit", "lock_sha256", "python", "device", "threads")
PACKAGES = ("torch", "snakemake", "hydra-core", "numpy")
# What a job's metrics say of how it trained and no config does: a rate that a sweep chose, the step that was kept.
FACTS = ("learning_rate", "learning_rate_at_edge", "at_edge", "seed", "steps", "last_step")
# What decides a number; a commit that leaves these alone made the same thing.
LOCK = Path("requirements.lock")
SOURCES = ("src", "conf", "workflow", "profiles", "Snakefile", "requirements.lock")


def origin(job: Job) -> Record:
    """What a job is about to run: commit, code, lock file, versions. Taken before the work, while it is what runs."""
    return {
        "config_sha256": asked_sha256(job),
        "code_sha256": job.code_sha256,
        "brought_sha256": brought(job),
        **_git(),
        "lock_sha256": sha256_file(LOCK) if LOCK.exists() else None,
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
    }


def write_record(job: Job, origin: Record) -> None:
    """Writes provenance.json into the job's folder; called when everything else lies there.

    `rests_on` holds the records of all jobs before it, so that the last record of a chain tells of all of it even where
    the rest was not pulled. A job that was killed and went on counts the seconds of its last process only.
    """
    absent = missing(job, job.files)
    if absent:
        raise RuntimeError(f"{job_id(job)} ended without its file {job.folder / absent[0]}")
    earlier: dict[str, Record] = {}
    # Without a record, as of files that a user brought, a folder is all that is known of an input.
    inputs = dict(job.inputs)
    for name, folder in job.inputs.items():
        record = read_record(Path(folder))
        if record is not None:
            earlier |= record.pop("rests_on")
            record.pop("total")
            inputs[name] = record["job"]
            earlier[record["job"]] = record
    own = _own(job, origin) | {"config": job.config, "inputs": inputs, "facts": _facts(job)}
    write_json(job.folder / PROVENANCE, own | {"total": total([*earlier.values(), own]), "rests_on": earlier})


def total(records: list[Record]) -> Record:
    """What several jobs took and were made of. A list holds each value once: two commits mean two runs.

    Seconds are summed over jobs, memory is that of the largest process.
    """
    changed = [record["uncommitted_changes"] for record in records]
    versions = {name: sorted({record["versions"][name] for record in records}) for name in PACKAGES}
    return {
        "num_jobs": len(records),
        "cpu_seconds": sum(record["cpu_seconds"] for record in records),
        "wall_seconds": sum(record["wall_seconds"] for record in records),
        "peak_memory_mb": max(record["peak_memory_mb"] for record in records),
        "config_sha256": sha256_json({record["job"]: record["config_sha256"] for record in records}),
        "uncommitted_changes": None if None in changed else any(changed),
        "versions": versions,
        **{name: list(dict.fromkeys(record[name] for record in records)) for name in ORIGINS},
    }


def _own(job: Job, origin: Record) -> Record:
    # Beside its files a dataset has one array a map, as many as its config asks for.
    arrays = (path.name for path in job.folder.glob("*.npy"))
    return {
        "job": job_id(job),
        "folder": job.out,
        "scale": job.scale,
        "files_sha256": checksums(job.folder, sorted({*job.files, *arrays})),
        **origin,
        "device": device_name(),
        "threads": _num_threads(),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        **_cost(),
    }


def _facts(job: Job) -> Record:
    """Those of FACTS that the job's metrics have."""
    path = job.folder / "metrics.json"
    metrics = read_json(path) if path.name in job.files and path.exists() else {}
    return {name: metrics[name] for name in FACTS if name in metrics}


def _cost() -> dict[str, float]:
    """Of this process since it began, imports and all; memory in 10^6 bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "wall_seconds": time.time() - psutil.Process().create_time(),
        "cpu_seconds": sum(os.times()[:4]),
        "peak_memory_mb": (peak if sys.platform == "darwin" else peak * 1024) / 1e6,
    }


def _git() -> dict[str, Any]:
    """The commit, and whether the sources differ from it; None outside a git clone."""
    commit = _ask_git("rev-parse", "HEAD")
    changes = None if commit is None else bool(_ask_git("status", "--porcelain", "--", *SOURCES))
    return {"commit": commit, "uncommitted_changes": changes}


def _ask_git(*arguments: str) -> str | None:
    try:
        answer = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.stdout.strip()


def _num_threads() -> int:
    """Of torch; without it the work is Python's, on one."""
    if "torch" not in sys.modules:
        return 1
    import torch

    return torch.get_num_threads()


def device_name() -> str:
    """The model of the accelerator in use, or of the CPU."""
    # A process that never loaded torch used no accelerator, and to load it now takes longer than such a verb.
    if "torch" in sys.modules:
        import torch

        from twostage.runtime import training

        device = training.device()
        if device.type != "cpu":
            # Not every accelerator has names.
            named = getattr(torch.get_device_module(device), "get_device_name", None)
            return str(named(device)) if named else device.type
    return _cpu_model() or platform.processor() or platform.machine()


def _cpu_model() -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), None)
