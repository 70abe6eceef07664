"""`twostage sample`: by a model in a folder, and by the verb that a prior needs."""

import logging
import shutil
import sys

import pytest
from PIL import Image

from tests.models import write_model
from twostage.commands import sample
from twostage.latents.dataset import TokenSpace
from twostage.runtime.artifacts import write_json

pytestmark = pytest.mark.usefixtures("repository_conf")


@pytest.fixture
def call(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)

    def typed(*words):
        monkeypatch.setattr(sys, "argv", ["twostage sample", *words])
        try:
            sample.main()
            code = 0
        except SystemExit as stop:
            code = stop.code
        logging.shutdown()
        return code, capfd.readouterr().err

    return typed


@pytest.fixture
def model(tmp_path):
    return write_model(tmp_path / "model", "gpt")


def sides(num_images):
    """Pixels of a picture of so many images of 16 pixels, with gaps of 2."""
    columns = {4: 2, 5: 3, 16: 4}[num_images]
    rows = -(-num_images // columns)
    return columns * 18 - 2, rows * 18 - 2


@pytest.mark.parametrize("architecture", ["gpt", "pixelsnail", "sundae"])
def test_every_architecture_draws_one_picture_and_leaves_nothing_else(call, tmp_path, architecture):
    write_model(tmp_path / "model", architecture)
    code, said = call("--model", "model", "--out", "new/x.png", "sampling.num_images=5", "scale=smoke")
    assert code == 0, said
    assert said.splitlines()[-1] == "new/x.png"
    assert Image.open("new/x.png").size == sides(5)
    assert {path.name for path in tmp_path.iterdir()} == {"model", "new"}
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["x.png"]


def test_overrides_reach_the_draw_and_a_seed_draws_the_same_again(call, model):
    typed = ("--model", "model", "sampling.temperature=0.5", "sampling.num_images=4")
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert call(*typed, f"sampling.seed={seed}", "--out", f"{name}.png")[0] == 0
    pictures = [open(f"{name}.png", "rb").read() for name in "abc"]  # noqa: SIM115
    assert pictures[0] == pictures[1] != pictures[2]


def test_a_name_stands_for_a_folder_of_models(call, model, tmp_path):
    shutil.move(model, tmp_path / "models/cifar10-tiny")
    assert call("--model", "cifar10-tiny", "--out", "x.png", "sampling.num_images=4")[0] == 0
    assert "cifar10-tiny" in call("--model", "cifar11", "--out", "x.png")[1]


def test_a_condition_is_read_from_the_folder(call, tmp_path):
    write_model(tmp_path / "model", "gpt", TokenSpace(3, (1, 1), map="class"))
    typed = ("--model", "model", "--out", "x.png", "sampling.num_images=4", "sampling.classes=[dog]")
    code, said = call(*typed)
    assert (code, "lacks the folder condition/" in said) == (1, True)
    split = {"num_images": 10, "unigram_entropy_nats": 1.0}
    metadata = {"num_codes": 3, "grid": [1, 1], "map": "class", "tokenizer_sha256": "a", "data": "d", "flips": False}
    more = {"splits": {"validation": split}, "classes": ["cat", "dog", "cow"]}
    write_json(tmp_path / "model/condition/metadata.json", metadata | more)
    assert call(*typed)[0] == 0


@pytest.mark.parametrize(
    ("absent", "words", "said"),
    [
        ("", ("--model", "nowhere", "--out", "x.png"), "no folder nowhere"),
        ("prior", ("--model", "model", "--out", "x.png"), "lacks prior/config.json, prior/model.safetensors"),
        ("tokenizer/model.safetensors", ("--model", "model", "--out", "x.png"), "lacks tokenizer/model.safetensors"),
        ("", ("--model", "model"), "name it: --out x.png"),
        ("", ("--model", "model", "--out", "x.jpg"), "name it: --out x.png"),
        ("", ("--model", "model", "--out", "x.png", "priors=gpt"), "priors=gpt: a model is as it was trained"),
        ("", ("--model", "model", "--out", "x.png", "prior=model/prior"), "a model is as it was trained"),
        ("", ("--model", "model", "--out", "x.png", "sampling.top_k=99"), "sampling.top_k=99 is larger"),
        ("", ("--model", "model", "--out", "x.png", "sampling.given=0.5"), "lacks the folder latents/"),
        ("", ("--model", "model", "--out", "x.png", "--cfg", "job"), "--cfg"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(call, model, tmp_path, absent, words, said):
    path = model / absent
    if absent:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    before = set(tmp_path.rglob("*"))
    code, printed = call(*words)
    assert code == 1
    assert len(printed.splitlines()) == 1
    assert said in printed
    assert set(tmp_path.rglob("*")) == before


def test_a_damaged_model_is_one_line(call, model):
    weights = model / "prior/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    code, printed = call("--model", "model", "--out", "x.png")
    assert (code, len(printed.splitlines())) == (1, 1)
    (model / "prior/config.json").write_text("[]")
    assert "describes no prior" in call("--model", "model", "--out", "x.png")[1]


def test_what_a_sundae_prior_does_not_read_is_refused(call, tmp_path):
    write_model(tmp_path / "model", "sundae")
    code, printed = call("--model", "model", "--out", "x.png", "sampling.temperature=0.5")
    assert code == 1
    assert "chain.temperature_start" in printed


@pytest.mark.parametrize(
    ("overrides", "verb"),
    [
        ((), "sampling.generate"),
        (("priors=pixelsnail",), "sampling.generate"),
        (("priors=sundae",), "sampling.denoise"),
    ],
)
def test_without_a_model_the_prior_that_is_chosen_decides_the_verb(overrides, verb):
    assert sample.verb_of(overrides) == verb


def test_a_prior_that_is_named_decides_the_verb(tmp_path):
    write_model(tmp_path, "sundae")
    assert sample.verb_of((f"prior={tmp_path}/prior",)) == "sampling.denoise"
