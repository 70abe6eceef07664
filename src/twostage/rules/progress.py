"""What a person sees in a terminal while a run goes on: a line for each finished job, and which jobs run.

Where nobody watches (a pipe, a CI log), Snakemake's own words stay; its log file holds them in any case.
"""

import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TextIO

from snakemake.common import NOTHING_TO_BE_DONE_MSG
from snakemake.logging import get_event
from snakemake.logging import logger as snakemakes
from snakemake_interface_logger_plugins.common import LogEvent

from twostage.planning.costs import Costs, spelled
from twostage.planning.made import job_id
from twostage.planning.whole import Planned
from twostage.rules import asked
from twostage.rules.planned import PlannedRules
from twostage.runtime.job import Job

# Told as they are.
TOLD = (NOTHING_TO_BE_DONE_MSG, "Complete log", "Will exit after finishing", "Terminating processes")
# A failed job has a line of its own, and the end of its log comes last.
SAID_BETTER = ("Exiting because a job execution failed", "WorkflowError:\nAt least one job did not complete")
CLEAR = "\r\x1b[K"


def take_the_terminal(rules: PlannedRules) -> None:
    """Has this run tell of its jobs in a line each, and its jobs say the rest to their logs alone.

    Not if stderr is no terminal, if Snakemake only looks or runs one job of another run, or with --verbose or
    --printshellcmds, or if a storage names the files in its own way.
    """
    settings = rules.workflow.output_settings
    own = next((each for each in snakemakes.handlers if each.name == "DefaultStreamHandler"), None)
    if own is None or not sys.stderr.isatty() or asked.only_looks() or asked.is_job():
        return
    if settings.verbose or settings.printshellcmds or rules.in_storage:
        return
    told = Progress(rules.plan, rules.jobs_to_run, rules.jobs_at_once, sys.stderr)
    for each in own.filters:
        told.addFilter(each)
    snakemakes.removeHandler(own)
    snakemakes.addHandler(told)
    os.environ["TWOSTAGE_LOG_ALONE"] = "1"


class Progress(logging.StreamHandler[TextIO]):
    """Writes lines about the planned jobs that `jobs_to_run` gives once Snakemake knows them.

    Time left: the cost of what is left, shared by `jobs_at_once` or of its longest chain, times how long the finished
    jobs took per second of their cost.
    """

    def __init__(
        self, plan: Planned, jobs_to_run: Callable[[], list[Job]], jobs_at_once: Callable[[], int], stream: TextIO
    ) -> None:
        super().__init__(stream)
        self.plan, self._jobs_to_run, self._jobs_at_once = plan, jobs_to_run, jobs_at_once
        self.costs = Costs({})
        self.left: dict[str, Job] = {}  # by folder
        self.total, self.failed, self.start = 0, 0, 0.0
        self.running: dict[int, tuple[Job, float]] = {}  # Snakemake's number -> job, start
        self.took, self.expected = 0.0, 0.0
        self.studies: dict[str, str] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Writes what the record means to a person, if anything, and under it what runs."""
        try:
            lines = [*self._lines(record)]
            is_of_a_job = get_event(record) in (LogEvent.JOB_INFO, LogEvent.JOB_FINISHED, LogEvent.JOB_ERROR)
            if lines or is_of_a_job:
                self.stream.write("\n".join([CLEAR + lines[0], *lines[1:], ""]) if lines else CLEAR)
                self.stream.write(self._runs() if is_of_a_job else "")
                self.flush()
        except Exception:  # as every handler: a run does not end for a line of its log
            self.handleError(record)

    def _lines(self, record: logging.LogRecord) -> Iterator[str]:
        said: dict[str, Any] = record.__dict__
        match get_event(record):
            case LogEvent.RUN_INFO:
                yield from self._begin(record.created)
            case LogEvent.JOB_INFO:
                job = self.plan.jobs.get(os.path.dirname(said["log"][0])) if said["log"] else None
                if job is not None:
                    self.running[said["jobid"]] = (job, record.created)
            case LogEvent.JOB_FINISHED if said["job_id"] in self.running:
                yield self._finish(*self.running.pop(said["job_id"]), record.created)
            case LogEvent.JOB_ERROR:
                yield self._fail(said, record.created)
            case None if record.levelno >= logging.WARNING or str(record.msg).startswith(TOLD):
                if not str(record.msg).startswith(SAID_BETTER):
                    yield str(record.msg)

    def _begin(self, now: float) -> Iterator[str]:
        if self.left:
            # Snakemake says it again at the end.
            return
        jobs = self._jobs_to_run()
        self.left = {job.out: job for job in jobs}
        self.total, self.start = len(jobs), now
        self.costs = Costs.known(self.plan.scale)
        self.studies = _studies(self.plan.jobs, self.left)
        names = [*dict.fromkeys(self.studies[job.out] for job in jobs if job.out in self.studies)]
        more = f" and {len(names) - 4} more" if len(names) > 4 else ""
        named = f" for {', '.join(names[:4])}{more}" if names else ""
        yield f"{self.total} job{'s' if self.total != 1 else ''}{named}, {self._time_left(now)}"

    def _finish(self, job: Job, start: float, now: float) -> str:
        took, known = now - start, self.costs.of_jobs.get(job_id(job))
        if known is None:
            # So the next ones of its verb are no longer unknown.
            self.costs.of_jobs[job_id(job)] = took
        else:
            self.took, self.expected = self.took + took, self.expected + known
        self.left.pop(job.out, None)
        return self._line(job, spelled(took), now)

    def _fail(self, said: dict[str, Any], now: float) -> str:
        job, start = self.running.pop(said["jobid"], (None, now))
        if job is None:
            return f"failed: {said['rule_name']}"
        self.left.pop(job.out, None)
        self.failed += 1
        return self._line(job, f"failed after {spelled(now - start)}", now)

    def _line(self, job: Job, what: str, now: float) -> str:
        place = f"{self.total - len(self.left)}/{self.total}"
        study = f"  study {self.studies[job.out]}" if job.out in self.studies else ""
        left = f", {self._time_left(now)}" if self.left else ""
        failed = f", {self.failed} failed" if self.failed else ""
        return f"{place}{study}  {job_id(job)}  {what}   {spelled(now - self.start)} gone{left}{failed}"

    def _time_left(self, now: float) -> str:
        pace = self.took / self.expected if self.expected else 1.0
        started = {job.out: start for job, start in self.running.values()}
        seconds: dict[str, float] = {}
        for folder, job in self.left.items():
            cost = self.costs.seconds(job)
            if cost is not None:
                seconds[folder] = max(pace * cost - (now - started.get(folder, now)), 0.0)
        if not seconds:
            return "time left unknown"
        shared = sum(seconds.values()) / max(min(self._jobs_at_once(), len(self.left)), 1)
        about = "about" if len(seconds) == len(self.left) else "at least"
        return f"{about} {spelled(max(shared, self._longest_chain(seconds)))} left"

    def _longest_chain(self, seconds: dict[str, float]) -> float:
        """Of jobs that wait for one another. A plan names every job after those that it reads."""
        ends: dict[str, float] = {}
        for folder, job in self.plan.jobs.items():
            before = max((ends.get(each, 0.0) for each in job.inputs.values()), default=0.0)
            ends[folder] = before + seconds.get(folder, 0.0)
        return max(ends.values(), default=0.0)

    def _runs(self) -> str:
        """What runs now, on the terminal's last line, without its end."""
        names = ", ".join(job_id(job) for job, _ in self.running.values())
        return f"running: {names}"[: shutil.get_terminal_size().columns - 1] if names else ""


def _studies(jobs: dict[str, Job], asked_for: Iterable[str]) -> dict[str, str]:
    """For each job's folder, the first study whose tables rest on it; those that are drawn in this run go first."""
    drawn = [job for job in jobs.values() if job.stage == "figures" and job.variant != "summary"]
    found: dict[str, str] = {}
    wanted = set(asked_for)
    for figure in sorted(drawn, key=lambda job: job.out not in wanted):
        waiting = [figure.out]
        while waiting:
            folder = waiting.pop()
            if folder not in found:
                found[folder] = figure.variant
                waiting += jobs[folder].inputs.values()
    return found
