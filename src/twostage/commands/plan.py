"""`twostage plan [STUDY | FILE.yaml] [scale=...] [--estimate]`: the jobs behind a study, which are made, and what they
cost: by the records of earlier runs, or, at a scale that was never run, by an estimate.
"""

import argparse
from pathlib import Path

from twostage.commands.arguments import Parser, names_and_overrides, parsed
from twostage.commands.console import one_line_errors
from twostage.commands.paths import writable_file
from twostage.config.composition import add_study, compose, options
from twostage.errors import TwostageError
from twostage.planning import made
from twostage.planning.costs import Costs, spelled
from twostage.planning.kept import kept_plan
from twostage.planning.whole import plan_of
from twostage.runtime.artifacts import write_csv
from twostage.runtime.job import Job


def lines(jobs: dict[str, Job]) -> list[str]:
    """One for each job, in an order in which they can run: made or to do, its CPU time, the verb, the variant; then
    how many. A time is the job's own, of an earlier run; after `~` the median of its verb; `?` if nothing is known.
    """
    costs = Costs.known(next(iter(jobs.values())).scale)
    states = {folder: "made" if made.is_made(job, jobs) else "to do" for folder, job in jobs.items()}
    verbs = {folder: job.name for folder, job in jobs.items()}
    width = max(map(len, verbs.values()))
    found = [
        f"{states[folder]:6} {costs.of(job):>9}  {verbs[folder]:{width}}  {job.variant}" for folder, job in jobs.items()
    ]
    to_do = [job for folder, job in jobs.items() if states[folder] == "to do"]
    return [*found, f"{len(jobs)} jobs, {len(jobs) - len(to_do)} made, {len(to_do)} to do: {_total(costs, to_do)}"]


def _total(costs: Costs, jobs: list[Job]) -> str:
    """The CPU time of all jobs whose cost is known, and how many others there are."""
    seconds = [costs.seconds(job) for job in jobs]
    known = [each for each in seconds if each is not None]
    unknown = len(seconds) - len(known)
    return f"{spelled(sum(known))} of CPU time" + (f", and {unknown} jobs of unknown cost" if unknown else "")


def planned(study: str | None, scale: str) -> dict[str, Job]:
    """The jobs that the tables and figures of a study rest on, or those of all. Raises TwostageError for a study that
    there is not.
    """
    jobs = kept_plan(scale).jobs if study is None else plan_of(study, scale).jobs
    waiting, needed = [folder for folder, job in jobs.items() if job.stage == "figures"], set[str]()
    while waiting:
        folder = waiting.pop()
        if folder not in needed:
            needed.add(folder)
            waiting += jobs[folder].inputs.values()
    return {folder: job for folder, job in jobs.items() if folder in needed}


def parser() -> Parser:
    """What the command takes."""
    found = Parser(
        "plan",
        "Prints the jobs behind a study of conf/study/, behind a study file of yours, or behind all of conf/study/: "
        "one line each, made or to do, with its CPU time. ~ marks the median of its verb, ? a time that nothing is "
        "known of. For example: twostage plan edges scale=smoke; twostage plan path/to/mine.yaml",
        ("study", "scale"),
    )
    found.add_argument(
        "--estimate",
        action="store_true",
        help="hours on a GPU or a core, memory and disk of each job, from its own training step",
    )
    found.add_argument(
        "--csv", type=writable_file, metavar="FILE", help="with --estimate: write the table there as well"
    )
    return found


def check(arguments: argparse.Namespace) -> None:
    """Raises TwostageError for what a plan does not read."""
    names, overrides = names_and_overrides(arguments)
    names = arguments.names = [add_study(Path(name)) if name.endswith(".yaml") else name for name in names]
    if len(names) > 1 or any(name not in options("study") for name in names):
        known = ", ".join(options("study"))
        raise TwostageError(f"no study {' '.join(names)}; name one of {known}, a file of yours, or none for all")
    if arguments.csv is not None and not arguments.estimate:
        raise TwostageError("--csv writes an estimate; add --estimate")
    if others := [override for override in overrides if not override.startswith("scale=")]:
        raise TwostageError(f"{others[0]}: a plan reads the scale alone; name a study and scale=NAME")


def main() -> None:
    """Command line."""
    arguments = parsed(parser(), check)
    names, (_, overrides) = arguments.names, names_and_overrides(arguments)
    with one_line_errors():
        scale = compose(overrides)["scale"]
        jobs = planned(names[0] if names else None, scale["name"])
        if not arguments.estimate:
            print("\n".join(lines(jobs)))
            return
        # Steps run on torch; without --estimate a plan needs none.
        from twostage.estimate import report

        on = report.devices(scale["gpus_per_job"])
        rows = report.rows(jobs, on)
        if arguments.csv is not None:
            write_csv(arguments.csv, rows)
        print("\n".join(report.lines(rows, on)))
