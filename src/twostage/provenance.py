"""Where a job's files come from: commit, versions, machine, cost, and a checksum of each. One record beside them.

Records are read by nothing but the result's own record (`figures.provenance`), so a later commit or a faster machine
makes nothing run again.
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
import torch

from twostage import training
from twostage.artifacts import sha256_file, sha256_json, write_json
from twostage.fingerprint import fingerprint
from twostage.plan import PROVENANCE, Job

PACKAGES = ("torch", "snakemake", "hydra-core", "numpy")
# What decides a number; a commit that leaves these alone made the same thing.
SOURCES = ("src", "conf", "workflow", "Snakefile", "requirements.lock")


def write_record(job: Job) -> None:
    """Writes provenance.json into the job's folder; called when everything else lies there.

    A job that was killed and went on counts the seconds of its last process only.
    """
    made = {name: sha256_file(job.folder / name) for name in job.files if (job.folder / name).exists()}
    record = {
        "job": f"{job.stage}.{job.verb} {job.variant}",
        "scale": job.scale,
        "config_sha256": sha256_json(job.config),
        "code_sha256": sha256_json(fingerprint(f"{job.stage}.{job.verb}")),
        "files_sha256": made,
        **_git(),
        "lock_sha256": sha256_file(Path("requirements.lock")) if Path("requirements.lock").exists() else None,
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "device": device_name(),
        "threads": torch.get_num_threads(),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        **_cost(),
    }
    write_json(job.folder / PROVENANCE, record)


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


def device_name() -> str:
    """The model of the accelerator in use, or of the CPU."""
    if training.device().type == "cuda":
        return torch.cuda.get_device_name()
    return _cpu_model() or platform.processor() or platform.machine()


def _cpu_model() -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), None)
