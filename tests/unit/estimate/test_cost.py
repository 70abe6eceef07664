"""What a step and a job are said to cost, held against real steps and against arithmetic."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from twostage.config import composition
from twostage.config.composition import compose, parse
from twostage.config.schema import PriorConfig, TokenizerConfig
from twostage.estimate import report
from twostage.estimate.jobs import CARDS, Core, Cost, Estimates, studies_of
from twostage.estimate.step import Step, decoder_pass, prior_step, tokenizer_step
from twostage.latents.dataset import Split, TokenSpace
from twostage.planning.whole import plan_of
from twostage.priors.model import build, num_parameters
from twostage.priors.pace import flops_per_step
from twostage.priors.task import new_task
from twostage.tokenizers.step import Phase

ROOT = Path(__file__).parents[3]
TOKENS = TokenSpace(64, (8, 8))


@pytest.fixture(autouse=True)
def conf(monkeypatch):
    monkeypatch.setattr(composition, "CONF", ROOT / "conf")


def prior(architecture, *more):
    return parse(PriorConfig, compose(("scale=smoke", f"priors={architecture}", *more))["priors"])


@pytest.mark.parametrize("architecture", ["gpt", "pixelsnail", "sundae"])
def test_flops_are_those_of_the_real_step(architecture):
    config = prior(architecture)
    split = Split(np.zeros((config.loop.batch_size, 64), np.uint16), None)
    model = build(config, TOKENS)
    real = flops_per_step(new_task(model, config, 0.0, split, split))
    found = prior_step(config, TOKENS)
    assert found.parameters == num_parameters(model)
    # Fused attention computes its scores again on the way back.
    assert real <= found.flops <= 1.05 * real


def test_what_lives_grows_with_the_batch_and_holds_the_gradients():
    small, large = (prior_step(prior("gpt", f"priors.loop.batch_size={size}"), TOKENS) for size in (8, 16))
    gradients = 4 * small.parameters
    assert small.live_bytes > gradients
    assert (large.live_bytes - gradients) / (small.live_bytes - gradients) == pytest.approx(2, rel=0.1)


@pytest.mark.parametrize("architecture", ["gpt", "pixelsnail", "sundae"])
def test_dropout_costs_masks_and_no_scores_of_attention(architecture):
    """Kernels of cards hold no scores. On a CPU, dropout makes torch hold all of them, which a long sequence shows."""
    tokens, size = TokenSpace(64, (32, 32)), prior(architecture).loop.batch_size
    without, with_dropout = (
        prior_step(prior(architecture, f"priors.{architecture}.dropout={dropout}"), tokens) for dropout in (0.0, 0.1)
    )
    assert with_dropout.flops == without.flops
    # The scores of a head are of 1024 x 1024 tokens. So much the masks of all other dropouts do not add.
    assert 0 < with_dropout.live_bytes - without.live_bytes < 4 * size * 1024**2


def test_the_adversarial_phase_costs_more():
    config = parse(TokenizerConfig, compose(("scale=smoke", "tokenizers=vqgan_f4"))["tokenizers"])
    before, after = (tokenizer_step(config, "colour", 3, 32, phase, "alex") for phase in (Phase(0), Phase(2)))
    assert after.flops > before.flops
    assert after.parameters > before.parameters


def cost(**changes):
    step = Step(parameters=10**9, flops=1e15, operations=1, live_bytes=4e9 + 32e9)
    usual = Cost(1, step, 1e15, 1, 8, "float32", 0.0, "scale.priors.batch_size")
    return replace(usual, **changes)


def test_a_job_that_does_not_fit_says_which_key_to_change():
    a100, _, small = CARDS
    assert cost().advice(a100) == ""
    # 24 GB less 12 of weights and optimizer, 4 of gradients and 1.5 of the process leave one image of 4 GB.
    assert cost().advice(small) == "RTX 4090: scale.priors.batch_size=1"
    assert "no batch size fits" in cost(step=replace(cost().step, parameters=2 * 10**9)).advice(small)


def test_hours_follow_peak_and_precision():
    slow, fast = (cost(flops=19.5e12 * 0.4 * 3600, precision=name).hours(CARDS[0]) for name in ("float32", "bfloat16"))
    assert slow == pytest.approx(1)
    assert fast == pytest.approx(19.5 / 312)


def test_hours_of_a_core_are_its_seconds():
    assert cost(flops=45e9 * 3600).hours(Core()) == pytest.approx(1, rel=0.01)


def test_every_job_that_trains_has_a_cost_and_shared_ones_count_once():
    jobs = plan_of("edges", "smoke").jobs
    estimates = Estimates(jobs)
    trained = [folder for folder, job in jobs.items() if job.verb == "train"]
    assert trained
    assert all(estimates.of(folder) for folder in trained)
    rows = {row["job"]: row for row in report.rows(jobs, report.devices(1))}
    assert {"A100_hours", "H100_hours"} <= rows["all"].keys()
    total = sum(cost.disk_bytes for folder in jobs if (cost := estimates.of(folder))) / 1e9
    assert float(rows["all"]["disk_gb"]) == pytest.approx(total, rel=0.01)
    assert {f"study {name}" for name in studies_of(jobs)} <= rows.keys()


@pytest.mark.parametrize("study", ["table1", "crossing"])
def test_a_night_has_six_hours_of_two_cores(study):
    rows = report.rows(plan_of(study, "night").jobs, report.devices(0))
    assert "A100_hours" not in rows[-1]
    assert 6 < float(rows[-1]["core_hours"]) <= 12
    # The memory is that of the process, whose libraries alone have 0.85 GB.
    jobs = [row for row in rows if row.get("process_gb")]
    assert min(float(row["process_gb"]) for row in jobs) > 0.85
    for row, line in zip(jobs, report.lines(jobs, report.devices(0))[1:], strict=True):
        assert f" {float(row['process_gb']):.1f} GB " in line


def test_inpainting_draws_several_results_an_image_and_decodes_it_once_more():
    jobs = plan_of("sundae_inpainting", "smoke").jobs
    folder, job = next((folder, job) for folder, job in jobs.items() if job.verb == "inpaint")
    found = Estimates(jobs).of(folder)
    images, results = job.config["num_images"], job.config["results"]
    prior, tokenizer = (jobs[job.inputs[name]].config for name in ("prior", "tokenizer"))
    config = parse(PriorConfig, prior)
    forward = prior_step(config, TokenSpace(tokenizer["quantizer"]["num_codes"], (8, 8))).flops / 3
    chain = job.config["chain"]["steps"] * forward / config.loop.batch_size / config.sundae.unrolls
    decoding = decoder_pass(parse(TokenizerConfig, tokenizer), "colour", 3, (8, 8)).flops
    assert found.flops == pytest.approx(images * (results * chain + (results + 1) * decoding), rel=1e-6)
    assert found.disk_bytes == images * (results + 1) * 32 * 32 * 3
