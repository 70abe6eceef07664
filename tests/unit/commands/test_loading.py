"""Models that are damaged, by `twostage sample --model` and `import twostage`: one line, and nothing is drawn."""

import json
import logging
import shutil
import sys

import pytest
import torch

import twostage
from tests.clone import ROOT
from tests.models import write_model
from tests.unit.sampling.conftest import GRID
from twostage.commands import sample
from twostage.errors import TwostageError
from twostage.latents.dataset import TokenSpace
from twostage.runtime.artifacts import read_json, sha256_file, write_json
from twostage.runtime.released import CHECKSUMS, write_checksums
from twostage.runtime.tensors import read_tensors, write_tensors
from twostage.tokenizers import pixels
from twostage.tokenizers.pixels import PixelTokenizer

pytestmark = pytest.mark.usefixtures("repository_conf")
PARTS = ("prior", "tokenizer")
RELEASED = sorted(path.parent for path in (ROOT / "models").glob(f"*/{CHECKSUMS}"))
NO_OBJECTS = ["[]", "5", '"x"', "null", "{}", "true", '[{"config": 1}]']


@pytest.fixture(params=["gpt", "sundae"])
def model(request, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_model(tmp_path / "model", request.param)


def refused(model, part, said, monkeypatch, capfd):
    """By both ways; the line."""
    load = twostage.load_prior if part == "prior" else twostage.load_tokenizer
    for folder in (model, model / part):
        with pytest.raises(TwostageError, match=said) as raised:
            load(folder)
        assert "\n" not in str(raised.value)
    monkeypatch.setattr(sys, "argv", ["twostage sample", "--model", str(model), "--out", "x.png"])
    with pytest.raises(SystemExit) as stop:
        sample.main()
    logging.shutdown()
    printed = capfd.readouterr().err
    assert (stop.value.code, len(printed.splitlines())) == (1, 1)
    assert not (model.parent / "x.png").exists()
    return printed


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("part", PARTS)
def test_weights_that_are_not_finite_are_refused(model, monkeypatch, capfd, part, value):
    path = model / part / "model.safetensors"
    tensors, metadata = read_tensors(path)
    name = [name for name, each in tensors.items() if each.is_floating_point()][-1]
    tensors[name].flatten()[-1] = value
    write_tensors(path, tensors, metadata)
    if part == "tokenizer":
        # The prior's tokenizer is another one now, which is not what is asked here.
        assert read_json(model / "prior/config.json")["tokens"]["tokenizer_sha256"] is None
    assert name in refused(model, part, f"tensor {name} has values that are not finite", monkeypatch, capfd)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_file_that_is_not_the_released_one_is_refused(model, monkeypatch, capfd, part, name):
    write_checksums(model)
    assert set(read_json(model / CHECKSUMS)) == {
        f"{p}/{n}" for p in PARTS for n in ("config.json", "model.safetensors")
    }
    twostage.load_prior(model)
    twostage.load_tokenizer(model)
    path = model / part / name
    content = bytearray(path.read_bytes())
    if name == "config.json":
        content += b"\n"
    else:
        content[-2] ^= 1
    path.write_bytes(content)
    assert f"{part}/{name}" in refused(model, part, "is not the file that was released", monkeypatch, capfd)


@pytest.mark.parametrize("content", ["[]", "{", "5"])
def test_checksums_that_are_damaged_are_refused(model, monkeypatch, capfd, content):
    (model / CHECKSUMS).write_text(content)
    refused(model, "prior", CHECKSUMS, monkeypatch, capfd)


@pytest.mark.parametrize("content", NO_OBJECTS)
@pytest.mark.parametrize("part", PARTS)
def test_a_config_of_something_else_is_refused(model, monkeypatch, capfd, part, content):
    (model / part / "config.json").write_text(content)
    refused(model, part, "config.json", monkeypatch, capfd)


def test_a_palette_is_described_too(tmp_path):
    pixels.save(PixelTokenizer(torch.zeros(4, 3, dtype=torch.uint8)), "p", tmp_path)
    assert twostage.load_tokenizer(tmp_path).num_codes == 4
    values = read_json(tmp_path / "config.json")
    for wrong in (None, "4", 5):
        write_json(tmp_path / "config.json", values | {"num_codes": wrong})
        with pytest.raises(TwostageError):
            twostage.load_tokenizer(tmp_path)
    write_json(tmp_path / "config.json", {"format": values["format"]})
    with pytest.raises(TwostageError, match="describes no tokenizer"):
        twostage.load_tokenizer(tmp_path)


@pytest.mark.parametrize(
    "wrong",
    [
        *({"grid": grid} for grid in ("8x8", [8], [4, 4, 4], 4, None, ["4", "4"], [4.0, 4.0], [0, 16], [-4, -4])),
        *({"num_codes": number} for number in ("16", 16.0, None, [16], 0, -16)),
        *({"condition": condition} for condition in ("x", 5, [], {}, {"num_codes": 3})),
        {"map": 5},
        {"tokenizer_sha256": 5},
    ],
    ids=str,
)
def test_tokens_that_are_none_are_refused(model, monkeypatch, capfd, wrong):
    path = model / "prior/config.json"
    values = read_json(path)
    write_json(path, values | {"tokens": values["tokens"] | wrong})
    refused(model, "prior", "describes no prior", monkeypatch, capfd)


@pytest.mark.parametrize("wrong", [None, 5, "x", [], {}])
@pytest.mark.parametrize("part", PARTS)
def test_sizes_that_are_none_are_refused(model, monkeypatch, capfd, part, wrong):
    path = model / part / "config.json"
    values = read_json(path)
    write_json(path, values | {"config" if part == "tokenizer" else values["architecture"]: wrong})
    refused(model, part, f"{part}/config.json|describes no {part}", monkeypatch, capfd)


def test_a_condition_is_described_as_the_tokens_are(tmp_path):
    write_model(tmp_path, "gpt", TokenSpace(5, GRID, map="edges"))
    assert twostage.load_prior(tmp_path).model.tokens.condition.num_codes == 5
    values = read_json(tmp_path / "prior/config.json")
    values["tokens"]["condition"]["grid"] = "4x4"
    (tmp_path / "prior/config.json").write_text(json.dumps(values))
    with pytest.raises(TwostageError, match="describes no prior"):
        twostage.load_prior(tmp_path)


def test_released_models_have_checksums_of_all_their_files():
    assert sorted((ROOT / "models").glob("cifar10-*")) == RELEASED
    for model in RELEASED:
        files = {p.relative_to(model).as_posix(): sha256_file(p) for p in model.rglob("*") if p.is_file()}
        assert files.pop(CHECKSUMS)
        assert read_json(model / CHECKSUMS) == files


@pytest.mark.parametrize("part", PARTS)
def test_one_bit_of_a_released_model_is_missed(tmp_path, part):
    model = shutil.copytree(RELEASED[0], tmp_path / "model")
    path = model / part / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    with pytest.raises(TwostageError, match="is not the file that was released"):
        (twostage.load_prior if part == "prior" else twostage.load_tokenizer)(model)
