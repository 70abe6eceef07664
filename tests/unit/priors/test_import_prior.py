"""A released-format transformer gives the stored logits."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from tests.unit.priors.conftest import convert_by_command
from twostage import priors
from twostage.errors import TwostageError
from twostage.priors.import_released import convert

REFERENCE = Path(__file__).parents[4] / "shared" / "reference"
SIZES = {"n_embd": 8, "n_layer": 1, "n_head": 2, "vocab_size": 5, "block_size": 6}


@pytest.fixture
def reference():
    paths = [REFERENCE / f"taming_net2net_tiny{suffix}" for suffix in (".yaml", ".ckpt", "_io.npz")]
    if not all(path.exists() for path in paths):
        pytest.skip("the reference pairs (taming_net2net_tiny.*) lie beside the repository, too large for it")
    return paths


def test_the_stored_logits_come_out(reference, tmp_path):
    config, checkpoint, pairs = reference
    convert(config, checkpoint, tmp_path / "gpt")
    prior = priors.load(tmp_path / "gpt")
    with np.load(pairs) as stored:
        logits = prior.logits(torch.from_numpy(stored["tokens"]))
        np.testing.assert_allclose(logits.numpy(), stored["logits"], atol=1e-5, rtol=0)
    assert prior.first_predicted == 1


def test_the_command_line_converts(reference, tmp_path, monkeypatch):
    config, checkpoint, _ = reference
    out = str(tmp_path / "gpt")
    convert_by_command(config, checkpoint, out, monkeypatch)
    assert priors.load(tmp_path / "gpt").model.codes.num_embeddings == 64


def released_tensors():
    """Every tensor of a one-layer transformer, under its released name."""
    shapes = {"pos_emb": (1, 6, 8), "tok_emb.weight": (5, 8), "head.weight": (5, 8), "blocks.0.attn.mask": (1, 1, 6, 6)}
    for norm in ("ln_f", "blocks.0.ln1", "blocks.0.ln2"):
        shapes |= {f"{norm}.weight": (8,), f"{norm}.bias": (8,)}
    for linear in ("query", "key", "value", "proj"):
        shapes |= {f"blocks.0.attn.{linear}.weight": (8, 8), f"blocks.0.attn.{linear}.bias": (8,)}
    shapes |= {"blocks.0.mlp.0.weight": (32, 8), "blocks.0.mlp.0.bias": (32,)}
    shapes |= {"blocks.0.mlp.2.weight": (8, 32), "blocks.0.mlp.2.bias": (8,)}
    return {f"transformer.{name}": torch.randn(shape) for name, shape in shapes.items()}


def converted(folder, tensors, sizes=None):
    torch.save({"state_dict": tensors}, folder / "c.ckpt")
    tree = {"model": {"params": {"transformer_config": {"params": SIZES if sizes is None else sizes}}}}
    (folder / "c.yaml").write_text(yaml.safe_dump(tree))
    convert(folder / "c.yaml", folder / "c.ckpt", folder / "out")


def test_projections_are_joined_in_order(tmp_path):
    tensors = released_tensors()
    converted(tmp_path, tensors)
    joined = priors.load(tmp_path / "out").model.transformer.blocks[0].attention.query_key_value.weight
    parts = [tensors[f"transformer.blocks.0.attn.{name}.weight"] for name in ("query", "key", "value")]
    assert torch.equal(joined, torch.cat(parts))


@pytest.mark.parametrize(
    "name", ["transformer.head.weight", "transformer.blocks.0.attn.key.bias", "transformer.blocks.0.mlp.2.bias"]
)
def test_a_missing_tensor_is_named(tmp_path, name):
    tensors = released_tensors()
    del tensors[name]
    with pytest.raises(TwostageError, match="missing"):
        converted(tmp_path, tensors)
    assert not (tmp_path / "out").exists()


def test_an_unknown_tensor_or_another_shape_is_named(tmp_path):
    with pytest.raises(TwostageError, match=r"unknown tensor transformer\.extra"):
        converted(tmp_path, released_tensors() | {"transformer.extra": torch.zeros(1)})
    with pytest.raises(TwostageError, match=r"head\.weight is \(6, 8\), the config expects \(5, 8\)"):
        converted(tmp_path, released_tensors() | {"transformer.head.weight": torch.zeros(6, 8)})
    with pytest.raises(TwostageError, match="no tensor named"):
        converted(tmp_path, {"first_stage_model.x": torch.zeros(1)})


def test_nothing_but_tensors_is_unpickled(tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    with pytest.raises(TwostageError, match="holds objects other than tensors"):
        converted(tmp_path, {"transformer.x": Evil()})
    assert not (tmp_path / "ran").exists()


def test_files_that_are_not_what_they_should_be_are_named(tmp_path):
    converted(tmp_path, released_tensors())
    (tmp_path / "broken.ckpt").write_bytes((tmp_path / "c.ckpt").read_bytes()[:500])
    with pytest.raises(TwostageError, match=r"broken\.ckpt is truncated"):
        convert(tmp_path / "c.yaml", tmp_path / "broken.ckpt", tmp_path / "no")
    with pytest.raises(TwostageError, match=r"none\.ckpt does not exist"):
        convert(tmp_path / "c.yaml", tmp_path / "none.ckpt", tmp_path / "no")
    (tmp_path / "wrong.yaml").write_text("model: {}")
    with pytest.raises(TwostageError, match="transformer_config"):
        convert(tmp_path / "wrong.yaml", tmp_path / "c.ckpt", tmp_path / "no")
    with pytest.raises(TwostageError, match="n_unmasked"):
        converted(tmp_path, released_tensors(), SIZES | {"n_unmasked": 4})


def test_loading_a_folder_that_is_no_prior_says_so(tmp_path):
    with pytest.raises(TwostageError, match=r"config\.json is missing"):
        priors.load(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(TwostageError, match="not the config of a prior"):
        priors.load(tmp_path)


def test_a_released_prior_takes_its_condition_in_the_sequence(tmp_path):
    converted(tmp_path, released_tensors())
    index = torch.zeros(1, 3, dtype=torch.int64)
    with pytest.raises(TwostageError, match="first tokens of the sequence"):
        priors.load(tmp_path / "out").logits(index, index)
