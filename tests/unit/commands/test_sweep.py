"""-m: one run for each combination, the others go on where one fails."""

import logging
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from twostage.commands import run, sweep
from twostage.commands.arguments import parsed
from twostage.config import composition

ROOT = Path(__file__).parents[3]


@pytest.fixture
def call(monkeypatch, tmp_path, capfd):
    """Types words behind `twostage priors.train`; what is run instead of the commands fails for the seeds named."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(composition, "CONF", ROOT / "conf")
    started = []

    def typed(*words, fails=()):
        def start(command, check):
            started.append(command[3:])
            return subprocess.CompletedProcess(
                command, int(any(f"priors.loop.seed={seed}" in command for seed in fails))
            )

        monkeypatch.setattr(sweep.subprocess, "run", start)
        monkeypatch.setattr(sys, "argv", ["twostage priors.train", *words])
        with pytest.raises(SystemExit) as stop:
            parsed(run.verb_parser("priors.train", "priors.train"))
        logging.shutdown()
        return stop.value.code, started, capfd.readouterr()

    return typed


def test_every_combination_is_a_command_of_its_own(call):
    code, started, _ = call("-m", "priors.loop.seed=0,1", "priors=gpt,sundae", "scale=smoke")
    assert code == 0
    assert started == [
        ["priors.train", f"priors.loop.seed={seed}", f"priors={prior}", "scale=smoke"]
        for seed in (0, 1)
        for prior in ("gpt", "sundae")
    ]


def test_one_that_fails_is_named_at_the_end_and_the_others_run(call):
    code, started, said = call("--multirun", "priors.loop.seed=0,1,2", fails=[1])
    assert code == 1
    assert len(started) == 3
    assert said.err.splitlines()[-1] == "failed: twostage priors.train priors.loop.seed=1"


def test_dry_prints_the_commands_and_starts_none(call, tmp_path):
    code, started, said = call("-m", "--dry", "priors.loop.seed=0,1", "--out", "a/x", "--cfg", "job")
    assert (code, started) == (0, [])
    typed = [shlex.split(line) for line in said.out.splitlines()]
    # What a run writes is numbered.
    assert [words[-3] for words in typed] == ["a/x.0", "a/x.1"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-m", "priors.loop.seed=0,-1"], "priors.loop.seed is -1"),
        (["-m", "priors=gpt,lstm"], "lstm"),
        (["-m", "priors.lr=0,1"], "priors.lr"),
        (["-m", "--config", "job.json"], "is one run"),
    ],
)
def test_a_mistake_in_any_run_is_one_line_before_all(call, words, said):
    code, started, printed = call(*words)
    assert (code, started) == (1, [])
    assert len(printed.err.splitlines()) == 1
    assert printed.err.startswith("error: ")
    assert said in printed.err


def test_dry_without_a_sweep_is_refused(call):
    code, started, printed = call("--dry", "priors=gpt")
    assert (code, started) == (2, [])
    assert "--dry goes with --multirun" in printed.err
