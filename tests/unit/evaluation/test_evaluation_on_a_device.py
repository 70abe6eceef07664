"""What is measured on a second device is what is measured on the CPU."""

import functools

import numpy as np
import pytest
import torch
from torchvision.models import vgg16

from tests.second_device import assert_same_on_both
from tests.unit.sampling.conftest import GRID, NUM_CODES, write_latents, write_prior, write_tokenizer
from twostage.config.schema import (
    ClassifierConfig,
    EvaluationConfig,
    FeaturesConfig,
    LoopConfig,
    ReconstructionsConfig,
    SamplesConfig,
)
from twostage.evaluation.agree import AgreeConfig, agree
from twostage.evaluation.classifier import classifier
from twostage.evaluation.features import features
from twostage.evaluation.likelihood import LikelihoodConfig, likelihood
from twostage.evaluation.neighbours import nearest
from twostage.evaluation.reconstruct import reconstruct
from twostage.evaluation.rejection import RejectionConfig, Setting, rejection
from twostage.evaluation.rfid import rfid
from twostage.evaluation.samples import samples
from twostage.latents.dataset import TokenSpace
from twostage.runtime import training
from twostage.runtime.artifacts import write_array, write_json
from twostage.weights.lpips import PerceptualDistance

from .conftest import job, random_images

SAMPLES = SamplesConfig(
    images=40, batch_size=16, kid_subsets=3, kid_subset_size=20, precision_neighbours=3, coverage_neighbours=5,
    inception_score_splits=2, infinity_parts=2, seed=0,
)  # fmt: skip


@functools.cache
def vgg16_tensors():
    """Random convolutions of VGG16."""
    with torch.device("meta"):
        empty = vgg16().features.state_dict()
    torch.manual_seed(0)
    scale = {name: (2 / tensor[0].numel()) ** 0.5 if tensor.dim() > 1 else 0.1 for name, tensor in empty.items()}
    return {f"features.{name}": scale[name] * torch.randn(tensor.shape) for name, tensor in empty.items()}


def perceptual():
    return PerceptualDistance("vgg16", vgg16_tensors())


@pytest.fixture
def measured(folder, inception, monkeypatch):
    """Runs a verb on both devices; `folder` holds what it reads."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(PerceptualDistance, "load", lambda path: perceptual())
    features(FeaturesConfig("validation", 40, 16), job(folder, "features", "real", data="data", inception="inception"))
    write_tokenizer(folder / "tokenizer")
    write_json(folder / "tokenizer/metrics.json", {"num_parameters": 1})
    write_array(folder / "samples/samples.npy", random_images(40, 1))
    labels = np.arange(60) % 2
    for split in ("train", "tune", "validation"):
        write_array(folder / f"data/{split}_image.npy", random_images(60, 0))
        write_array(folder / f"data/{split}_label.npy", labels)
    splits = {"validation": {"content_sha256": "c"}}
    write_json(folder / "data/metadata.json", {"name": "toy", "classes": ["a", "b"], "splits": splits})

    def run(verb, config, *inputs, tolerance=1e-5, **more):
        named = {name: name for name in inputs} | more

        def write(out):
            made = job(folder, verb.__name__, out, **named)
            verb(config, made)

        assert_same_on_both(write, folder, tolerance)

    return run


CLASSIFIER = ClassifierConfig("small", 4, 0.02, 0.01, LoopConfig(4, 10, 4, 5, 0, "float32"))


def test_features(measured):
    measured(features, FeaturesConfig("validation", 40, 16), "data", "inception")


def test_samples(measured):
    measured(samples, SAMPLES, "samples", "real", "inception", tolerance=1e-4)


def test_samples_with_a_classifier(measured, inception):
    inception["classifier"] = True
    measured(samples, SAMPLES, "samples", "real", "inception", tolerance=1e-4)


def test_reconstructions(measured):
    measured(reconstruct, EvaluationConfig(20, 4, 8), "data", "tokenizer", "vgg16", tolerance=1e-4)


def test_rfid(measured):
    config = ReconstructionsConfig("validation", 40, 16, kid_subsets=3, kid_subset_size=20, seed=0)
    measured(rfid, config, "data", "tokenizer", "real", "inception", tolerance=1e-3)


def test_a_classifier_is_trained(measured):
    measured(classifier, CLASSIFIER, "data", tolerance=1e-4)


def test_rejection_by_it(measured, folder):
    classifier(CLASSIFIER, job(folder, "classifier", "judge", data="data"))
    write_json(folder / "samples/metrics.json", {"classes": [], "class_names": ["a", "b"], "per_condition": 1})
    settings = [Setting("all", "5", 1.0, 1.0, ["samples"]), Setting("best", "5", 1.0, 0.75, ["samples"])]
    config = RejectionConfig("toy", 30, settings, SAMPLES, 0, 4)
    measured(rejection, config, "samples", "judge", "real", "inception", rejector="judge", tolerance=1e-3)


@pytest.mark.parametrize("quantity", ["lpips_to_truth", "class_recovered"])
def test_agreement_with_conditions(measured, folder, quantity):
    classifier(CLASSIFIER, job(folder, "classifier", "judge", data="data"))
    config = AgreeConfig([quantity], "class", conditions=8, batch_size=4)
    measured(agree, config, "data", "tokenizer", "vgg16", classifier="judge", tolerance=1e-4)


def test_likelihood(measured, folder):
    write_prior(folder / "prior", TokenSpace(NUM_CODES, GRID))
    write_latents(folder / "latents", NUM_CODES, (4, 6))
    measured(likelihood, LikelihoodConfig(4, 2), "prior", "latents", tolerance=1e-4)


def test_nearest_images(tmp_path):
    torch.manual_seed(0)

    def write(out):
        found = nearest(perceptual().to(training.device()), random_images(5, 0), random_images(17, 1), 3)
        for name, array in zip(("distance", "place"), found, strict=True):
            write_array(out / f"{name}.npy", array)

    assert_same_on_both(write, tmp_path)
