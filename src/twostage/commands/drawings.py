"""Tables and figures drawn once more, from metrics that lie in another folder than artifacts/."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from twostage.commands.dispatch import config_of, work_of
from twostage.config.composition import parse
from twostage.runtime.job import Job

RESULTS = Path("results")
# Where git keeps what tables and figures are drawn from: a folder for each evaluation.
EVALUATIONS = RESULTS / "evaluation"


def drawing_jobs(jobs: Mapping[str, Job]) -> dict[str, Job]:
    """The jobs that draw, by the names of their studies."""
    return {job.variant: job for job in jobs.values() if job.stage == "figures"}


def draw(job: Job, jobs: Mapping[str, Job], metrics: Path, folder: Path) -> Path:
    """Runs a job that draws on the evaluations below `metrics`; the folder below `folder` that holds its files.

    `jobs`: by their folders, those that it rests on. Raises TwostageError if the metrics are not what it draws.
    """
    inputs = {name: str(metrics / jobs[source].variant) for name, source in job.inputs.items()}
    again = replace(job, inputs=inputs, out=str(folder / job.variant))
    work = work_of(f"figures.{job.verb}")
    work(parse(config_of(work), job.config), again)
    return again.folder


def place(name: str, results: Path = RESULTS) -> Path:
    """Where a file that is drawn lies in the folder of results."""
    return results / "figures" / name if name.endswith((".pdf", ".png")) else results / name
