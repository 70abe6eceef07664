"""Kills runs of the workflow at seeded random moments and resumes them, until each is finished.

A disturbed run is finished when Snakemake says so; then it is compared with one that nobody disturbed, wiped, and the
next begins, until all kills are spent. The moments are drawn in seconds from Snakemake's start, so that all stages, the
planning and the time between two jobs are met.
"""

import itertools
import random
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

from tests.chaos.compare import differences, files
from tests.clone import Clone
from twostage.runtime.artifacts import write_csv, write_json

KINDS = ("job", "snakemake", "both")
# What a run makes.
MADE = ("artifacts", "results", ".snakemake", "build/scratch", "build/configs", "build/code")
POLL_SECONDS = 0.02
CORES = 2


@dataclass(frozen=True)
class Kill:
    """One kill: what was asked for, when, and which verbs were at work."""

    number: int
    disturbed_run: int
    kind: str
    after_seconds: float
    verbs: str
    jobs_finished: int


@dataclass
class Report:
    """What the kills did."""

    targets: list[str]
    seed: int
    # The latest moment of a kill, as a share of what an undisturbed run takes: a slower machine gets more time.
    latest_share: float
    kills: list[Kill] = field(default_factory=list)
    resumes: int = 0
    refusals: int = 0
    disturbed_runs: int = 0
    compared_files: int = 0
    differing: list[str] = field(default_factory=list)
    seconds_undisturbed: float = 0.0
    seconds: float = 0.0

    def write(self, folder: Path, commit: str) -> None:
        """Writes kills.json, the summary, and kills.csv, a row a kill."""
        of_kind = Counter(kill.kind for kill in self.kills)
        of_stage = Counter(verb.split(".")[0] for kill in self.kills for verb in kill.verbs.split())
        summary = {
            **{key: value for key, value in vars(self).items() if key != "kills"},
            "commit": commit,
            "cores": CORES,
            "kills": len(self.kills),
            "kills_of": dict(sorted(of_kind.items())),
            "stages_at_work": dict(sorted(of_stage.items())),
            "differing_files": len(self.differing),
        }
        write_json(folder / "kills.json", summary)
        write_csv(folder / "kills.csv", [asdict(kill) for kill in self.kills])


def processes(clone: Clone) -> list[psutil.Process]:
    """The jobs' processes of a clone, and no other's."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        words = (process.info["cmdline"] or [])[1:]
        if process.info["cwd"] == str(clone.folder) and words[:2] == ["-m", "twostage"] and len(words) > 2:
            found.append(process)
    return found


def verbs(jobs: list[psutil.Process]) -> str:
    """The verbs that these processes run, in one string."""
    return " ".join(sorted(job.info["cmdline"][3] for job in jobs))


def snakemake(targets: list[str]) -> list[str]:
    """The command that makes them at scale smoke."""
    return ["snakemake", "--cores", str(CORES), "--config", "scale=smoke", "--", *targets]


class Disturbance:
    """Runs one target in one clone, and kills."""

    def __init__(self, clone: Clone, report: Report, kills: int) -> None:
        self.clone, self.report, self.budget = clone, report, kills
        self.random = random.Random(report.seed)
        self.log = clone.folder / "build/chaos.log"

    def to_the_end(self) -> None:
        """Kills and resumes until the target is made. Raises RuntimeError if a run fails though nobody killed it."""
        self.report.disturbed_runs += 1
        while True:
            run, disturbed = self._start(), False
            # A run outlives a kill that meets a job of the one before it: then it is disturbed again.
            while len(self.report.kills) < self.budget and self._disturb(run):
                disturbed = True
            code = run.wait()
            if not disturbed:
                if code == 0:
                    return
                self._explain(code)
            self.report.resumes += 1

    def _start(self) -> subprocess.Popen:
        command = snakemake(self.report.targets)
        self.log.parent.mkdir(exist_ok=True)
        with open(self.log, "ab") as log:
            return subprocess.Popen(command, cwd=self.clone.folder, env=self.clone.environment, stdout=log, stderr=log)

    def _disturb(self, run: subprocess.Popen) -> bool:
        """Kills at a random moment; False if the run ended before it came."""
        kind = self.random.choice(KINDS)
        latest = self.report.latest_share * self.report.seconds_undisturbed
        # A job that takes longer than that would be killed forever.
        delay = self.random.uniform(0, latest * (1 + in_vain(self.report.kills)))
        start = time.monotonic()
        while run.poll() is None:
            jobs = processes(self.clone) if time.monotonic() - start >= delay else []
            due = time.monotonic() - start >= delay and (jobs or kind != "job")
            # Where a job is to be killed and none is at work, the next one is.
            if due and self._kill(kind, run, jobs):
                self._note(kind, time.monotonic() - start, jobs)
                return True
            time.sleep(POLL_SECONDS)
        return False

    def _kill(self, kind: str, run: subprocess.Popen, jobs: list[psutil.Process]) -> bool:
        """Whether there was still somebody to kill."""
        if kind == "job":
            return killed(self.random.choice(jobs))
        run.kill()
        if kind == "both":
            # Those started between the look and the kill, too.
            for job in {*jobs, *processes(self.clone)}:
                killed(job)
        return run.wait() < 0

    def _note(self, kind: str, seconds: float, jobs: list[psutil.Process]) -> None:
        finished = sum(1 for _ in (self.clone.folder / "artifacts").rglob("provenance.json"))
        number, runs = len(self.report.kills) + 1, self.report.disturbed_runs
        self.report.kills.append(Kill(number, runs, kind, round(seconds, 2), verbs(jobs), finished))

    def _explain(self, code: int) -> None:
        """A run may refuse to begin while a job of the killed one is at work: then that one is waited for."""
        orphans = processes(self.clone)
        text = self.log.read_text()[-3000:]
        refused = "is at work in this clone" in text or "cannot be locked" in text
        if not (orphans or refused):
            raise RuntimeError(f"snakemake ended with {code}, though nobody killed it or its jobs: {text}")
        self.report.refusals += 1
        psutil.wait_procs(orphans, timeout=600)


def in_vain(kills: Sequence[Kill]) -> int:
    """How many kills in a row, up to the last, came with no more jobs finished than at the kill before."""
    finished = [(kill.disturbed_run, kill.jobs_finished) for kill in reversed(kills)]
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], itertools.pairwise(finished)))


def killed(process: psutil.Process) -> bool:
    """Sends SIGKILL; False if the process had ended by itself."""
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return False
    return True


def disturb(undisturbed: Clone, disturbed: Clone, report: Report, kills: int) -> Iterator[Report]:
    """Disturbed runs, one after the other, each compared with the undisturbed one, until the kills are spent.

    The undisturbed clone is run first, unless the report knows how long that took.
    Yields the report after every run.
    """
    start = time.monotonic()
    if not report.seconds_undisturbed:
        undisturbed.ask(*snakemake(report.targets))
        report.seconds_undisturbed = round(time.monotonic() - start, 1)
    disturbance = Disturbance(disturbed, report, kills)
    while len(report.kills) < kills:
        for name in MADE:
            shutil.rmtree(disturbed.folder / name, ignore_errors=True)
        disturbance.to_the_end()
        for name in ("artifacts", "results"):
            report.differing += differences(undisturbed.folder / name, disturbed.folder / name)
            report.compared_files += len(files(disturbed.folder / name))
        report.seconds = round(time.monotonic() - start, 1)
        yield report
