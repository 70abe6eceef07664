"""The likelihood of whole images by sliding window: a distribution, and the one that samples come from."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from tests.unit.sampling.conftest import OTHER_CODES, sharp, write_latents, write_prior
from twostage.config.schema import GPTConfig, PixelSNAILConfig
from twostage.errors import TwostageError
from twostage.evaluation.likelihood import LikelihoodConfig, image_nll, likelihood
from twostage.latents.dataset import TokenSpace
from twostage.planning.verbs import VERBS
from twostage.priors.gpt import GPT
from twostage.priors.pixelsnail import PixelSNAIL
from twostage.runtime.artifacts import read_json
from twostage.runtime.job import Job
from twostage.sampling.canvas import Canvas
from twostage.sampling.sliding import Board, WholeWindows


def small_gpt(num_codes, window, condition=None):
    return sharp(GPT(GPTConfig(16, 2, 2, 0.0), TokenSpace(num_codes, window, condition)), factor=15)


def small_pixelsnail(num_codes, window, condition=None):
    sizes = PixelSNAILConfig(8, 1, 1, 2, 4, 8, 1, 4, dropout=0.0)
    return sharp(PixelSNAIL(sizes, TokenSpace(num_codes, window, condition)), factor=4)


@pytest.mark.parametrize("size", [(2, 2), (3, 3), (2, 4)])
def test_probabilities_of_all_images_sum_to_one(size):
    every = torch.tensor(list(itertools.product(range(2), repeat=size[0] * size[1]))).unflatten(1, size)
    probability = image_nll(small_gpt(2, (2, 2)), every).neg().exp()
    assert float(probability.sum()) == pytest.approx(1, abs=1e-6)
    # Weights are large: it is far from uniform.
    assert float(probability.max()) > 4 / len(every)


@pytest.mark.parametrize("small", [small_gpt, small_pixelsnail])
@pytest.mark.parametrize("size", [(4, 4), (4, 7), (9, 5)])
def test_it_is_that_of_the_windows_that_samples_are_drawn_through(size, small):
    model = small(9, (4, 4))
    index_BHW = torch.randint(9, (3, *size), generator=torch.Generator().manual_seed(0))
    canvas = Canvas(*size, (4, 4))
    board = Board(model, canvas, 3, None, index_BHW.flatten(1))
    expected = torch.zeros(3, dtype=torch.float64)
    for place in canvas.places():
        logits_BV = WholeWindows(model, board).logits([place])[0]
        expected += functional.cross_entropy(logits_BV, index_BHW.flatten(1)[:, place.rank], reduction="none")
    assert image_nll(model, index_BHW).numpy() == pytest.approx(expected.detach().numpy(), rel=1e-5)


@pytest.mark.parametrize("size", [(2, 2), (2, 4)])
def test_under_every_condition_probabilities_sum_to_one_and_conditions_matter(size):
    model = small_gpt(2, (2, 2), TokenSpace(5, (2, 2), map="segmentation"))
    every = torch.tensor(list(itertools.product(range(2), repeat=size[0] * size[1]))).unflatten(1, size)
    generator = torch.Generator().manual_seed(0)
    found = []
    for _ in range(2):
        condition_HW = torch.randint(5, size, generator=generator)
        found.append(image_nll(model, every, condition_HW.expand(len(every), *size)).neg().exp())
        assert float(found[-1].sum()) == pytest.approx(1, abs=1e-6)
    assert float((found[0] - found[1]).abs().max()) > 0.01


@pytest.mark.parametrize("small", [small_gpt, small_pixelsnail])
def test_every_window_sees_its_own_part_of_the_condition(small):
    model = small(9, (4, 4), TokenSpace(5, (4, 4), map="segmentation"))
    generator = torch.Generator().manual_seed(0)
    index_BHW, condition_BHW = (torch.randint(most, (3, 4, 7), generator=generator) for most in (9, 5))
    canvas = Canvas(4, 7, (4, 4))
    board = Board(model, canvas, 3, condition_BHW, index_BHW.flatten(1))
    expected = torch.zeros(3, dtype=torch.float64)
    for place in canvas.places():
        logits_BV = WholeWindows(model, board).logits([place])[0]
        expected += functional.cross_entropy(logits_BV, index_BHW.flatten(1)[:, place.rank], reduction="none")
    assert image_nll(model, index_BHW, condition_BHW).numpy() == pytest.approx(expected.detach().numpy(), rel=1e-5)


def with_condition(tmp_path, wanted, given):
    """A job whose prior was trained with `wanted` and is given codes like `given`, each (codes, grid, map) or None."""
    condition = None if wanted is None else TokenSpace(wanted[0], wanted[1], map=wanted[2])
    write_prior(tmp_path / "prior", TokenSpace(9, (4, 4), condition))
    write_latents(tmp_path / "latents", 9, (6, 6))
    names = ["prior", "latents"]
    if given is not None:
        write_latents(tmp_path / "condition", *given[:2], of=given[2])
        names.append("condition")
    inputs = {name: str(tmp_path / name) for name in names}
    return Job("evaluation", "likelihood", "v", "smoke", {}, inputs, str(tmp_path / "out"),
               VERBS["evaluation.likelihood"].files)  # fmt: skip


def test_a_conditional_prior_is_evaluated_under_the_images_own_conditions(tmp_path):
    edges = (5, (4, 4), "edges")
    job = with_condition(tmp_path, edges, (5, (6, 6), "edges"))
    found = []
    for batch_size in (2, 7):
        likelihood(LikelihoodConfig(images=5, batch_size=batch_size), job)
        found.append(read_json(job.folder / "metrics.json")["nll_nats_per_image"])
    assert found[0] == pytest.approx(found[1], rel=1e-5)


@pytest.mark.parametrize(
    ("wanted", "given", "message"),
    [
        ((5, (4, 4), "edges"), None, "wants the condition edges; name the input `condition`"),
        (None, (5, (6, 6), "edges"), "takes no condition; leave out the input `condition`"),
        ((5, (4, 4), "edges"), (5, (6, 6), "depth"), "trained with 5 codes of edges, .* has 5 of depth"),
        ((5, (4, 4), "edges"), (5, (3, 3), "edges"), r"has \(3, 3\) tokens, the images \(6, 6\)"),
    ],
)
def test_a_condition_that_does_not_fit_is_refused(tmp_path, wanted, given, message):
    job = with_condition(tmp_path, wanted, given)
    with pytest.raises(TwostageError, match=message):
        likelihood(LikelihoodConfig(5, 4), job)
    assert not job.folder.exists()


@pytest.mark.parametrize(("other", "kind"), [("latents", "image"), ("condition", "edges")])
def test_codes_that_mean_other_things_are_refused(tmp_path, other, kind):
    edges = (5, (6, 6), "edges")
    job = with_condition(tmp_path, edges, edges)
    condition = TokenSpace(5, (4, 4), map="edges", tokenizer_sha256="a")
    write_prior(tmp_path / "prior", TokenSpace(9, (4, 4), condition, tokenizer_sha256="a"))
    likelihood(LikelihoodConfig(2, 2), replace(job, out=str(tmp_path / "own")))
    write_latents(tmp_path / other, 9 if kind == "image" else 5, (6, 6), of=kind, meaning="b")
    with pytest.raises(TwostageError, match=f"{other} " + OTHER_CODES.format(kind)):
        likelihood(LikelihoodConfig(2, 2), job)
    assert not job.folder.exists()


def make_job(tmp_path, num_codes=9, grid=(6, 6)):
    write_prior(tmp_path / "prior", TokenSpace(9, (4, 4)))
    write_latents(tmp_path / "latents", num_codes, grid)
    inputs = {name: str(tmp_path / name) for name in ("prior", "latents")}
    return Job(
        "evaluation",
        "likelihood",
        "v",
        "smoke",
        {},
        inputs,
        str(tmp_path / "out"),
        VERBS["evaluation.likelihood"].files,
    )


def test_the_summary_is_that_of_the_first_images_whatever_the_batches(tmp_path):
    job = make_job(tmp_path)
    found = []
    for batch_size in (2, 7):
        likelihood(LikelihoodConfig(images=5, batch_size=batch_size), job)
        found.append(read_json(job.folder / "metrics.json"))
    assert found[0] == {key: pytest.approx(value, rel=1e-5) for key, value in found[1].items()}
    assert found[0]["nll_nats_per_token"] == pytest.approx(found[0]["nll_nats_per_image"] / 36)
    assert (found[0]["window"], found[0]["tokens_per_image"], found[0]["images"]) == ([4, 4], 36, 5)
    assert found[0]["nll_nats_per_image_std_over_images"] > 0
    assert np.isfinite(found[0]["nll_nats_per_image"])


@pytest.mark.parametrize(
    ("changes", "images", "message"),
    [
        ({"num_codes": 8}, 5, "was not trained on codes of"),
        ({}, 11, "11 images are asked for, but .* has 10 validation images"),
        ({"grid": (3, 6)}, 5, "the window is larger than the canvas"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, changes, images, message):
    job = make_job(tmp_path, **changes)
    with pytest.raises(TwostageError, match=message):
        likelihood(LikelihoodConfig(images, 4), job)
    assert not job.folder.exists()
