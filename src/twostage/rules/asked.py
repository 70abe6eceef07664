"""What Snakemake was asked on its command line."""

import argparse
import functools
import os
import sys
from collections.abc import Mapping
from typing import Any

from snakemake.cli import get_argument_parser

from twostage.config.composition import added_studies
from twostage.errors import TwostageError
from twostage.planning.whole import study_of

# A plan of the work, as people spell it.
DRY = {"-n", "-np", "--dry-run", "--dryrun"}
LOOKS = [
    *("nolock", "dryrun", "lint", "summary", "detailed_summary", "list_rules", "list_target_rules", "unlock", "report"),
    *("dag", "rulegraph", "filegraph", "d3dag", "list_input_changes", "list_params_changes", "list_code_changes"),
    "list_untracked",
]


@functools.cache
def _arguments(words: tuple[str, ...]) -> argparse.Namespace:
    """Snakemake's own parser knows every spelling, but takes a quarter of a second."""
    arguments: argparse.Namespace = get_argument_parser().parse_known_args(words)[0]
    return arguments


def only_looks() -> bool:
    """Whether Snakemake was asked about the work, and not for it. Jobs on other nodes parse the Snakefile too, with
    --nolock.
    """
    return bool({"--nolock", "--lint", *DRY} & set(sys.argv)) or any(
        getattr(_arguments((*sys.argv[1:],)), name, None) for name in LOOKS
    )


def needs_whole_plan() -> bool:
    """Whether a study that could not be planned must stop this call: it would run, or plan, what it is asked for."""
    return bool(DRY & set(sys.argv)) or not only_looks()


def targets() -> list[str]:
    """What Snakemake is asked to make; files by their paths from here."""
    return [os.path.relpath(name) if "/" in name else name for name in _arguments((*sys.argv[1:],)).targets]


def studies() -> list[str]:
    """The studies that a dry run is about, if each of its targets is of one; none: it is about the whole plan."""
    found = [study_of(target) if target.startswith("results/") else "" for target in targets()]
    is_of_studies = DRY & set(sys.argv) and all(found) and not added_studies()
    return list(dict.fromkeys(found)) if is_of_studies else []


def scale(config: Mapping[str, Any]) -> str:
    """The scale of the run, by the config that Snakemake was given. Raises TwostageError if that names none."""
    for key in ("scale", "committed"):
        if not isinstance(config.get(key), str):
            raise TwostageError(f"{key} is {config.get(key)}; name a file of conf/scale, such as {key}=laptop")
    return str(config["scale"])


def is_job() -> bool:
    """Whether this is the process of one job of a run: Snakemake knows its targets only after the Snakefile."""
    return "--target-jobs" in sys.argv


def unlocks() -> bool:
    """Whether Snakemake was asked to drop its lock."""
    return "--unlock" in sys.argv
