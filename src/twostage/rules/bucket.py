"""Artifacts in a bucket: what a run needs whose jobs share no disk (Snakemake's default storage, such as S3)."""

import os
from pathlib import Path
from typing import Any

from twostage.config.schema import SPLITS
from twostage.errors import TwostageError
from twostage.runtime.job import Job

ARTIFACTS = Path("artifacts")


def is_used(workflow: Any) -> bool:
    """Whether the run has a default storage."""
    return workflow.storage_registry.default_storage_provider is not None


def link_artifacts(workflow: Any) -> None:
    """Makes artifacts/ a link to the folder in which Snakemake keeps its local copies of the default storage.

    Jobs read and write artifacts/, and Snakemake fetches and stores what lies in that folder. Raises TwostageError if
    artifacts/ holds files of runs without a storage, or, of a run without one, if it is such a link.
    """
    if not is_used(workflow):
        if ARTIFACTS.is_symlink() and ".snakemake" in ARTIFACTS.readlink().parts:
            raise TwostageError("artifacts/ is a link of a run with a storage; name that storage again, or delete it")
        return
    prefix = (workflow.storage_settings.default_storage_prefix or "").rstrip("/")
    stored = workflow.storage_registry.default_storage_provider.object(f"{prefix}/{ARTIFACTS}".lstrip("/"))
    local = Path(stored.local_path())
    local.mkdir(parents=True, exist_ok=True)
    if ARTIFACTS.is_symlink() and ARTIFACTS.readlink() == local:
        return
    if ARTIFACTS.exists() and not ARTIFACTS.is_symlink():
        _remove_if_empty()
    # Jobs of this run may begin at the same time.
    new = Path(f".snakemake/artifacts.{os.getpid()}")
    new.unlink(missing_ok=True)
    new.symlink_to(local)
    new.replace(ARTIFACTS)


def maps_of(job: Job) -> list[str]:
    """Files of a dataset's maps. On a disk no rule names them, as metadata.json beside them vouches for them."""
    match job.name:
        case "data.prepare":
            names = job.config["maps"]
        case "data.annotate":
            names = [job.config["map"]]
        case _:
            names = []
    return [f"{split}_{name}.npy" for name in names for split in SPLITS]


def _remove_if_empty() -> None:
    inside = sorted(ARTIFACTS.rglob("*"), reverse=True)
    if any(not path.is_dir() for path in inside):
        raise TwostageError(
            "artifacts/ holds files of runs without a storage; start in a fresh clone, or move them away"
        )
    for folder in (*inside, ARTIFACTS):
        folder.rmdir()
