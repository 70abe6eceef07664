"""A released-format hourglass transformer gives the stored logits."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.unit.priors.conftest import convert_by_command
from twostage import priors
from twostage.errors import TwostageError
from twostage.priors.import_released import convert
from twostage.priors.rotary import released_frequencies

REFERENCE = Path(__file__).parents[4] / "shared" / "reference"
SIZES = {"vocab_size": 5, "sequence_length": 16, "dim": 8, "nb_heads": 2, "dim_head": 4, "shorten_factor": 4,
         "depth": [1, 1, 1], "use_rotary": True, "conditional": False, "num_classes": 0}  # fmt: skip


@pytest.fixture
def reference():
    paths = [REFERENCE / f"sundae_hourglass_tiny{suffix}" for suffix in (".json", ".pt", "_io.npz")]
    if not all(path.exists() for path in paths):
        pytest.skip("the reference pair (sundae_hourglass_tiny.*) lies beside the repository, too large for it")
    return paths


def test_the_stored_logits_come_out(reference, tmp_path, monkeypatch):
    config, checkpoint, pairs = reference
    out = str(tmp_path / "sundae")
    convert_by_command(config, checkpoint, out, monkeypatch)
    with np.load(pairs) as stored:
        logits = priors.load(out).logits(torch.from_numpy(stored["tokens"]), class_B=None)
        np.testing.assert_allclose(logits.numpy(), stored["logits"], atol=1e-5, rtol=0)


def test_the_papers_model_is_another_one(reference, tmp_path):
    """Rotating every head, and attending to the very patch, changes what comes out: the switches do something."""
    config, checkpoint, pairs = reference
    convert(config, checkpoint, tmp_path / "sundae")
    stored = json.loads((tmp_path / "sundae/config.json").read_text())
    tokens = torch.from_numpy(np.load(pairs)["tokens"])
    released = priors.load(tmp_path / "sundae").logits(tokens)
    for key, ours in (("rotary", "axial"), ("resampling", "patches")):
        changed = stored | {"sundae": stored["sundae"] | {key: ours}}
        (tmp_path / "sundae/config.json").write_text(json.dumps(changed))
        assert (priors.load(tmp_path / "sundae").logits(tokens) - released).abs().max() > 1e-3


def released_tensors(conditional=False):
    """Every tensor of a small hourglass transformer, under its released name."""
    shapes = {"token_emb.weight": (5, 8), "to_logits.weight": (5, 8), "to_logits.bias": (5,)}
    shapes |= {"class_emb.weight": (3, 8)} if conditional else {}
    shapes |= {"transformer.norm_out.weight": (8,), "transformer.norm_out.bias": (8,)}
    shapes |= {"transformer.downsample.proj.weight": (8, 32), "transformer.downsample.proj.bias": (8,)}
    shapes |= {"transformer.upsample.proj.weight": (32, 8), "transformer.upsample.proj.bias": (32,)}
    layer = {"0.norm.weight": (8,), "0.norm.bias": (8,), "0.fn.to_q.weight": (8, 8), "0.fn.to_kv.weight": (16, 8)}
    layer |= {"0.fn.to_out.weight": (8, 8), "0.fn.to_out.bias": (8,), "1.norm.weight": (8,), "1.norm.bias": (8,)}
    layer |= {"1.fn.0.weight": (32, 8), "1.fn.0.bias": (32,), "1.fn.3.weight": (8, 32), "1.fn.3.bias": (8,)}
    parts = ["pre_transformer", "valley_transformer", "post_transformer"]
    parts += ["attn_resampling_pre_valley", "attn_resampling_post_valley"]
    for part in parts:
        shapes |= {f"transformer.{part}.layers.0.{name}": shape for name, shape in layer.items()}
    tensors = {name: torch.randn(shape) for name, shape in shapes.items()}
    for part in parts:
        side = 2 if part == "valley_transformer" else 16
        tensors[f"transformer.{part}.rotary_pos_emb.freqs"] = released_frequencies(side, 1)
    return tensors


def converted(folder, tensors, **changes):
    torch.save({"net": tensors}, folder / "c.pt")
    sizes = {name: size for name, size in (SIZES | changes).items() if size is not None}
    (folder / "c.json").write_text(json.dumps(sizes))
    convert(folder / "c.json", folder / "c.pt", folder / "out")
    return priors.load(folder / "out")


def test_a_class_conditional_checkpoint_takes_classes(tmp_path):
    prior = converted(tmp_path, released_tensors(conditional=True), conditional=True, num_classes=3)
    index = torch.zeros(2, 16, dtype=torch.int64)
    first, second = prior.logits(index, torch.tensor([0, 2]))
    assert (first - second).abs().max() > 1e-3
    with pytest.raises(TwostageError, match="class 3 is out of range"):
        prior.logits(index, torch.tensor([0, 3]))


def test_one_that_was_imported_by_an_earlier_version_is_to_be_imported_again(tmp_path):
    converted(tmp_path, released_tensors())
    config = json.loads((tmp_path / "out/config.json").read_text())
    del config["tokens"]["tokenizer_sha256"]
    (tmp_path / "out/config.json").write_text(json.dumps(config))
    with pytest.raises(TwostageError, match=r"config\.json is not the config .* train it again, or import it again$"):
        priors.load(tmp_path / "out")


def test_what_has_no_influence_is_not_kept(tmp_path):
    """Queries to a single key, and their norm."""
    tensors = released_tensors()
    index = torch.randint(5, (2, 16))
    first = converted(tmp_path, tensors).logits(index)
    for name in ("0.norm.weight", "0.norm.bias", "0.fn.to_q.weight"):
        tensors[f"transformer.attn_resampling_post_valley.layers.0.{name}"].fill_(7)
    assert torch.equal(converted(tmp_path, tensors).logits(index), first)
    tensors["transformer.attn_resampling_pre_valley.layers.0.0.fn.to_q.weight"].fill_(7)
    assert not torch.equal(converted(tmp_path, tensors).logits(index), first)


@pytest.mark.parametrize(
    "name", ["to_logits.bias", "transformer.valley_transformer.layers.0.0.fn.to_kv.weight",
             "transformer.pre_transformer.layers.0.0.fn.to_q.weight", "transformer.upsample.proj.bias"]
)  # fmt: skip
def test_a_missing_tensor_is_named(tmp_path, name):
    tensors = released_tensors()
    del tensors[name]
    with pytest.raises(TwostageError, match="missing"):
        converted(tmp_path, tensors)
    assert not (tmp_path / "out").exists()


def test_what_does_not_fit_is_named(tmp_path):
    with pytest.raises(TwostageError, match=r"unknown tensor transformer\.extra"):
        converted(tmp_path, released_tensors() | {"transformer.extra": torch.zeros(1)})
    with pytest.raises(TwostageError, match=r"head\.weight is \(6, 8\), the config expects \(5, 8\)"):
        converted(tmp_path, released_tensors() | {"to_logits.weight": torch.zeros(6, 8)})
    other = {"transformer.pre_transformer.rotary_pos_emb.freqs": torch.ones(1)}
    with pytest.raises(TwostageError, match="other frequencies"):
        converted(tmp_path, released_tensors() | other)
    with pytest.raises(TwostageError, match="sequence_length=12 must be a square number"):
        converted(tmp_path, released_tensors(), sequence_length=12)
    with pytest.raises(TwostageError, match="use_rotary=true"):
        converted(tmp_path, released_tensors(), use_rotary=False)
    with pytest.raises(TwostageError, match="expected conditional"):
        converted(tmp_path, released_tensors(), ff_mult=4)
    with pytest.raises(TwostageError, match="SundaeConfig: Invalid value"):
        converted(tmp_path, released_tensors(), depth=3)
    with pytest.raises(TwostageError, match="conditional but has no num_classes"):
        converted(tmp_path, released_tensors(conditional=True), conditional=True, num_classes=None)


def test_nothing_but_tensors_is_unpickled(tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    with pytest.raises(TwostageError, match="holds objects other than tensors"):
        converted(tmp_path, {"to_logits.bias": Evil()})
    assert not (tmp_path / "ran").exists()
    torch.save({"state_dict": released_tensors()}, tmp_path / "c.pt")
    with pytest.raises(TwostageError, match="has no net of tensors"):
        convert(tmp_path / "c.json", tmp_path / "c.pt", tmp_path / "out")
