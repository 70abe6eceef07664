"""`twostage redraw [STUDY] [figures.font_size=9]`: tables and figures, from the metrics that git keeps.

Reads results/evaluation/ alone, so that it needs no artifacts and trains nothing.
"""

import argparse
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from twostage.commands.arguments import Parser, names_and_overrides, parsed
from twostage.commands.console import log, one_line_errors
from twostage.commands.drawings import EVALUATIONS, RESULTS, draw, drawing_jobs, place
from twostage.commands.paths import writable_file, writable_folder
from twostage.config.composition import compose, options
from twostage.config.yaml_files import read_yaml
from twostage.errors import TwostageError
from twostage.planning.kept import kept_plan
from twostage.planning.prompt import group_of
from twostage.planning.whole import Planned
from twostage.runtime.artifacts import atomic_path
from twostage.runtime.job import Job, Tree


def redraw(studies: list[str], overrides: tuple[str, ...], out: Path) -> bool:
    """Draws the studies, or all that git keeps metrics of, into `out`; logs every file. False if one cannot be drawn.

    Raises TwostageError for a study that is named and unknown or without metrics, before anything is written.
    """
    scale = committed_scale()
    figures = compose((f"scale={scale}", *overrides))["figures"]
    plan = kept_plan(scale)
    jobs = drawing_jobs(plan.jobs)
    if unknown := [name for name in studies if name not in jobs]:
        raise TwostageError(f"no study {unknown[0]}; name some of {', '.join(jobs)}, or none for all")
    absent = {name: path for name in studies or jobs for path in _absent(jobs[name], plan)}
    if studies and absent:
        raise TwostageError(
            f"{next(iter(absent.values()))} is missing: git keeps no metrics of {', '.join(absent)} yet"
        )
    if absent:
        log.info("git keeps no metrics yet of %s", ", ".join(absent))
    chosen = [_looking(jobs[name], figures) for name in studies or jobs if name not in absent]
    for job in chosen:
        for name in job.files:
            writable_file(place(name, out))
    are_drawn = [_is_drawn(job, plan, out) for job in chosen]
    return all(are_drawn)


def _looking(job: Job, figures: Tree) -> Job:
    """The job with other looks; one that only writes numbers has none."""
    return replace(job, config=job.config | {"figures": figures}) if "figures" in job.config else job


def _is_drawn(job: Job, plan: Planned, out: Path) -> bool:
    # Nothing is replaced before all of it is drawn.
    with tempfile.TemporaryDirectory() as folder:
        try:
            drawn = draw(job, plan.jobs, EVALUATIONS, Path(folder))
        except TwostageError as error:
            log.error("error: %s is not drawn: %s", job.variant, error)
            return False
        for name in job.files:
            with atomic_path(place(name, out)) as temporary:
                shutil.copyfile(drawn / name, temporary)
            log.info("%s", place(name, out))
    return True


def _absent(job: Job, plan: Planned) -> list[Path]:
    """The files of metrics that the job draws and that are not here."""
    read = [plan.jobs[folder] for folder in job.inputs.values()]
    paths = (EVALUATIONS / each.variant / name for each in read for name in each.files)
    return [path for path in paths if not path.is_file()]


def committed_scale() -> str:
    """The scale whose results git keeps. Raises TwostageError outside of a clone, or if params.yaml says of none."""
    path = Path("params.yaml")
    if not path.is_file():
        raise TwostageError(f"no {path} here, which says whose metrics git keeps; run in the root of a twostage clone")
    params, known = read_yaml(path), options("scale")
    if not isinstance(params, dict) or params.get("committed") not in known:
        raise TwostageError(
            f"{path} does not say whose metrics git keeps; write the line committed: SCALE, one of {', '.join(known)}"
        )
    return str(params["committed"])


def parser() -> Parser:
    """What the command takes."""
    made = Parser(
        "redraw",
        "Draws tables and figures from the metrics that git keeps (results/evaluation/): the studies that are named, "
        "or all. For example: twostage redraw edges figures.font_size=9",
        ("figures",),
    )
    made.add_argument("--out", type=writable_folder, default=RESULTS, help="the folder to write (default: results/)")
    return made


def check(arguments: argparse.Namespace) -> None:
    """Raises TwostageError for what figures do not read, and for several looks in one place."""
    others = [override for override in names_and_overrides(arguments)[1] if group_of(override) != "figures"]
    if others:
        raise TwostageError(f"{others[0]} is a choice that no figure reads: it would need new metrics; set figures.KEY")
    if arguments.multirun and arguments.out == RESULTS:
        raise TwostageError("each run of --multirun would replace the last one in results/; add --out DIR")


def main() -> None:
    """Command line: exit status 1 if something could not be drawn."""
    arguments = parsed(parser(), check)
    names, overrides = names_and_overrides(arguments)
    with one_line_errors():
        is_whole = redraw(names, overrides, arguments.out)
    raise SystemExit(0 if is_whole else 1)
