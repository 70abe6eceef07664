"""A verb that torchrun starts as two processes writes what one process writes, once."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tests.processes import surroundings
from tests.unit.priors.conftest import NUM_CODES, prior_config, write_latents
from twostage import priors
from twostage.commands import run
from twostage.config.schema import GPTConfig, LoopConfig, PriorConfig
from twostage.planning.verbs import TRAINED
from twostage.priors.train import train
from twostage.rules.line import line
from twostage.runtime.artifacts import read_csv, write_json
from twostage.runtime.job import PROVENANCE, Job

ROOT = Path(__file__).parents[3]


def by_torchrun(verb, folder, job):
    """Its exit status and what it says, started by the shell's line of the workflow."""
    write_json(folder / "job.json", job.as_json())
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    places = {"PATH": path, "PYTHONPATH": str(ROOT / "src"), "TWOSTAGE_DEVICE": "cpu", "OMP_NUM_THREADS": "1"}
    asked = {"params": SimpleNamespace(verb=verb), "input": SimpleNamespace(config="job.json"), "log": "log.txt"}
    ended = subprocess.run(
        line(2).format(**asked), shell=True, cwd=folder, env=os.environ | places, capture_output=True, text=True
    )
    return ended.returncode, ended.stderr


def make_job(config, out, verb="train"):
    # A whole path: of what a user brings there is no record.
    inputs = {"latents": str(Path("latents").resolve())}
    return Job("priors", verb, "v", "smoke", dataclasses.asdict(config), inputs, out, TRAINED)


def test_two_processes_write_the_files_of_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_latents(tmp_path / "latents", NUM_CODES, 0)
    loop = LoopConfig(8, 4, 4, 3, 0, "float32")
    config = prior_config("gpt", gpt=GPTConfig(16, 2, 2, 0.0), loop=loop)
    train(config, make_job(config, "alone"))
    code, said = by_torchrun("priors.train", tmp_path, make_job(config, "artifacts/smoke/priors/v"))
    assert code == 0, said
    made = tmp_path / "artifacts/smoke/priors/v"
    assert {path.name for path in made.iterdir()} == {*TRAINED, PROVENANCE}
    alone, together = (read_csv(folder / "curve.csv") for folder in (tmp_path / "alone", made))
    for row, other in zip(alone, together, strict=True):
        numbers = [{key: float(value or 0) for key, value in each.items()} for each in (row, other)]
        without = {"train_seconds": 0.0}
        assert numbers[1] | without == pytest.approx(numbers[0] | without, rel=1e-5, abs=1e-5)
    # Not the weights themselves: some have no effect, and Adam moves them by rounding.
    index_BT = torch.arange(32).view(2, 16) % NUM_CODES
    logits_BTV, other_BTV = (priors.load(folder).logits(index_BT) for folder in (tmp_path / "alone", made))
    torch.testing.assert_close(logits_BTV, other_BTV, rtol=1e-4, atol=1e-4)
    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert len([line for line in lines if line.startswith("v: step 8")]) == 1
    assert list((tmp_path / "build/scratch").rglob("*.pt")) == []


def test_a_verb_of_one_process_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, value in surroundings(0, 2).items():
        monkeypatch.setenv(name, value)
    job = make_job(prior_config("gpt"), "out", "pace")
    (tmp_path / "job.json").write_text(json.dumps(job.as_json()))
    monkeypatch.setattr(sys, "argv", ["priors.pace", "--config", "job.json"])
    with pytest.raises(SystemExit) as stop:
        run.run("priors.pace", PriorConfig, lambda config, job: None)
    assert stop.value.code == 1
    assert "priors.pace runs in one process, got 2; start it without torchrun" in capsys.readouterr().err
