"""Artifacts in a bucket: what a run needs whose jobs share no disk (Snakemake's default storage, such as S3)."""

from pathlib import Path
from typing import Any

from twostage.errors import TwostageError
from twostage.planning.verbs import SPLITS
from twostage.runtime.job import Job

ARTIFACTS = Path("artifacts")


def is_used(workflow: Any) -> bool:
    """Whether the run has a default storage."""
    return workflow.storage_registry.default_storage_provider is not None


def link_artifacts(workflow: Any) -> None:
    """Makes artifacts/ a link to the folder in which Snakemake keeps its local copies of the default storage.

    Jobs read and write artifacts/, and Snakemake fetches and stores what lies in that folder. Without a default storage
    nothing is done. Raises TwostageError if artifacts/ holds files of runs without one.
    """
    if not is_used(workflow):
        return
    prefix = (workflow.storage_settings.default_storage_prefix or "").rstrip("/")
    stored = workflow.storage_registry.default_storage_provider.object(f"{prefix}/{ARTIFACTS}".lstrip("/"))
    local = Path(stored.local_path())
    local.mkdir(parents=True, exist_ok=True)
    if ARTIFACTS.is_symlink():
        ARTIFACTS.unlink()
    elif ARTIFACTS.exists():
        _remove_if_empty()
    ARTIFACTS.symlink_to(local)


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
