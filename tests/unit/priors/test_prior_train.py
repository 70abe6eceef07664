"""The verb `priors.train`: its files, matching a rival in time, and a hard kill at any moment."""

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import twostage
from twostage import priors
from twostage.config.schema import LoopConfig
from twostage.errors import TwostageError
from twostage.latents.dataset import open_latents
from twostage.priors.task import AbsorbingTask, DenoisingTask, PriorTask, new_task
from twostage.priors.train import EqualTime, train
from twostage.runtime.artifacts import read_csv, read_json, write_json
from twostage.runtime.job import Job
from twostage.runtime.scores import BOUND, DENOISING, NLL
from twostage.runtime.tensors import read_tensors
from twostage.runtime.training import Loop

FILES = ["model.safetensors", "config.json", "curve.csv", "metrics.json"]


def make_job(config, folder, variant="v", **inputs):
    inputs = {"latents": str(folder / "latents"), **{name: str(path) for name, path in inputs.items()}}
    return Job("priors", "train", variant, "smoke", dataclasses.asdict(config), inputs, str(folder / variant), FILES)


@pytest.fixture(autouse=True)
def working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def without_seconds(folder):
    return [{k: v for k, v in row.items() if k != "train_seconds"} for row in read_csv(folder / "curve.csv")]


@pytest.mark.parametrize("architecture", ["gpt", "pixelsnail"])
def test_a_run_leaves_its_weights_curve_and_metrics(architecture, prior_config, latents, condition, tmp_path):
    config = prior_config(architecture)
    job = make_job(config, tmp_path, condition=condition)
    train(config, job)
    assert sorted(path.name for path in job.folder.iterdir()) == sorted(FILES)
    assert not job.scratch.exists()
    rows = read_csv(job.folder / "curve.csv")
    assert [row["step"] for row in rows] == ["0", "4", "8"]
    assert [float(row["train_seconds"]) for row in rows] == sorted(float(row["train_seconds"]) for row in rows)
    assert float(rows[-1]["train_nll_nats_per_token"]) > 0
    metrics = read_json(job.folder / "metrics.json")
    assert metrics[NLL] == float(rows[-1][NLL])
    assert metrics["train_seconds"] == float(rows[-1]["train_seconds"])
    assert metrics["learning_rate"] == 1e-2
    assert metrics["threads"] == torch.get_num_threads()
    prior = priors.load(job.folder)
    assert metrics["num_parameters"] == sum(parameter.numel() for parameter in prior.model.parameters())
    assert prior.first_predicted == 0
    assert prior.model.tokens == open_latents(job.upstream("latents"), condition).tokens
    index = torch.zeros(2, 16, dtype=torch.int64)
    assert prior.logits(index, condition_BS=index).shape == (2, 16, 11)


def test_a_denoiser_leaves_the_same_files_and_claims_no_likelihood(prior_config, latents, tmp_path):
    config = prior_config("sundae")
    job = make_job(config, tmp_path)
    train(config, job)
    assert sorted(path.name for path in job.folder.iterdir()) == sorted(FILES)
    rows = read_csv(job.folder / "curve.csv")
    assert [row["step"] for row in rows] == ["0", "4", "8"]
    assert float(rows[-1]["train_denoising_nats_per_token"]) > 0
    metrics = read_json(job.folder / "metrics.json")
    assert metrics[DENOISING] == float(rows[-1][DENOISING])
    assert not [name for name in (*metrics, *rows[-1]) if "nll" in name or "below" in name]
    assert (metrics["architecture"], metrics["steps"], metrics["learning_rate"]) == ("sundae", 8, 1e-2)
    prior = priors.load(job.folder)
    assert metrics["num_parameters"] == sum(parameter.numel() for parameter in prior.model.parameters())
    assert prior.logits(torch.zeros(2, 16, dtype=torch.int64)).shape == (2, 16, 11)


def test_a_diffusion_leaves_the_same_files_and_claims_a_bound(prior_config, latents, tmp_path):
    job = make_job(prior_config("absorbing"), tmp_path)
    train(prior_config("absorbing"), job)
    assert sorted(path.name for path in job.folder.iterdir()) == sorted(FILES)
    rows = read_csv(job.folder / "curve.csv")
    # What it trains on is no bound, and is not called one.
    assert float(rows[-1]["train_reweighted_nats_per_token"]) > 0
    metrics = read_json(job.folder / "metrics.json")
    assert metrics[BOUND] == float(rows[-1][BOUND])
    assert metrics["bound_nats_below_unigram_entropy"] == metrics["unigram_entropy_nats"] - metrics[BOUND]
    assert not [name for name in (*metrics, *rows[-1]) if "nll" in name or "denoising" in name]
    prior = priors.load(job.folder)
    assert metrics["num_parameters"] == sum(parameter.numel() for parameter in prior.model.parameters())
    # The mask is a code like any at the input, and none at the output.
    assert prior.logits(torch.full((2, 16), 11)).shape == (2, 16, 11)


@pytest.mark.parametrize("architecture", ["gpt", "pixelsnail", "sundae", "absorbing"])
def test_equal_seeds_give_equal_weights_and_others_do_not(architecture, prior_config, latents, tmp_path):
    def weights(variant, seed):
        config = prior_config(architecture)
        config = dataclasses.replace(config, loop=dataclasses.replace(config.loop, seed=seed))
        train(config, make_job(config, tmp_path, variant))
        return (tmp_path / variant / "model.safetensors").read_bytes()

    assert weights("a", 0) == weights("b", 0)
    assert weights("a", 0) != weights("c", 1)


def write_pace(folder, ratio, high=None):
    """What `priors.pace` says of a rival whose step costs `ratio` of ours."""
    write_json(folder / "pace/metrics.json", {"seconds_ratio": ratio, "seconds_ratio_ci95_high": high or ratio})
    return folder / "pace"


def test_a_run_matched_in_time_extends_its_curve_but_not_its_weights(prior_config, latents, tmp_path):
    config = prior_config("gpt")
    train(config, make_job(config, tmp_path, "alone"))
    # 8 steps of the rival take as long as 16 of ours, or 17 at the most: the evaluation point after that is 20.
    train(config, make_job(config, tmp_path, "matched", pace=write_pace(tmp_path, 2.0, high=2.1)))
    rows = read_csv(tmp_path / "matched/curve.csv")
    assert [row["step"] for row in rows] == ["0", "4", "8", "12", "16", "20"]
    assert without_seconds(tmp_path / "matched")[:3] == without_seconds(tmp_path / "alone")
    name = "model.safetensors"
    assert (tmp_path / "matched" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()
    metrics = read_json(tmp_path / "matched/metrics.json")
    assert metrics[NLL] == read_json(tmp_path / "alone/metrics.json")[NLL]
    assert (metrics["steps"], metrics["last_step"]) == (8, 20)


def test_a_slower_prior_ends_with_its_own_steps(prior_config, latents, tmp_path):
    config = prior_config("gpt")
    train(config, make_job(config, tmp_path, pace=write_pace(tmp_path, 0.5)))
    assert [row["step"] for row in read_csv(tmp_path / "v/curve.csv")] == ["0", "4", "8"]


class KilledError(Exception):
    pass


def train_until_killed(config, job, step, monkeypatch):
    """Trains up to a step, at which the run dies."""
    whole_step = Loop._train_one_step

    def die(loop, progress):
        if loop.step == step:
            raise KilledError
        whole_step(loop, progress)

    with monkeypatch.context() as patched:
        patched.setattr(Loop, "_train_one_step", die)
        with pytest.raises(KilledError):
            train(config, job)


def test_a_run_killed_beyond_its_steps_still_exports_those_of_its_steps(prior_config, latents, tmp_path, monkeypatch):
    config = prior_config("gpt")
    train(config, make_job(config, tmp_path, "alone"))
    job = make_job(config, tmp_path, "matched", pace=write_pace(tmp_path, 1e6))
    train_until_killed(config, job, 14, monkeypatch)
    # The checkpoint stands at step 12 now, and by then the rival's time is reached.
    monkeypatch.setattr("twostage.priors.train.steps_at_equal_time", lambda job, steps: EqualTime(steps, steps))
    train(config, job)
    assert [row["step"] for row in read_csv(job.folder / "curve.csv")] == ["0", "4", "8", "12"]
    ours, _ = read_tensors(job.folder / "model.safetensors")
    theirs, _ = read_tensors(tmp_path / "alone/model.safetensors")
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_weights_of_later_steps_are_never_passed_off(prior_config, latents, tmp_path, monkeypatch):
    config = prior_config("gpt")
    job = make_job(config, tmp_path, pace=write_pace(tmp_path, 1e6))
    whole_save = Loop.save

    def save_then_die_at_12(loop):
        whole_save(loop)
        if loop.step == 12:
            raise KilledError

    monkeypatch.setattr(Loop, "save", save_then_die_at_12)
    with pytest.raises(KilledError):
        train(config, job)
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    (job.scratch / "kept.pt").unlink()
    with pytest.raises(TwostageError, match="lacks the weights of step 8"):
        train(config, job)
    assert not job.folder.exists()


def test_the_learning_rate_comes_from_the_sweep_unless_it_is_given(prior_config, latents, tmp_path):
    config = prior_config("gpt", learning_rate=None)
    with pytest.raises(TwostageError, match=r"set priors\.learning_rate"):
        train(config, make_job(config, tmp_path))
    write_json(tmp_path / "tune/metrics.json", {"learning_rate": 3e-3, "at_edge": True})
    train(config, make_job(config, tmp_path, tune=tmp_path / "tune"))
    metrics = read_json(tmp_path / "v/metrics.json")
    assert (metrics["learning_rate"], metrics["learning_rate_at_edge"]) == (3e-3, True)


def test_a_huge_learning_rate_stops_with_one_line_and_writes_nothing(prior_config, latents, tmp_path):
    config = prior_config("pixelsnail", learning_rate=1e30)
    job = make_job(config, tmp_path)
    with pytest.raises(TwostageError, match="lower the learning rate"):
        train(config, job)
    assert not job.folder.exists()


def scripted(monkeypatch, scores):
    """Evaluations that say what is wanted, one after the other."""
    values = iter(scores)
    for task in (PriorTask, DenoisingTask, AbsorbingTask):
        monkeypatch.setattr(task, "evaluate", lambda task: {task.score: next(values)})


@pytest.mark.parametrize(("architecture", "score"), [("gpt", NLL), ("sundae", DENOISING), ("absorbing", BOUND)])
def test_early_stopping_keeps_the_best_weights_and_ends_soon_after(
    architecture, score, prior_config, latents, tmp_path, monkeypatch
):
    loop = LoopConfig(40, 4, 4, 3, 0, "float32")
    config = prior_config(architecture, loop=loop, early_stopping=2)
    scripted(monkeypatch, [5.0, 4.0, 3.0, 3.5, 3.1, 2.0, 1.0])
    job = make_job(config, tmp_path)
    train(config, job)
    metrics = read_json(job.folder / "metrics.json")
    # Steps 0, 4, 8, ...: the best before two worse ones in a row is step 8, the end step 16.
    assert (metrics["steps"], metrics["last_step"], metrics[score]) == (8, 16, 3.0)
    # They are those of a run that ends there.
    scripted(monkeypatch, [5.0, 4.0, 3.0])
    shorter = prior_config(architecture, loop=dataclasses.replace(loop, steps=8))
    other = make_job(shorter, tmp_path, "shorter")
    train(shorter, other)
    ours, theirs = (read_tensors(one.folder / "model.safetensors")[0] for one in (job, other))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_early_stopping_ends_with_the_budget_at_the_latest(prior_config, latents, tmp_path, monkeypatch):
    config = prior_config("gpt", early_stopping=5)
    scripted(monkeypatch, [5.0, 4.0, 4.5])
    train(config, make_job(config, tmp_path))
    metrics = read_json(tmp_path / "v/metrics.json")
    assert (metrics["steps"], metrics["last_step"]) == (4, 8)


@pytest.mark.parametrize(
    ("patience", "inputs", "message"), [(0, (), "must be at least 1 evaluation"), (2, ("pace",), "cannot stop")]
)
def test_early_stopping_that_makes_no_sense_is_one_line(prior_config, latents, tmp_path, patience, inputs, message):
    config = prior_config("gpt", early_stopping=patience)
    rivals = dict.fromkeys(inputs, write_pace(tmp_path, 1.0))
    with pytest.raises(TwostageError, match=message):
        train(config, make_job(config, tmp_path, **rivals))


def verb(job, folder):
    config = folder / f"{job.variant}.json"
    config.write_text(json.dumps(dataclasses.asdict(job)))
    environment = os.environ | {"PYTHONPATH": str(Path(twostage.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "twostage", "priors.train", "--config", str(config)]
    return subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, start_new_session=True)


@pytest.mark.parametrize("architecture", ["gpt", "pixelsnail", "sundae", "absorbing"])
def test_the_average_of_the_weights_is_what_is_scored_and_stored(
    architecture, prior_config, latents, tmp_path, monkeypatch
):
    config = prior_config(architecture)
    updates, whole_step = [], PriorTask.step

    def observed_step(task, step):
        scalars = whole_step(task, step)
        updates.append({name: weight.clone() for name, weight in task.model.state_dict().items()})
        return scalars

    monkeypatch.setattr(PriorTask, "step", observed_step)
    train(dataclasses.replace(config, averaging=0.25), make_job(config, tmp_path))
    # The decay is 0.25 from the third update on; before, (1 + n) / (10 + n).
    expected = updates[0]
    for count, current in enumerate(updates[1:], start=1):
        decay = min(0.25, (1 + count) / (10 + count))
        expected = {name: decay * expected[name] + (1 - decay) * current[name] for name in current}
    stored, _ = read_tensors(tmp_path / "v/model.safetensors")
    for name in stored:
        torch.testing.assert_close(stored[name], expected[name])
    assert not all(torch.equal(stored[name], updates[-1][name]) for name in stored)
    opened = open_latents(tmp_path / "latents", None)
    model = priors.load(tmp_path / "v").model
    task = new_task(model, config, 0.0, opened.split("train"), opened.split("validation"))
    score = task.evaluate()[task.score]
    assert read_json(tmp_path / "v/metrics.json")[task.score] == pytest.approx(score, abs=1e-6)


def test_an_average_changes_no_step_of_training(prior_config, latents, tmp_path):
    config = prior_config("gpt")
    train(config, make_job(config, tmp_path, "last"))
    train(dataclasses.replace(config, averaging=0.9), make_job(config, tmp_path, "mean"))
    last, mean = (read_csv(tmp_path / name / "curve.csv") for name in ("last", "mean"))
    assert [row["train_nll_nats_per_token"] for row in last] == [row["train_nll_nats_per_token"] for row in mean]
    assert [row[NLL] for row in last][1:] != [row[NLL] for row in mean][1:]


def test_a_resumed_run_has_the_same_average(prior_config, latents, tmp_path, monkeypatch):
    config = prior_config("pixelsnail", averaging=0.9)
    train(config, make_job(config, tmp_path, "whole"))
    job = make_job(config, tmp_path, "resumed")
    train_until_killed(config, job, 5, monkeypatch)
    train(config, job)
    assert (job.folder / "model.safetensors").read_bytes() == (tmp_path / "whole/model.safetensors").read_bytes()
    assert without_seconds(job.folder) == without_seconds(tmp_path / "whole")


def test_an_average_that_never_moves_is_refused(prior_config, latents, tmp_path):
    config = prior_config("gpt", averaging=1.0)
    with pytest.raises(TwostageError, match=r"priors\.averaging=1 never leaves"):
        train(config, make_job(config, tmp_path))


@pytest.mark.parametrize("architecture", ["gpt", "pixelsnail", "sundae", "absorbing"])
def test_killed_at_a_random_moment_it_ends_as_if_it_had_not_been(
    architecture, prior_config, latents, condition, tmp_path
):
    config = prior_config(architecture)
    loop = dataclasses.replace(config.loop, steps=300, evaluate_every=20, checkpoint_every=7)
    config = dataclasses.replace(config, loop=loop)
    given = {} if architecture == "sundae" else {"condition": condition}
    whole, killed = (make_job(config, tmp_path, name, **given) for name in ("whole", "killed"))
    process = verb(whole, tmp_path)
    assert process.wait() == 0, process.stderr.read().decode()
    # At least once in the middle of training: killed some steps after the first checkpoint is seen.
    kills, chance = 0, random.Random()
    while kills < 2:
        process = verb(killed, tmp_path)
        while not (killed.scratch / "checkpoint.pt").exists() and process.poll() is None:
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.5) if kills == 0 else chance.uniform(0, 4))
        # Kills nothing if the run has ended by itself.
        process.kill()
        if process.wait() == 0:
            break
        assert process.returncode == -signal.SIGKILL, process.stderr.read().decode()
        kills += 1
    assert kills >= 1, "the run ended before it could be killed"
    if not (killed.folder / "metrics.json").exists():
        process = verb(killed, tmp_path)
        assert process.wait() == 0, process.stderr.read().decode()
        assert b"resumed at step" in process.stderr.read()
    assert (killed.folder / "model.safetensors").read_bytes() == (whole.folder / "model.safetensors").read_bytes()
    assert without_seconds(killed.folder) == without_seconds(whole.folder)
    score = {"sundae": DENOISING, "absorbing": BOUND}.get(architecture, NLL)
    assert read_json(killed.folder / "metrics.json")[score] == read_json(whole.folder / "metrics.json")[score]
