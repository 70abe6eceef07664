"""`twostage plan [EXPERIMENT] [scale=...]`: the jobs behind an experiment, and which of them are made."""

import argparse

from twostage.commands.arguments import Parser, names_and_overrides, parsed
from twostage.commands.console import one_line_errors
from twostage.config.composition import compose, options
from twostage.errors import TwostageError
from twostage.planning import made
from twostage.planning.kept import kept_plan
from twostage.planning.whole import plan_of
from twostage.runtime.job import Job


def lines(jobs: dict[str, Job]) -> list[str]:
    """One for each job, in an order in which they can run: made or to do, the verb, the variant; then how many."""
    states = {folder: "made" if made.is_made(job, jobs) else "to do" for folder, job in jobs.items()}
    verbs = {folder: f"{job.stage}.{job.verb}" for folder, job in jobs.items()}
    width = max(map(len, verbs.values()))
    found = [f"{states[folder]:6} {verbs[folder]:{width}}  {job.variant}" for folder, job in jobs.items()]
    num_made = list(states.values()).count("made")
    return [*found, f"{len(jobs)} jobs, {num_made} of them made"]


def planned(experiment: str | None, scale: str) -> dict[str, Job]:
    """The jobs of an experiment, or of all. Raises TwostageError for one that there is not."""
    return kept_plan(scale).jobs if experiment is None else plan_of(experiment, scale).jobs


def parser() -> Parser:
    """What the command takes."""
    return Parser(
        "plan",
        "Prints the jobs behind an experiment of conf/experiment/, or behind all of them: one line each, made or to "
        "do. For example: twostage plan edges scale=smoke",
        ("experiment", "scale"),
    )


def check(arguments: argparse.Namespace) -> None:
    """Raises TwostageError for what a plan does not read."""
    names, overrides = names_and_overrides(arguments)
    if len(names) > 1 or any(name not in options("experiment") for name in names):
        known = ", ".join(options("experiment"))
        raise TwostageError(f"no experiment {' '.join(names)}; name one of {known}, or none for all")
    if others := [override for override in overrides if not override.startswith("scale=")]:
        raise TwostageError(f"{others[0]}: a plan reads the scale alone; name an experiment and scale=NAME")


def main() -> None:
    """Command line."""
    arguments = parsed(parser(), check)
    names, overrides = names_and_overrides(arguments)
    with one_line_errors():
        scale = compose(overrides)["scale"]["name"]
        print("\n".join(lines(planned(names[0] if names else None, scale))))
