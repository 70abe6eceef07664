"""The whole plan of a scale, made once: read back as long as neither `conf/`, the code nor the user's files changed.

Snakemake asks for it at every call, and to compose some five hundred trees takes seconds.
"""

import json
from pathlib import Path
from typing import Any

import omegaconf

from twostage.config import composition, plugins
from twostage.planning.whole import Planned, whole_plan
from twostage.runtime.artifacts import sha256_file, sha256_json, write_json
from twostage.runtime.fingerprint import PACKAGE
from twostage.runtime.job import Job


def kept_plan(scale: str) -> Planned:
    """`whole_plan(scale)`, out of build/plans/ where it is of these very files. Errors as there; none is kept.

    Loads the plugins of the plan's studies.
    """
    own = composition.added_studies()
    paths = (*composition.CONF.rglob("*.yaml"), *PACKAGE.rglob("*.py"), *own.values())
    # Editors leave links that lead nowhere.
    sources = {path: path.read_bytes() for path in paths if path.is_file()}
    # What a config takes from the environment is in no file.
    if any(b"${oc.env" in content for path, content in sources.items() if path.suffix == ".yaml"):
        return _planned(scale)
    names = {str(path.relative_to(path.anchor)): sha256_json(content.hex()) for path, content in sources.items()}
    key = sha256_json([names, omegaconf.__version__])
    # Beside conf/; never inside of an installed package.
    root = Path() if composition.CONF == composition.PACKAGED else composition.CONF.parent
    path = root / f"build/plans/{'.'.join([scale, *own])}.json"
    kept = _read(path)
    if kept is not None and kept.get("key") == key and _are_as_they_were(kept["plugins"]):
        for file in kept["plugins"]:
            plugins.load(Path(file))
        jobs = {folder: Job(**job) for folder, job in kept["jobs"].items()}
        return Planned(scale, jobs, kept["tree"], {})
    planned = _planned(scale)
    # A broken study is tried again: its line may speak of what lies outside of these files.
    if not planned.broken:
        jobs_json = {folder: job.as_json() for folder, job in planned.jobs.items()}
        files = {str(file): sha256_file(file) for file in plugins.loaded()}
        write_json(path, {"key": key, "plugins": files, "jobs": jobs_json, "tree": planned.tree})
    return planned


def _planned(scale: str) -> Planned:
    plan = whole_plan(scale)
    return Planned(scale, plan.jobs, plan.tree, plan.broken)


def _are_as_they_were(files: dict[str, str]) -> bool:
    """Whether files exist and have their checksums."""
    return all(Path(file).is_file() and sha256_file(Path(file)) == checksum for file, checksum in files.items())


def _read(path: Path) -> dict[str, Any] | None:
    """What was kept; None if it is missing or damaged, as it can be made again."""
    try:
        kept = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return kept if isinstance(kept, dict) else None
