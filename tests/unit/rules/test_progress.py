"""What a terminal shows of a run, from the events that Snakemake logs."""

import io
import logging
import os
import pty
import subprocess
import sys
from types import SimpleNamespace

import pytest
from snakemake.logging import logger as snakemakes

from twostage.planning.costs import Costs
from twostage.planning.made import job_id
from twostage.planning.whole import Planned, plan_of
from twostage.rules import progress
from twostage.rules.progress import CLEAR, Progress

DATA, TOKENIZER, PRIOR = (
    "artifacts/smoke/data/cifar10",
    "artifacts/smoke/tokenizers/cifar10.vqgan_f4",
    "artifacts/smoke/priors/cifar10.vqgan_f4.gpt.seed0",
)
SNAKEMAKES = {"input": [], "output": [], "benchmark": None, "resources": {}, "threads": 1, "local": True}


@pytest.fixture(scope="module")
def plan():
    found = plan_of("table1", "smoke")
    return Planned("smoke", found.jobs, found.tree, {})


class Run:
    """Records as Snakemake 9.27 logs them, `at` seconds after the run's start, and what the terminal then shows."""

    def __init__(self, plan, folders, cores=2):
        self.shown = io.StringIO()
        self.progress = Progress(plan, lambda: [plan.jobs[each] for each in folders], lambda: cores, self.shown)
        self.say("Job stats:\njob    count\n", 0, event="run_info", stats={})

    def say(self, message, at, level=logging.INFO, **fields):
        record = logging.makeLogRecord({"msg": message, "levelno": level, "created": 1000.0 + at, **fields})
        self.shown.seek(0)
        self.shown.truncate()
        self.progress.handle(record)
        return self.shown.getvalue()

    def start(self, number, folder, at):
        fields = {**SNAKEMAKES, "jobid": number, "rule_name": "a_rule", "log": [f"{folder}/log.txt"]}
        return self.say(f" Rule: a_rule, Jobid: {number}", at, event="job_info", **fields)

    def finish(self, number, at):
        return self.say(f"Finished jobid: {number} (Rule: a_rule)", at, event="job_finished", job_id=number)

    def fail(self, number, folder, at):
        fields = {**SNAKEMAKES, "jobid": number, "rule_name": "a_rule", "log": [f"{folder}/log.txt"]}
        return self.say("Error in rule a_rule", at, logging.ERROR, event="job_error", **fields)


@pytest.fixture
def costs(plan, monkeypatch):
    """Of earlier runs: 30 s of the data, 60 s of the tokenizer, 600 s of the prior."""
    known = Costs({job_id(plan.jobs[each]): cost for each, cost in ((DATA, 30), (TOKENIZER, 60), (PRIOR, 600))})
    monkeypatch.setattr(Costs, "known", classmethod(lambda cls, scale: known))
    return known


def test_a_run_begins_with_how_much_there_is_to_do(plan, costs):
    run = Run(plan, [DATA, TOKENIZER, PRIOR])
    # Each waits for the one before it, so the second core is of no help.
    assert run.shown.getvalue() == f"{CLEAR}3 jobs for table1, about 11.5 min left\n"
    assert Run(plan, [TOKENIZER]).shown.getvalue() == f"{CLEAR}1 job for table1, about 60 s left\n"


def test_a_finished_job_is_one_line_with_the_time_that_is_left(plan, costs):
    run = Run(plan, [DATA, TOKENIZER, PRIOR])
    assert run.start(0, DATA, 2) == f"{CLEAR}running: data.prepare cifar10"
    # It took twice as long as its cost, and so will the rest: 2 x 660 s.
    assert run.finish(0, 62) == (
        f"{CLEAR}1/3  study table1  data.prepare cifar10  60 s   62 s gone, about 22.0 min left\n"
    )
    run.start(1, TOKENIZER, 62)
    run.finish(1, 62 + 120)
    run.start(2, PRIOR, 182)
    last = run.finish(2, 182 + 1200)
    assert last == (f"{CLEAR}3/3  study table1  priors.train cifar10.vqgan_f4.gpt.seed0  20.0 min   23.0 min gone\n")


def test_time_that_a_running_job_has_had_is_not_left(plan, costs):
    run = Run(plan, [DATA, PRIOR])
    run.start(1, PRIOR, 0)
    run.start(0, DATA, 0)
    assert "30 s gone, about 9.5 min left" in run.finish(0, 30)


def test_what_nothing_is_known_of_is_said_to_be_unknown(plan, monkeypatch):
    monkeypatch.setattr(Costs, "known", classmethod(lambda cls, scale: Costs({})))
    run = Run(plan, [DATA, TOKENIZER])
    assert run.shown.getvalue() == f"{CLEAR}2 jobs for table1, time left unknown\n"
    other = PRIOR.replace("seed0", "seed1")
    run = Run(plan, [PRIOR, other, TOKENIZER], cores=1)
    run.start(0, PRIOR, 0)
    # The other prior is likely to take as long; of the tokenizer nothing is known yet.
    assert "60 s gone, at least 60 s left" in run.finish(0, 60)


def test_a_failed_job_is_one_line_and_counted(plan, costs):
    run = Run(plan, [DATA, TOKENIZER, PRIOR])
    run.start(0, DATA, 0)
    assert run.fail(0, DATA, 12) == (
        f"{CLEAR}1/3  study table1  data.prepare cifar10  failed after 12 s   "
        "12 s gone, about 11.0 min left, 1 failed\n"
    )
    assert run.say("Exiting because a job execution failed. Look above for error messages", 13, logging.ERROR) == ""


def test_copies_and_snakemakes_own_business_are_not_shown_and_warnings_are(plan, costs):
    run = Run(plan, [DATA])
    assert run.start(7, "build/logs", 1) == CLEAR
    assert run.finish(7, 2) == CLEAR
    assert run.say("Select jobs to execute...", 2) == ""
    assert run.say("Execute 1 jobs...", 2, event="job_started", jobs=[0]) == ""
    assert run.say("1 of 4 steps (25%) done", 2, event="progress", done=1, total=4) == ""
    assert run.say("Complete log(s): /here/x.log", 3) == f"{CLEAR}Complete log(s): /here/x.log\n"
    assert run.say("The disk is slow.", 3, logging.WARNING) == f"{CLEAR}The disk is slow.\n"


@pytest.fixture
def snakemake(monkeypatch):
    """A run as Snakemake has it when it reads the Snakefile. Its handlers are its own again after the test."""
    monkeypatch.setattr(sys, "argv", ["snakemake", "--cores", "2"])
    own = logging.NullHandler()
    own.name = "DefaultStreamHandler"
    monkeypatch.setattr(snakemakes, "handlers", [own])
    monkeypatch.delenv("TWOSTAGE_LOG_ALONE", raising=False)
    settings = SimpleNamespace(verbose=False, printshellcmds=False)
    rules = SimpleNamespace(
        workflow=SimpleNamespace(output_settings=settings),
        plan=None,
        jobs_to_run=list,
        jobs_at_once=lambda: 1,
        in_storage=False,
    )
    yield rules
    os.environ.pop("TWOSTAGE_LOG_ALONE", None)


@pytest.mark.parametrize(
    ("is_terminal", "typed", "verbose", "taken"),
    [(True, [], False, True), (False, [], False, False), (True, ["-n"], False, False), (True, [], True, False)],
)
def test_a_terminal_is_taken_and_a_pipe_keeps_the_full_log(snakemake, monkeypatch, is_terminal, typed, verbose, taken):
    monkeypatch.setattr(sys, "argv", ["snakemake", "--cores", "2", *typed])
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal, raising=False)
    snakemake.workflow.output_settings.verbose = verbose
    progress.take_the_terminal(snakemake)
    assert [isinstance(each, Progress) for each in snakemakes.handlers] == [taken]
    assert ("TWOSTAGE_LOG_ALONE" in os.environ) == taken


def test_what_a_job_says_goes_to_its_log_alone(tmp_path):
    code = (
        "import pathlib, logging, sys, os\n"
        "from twostage.commands.console import start_log\n"
        "start_log(pathlib.Path('log.txt'))\n"
        "logging.getLogger('twostage').info('step 1'); os.write(2, b'of a library\\n'); print(1 / 0)"
    )
    ours, theirs = pty.openpty()
    environment = os.environ | {"TWOSTAGE_LOG_ALONE": "1"}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, stderr=theirs, check=False)
    os.close(theirs)
    os.set_blocking(ours, False)
    with pytest.raises(OSError):  # noqa: PT011 - nothing to read, or the other end is closed: so the system says
        os.read(ours, 1)
    first, second, *others = (tmp_path / "log.txt").read_text().splitlines()
    assert (first, second) == ("step 1", "of a library")
    assert others[-1] == "ZeroDivisionError: division by zero"
