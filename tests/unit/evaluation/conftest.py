"""A prepared dataset of random images and, in the place of Inception, an extractor of milliseconds."""

import numpy as np
import pytest
import torch

from twostage.runtime.artifacts import write_array, write_json
from twostage.runtime.job import Job
from twostage.weights import fused_inception


class TinyExtractor(torch.nn.Module):
    """Random projections of 4x4 averages, under the names that Inception has."""

    def __init__(self, features):
        super().__init__()
        self.features_list = list(features)
        generator = torch.Generator().manual_seed(0)
        self.projection = torch.nn.Parameter(torch.randn(48, 32, generator=generator), requires_grad=False)
        self.num_images = 0

    def forward(self, image_BCHW):
        assert image_BCHW.dtype == torch.uint8
        self.num_images += len(image_BCHW)
        average_BF = torch.nn.functional.adaptive_avg_pool2d(image_BCHW.float() / 255, 4).flatten(1)
        return tuple(average_BF @ self.projection for _ in self.features_list)


@pytest.fixture
def inception(monkeypatch):
    """Puts TinyExtractor in Inception's place; yields the extractors that were made and the switch of a classifier."""
    state = {"extractors": [], "classifier": False}

    def load(folder, features=("2048",)):
        state["extractors"].append(TinyExtractor(features))
        return state["extractors"][-1]

    monkeypatch.setattr(fused_inception, "load", load)
    monkeypatch.setattr(
        fused_inception, "provenance", lambda folder: {"source_sha256": "i", "classifier": state["classifier"]}
    )
    return state


def random_images(number, seed):
    """Smooth uint8 NHWC images."""
    coarse = np.random.default_rng(seed).integers(0, 256, (number, 4, 4, 3))
    return np.repeat(np.repeat(coarse, 4, 1), 4, 2).astype(np.uint8)


@pytest.fixture
def folder(tmp_path):
    """A temporary folder with a prepared dataset of 60 validation images in `data`."""
    write_array(tmp_path / "data/validation_image.npy", random_images(60, 0))
    splits = {"validation": {"content_sha256": "c"}}
    write_json(tmp_path / "data/metadata.json", {"name": "toy", "splits": splits})
    return tmp_path


def job(folder, verb, out, **inputs):
    """A job of the evaluation stage, whose folders lie in `folder`."""
    named = {name: str(folder / path) for name, path in inputs.items()}
    return Job("evaluation", verb, f"{verb}.toy", "smoke", {}, named, str(folder / out), [])
