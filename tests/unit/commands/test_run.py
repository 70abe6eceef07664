"""What a person sees who mistypes: one line on stderr, exit status 1, nothing written."""

import errno
import json
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from twostage.commands import run
from twostage.config import composition
from twostage.config.schema import DataConfig, PriorConfig
from twostage.runtime.artifacts import write_json
from twostage.runtime.job import Job

ROOT = Path(__file__).parents[3]


@pytest.fixture
def call(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(composition, "CONF", ROOT / "conf")

    def typed(*arguments, verb="priors.train", kind=PriorConfig, work=lambda config, job: None):
        monkeypatch.setattr(sys, "argv", [verb, *arguments])
        try:
            run.run(verb, kind, work)
            code = 0
        except SystemExit as stop:
            code = stop.code
        return code, capsys.readouterr()

    return typed


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["scale=huge"], ["scale/huge", "laptop", "smoke", "workstation", "paper"]),
        (["data=cifar11"], ["data/cifar11", "cifar10_animals", "folder"]),
        (["priors=lstm"], ["priors/lstm", "gpt", "pixelsnail"]),
        (["priors.lr=1e-3"], ["priors.lr", "'lr' not in 'PriorConfig'"]),
        (["priors.learning_rate=fast"], ["priors.learning_rate=fast", "could not be converted to Float"]),
        (["priors.loop.steps=1.5"], ["priors.loop.steps=1.5", "could not be converted to Integer"]),
        (["sampling.top_p=0.9"], ["sampling.top_p=0.9", "stage sampling", "priors.train does not read"]),
        (["scale=smoke"], ["artifacts/smoke/latents/cifar10.vqgan_f4/", "not made yet"]),
        (["--config", "nowhere.json"], ["nowhere.json is missing"]),
        (["--config", "x.json", "priors=gpt"], ["either --config or overrides"]),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(call, tmp_path, arguments, named):
    code, printed = call(*arguments)
    assert code == 1
    assert len(printed.err.strip().splitlines()) == 1
    assert printed.err.startswith("error: ")
    assert all(word in printed.err for word in named)
    assert list(tmp_path.iterdir()) == []


def job(config):
    return Job("priors", "train", "x", "smoke", config, {}, "artifacts/smoke/priors/x", [])


def test_a_wrong_type_in_a_resolved_job_is_named(call, tmp_path):
    (tmp_path / "job.json").write_text(json.dumps(asdict(job({"betas": "much"}))))
    code, printed = call("--config", "job.json")
    assert code == 1
    assert "PriorConfig" in printed.err
    assert len(printed.err.splitlines()) == 1


def test_a_job_of_another_version_is_refused(call, tmp_path):
    (tmp_path / "job.json").write_text("{}")
    code, printed = call("--config", "job.json")
    assert code == 1
    assert "not a job of this version" in printed.err


def test_a_full_disk_is_one_line(call):
    def work(config, job):
        raise OSError(errno.ENOSPC, "No space left on device", "artifacts/model.safetensors")

    code, printed = call("scale=smoke", verb="data.prepare", kind=DataConfig, work=work)
    assert code == 1
    assert (
        printed.err == "error: the disk is full while writing artifacts/model.safetensors; free some space, run again\n"
    )


def test_a_path_that_is_no_place_for_a_file_is_one_line(call):
    def work(config, job):
        raise IsADirectoryError(errno.EISDIR, "Is a directory", "drawn.png")

    code, printed = call("scale=smoke", verb="data.prepare", kind=DataConfig, work=work)
    assert (code, printed.err) == (1, "error: cannot write drawn.png (Is a directory); name another path\n")


def test_what_another_run_took_away_is_one_line_and_the_log_keeps_the_traceback(call, tmp_path):
    def work(config, job):
        (job.folder / "train_image.npy").read_bytes()

    code, printed = call("scale=smoke", "--log", "log.txt", verb="data.prepare", kind=DataConfig, work=work)
    assert code == 1
    (line,) = printed.err.splitlines()
    assert line.startswith("error: artifacts/smoke/data/")
    assert "train_image.npy was taken away while this ran" in line
    assert "FileNotFoundError" in (tmp_path / "log.txt").read_text()


def test_a_bug_keeps_its_traceback(call):
    def work(config, job):
        raise KeyError("bug")

    with pytest.raises(KeyError):
        call("scale=smoke", verb="data.prepare", kind=DataConfig, work=work)


def test_cfg_prints_the_slice_and_runs_nothing(call):
    code, printed = call("--cfg", "job", "scale=smoke", "priors=pixelsnail", "priors.learning_rate=1e-3")
    assert code == 0
    config = json.loads(printed.out)
    assert config["architecture"] == "pixelsnail"
    assert config["learning_rate"] == 1e-3


def test_what_is_run_by_hand_has_a_folder_of_its_own_and_logs_to_a_file(call, tmp_path):
    seen = []

    def work(config, job):
        seen.append((config, job))
        run.log.info("working")
        for name in job.files:
            write_json(job.folder / name, {})

    code, _ = call("scale=smoke", "data.size=64", "--log", "log.txt", verb="data.prepare", kind=DataConfig, work=work)
    assert code == 0
    config, done = seen[0]
    assert isinstance(config, DataConfig)
    assert done.variant.startswith("cifar10.by_hand_")
    assert (tmp_path / "log.txt").read_text() == "working\n"


def test_a_verb_that_only_a_study_can_ask_for_says_so(call):
    code, printed = call("scale=smoke", verb="evaluation.compare")
    assert code == 1
    assert "needs --config with a resolved job" in printed.err


def test_cfg_tree_prints_all_groups(call):
    code, printed = call("--cfg", "tree", "scale=smoke", "priors=pixelsnail", "prior=nowhere")
    tree = json.loads(printed.out)
    assert code == 0
    assert tree["priors"]["architecture"] == "pixelsnail"
    assert set(tree) == set(composition.groups())


def test_overrides_may_stand_on_both_sides_of_an_option(call):
    code, printed = call("scale=smoke", "--cfg", "job", "priors.loop.seed=3")
    assert code == 0
    assert json.loads(printed.out)["loop"]["seed"] == 3


def test_a_folder_of_configs_outside_the_repository_is_read(call, tmp_path, monkeypatch):
    monkeypatch.setattr(composition, "_added", [])
    (tmp_path / "mine/priors").mkdir(parents=True)
    (tmp_path / "mine/priors/wide.yaml").write_text("defaults: [gpt, _self_]\nwarmup_steps: 7\n")
    code, printed = call("priors=wide", "--config-dir", "mine", "--cfg", "job")
    assert code == 0
    assert json.loads(printed.out)["warmup_steps"] == 7
    # What it says to type finds them, too.
    code, printed = call("priors=wide", "--config-dir", "mine", "scale=smoke")
    assert code == 1
    assert "--config-dir=mine" in printed.err
