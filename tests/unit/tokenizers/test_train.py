from dataclasses import asdict, replace

import pytest
import torch

from twostage import tokenizers
from twostage.config.composition import parse
from twostage.config.schema import TokenizerConfig
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


def started(data_folder, tmp_path, **changes) -> Job:
    """A job, not yet run, that starts from a tokenizer trained without a discriminator."""
    first = job(data_folder, tmp_path / "first", small_config(name="first", loss__adversarial="none"))
    train(small_config(name="first", loss__adversarial="none"), first)
    made = job(data_folder, tmp_path / "second", small_config(starts_from="first", **changes))
    return replace(made, inputs=made.inputs | {"start": first.out})


def test_one_that_starts_from_another_has_its_weights_and_codes_before_the_first_step(data_folder, tmp_path):
    made = started(
        data_folder, tmp_path, learning_rate=0.0, quantizer__learned_by="gradient", quantizer__revive_after=None
    )
    train(parse(TokenizerConfig, made.config), made)
    first, second = (tokenizers.load(path).state_dict() for path in (made.upstream("start"), made.folder))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_curve_of_one_that_starts_from_another_begins_where_that_ended(data_folder, tmp_path):
    made = started(data_folder, tmp_path)
    train(parse(TokenizerConfig, made.config), made)
    first, second = (read_csv(path / "curve.csv") for path in (made.upstream("start"), made.folder))
    assert float(second[0]["tune_reconstruction"]) == float(first[-1]["tune_reconstruction"])


def test_one_of_other_sizes_cannot_start_from_another(data_folder, tmp_path):
    made = started(data_folder, tmp_path, channels=12)
    with pytest.raises(TwostageError, match=r"tokenizer small cannot start from first: .*give both the same networks"):
        train(parse(TokenizerConfig, made.config), made)
