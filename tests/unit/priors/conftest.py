"""Small priors, and small latents with structure to learn: frequent low codes, noisy copies of the upper neighbour."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from twostage import __main__ as twostage
from twostage.config.schema import (
    AbsorbingConfig,
    GPTConfig,
    HourglassConfig,
    LoopConfig,
    PixelSNAILConfig,
    PriorConfig,
    SundaeConfig,
    SweepConfig,
    TransformerConfig,
)
from twostage.latents.dataset import TokenSpace
from twostage.runtime import training
from twostage.runtime.artifacts import write_array, write_json

GRID, NUM_CODES, NUM_CONDITION_CODES = (4, 4), 11, 7

TOKENS = {
    "unconditional": TokenSpace(NUM_CODES, GRID),
    "conditional": TokenSpace(NUM_CODES, GRID, TokenSpace(NUM_CONDITION_CODES, GRID)),
}


def prior_config(architecture: str, **changes) -> PriorConfig:
    values = {
        "architecture": architecture,
        "gpt": GPTConfig(width=16, num_layers=2, num_heads=2, dropout=0.1),
        "pixelsnail": PixelSNAILConfig(12, 2, 1, 2, 4, 8, 2, 4, dropout=0.1),
        "sundae": SundaeConfig(16, 2, 8, [1, 1, 1], 4, "patches", "axial", dropout=0.1, unrolls=2),
        "absorbing": AbsorbingConfig(
            "transformer",
            TransformerConfig(16, 2, 2, dropout=0.1),
            HourglassConfig(16, 2, 8, [1, 1, 1], 4, "patches", "axial", dropout=0.1),
            None,
            "reweighted",
        ),
        "learning_rate": 1e-2,
        "warmup_steps": 2,
        "betas": [0.9, 0.95],
        "weight_decay": 0.01,
        "gradient_clip": 1.0,
        "sweep": SweepConfig([1e-3, 1e-2], 4),
        "loop": LoopConfig(8, 4, 4, 3, 0, "float32"),
    }
    values.update(changes)
    values |= {name: None for name in ("gpt", "pixelsnail", "sundae", "absorbing") if name != architecture}
    return PriorConfig(**values)


def write_latents(folder: Path, num_codes: int, seed: int, num_train: int = 48) -> Path:
    rng = np.random.default_rng(seed)
    splits = {}
    for name, number in (("train", num_train), ("tune", 12), ("validation", 10)):
        # Low codes are frequent, which a few steps suffice to learn.
        index = rng.geometric(0.4, (number, *GRID)).clip(1, num_codes).astype(np.uint16) - 1
        for row in range(1, GRID[0]):
            keep = rng.random((number, GRID[1])) < 0.8
            index[:, row] = np.where(keep, index[:, row - 1], index[:, row])
        write_array(folder / f"{name}_index.npy", index)
        splits[name] = {"num_images": number, "unigram_entropy_nats": float(np.log(num_codes))}
    metadata = {"num_codes": num_codes, "grid": list(GRID), "map": "image", "tokenizer_sha256": "a", "data": "d"}
    write_json(folder / "metadata.json", {**metadata, "flips": False, "splits": splits})
    return folder


@pytest.fixture
def latents(tmp_path):
    return write_latents(tmp_path / "latents", NUM_CODES, 0)


@pytest.fixture
def condition(tmp_path):
    return write_latents(tmp_path / "condition", NUM_CONDITION_CODES, 1)


@pytest.fixture(name="prior_config")
def prior_config_fixture():
    return prior_config


@pytest.fixture(params=list(TOKENS))
def tokens(request):
    return TOKENS[request.param]


@pytest.fixture
def steady_clock(monkeypatch):
    """A clock 10 ms later at every reading: what the machine does beside the test does not matter."""
    readings = itertools.count()
    monkeypatch.setattr(training, "training_clock", lambda: 0.01 * next(readings))


def convert_by_command(config, checkpoint, out, monkeypatch):
    """`twostage priors.import_released`, as a person types it."""
    options = {"--config": config, "--checkpoint": checkpoint, "--out": out}
    words = [str(word) for option in options.items() for word in option]
    monkeypatch.setattr("sys.argv", ["twostage", "priors.import_released", *words])
    twostage.main()
