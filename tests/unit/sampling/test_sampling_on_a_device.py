"""What priors draw on a second device is what they draw on the CPU, code by code."""

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

import twostage
from tests.models import write_model
from tests.second_device import assert_same_on_both, second_device
from tests.unit.sampling.conftest import GRID, NUM_CODES, NUM_CONDITION_CODES, run, write_large_prior, write_latents
from twostage.config.composition import parse
from twostage.config.schema import ChainConfig, DenoisingConfig, InpaintingConfig, SamplingConfig, UnmaskingConfig
from twostage.latents.dataset import TokenSpace
from twostage.planning.verbs import VERBS
from twostage.runtime.artifacts import write_array
from twostage.runtime.job import Job
from twostage.sampling.generate import generate

CONDITION = TokenSpace(NUM_CONDITION_CODES, GRID)
HOW = {
    "sundae": {"chain": ChainConfig(4, 2, 1.0, 0.5, 0.5, 0.8), "unmasking": None},
    "absorbing": {"chain": None, "unmasking": UnmaskingConfig(4, 0.8)},
}


@pytest.fixture
def folder(make_job, tmp_path):
    write_latents(tmp_path / "latents", NUM_CODES, GRID)
    write_latents(tmp_path / "condition", NUM_CONDITION_CODES, GRID, seed=1)
    return tmp_path


@pytest.mark.parametrize(
    ("prior", "changes"),
    [
        ("gpt", {"top_k": 8, "temperature": 0.9}),
        ("gpt", {"inputs": ["condition"], "top_p": 0.9}),
        ("gpt", {"inputs": ["latents"], "given": 0.5}),
        ("gpt", {"inputs": ["condition"], "canvas": [4, 6]}),
        ("pixelsnail", {}),
        ("pixelsnail", {"canvas": [5, 4]}),
        ("pixelsnail", {"inputs": ["condition"]}),
    ],
)
def test_token_by_token(prior, changes, make_job, folder):
    changes = {"num_images": 3} | changes
    if "canvas" in changes:
        write_latents(folder / "condition", NUM_CONDITION_CODES, tuple(changes["canvas"]), seed=1)
    write_large_prior(folder / prior, prior, CONDITION if "condition" in changes.get("inputs", ()) else None)
    job = make_job("v", prior, **changes)

    def write(out):
        generate(parse(SamplingConfig, job.config), replace(job, out=str(out)))

    assert_same_on_both(write, folder)


@pytest.mark.parametrize("architecture", HOW)
@pytest.mark.parametrize("condition", [None, CONDITION], ids=["unconditional", "conditional"])
@pytest.mark.parametrize("verb", ["denoise", "inpaint"])
def test_whole_grids(verb, condition, architecture, folder):
    draws_on_both(verb, condition, architecture, folder, HOW[architecture])


@pytest.mark.parametrize("architecture", ["gpt", "pixelsnail"])
def test_a_part_token_by_token(architecture, folder):
    draws_on_both("inpaint", CONDITION, architecture, folder, {"chain": None, "temperature": 0.9})


def draws_on_both(verb, condition, architecture, folder, how):
    write_large_prior(folder / "whole", architecture, condition)
    if verb == "denoise":
        amount = {"num_images": 3, "batch_size": 2, "grid_images": 2, "film_images": 2, "film_frames": 3}
        config = DenoisingConfig(**amount, seed=0, **how)
    else:
        mask = {"mask": "block", "mask_share": 0.5, "mask_file": None, "rule": "all_pixels"}
        config = InpaintingConfig(2, 2, 3, **mask, seed=0, **how)
    inputs = {"prior": "whole", "tokenizer": "tokenizer"}
    inputs |= {"latents": "latents"} if verb == "inpaint" else {}
    inputs |= {"condition": "condition"} if condition else {}
    folders = {name: str(folder / path) for name, path in inputs.items()}
    files = VERBS[f"sampling.{verb}"].files
    job = Job("sampling", verb, "v", "smoke", asdict(config), folders, "", files)
    assert_same_on_both(lambda out: run(replace(job, out=str(out))), folder)


@pytest.mark.usefixtures("repository_conf")
def test_in_python_codes_of_a_condition_may_lie_on_the_device(tmp_path):
    write_model(tmp_path / "model", "gpt", TokenSpace(16, (4, 4), map="image"))
    image_NHWC = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3)).astype(np.uint8)

    def write(out):
        prior, tokenizer = twostage.load_prior(tmp_path / "model"), twostage.load_tokenizer(tmp_path / "model")
        codes = twostage.encode(tokenizer, image_NHWC)
        write_array(out / "image.npy", twostage.sample(prior, tokenizer, 2, condition=codes))
        logits = prior.logits(codes.flatten(1), condition_BS=codes.flatten(1))
        write_array(out / "logits.npy", logits.detach().cpu().numpy())

    assert_same_on_both(write, tmp_path)


def test_a_tensor_that_stays_on_the_cpu_is_refused(folder):
    """As CUDA would: this is how the tests above fail."""
    write_large_prior(folder / "gpt", "gpt")
    with second_device() as device:
        model = twostage.load_prior(folder / "gpt").model.to(device)
        with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
            model(torch.zeros(1, 16, dtype=torch.int64))
