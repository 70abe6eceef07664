"""Released transformers under every kind of condition give the logits of a direct computation, and draw."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from tests.released import CHANNELS, CONDITIONS, GRID, HEADS, LAYERS, NUM_CODES, SIDE, WIDTH, write_released
from twostage import priors, tokenizers
from twostage.commands import sample as command
from twostage.errors import TwostageError
from twostage.latents.coordinates import coordinate_codes
from twostage.priors.gpt import Net2Net
from twostage.sampling.autoregressive import sample
from twostage.sampling.draw import Draw
from twostage.sampling.import_released import convert
from twostage.sampling.sliding import slide, slide_token_by_token


def released_logits(state, index_BT):
    """The transformer of a released checkpoint, as minGPT computes it: logits [B, T, V] of the next token."""

    def linear(name, x):
        return functional.linear(x, state[f"transformer.{name}.weight"], state.get(f"transformer.{name}.bias"))

    def norm(name, x):
        weight, bias = (state[f"transformer.{name}.{kind}"] for kind in ("weight", "bias"))
        return functional.layer_norm(x, (WIDTH,), weight, bias)

    B, T = index_BT.shape
    x = state["transformer.tok_emb.weight"][index_BT] + state["transformer.pos_emb"][0, :T]
    for block in (f"blocks.{layer}" for layer in range(LAYERS)):
        h = norm(f"{block}.ln1", x)
        query, key, value = (
            linear(f"{block}.attn.{name}", h).view(B, T, HEADS, -1).transpose(1, 2)
            for name in ("query", "key", "value")
        )
        score = (query @ key.transpose(2, 3)) / (WIDTH // HEADS) ** 0.5
        score = score.masked_fill(torch.ones(T, T).tril() == 0, float("-inf")).softmax(-1)
        x = x + linear(f"{block}.attn.proj", (score @ value).transpose(1, 2).reshape(B, T, WIDTH))
        x = x + linear(f"{block}.mlp.2", functional.gelu(linear(f"{block}.mlp.0", norm(f"{block}.ln2", x))))
    return linear("head", norm("ln_f", x))


def codes_of_condition(condition, folder):
    """Condition codes [2, S] as the released code makes them, or None, and how the sequence then begins."""
    match condition:
        case "unconditional":
            return None, torch.full((2, 1), CONDITIONS[condition]["sos_token"])
        case "class":
            codes = torch.tensor([[4], [1]])
        case "coordinates":
            codes = torch.from_numpy(coordinate_codes(GRID, 4, NUM_CODES)).flatten().repeat(2, 1)
        case _:
            tokenizer = tokenizers.load(folder / "condition_tokenizer")
            shape = (2, CHANNELS[condition], SIDE, SIDE)
            picture = torch.rand(shape) * 2 - 1
            if condition == "segmentation":
                picture = functional.one_hot(picture.argmax(1), shape[1]).permute(0, 3, 1, 2).float()
            codes = tokenizer.encode(picture).flatten(1)
    return codes, codes


@pytest.fixture(params=CONDITIONS)
def condition(request):
    return request.param


@pytest.fixture
def made(condition, tmp_path):
    """The state of a released checkpoint, and the folder of the model that it was converted to."""
    config, checkpoint = write_released(tmp_path / "released", condition)
    convert(config, checkpoint, tmp_path / "model")
    return torch.load(checkpoint, weights_only=True)["state_dict"], tmp_path / "model"


def test_logits_are_those_of_a_direct_computation(condition, made):
    state, folder = made
    prior = priors.load(folder / "prior")
    index_BT = torch.randint(NUM_CODES, (2, 16))
    codes_BS, begin_BS = codes_of_condition(condition, folder)
    expected_BTV = released_logits(state, torch.cat([begin_BS, index_BT], dim=1)[:, :-1])
    # The last 16 predict the image; the last 4 of 20 codes are none of the image's.
    expected_BTV = expected_BTV[:, begin_BS.shape[1] - 1 :, :NUM_CODES]
    torch.testing.assert_close(prior.logits(index_BT, codes_BS), expected_BTV, atol=1e-5, rtol=1e-5)


def test_a_sample_is_drawn_from_the_logits_of_its_own_beginning(condition, made):
    """Of top_k = 1, every token is the likeliest under the released transformer."""
    state, folder = made
    model = priors.load(folder / "prior").model
    codes_BS, begin_BS = codes_of_condition(condition, folder)
    index_BT = sample(model, torch.rand(2, 16), Draw(top_k=1), codes_BS).flatten(1)
    logits_BTV = released_logits(state, torch.cat([begin_BS, index_BT], dim=1)[:, :-1])
    assert torch.equal(logits_BTV[:, begin_BS.shape[1] - 1 :, :NUM_CODES].argmax(-1), index_BT)


def test_windows_over_a_larger_canvas_equal_whole_windows(condition, made):
    _, folder = made
    model, uniform_BT = priors.load(folder / "prior").model, torch.rand(1, 48)
    wide = {"unconditional": None, "class": torch.tensor([[2]])}.get(condition, torch.randint(NUM_CODES, (1, 6, 8)))
    arguments = (model, uniform_BT, (6, 8), Draw(), wide)
    assert torch.equal(slide(*arguments), slide_token_by_token(*arguments))


@pytest.mark.usefixtures("repository_conf")
def test_the_command_line_draws_a_picture(condition, made, tmp_path, monkeypatch):
    _, folder = made
    monkeypatch.chdir(tmp_path)
    asked = {"coordinates": ["sampling.coordinates=true"], "class": ["sampling.classes=[class_4,class_1]"]}.get(
        condition, []
    )
    if condition in CHANNELS:
        Image.fromarray(np.arange(SIDE**2, dtype=np.uint8).reshape(SIDE, SIDE) % 6, "L").save("map.png")
        asked = ["sampling.condition_file=map.png"]
    words = ["--model", str(folder), "--out", "x.png", "scale=smoke", "sampling.num_images=4", *asked]
    monkeypatch.setattr(sys, "argv", ["twostage sample", *words])
    command.main()
    assert Image.open("x.png").size == (2 * SIDE + 2, 2 * SIDE + 2)


def test_the_model_knows_its_own_tokenizers(made, condition):
    _, folder = made
    tokens = priors.load(folder / "prior").model.tokens
    assert tokens.tokenizer_sha256 == tokenizers.checksum(folder / "tokenizer")
    if condition in CHANNELS:
        assert tokens.condition.tokenizer_sha256 == tokenizers.checksum(folder / "condition_tokenizer")
        assert tokens.condition.map == condition


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"permuter_config": {"target": "taming.modules.transformer.permuter.Subsample"}}, "only row-major"),
        (
            {"cond_stage_config": {"target": "a.b.Words", "params": {}}, "unconditional": False},
            "has the condition Words",
        ),
        (
            {"cond_stage_config": {"target": "a.b.Labelator", "params": {}}, "unconditional": False},
            r"has the condition Labelator; expected Labelator \(classes\) with n_classes",
        ),
        ({"first_stage_config": {}}, "lacks 'params'"),
        ({"vocabulary": 4}, "reads 4 codes at 16 positions, its stages make 16 codes and sequences of 16"),
    ],
)
def test_what_cannot_be_drawn_from_is_named(tmp_path, changes, message):
    config, checkpoint = write_released(tmp_path / "released", "unconditional", **changes)
    with pytest.raises(TwostageError, match=message):
        convert(config, checkpoint, tmp_path / "model")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["released"]


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    config, checkpoint = write_released(tmp_path / "released", "class")
    with pytest.raises(TwostageError, match="holds something"):
        convert(config, checkpoint, tmp_path / "released")
    with pytest.raises(TwostageError, match="holds something"):
        convert(config, checkpoint, config)
    assert config.exists()


def test_the_folder_may_be_the_current_one(tmp_path, monkeypatch):
    config, checkpoint = write_released(tmp_path / "released", "unconditional")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    convert(config, checkpoint, Path())
    assert {path.name for path in (tmp_path / "here").iterdir()} == {"prior", "tokenizer"}


def test_positions_are_those_of_the_whole_sequence(tmp_path):
    config, checkpoint = write_released(tmp_path / "released", "class")
    convert(config, checkpoint, tmp_path / "model")
    model = priors.load(tmp_path / "model/prior").model
    assert isinstance(model, Net2Net)
    assert model.new_cache(torch.zeros(1, 1, WIDTH), 15).keys_LBHPE.shape[3] == 16
