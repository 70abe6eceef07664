"""The independent classifier: it learns what can be learned, from training images alone."""

import numpy as np
import pytest

from twostage.config.schema import ClassifierConfig, LoopConfig
from twostage.errors import TwostageError
from twostage.evaluation import classifier as module
from twostage.evaluation.classifier import classifier
from twostage.planning.verbs import VERBS
from twostage.runtime.artifacts import read_json, write_array, write_json
from twostage.runtime.job import Job


def write_data(folder, classes=("dark", "bright")):
    rng = np.random.default_rng(0)
    for split, number in (("train", 60), ("tune", 10), ("validation", 20)):
        label_N = rng.integers(0, 2, number)
        image = rng.integers(0, 100, (number, 8, 8, 3)) + 150 * label_N[:, None, None, None]
        write_array(folder / f"{split}_image.npy", image.astype(np.uint8))
        write_array(folder / f"{split}_label.npy", label_N)
    write_json(folder / "metadata.json", {"name": "toy", "classes": list(classes)})


def run(tmp_path, network="small", seed=0):
    config = ClassifierConfig(network, 4, 0.02, 0.01, LoopConfig(20, 10, 20, 5, seed, "float32"))
    job = Job("evaluation", "classifier", "classifier.toy", "smoke", {"seed": seed}, {"data": str(tmp_path / "data")},
              str(tmp_path / f"out{seed}"), VERBS["evaluation.classifier"].files)  # fmt: skip
    classifier(config, job)
    return job.folder


def test_it_tells_bright_from_dark_and_is_read_back_the_same(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_data(tmp_path / "data")
    folder = run(tmp_path)
    metrics = read_json(folder / "metrics.json")
    assert (metrics["images"], metrics["network"]) == (20, "small")
    assert metrics["accuracy"] > 0.9
    found = module.load(folder)
    images = np.array([np.full((8, 8, 3), shade, np.uint8) for shade in (40, 200)])
    probability_NK = found.probabilities(images)
    assert probability_NK.shape == (2, 2)
    assert probability_NK.sum(1) == pytest.approx(np.ones(2))
    assert found.accuracy(images, np.array([0, 1])) == 1
    # Nothing is left in the scratch folder.
    assert not list(tmp_path.glob("build/scratch/**/checkpoint.pt"))


def test_equal_seeds_give_equal_classifiers_and_other_seeds_others(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_data(tmp_path / "data")
    weights = [(run(tmp_path, seed=seed) / "model.safetensors").read_bytes() for seed in (0, 0, 1)]
    assert weights[0] == weights[1] != weights[2]


@pytest.mark.parametrize(
    ("classes", "network", "message"),
    [
        (["one"], "small", "has 1 classes; a classifier needs two or more"),
        (["a", "b"], "resnet50", "knows ImageNet's 1000 classes, dataset toy has 2; set it to small"),
        (["a", "b"], "resnet5", "resnet5 is unknown; choose small or resnet50"),
    ],
)
def test_what_cannot_be_classified_is_one_line(tmp_path, monkeypatch, classes, network, message):
    monkeypatch.chdir(tmp_path)
    write_data(tmp_path / "data", classes)
    with pytest.raises(TwostageError, match=message):
        run(tmp_path, network)
    assert not (tmp_path / "out0").exists()
