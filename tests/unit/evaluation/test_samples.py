"""The metrics file of a set of samples, and what is refused."""

import dataclasses

import numpy as np
import pytest

from tests.unit.evaluation.conftest import job, random_images
from twostage.config.schema import FeaturesConfig, SamplesConfig
from twostage.errors import TwostageError
from twostage.evaluation.features import features
from twostage.evaluation.samples import samples
from twostage.runtime.artifacts import read_json, write_array, write_json

CONFIG = SamplesConfig(
    images=50,
    batch_size=16,
    kid_subsets=5,
    kid_subset_size=30,
    precision_neighbours=3,
    coverage_neighbours=5,
    inception_score_splits=5,
    infinity_parts=2,
    seed=0,
)
NUMBERS = ["fid", "fid_infinity", "fid_infinity_standard_error", "kid_mean", "kid_std_over_subsets", "precision"]
NUMBERS += ["recall", "density", "coverage"]


@pytest.fixture
def evaluate(folder, inception):
    """Evaluates samples against the features of the dataset's 60 images; returns the metrics."""
    features(FeaturesConfig("validation", 60, 16), job(folder, "features", "real", data="data", inception="inception"))
    inception["extractors"].clear()

    def run(pictures=None, **changes):
        write_array(folder / "samples/samples.npy", random_images(55, 1) if pictures is None else pictures)
        config = dataclasses.replace(CONFIG, **changes)
        samples(config, job(folder, "samples", "out", samples="samples", real="real", inception="inception"))
        return read_json(folder / "out/metrics.json")

    return run


def test_every_metric_is_there_out_of_one_extraction(evaluate, inception):
    metrics = evaluate()
    assert all(isinstance(metrics[name], float) for name in NUMBERS)
    assert [extractor.num_images for extractor in inception["extractors"]] == [50]


def test_the_protocol_stands_beside_the_numbers(evaluate, folder):
    write_json(folder / "samples/metrics.json", {"seed": 7, "seconds_per_image": 0.1})
    protocol = evaluate()["protocol"]
    assert protocol["real"]["split"] == "validation"
    assert protocol["real"]["images"] == 60
    assert protocol["samples"] == {"from": str(folder / "samples"), "images": 50, "height": 16, "width": 16}
    assert protocol["sampler"]["seed"] == 7
    assert protocol["settings"] == dataclasses.asdict(CONFIG)
    assert {"resize", "features", "weights"} <= protocol.keys()


def test_without_a_classifier_inception_score_is_not_available_and_says_why(evaluate):
    metrics = evaluate()
    assert metrics["inception_score_mean"] is None
    assert metrics["inception_score_std_over_splits"] is None
    assert "no classifier" in metrics["inception_score_not_available"]


def test_with_a_classifier_inception_score_is_measured(evaluate, inception):
    inception["classifier"] = True
    metrics = evaluate()
    assert metrics["inception_score_mean"] >= 1
    assert metrics["inception_score_std_over_splits"] >= 0
    assert metrics["inception_score_not_available"] is None


def test_the_same_job_gives_the_same_numbers(evaluate):
    assert evaluate() == evaluate()


def test_a_collapsed_generator_loses_recall_and_coverage_and_noise_raises_fid(evaluate):
    healthy = evaluate()
    collapsed = evaluate(np.repeat(random_images(55, 1)[:1], 55, axis=0))
    assert collapsed["recall"] < healthy["recall"]
    assert collapsed["coverage"] < healthy["coverage"]
    dark = evaluate((random_images(55, 1) // 4).astype(np.uint8))
    assert dark["fid"] > 2 * healthy["fid"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": 56}, r"evaluation\.samples\.images=56, but \S*samples\.npy holds 55; lower it or sample more"),
        (
            {"kid_subset_size": 51},
            r"KID: at least 51 samples are needed, got 50; raise evaluation\.samples\.images or lower "
            r"evaluation\.samples\.kid_subset_size",
        ),
        (
            {"kid_subset_size": 61},
            r"KID: at least 61 real images are needed, got 60; raise evaluation\.features",
        ),
        ({"precision_neighbours": 50}, r"precision and recall: at least 51 .*samples\.precision_neighbours"),
        ({"coverage_neighbours": 50}, r"density and coverage: at least 51 .*samples\.coverage_neighbours"),
        ({"inception_score_splits": 51}, r"Inception Score: at least 51 .*samples\.inception_score_splits"),
        ({"infinity_parts": 17}, r"FID-infinity: at least 51 samples.*samples\.infinity_parts"),
        ({"infinity_parts": 1}, r"samples\.infinity_parts is 1; .* set at least 2"),
    ],
)
def test_too_few_images_name_the_metric_and_the_key_before_any_work(evaluate, inception, folder, changes, message):
    with pytest.raises(TwostageError, match=message):
        evaluate(**changes)
    assert inception["extractors"] == []
    assert not (folder / "out").exists()


@pytest.mark.parametrize("images", [np.zeros((55, 16, 16, 3)), np.zeros((55, 16, 16, 1), np.uint8)])
def test_other_than_rgb_bytes_is_refused(evaluate, images):
    with pytest.raises(TwostageError, match=r"samples\.npy holds .*; expected uint8 \[images, H, W, 3\]"):
        evaluate(images)


def test_missing_samples_are_named(evaluate, folder):
    evaluate()
    (folder / "samples/samples.npy").unlink()
    with pytest.raises(TwostageError, match=r"samples\.npy is missing"):
        samples(CONFIG, job(folder, "samples", "out", samples="samples", real="real", inception="inception"))
