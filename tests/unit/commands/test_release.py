"""`twostage release`: small models with cards, and the ones that git keeps."""

import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import twostage
from tests import models
from tests.clone import ROOT
from tests.models import write_model
from tests.unit.priors.conftest import prior_config
from tests.unit.sampling.conftest import GRID, NUM_CODES, write_latents
from twostage import tokenizers
from twostage.commands.release import release
from twostage.errors import TwostageError
from twostage.latents.dataset import TokenSpace
from twostage.priors.model import trained_format
from twostage.runtime.artifacts import read_json, sha256_file, write_array, write_json
from twostage.runtime.tensors import read_tensors, write_tensors
from twostage.tokenizers import pixels
from twostage.tokenizers.pixels import PixelTokenizer

pytestmark = pytest.mark.usefixtures("repository_conf")
PRIOR, LATENTS = "priors.train d.seed0", "latents.encode d"
RELEASED = sorted((ROOT / "models").glob("cifar10-*"))


def record(job, folder, inputs, **more):
    files = {path.name: sha256_file(path) for path in folder.iterdir() if path.suffix in (".safetensors", ".npy")}
    return {"job": job, "folder": str(folder), "files_sha256": files, "inputs": inputs, "config": {}} | more


def make(folder, architecture):
    """A prior's folder with its record, and the folders that it rests on; as a run leaves them."""
    write_model(folder, architecture)
    image_NHWC = np.random.default_rng(0).integers(0, 256, (20, 16, 16, 3), np.uint8)
    write_array(folder / "data/validation_image.npy", image_NHWC)
    write_latents(folder / "latents", NUM_CODES, GRID, meaning=tokenizers.checksum(folder / "tokenizer"))
    tokens = TokenSpace(NUM_CODES, GRID, None, "image", tokenizers.checksum(folder / "tokenizer"))
    write_json(folder / "prior/config.json", trained_format(prior_config(architecture), tokens))
    write_json(folder / "prior/metrics.json", {"validation_nll_nats_per_token": 2.5, "num_parameters": 100, "steps": 7})
    before = [
        record("data.prepare d", folder / "data", {}),
        record("tokenizers.train d", folder / "tokenizer", {}),
        record(LATENTS, folder / "latents", {"data": "data.prepare d"}),
    ]
    total = {"commit": ["c" * 40], "device": ["CPU"], "cpu_seconds": 12.3}
    more = {"scale": "smoke", "finished": "today", "threads": 1, "total": total}
    own = record(PRIOR, folder / "prior", {"latents": LATENTS}, **more)
    write_json(folder / "prior/provenance.json", own | {"rests_on": {each["job"]: each for each in before}})
    return folder / "prior"


@pytest.mark.parametrize("architecture", ["gpt", "sundae"])
def test_a_model_is_half_as_large_and_says_what_it_is(tmp_path, architecture):
    prior = make(tmp_path / "made", architecture)
    model = release("tiny", prior, None, tmp_path / "models")
    kept = {str(path.relative_to(model)) for path in model.rglob("*") if path.is_file()}
    parts = {f"{part}/{name}" for part in ("tokenizer", "prior") for name in ("config.json", "model.safetensors")}
    assert kept == {*parts, "README.md", "checksums.json", "provenance.json", "samples.png"}
    assert read_json(model / "checksums.json") == {
        name: sha256_file(model / name) for name in kept - {"checksums.json"}
    }
    assert [path.name for path in model.parent.iterdir()] == ["tiny"]
    tensors, _ = read_tensors(model / "prior/model.safetensors")
    assert {each.dtype for each in tensors.values() if each.is_floating_point()} == {torch.float16}
    card = (model / "README.md").read_text()
    for said in ("| d ", "16 codes", "2.5", "c" * 40, "12", "seed0", "f = 4"):
        assert said in card
    assert ("NLL of the same codes" in card) == (architecture == "gpt")
    assert Image.open(model / "samples.png").size == (70, 70)


def test_a_model_draws_about_what_its_prior_draws(tmp_path):
    prior = make(tmp_path / "made", "gpt")
    model = release("tiny", prior, None, tmp_path / "models")
    drawn = [twostage.load_prior(folder).logits(torch.zeros(1, 16, dtype=torch.long)) for folder in (prior, model)]
    assert 0 < float((drawn[0] - drawn[1]).abs().max()) < 1e-2
    # The prior knows the codes of its new tokenizer by their checksum.
    tokens = read_json(model / "prior/config.json")["tokens"]
    assert tokens["tokenizer_sha256"] == tokenizers.checksum(model / "tokenizer")


def test_what_float16_cannot_hold_stays_float32(tmp_path):
    prior = make(tmp_path / "made", "gpt")
    tensors, _ = read_tensors(prior / "model.safetensors")
    largest = next(iter(tensors))
    tensors[largest].flatten()[0] = 1e6
    write_tensors(prior / "model.safetensors", tensors)
    model = release("tiny", prior, None, tmp_path / "models")
    assert torch.equal(read_tensors(model / "prior/model.safetensors")[0][largest], tensors[largest])


def test_the_tokenizer_may_be_a_palette(tmp_path, monkeypatch):
    palette_K3 = torch.arange(3 * NUM_CODES, dtype=torch.uint8).reshape(NUM_CODES, 3)
    monkeypatch.setattr(models, "write_tokenizer", lambda folder: pixels.save(PixelTokenizer(palette_K3), "p", folder))
    model = release("tiny", make(tmp_path / "made", "gpt"), None, tmp_path / "models")
    card = (model / "README.md").read_text()
    assert "f = 1, 16 codes" in card
    assert "steps of the tokenizer" not in card
    assert "100.00%" in card


def samples_of(folder, job):
    protocol = {"samples": {"images": 60}, "real": {"images": 70, "split": "validation"}}
    write_json(folder / "metrics.json", {"fid": 123.4, "precision": None, "protocol": protocol})
    own = record("evaluation.samples d", folder, {})
    write_json(folder / "provenance.json", own | {"rests_on": {job: {}}})
    return folder


def test_a_card_names_what_was_measured_of_the_samples(tmp_path):
    prior = make(tmp_path / "made", "gpt")
    model = release("tiny", prior, samples_of(tmp_path / "samples", PRIOR), tmp_path / "models")
    assert re.search(r"FID: 60 samples, 70 images of validation +\| 123\.4 ", (model / "README.md").read_text())


def test_mistakes_are_named_and_leave_nothing(tmp_path):
    prior, out = make(tmp_path / "made", "gpt"), tmp_path / "models"
    with pytest.raises(TwostageError, match=r"does not rest on priors\.train d\.seed0"):
        release("tiny", prior, samples_of(tmp_path / "samples", "priors.train other"), out)
    with pytest.raises(TwostageError, match=r"has no provenance\.json"):
        release("tiny", tmp_path / "made/tokenizer", None, out)
    with pytest.raises(TwostageError, match=r"'\.\./tiny' is no name of a model"):
        release("../tiny", prior, None, out)
    (tmp_path / "made/data/validation_image.npy").unlink()
    with pytest.raises(TwostageError, match=r"validation_image\.npy"):
        release("tiny", prior, None, out)
    assert list(out.iterdir()) == []
    (out / "tiny").mkdir()
    with pytest.raises(TwostageError, match="exists; give another name"):
        release("tiny", prior, None, out)
    values = read_json(prior / "config.json")
    values["tokens"]["condition"] = {"num_codes": 3}
    write_json(prior / "config.json", values)
    with pytest.raises(TwostageError, match="has a condition"):
        release("other", prior, None, out)


# ---- What git keeps


def test_released_models_are_few_megabytes():
    assert RELEASED
    assert sum(path.stat().st_size for model in RELEASED for path in model.rglob("*")) < 40e6


@pytest.mark.parametrize("model", RELEASED, ids=lambda path: path.name)
def test_a_released_model_names_its_commits_and_draws(model, tmp_path, monkeypatch):
    """It draws outside of the clone, by its name alone, and its parts belong together."""
    monkeypatch.chdir(tmp_path)
    tokens = read_json(model / "prior/config.json")["tokens"]
    assert tokens["tokenizer_sha256"] == tokenizers.checksum(model / "tokenizer")
    command = [sys.executable, "-m", "twostage", "sample", "--model", model.name, "--out", "x.png"]
    result = subprocess.run([*command, "sampling.num_images=4"], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert Image.open("x.png").size == (66, 66)
    commits = read_json(model / "provenance.json")["total"]["commit"]
    card = (model / "README.md").read_text()
    for commit in commits:
        assert commit in card
