"""Rejection: the likeliest share of every class is kept, and equally many samples of every setting are compared."""

import numpy as np
import pytest

from twostage.config.schema import FeaturesConfig, SamplesConfig
from twostage.errors import TwostageError
from twostage.evaluation import classifier
from twostage.evaluation.classifier import Classifier
from twostage.evaluation.features import features
from twostage.evaluation.rejection import RejectionConfig, Setting, accept, rejection
from twostage.runtime.artifacts import read_array, read_json, write_array, write_json

from .conftest import job, random_images
from .test_agreement import ByRed

CLASSES = ["grey", "red"]
ALL_IN_TURN = {"classes": [], "class_names": CLASSES, "per_condition": 1}
SAMPLES = SamplesConfig(images=99, batch_size=16, kid_subsets=5, kid_subset_size=30, precision_neighbours=3,
                        coverage_neighbours=5, inception_score_splits=5, infinity_parts=2, seed=0)  # fmt: skip


def test_the_likeliest_share_of_each_class_is_accepted():
    label_P = np.array([0, 1, 0, 1, 0, 1, 0, 1])
    probability_P = np.array([0.9, 0.1, 0.2, 0.8, 0.7, 0.3, 0.1, 0.2])
    assert sorted(accept(probability_P, label_P, 0.5)) == [0, 3, 4, 5]
    assert sorted(accept(probability_P, label_P, 1.0)) == list(range(8))
    # One of every class at least.
    assert sorted(accept(probability_P, label_P, 0.01)) == [0, 3]
    for rate in (0, 1.5):
        with pytest.raises(TwostageError, match=f"the acceptance rate is {rate}; expected"):
            accept(probability_P, label_P, rate)


@pytest.fixture
def evaluate(folder, inception, monkeypatch):
    """Two samplers of 60 images in two classes; odd ones are drawn for red, and shades of red differ."""
    monkeypatch.setattr(classifier, "load", lambda folder: Classifier(ByRed(), "small", CLASSES))
    features(FeaturesConfig("validation", 60, 16), job(folder, "features", "real", data="data", inception="inception"))
    for seed, name in enumerate(("k5", "k9")):
        images = random_images(60, seed)
        images[..., 0] = np.random.default_rng(seed).integers(0, 256, 60)[:, None, None]
        write_array(folder / f"{name}/samples.npy", images)
        write_json(folder / f"{name}/metrics.json", ALL_IN_TURN)
    for name in ("rejector", "judge"):
        write_json(folder / f"{name}/metrics.json", {"accuracy": 0.9, "images": 60, "network": "small"})

    def run(accepted=30, settings=None):
        settings = settings or [
            Setting("k 5", "5", 1.0, 1.0, ["k5"]),
            Setting("all", "mixed", 1.0, 1.0, ["k5", "k9"]),
            Setting("best", "mixed", 1.0, 0.25, ["k5", "k9"]),
        ]
        config = RejectionConfig("toy", accepted, settings, SAMPLES, 0, 4)
        names = {name: name for name in ("k5", "k9", "rejector", "judge", "real", "inception")}
        made = job(folder, "rejection", "out", **names)
        rejection(config, made)
        return read_json(made.folder / "metrics.json"), read_array(made.folder / "grid.npy")

    return run


def test_rejection_raises_accuracy_and_counts_stay_equal(evaluate, inception):
    inception["extractors"].clear()
    metrics, grid = evaluate()
    rows = metrics["rows"]
    assert list(rows) == ["k 5", "all", "best"]
    assert [extractor.num_images for extractor in inception["extractors"]] == [3 * 30]
    assert rows["best"]["class_accuracy"] > rows["all"]["class_accuracy"]
    assert rows["best"]["class_accuracy"] == 1
    assert (rows["k 5"]["pool"], rows["best"]["pool"], rows["best"]["acceptance"]) == (60, 120, 0.25)
    assert all(np.isfinite(row["fid"]) and row["inception_score_mean"] is None for row in rows.values())
    assert metrics["inception_score_not_available"].startswith("the Inception weights have no classifier")
    assert grid.shape == (3, 4, 16, 16, 3)


def test_where_there_is_a_classifier_inception_score_is_measured(evaluate, inception):
    inception["classifier"] = True
    metrics, _ = evaluate()
    assert metrics["inception_score_not_available"] is None
    assert metrics["rows"]["all"]["inception_score_mean"] >= 1


def test_too_small_a_pool_is_named(evaluate):
    with pytest.raises(TwostageError, match="setting best: 30 of 120 samples are accepted, fewer than the 40"):
        evaluate(accepted=40)


def test_samples_of_other_classes_are_refused(evaluate, folder):
    write_json(folder / "k9/metrics.json", ALL_IN_TURN | {"classes": ["red"]})
    with pytest.raises(TwostageError, match="was not drawn from all classes in turn"):
        evaluate()


@pytest.mark.parametrize("names", [CLASSES[::-1], ["cat", "dog"], None])
def test_as_many_classes_of_other_names_are_refused(evaluate, folder, names):
    write_json(folder / "k9/metrics.json", ALL_IN_TURN | {"class_names": names})
    with pytest.raises(TwostageError, match=r"k9 was drawn from other classes than \S*rejector knows, or in another"):
        evaluate()


def test_a_judge_of_other_classes_is_refused(evaluate, monkeypatch):
    names = {"rejector": CLASSES, "judge": CLASSES[::-1]}
    monkeypatch.setattr(classifier, "load", lambda folder: Classifier(ByRed(), "small", names[folder.name]))
    with pytest.raises(TwostageError, match=r"k5 was drawn from other classes than \S*judge knows"):
        evaluate()
