"""Small tokenizers, a stand-in for the perceptual network, and a dataset of real-shaped maps."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from twostage.config.schema import (
    DiscriminatorConfig,
    LoopConfig,
    QuantizerConfig,
    TokenizerConfig,
    TokenizerLossConfig,
)
from twostage.runtime.artifacts import write_array, write_json

REFERENCE = Path(__file__).parents[4] / "shared" / "reference"


def reference(name: str) -> Path:
    """A file of the reference pairs, which lie beside the repository and are too large for it."""
    path = REFERENCE / name
    if not path.exists():
        pytest.skip(f"reference pair {name} is not beside the repository (shared/reference)")
    return path


def small_config(**changes) -> TokenizerConfig:
    config = TokenizerConfig(
        name="small",
        map="image",
        layout="paper",
        num_downsamplings=2,
        channels=8,
        channel_multipliers=[1, 2],
        num_res_blocks=1,
        attention_levels=[],
        z_channels=4,
        dropout=0.0,
        quantizer=QuantizerConfig(
            num_codes=16,
            code_dim=4,
            beta=0.25,
            beta_on="commitment",
            learned_by="gradient",
            ema_decay=0.9,
            init="data",
            revive_after=2,
        ),
        loss=TokenizerLossConfig(
            reconstruction="l1",
            perceptual="none",
            early_perceptual="none",
            early_perceptual_steps=0,
            perceptual_weight=1.0,
            adversarial="hinge",
            adversarial_weight=1.0,
            adversarial_start=3,
            adaptive=True,
            adaptive_delta=1e-6,
            adaptive_max=None,
        ),
        discriminator=DiscriminatorConfig(
            channels=4, layers=1, learning_rate=1e-3, betas=[0.5, 0.9], steps_ahead=0, augment=False, lecam=0.0
        ),
        adversarial_learning_rate=None,
        learning_rate=1e-3,
        decay_from=None,
        warmup_steps=0,
        betas=[0.5, 0.9],
        loop=LoopConfig(steps=6, batch_size=4, evaluate_every=3, checkpoint_every=2, seed=0, precision="float32"),
    )
    for name, value in changes.items():
        part, _, key = name.partition("__")
        config = replace(config, **{part: replace(getattr(config, part), **{key: value}) if key else value})
    return config


class RandomPerceptual(torch.nn.Module):
    """A fixed random convolutional distance with the interface of `weights.lpips.PerceptualDistance`."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.layers = torch.nn.ModuleList([torch.nn.Conv2d(3, 8, 3, 2, 1), torch.nn.Conv2d(8, 8, 3, 2, 1)])
        self.requires_grad_(False).eval()

    def features(self, image_BCHW):
        levels = []
        for layer in self.layers:
            image_BCHW = torch.tanh(layer(image_BCHW))
            levels.append(image_BCHW)
        return levels

    def distance(self, features_a, features_b):
        return sum((a - b).square().mean((1, 2, 3)) for a, b in zip(features_a, features_b, strict=True))


@pytest.fixture
def data_folder(tmp_path):
    """Smooth random images, edges and labels, 40 for training and 24 for tuning."""
    random = np.random.default_rng(0)
    folder = tmp_path / "data"
    for split, number in (("train", 40), ("tune", 24)):
        coarse = random.integers(0, 256, (number, 4, 4, 3))
        write_array(folder / f"{split}_image.npy", np.repeat(np.repeat(coarse, 4, 1), 4, 2).astype(np.uint8))
        coarse = random.integers(0, 5, (number, 4, 4, 1))
        labels = np.repeat(np.repeat(coarse, 4, 1), 4, 2)
        write_array(folder / f"{split}_segmentation.npy", labels.astype(np.uint8))
        write_array(folder / f"{split}_edges.npy", (255 * (labels > 3)).astype(np.uint8))
    maps = {
        "image": {"channels": 3, "kind": "colour"},
        "edges": {"channels": 1, "kind": "binary"},
        "segmentation": {"channels": 5, "kind": "labels"},
    }
    write_json(folder / "metadata.json", {"name": "toy", "maps": maps})
    return folder
