"""Small priors whose predictions depend on every token they see, and the artifacts that a sampling job reads."""

from dataclasses import asdict

import numpy as np
import pytest
import torch
from torch import nn

from tests.unit.priors.conftest import prior_config
from tests.unit.tokenizers.conftest import small_config
from twostage.config.composition import parse
from twostage.config.schema import DenoisingConfig, GPTConfig, InpaintingConfig, PixelSNAILConfig, SamplingConfig
from twostage.latents.dataset import TokenSpace
from twostage.planning.verbs import VERBS
from twostage.priors.gpt import GPT
from twostage.priors.model import build, store, trained_format
from twostage.priors.pixelsnail import PixelSNAIL
from twostage.runtime.artifacts import read_array, write_array, write_json
from twostage.runtime.job import Job
from twostage.sampling.denoise import denoise as denoise_images
from twostage.sampling.inpaint import inpaint
from twostage.tokenizers import checksum
from twostage.tokenizers.model import Tokenizer, save

GRID, NUM_CODES, NUM_CONDITION_CODES = (4, 4), 16, 7


def sharp(model, factor, seed=0):
    """Fresh weights in float64, so large that attention and predictions are far from uniform.

    float64: two ways of summing then never straddle a uniform number.
    """
    torch.manual_seed(seed)
    for part in model.modules():
        if isinstance(part, nn.Embedding):
            nn.init.normal_(part.weight)
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1 and "codes" not in name:
            parameter.data.mul_(factor)
    return model.double().eval()


@pytest.fixture
def small_gpt():
    def build(tokens: TokenSpace, num_layers=2):
        return sharp(GPT(GPTConfig(16, num_layers, 2, 0.0), tokens), factor=15)

    return build


@pytest.fixture
def small_pixelsnail():
    def build(tokens: TokenSpace):
        return sharp(PixelSNAIL(PixelSNAILConfig(8, 1, 1, 2, 4, 8, 1, 4, dropout=0.0), tokens), factor=4)

    return build


def write_prior(folder, tokens, ordering="row_major"):
    model = sharp(GPT(GPTConfig(16, 2, 2, 0.0), tokens), factor=15).float()
    store(folder, trained_format(prior_config("gpt", gpt=model.config, ordering=ordering), tokens), model.state_dict())


def write_large_prior(folder, architecture, condition=None):
    """A prior with weights so large that its predictions are far from uniform."""
    torch.manual_seed(0)
    config, tokens = prior_config(architecture), TokenSpace(NUM_CODES, GRID, condition)
    model = build(config, tokens)
    for name, parameter in model.named_parameters():
        if "norm" not in name:
            nn.init.normal_(parameter, std=0.4)
    store(folder, trained_format(config, tokens), model.state_dict())


# What an error says of codes, as many as the prior's, that mean other things.
OTHER_CODES = r"has as many codes of {} as the prior was trained with, but from another tokenizer .*; use the prior's"


def write_latents(folder, num_codes, grid, number=10, seed=0, of="image", meaning="a"):
    index = np.random.default_rng(seed).integers(0, num_codes, (number, *grid)).astype(np.uint16)
    write_array(folder / "validation_index.npy", index)
    splits = {"validation": {"num_images": number, "unigram_entropy_nats": 1.0}}
    metadata = {"num_codes": num_codes, "grid": list(grid), "map": of, "tokenizer_sha256": meaning, "data": "d"}
    write_json(folder / "metadata.json", {**metadata, "flips": False, "splits": splits})
    return index


def write_tokenizer(folder, seed=0):
    """A small tokenizer (16 codes, f = 4); returns what its codes mean."""
    torch.manual_seed(seed)
    save(Tokenizer(small_config(), "colour", 3), folder)
    return checksum(folder)


@pytest.fixture
def make_job(tmp_path):
    """A job over a small tokenizer (16 codes, f = 4) and a small prior (4x4 tokens), with changes to its config."""
    write_tokenizer(tmp_path / "tokenizer")
    write_prior(tmp_path / "prior", TokenSpace(NUM_CODES, GRID))
    write_prior(tmp_path / "conditional", TokenSpace(NUM_CODES, GRID, TokenSpace(NUM_CONDITION_CODES, GRID)))

    def make(variant="v", prior="prior", inputs=(), **changes):
        values = {"num_images": 5, "batch_size": 2, "grid_images": 4, "seed": 0}
        values |= {"temperature": 1.0, "top_k": None, "top_p": None, "given": 0.0, "canvas": None}
        config = SamplingConfig(**values | changes)
        names = {"prior": prior, "tokenizer": "tokenizer", **{name: name for name in inputs}}
        folders = {name: str(tmp_path / folder) for name, folder in names.items()}
        files = VERBS["sampling.generate"].files
        return Job("sampling", "generate", variant, "smoke", asdict(config), folders, str(tmp_path / variant), files)

    return make


def run(job):
    """Runs a verb that draws whole grids; the arrays that it wrote, by the names of their files."""
    match job.verb:
        case "denoise":
            denoise_images(parse(DenoisingConfig, job.config), job)
        case "inpaint":
            inpaint(parse(InpaintingConfig, job.config), job)
    return {name: read_array(job.folder / name) for name in job.files if name.endswith(".npy")}
