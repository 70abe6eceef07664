from dataclasses import asdict

import pytest
import torch

from twostage import tokenizers
from twostage.errors import TwostageError
from twostage.runtime.artifacts import read_csv, read_json
from twostage.runtime.job import Job
from twostage.tokenizers.train import train

from .conftest import small_config


def job(data_folder, out, config) -> Job:
    return Job("tokenizers", "train", "toy.small", "smoke", asdict(config), {"data": str(data_folder)}, str(out), [])


@pytest.fixture(autouse=True)
def working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_verb_writes_what_load_reads(data_folder, tmp_path):
    config = small_config()
    made = job(data_folder, tmp_path / "out", config)
    train(config, made)
    assert sorted(path.name for path in made.folder.iterdir()) == [
        "config.json",
        "curve.csv",
        "discriminator.safetensors",
        "metrics.json",
        "model.safetensors",
    ]
    metrics, curve = read_json(made.folder / "metrics.json"), read_csv(made.folder / "curve.csv")
    tokenizer = tokenizers.load(made.folder)
    assert metrics["num_parameters"] == sum(parameter.numel() for parameter in tokenizer.parameters())
    assert 1 <= metrics["perplexity"] <= metrics["codes_used"] <= metrics["num_codes"] == 16
    assert metrics["seconds_per_step"] == pytest.approx(metrics["train_seconds"] / 6)
    assert [int(row["step"]) for row in curve] == [0, 3, 6]
    assert float(curve[-1]["adaptive_weight"]) > 0
    assert not made.scratch.exists()


def test_same_seed_same_weights_other_seed_other_weights(data_folder, tmp_path):
    models = []
    for number, seed in enumerate([0, 0, 1]):
        config = small_config(loop__seed=seed)
        made = job(data_folder, tmp_path / f"out{number}", config)
        train(config, made)
        models.append(tokenizers.load(made.folder).state_dict())
    first, again, other = models
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_without_discriminator_there_is_no_file_of_it(data_folder, tmp_path):
    config = small_config(
        map="segmentation", loss__reconstruction="cross_entropy", loss__adversarial="none", loop__steps=3
    )
    made = job(data_folder, tmp_path / "out", config)
    train(config, made)
    assert not (made.folder / "discriminator.safetensors").exists()
    tokenizer = tokenizers.load(made.folder)
    assert (tokenizer.kind, tokenizer.num_channels) == ("labels", 5)


def test_a_collapse_writes_nothing(data_folder, tmp_path):
    config = small_config(quantizer__num_codes=512, quantizer__init="uniform", quantizer__revive_after=None)
    made = job(data_folder, tmp_path / "out", config)
    with pytest.raises(TwostageError, match="collapsed"):
        train(config, made)
    assert not made.folder.exists()


def test_unknown_perceptual_network_is_named(data_folder, tmp_path):
    config = small_config(loss__perceptual="resnet")
    with pytest.raises(TwostageError, match=r"loss\.perceptual=resnet"):
        train(config, job(data_folder, tmp_path / "out", config))
