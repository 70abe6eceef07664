"""The whole plan of a scale, made once: read back as long as neither `conf/`, the code nor the user's files changed.

Snakemake asks for it at every call, and to compose some five hundred trees takes seconds.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import omegaconf

from twostage.config import composition, plugins
from twostage.planning.whole import Planned, whole_plan
from twostage.runtime.artifacts import sha256_file, sha256_json, write_json
from twostage.runtime.fingerprint import PACKAGE
from twostage.runtime.job import Job


def kept_plan(scale: str, of_run: bool = False, only: Callable[[], Sequence[str]] = list) -> Planned:
    """`whole_plan(scale)`, out of build/plans/ where it is of these very files. Errors as there; none is kept.

    `of_run`: for a job of a run, which takes whatever plan is there: its run left it, and jobs on other nodes should
    neither look at all files of the clone nor plan anew what the run has planned.
    `only`: says which studies suffice where none is kept, if not all; their plan is not kept.
    Loads the plugins of the plan's studies.
    """
    path = _place(scale)
    if of_run and (kept := _read(path)) is not None and "jobs" in kept:
        return _planned_then(scale, kept)
    own = composition.added_studies()
    paths = (*composition.CONF.rglob("*.yaml"), *PACKAGE.rglob("*.py"), *own.values())
    # Editors leave links that lead nowhere.
    sources = {path: path.read_bytes() for path in paths if path.is_file()}
    # What a config takes from the environment is in no file.
    reads_environment = any(b"${oc.env" in content for path, content in sources.items() if path.suffix == ".yaml")
    names = {str(path.relative_to(path.anchor)): sha256_json(content.hex()) for path, content in sources.items()}
    key = sha256_json([names, omegaconf.__version__])
    kept = _read(path)
    if kept is not None and kept.get("key") == key and _are_as_they_were(kept["plugins"]):
        return _planned_then(scale, kept)
    some = only()
    plan = whole_plan(scale, some)
    if not some:
        write_json(
            path,
            {
                # A broken study is tried again: its line may speak of what lies outside of these files.
                "key": None if plan.broken or reads_environment else key,
                "plugins": {str(file): sha256_file(file) for file in plugins.loaded()},
                "jobs": {folder: job.as_json() for folder, job in plan.jobs.items()},
                "tree": plan.tree,
            },
        )
    return Planned(scale, plan.jobs, plan.tree, plan.broken)


def _place(scale: str) -> Path:
    """Beside conf/; never inside of an installed package. The names of many studies would be no name of a file."""
    root = Path() if composition.CONF == composition.PACKAGED else composition.CONF.parent
    added = composition.added_studies()
    return root / f"build/plans/{scale}{'.' + sha256_json([*added])[:12] if added else ''}.json"


def _planned_then(scale: str, kept: dict[str, Any]) -> Planned:
    for file in kept["plugins"]:
        plugins.load(Path(file))
    return Planned(scale, {folder: Job(**job) for folder, job in kept["jobs"].items()}, kept["tree"], {})


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
