import subprocess
import sys

import numpy as np
import pytest
import torch
import yaml

from twostage.errors import TwostageError
from twostage.runtime.tensors import read_tensors
from twostage.tokenizers import load
from twostage.tokenizers.discriminator import PatchDiscriminator
from twostage.tokenizers.import_released import convert

from .conftest import reference


@pytest.fixture
def pair():
    return reference("taming_vqgan_f4.yaml"), reference("taming_vqgan_f4.ckpt")


@pytest.fixture
def known():
    return np.load(reference("taming_vqgan_f4_io.npz"))


@pytest.fixture
def imported(pair, tmp_path):
    convert(*pair, tmp_path / "imported")
    return tmp_path / "imported"


def image(known) -> torch.Tensor:
    return torch.from_numpy(known["image_uint8"]).float() / 127.5 - 1.0


def test_indices_and_reconstructions_are_the_released_ones(imported, known):
    tokenizer = load(imported)
    index_BHW = tokenizer.encode(image(known))
    assert np.array_equal(index_BHW, known["indices"])
    np.testing.assert_allclose(tokenizer.quantizer.lookup(index_BHW), known["z_q"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(tokenizer.decode(index_BHW), known["reconstruction"], rtol=1e-5, atol=1e-5)


def test_codebook_loss_is_the_released_one(imported, known):
    tokenizer = load(imported)
    assert tokenizer.config.quantizer.beta_on == "codebook"
    loss = tokenizer(image(known)).quantized.loss
    np.testing.assert_allclose(loss.detach(), known["codebook_loss_legacy"], rtol=1e-5)


def test_discriminator_logits_are_the_released_ones(imported, known):
    """The stored logits are those of the images, with the running averages of batch norm."""
    discriminator = PatchDiscriminator(3, 8, 2)
    tensors, _ = read_tensors(imported / "discriminator.safetensors")
    discriminator.load_state_dict(tensors)
    logit = discriminator.eval()(image(known)).detach()
    np.testing.assert_allclose(logit, known["discriminator_logits"], rtol=0, atol=1e-5)


def test_first_stage_of_a_transformer(imported, known, tmp_path):
    """The released transformer checkpoint carries a tokenizer of its own; it has no discriminator."""
    convert(reference("taming_net2net_tiny.yaml"), reference("taming_net2net_tiny.ckpt"), tmp_path / "first_stage")
    tokenizer = load(tmp_path / "first_stage")
    state = torch.load(reference("taming_net2net_tiny.ckpt"), weights_only=True)["state_dict"]
    assert torch.equal(tokenizer.quantizer.codebook_KD, state["first_stage_model.quantize.embedding.weight"])
    assert tokenizer.decode(tokenizer.encode(image(known))).shape == (2, 3, 32, 32)
    assert not (tmp_path / "first_stage" / "discriminator.safetensors").exists()


def changed_checkpoint(pair, tmp_path, change):
    content = torch.load(pair[1], weights_only=True)
    change(content["state_dict"])
    path = tmp_path / "changed.ckpt"
    torch.save(content, path)
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.update({"encoder.extra": torch.zeros(1)}), "1 keys unknown, the first is encoder.extra"),
        (lambda state: state.pop("quant_conv.bias"), "1 keys missing, the first is project_in.bias"),
        (lambda state: state.update({"quant_conv.bias": torch.zeros(3)}), "1 keys of wrong shape"),
        (lambda state: state.pop("loss.discriminator.main.0.bias"), "1 keys missing.*PatchDiscriminator"),
        (lambda state: state.update({"first_stage_model.x": torch.zeros(1)}), "key .* is unknown; beside first_stage"),
    ],
)
def test_every_key_counts(change, message, pair, tmp_path):
    with pytest.raises(TwostageError, match=message):
        convert(pair[0], changed_checkpoint(pair, tmp_path, change), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_perceptual_weights_are_left_out(pair, tmp_path):
    name = "loss.perceptual_loss.lin0.model.1.weight"
    path = changed_checkpoint(pair, tmp_path, lambda state: state.update({name: torch.zeros(1)}))
    convert(pair[0], path, tmp_path / "out")
    assert load(tmp_path / "out").num_codes == 64


class Stranger:
    """Something that a checkpoint must not be able to bring along."""


def test_objects_in_a_checkpoint_are_not_loaded(pair, tmp_path):
    path = tmp_path / "objects.ckpt"
    torch.save({"state_dict": {}, "callbacks": Stranger()}, path)
    with pytest.raises(TwostageError, match="holds objects other than tensors"):
        convert(pair[0], path, tmp_path / "out")


def test_damaged_and_missing_files_are_named(pair, tmp_path):
    damaged = tmp_path / "damaged.ckpt"
    damaged.write_bytes(pair[1].read_bytes()[:100_000])
    with pytest.raises(TwostageError, match=r"damaged.ckpt is truncated"):
        convert(pair[0], damaged, tmp_path / "out")
    with pytest.raises(TwostageError, match=r"nowhere\.ckpt does not exist"):
        convert(pair[0], tmp_path / "nowhere.ckpt", tmp_path / "out")
    with pytest.raises(TwostageError, match=r"nowhere\.yaml does not exist"):
        convert(tmp_path / "nowhere.yaml", pair[1], tmp_path / "out")
    with pytest.raises(TwostageError, match="is not YAML"):
        convert(damaged, pair[1], tmp_path / "out")
    torch.save({"weights": {}}, damaged)
    with pytest.raises(TwostageError, match="has no state_dict"):
        convert(pair[0], damaged, tmp_path / "out")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("double_z", True, "KL autoencoder"),
        ("out_ch", 4, "in_channels 3 and out_ch 4 differ"),
        ("ch_mult", None, "not found; expected a released VQGAN's YAML"),
        ("z_channels", 16, "of wrong shape"),
    ],
)
def test_configs_that_do_not_fit_are_named(key, value, message, pair, tmp_path):
    config = yaml.safe_load(pair[0].read_text())
    network = config["model"]["params"]["ddconfig"]
    network.pop(key) if value is None else network.update({key: value})
    path = tmp_path / "changed.yaml"
    path.write_text(yaml.safe_dump(config))
    with pytest.raises(TwostageError, match=message):
        convert(path, pair[1], tmp_path / "out")


def test_command_line(pair, tmp_path):
    command = [sys.executable, "-m", "twostage", "tokenizers.import_released", "--config", str(pair[0])]
    good = [*command, "--checkpoint", str(pair[1]), "--out", str(tmp_path / "out")]
    assert subprocess.run(good, capture_output=True, check=True).returncode == 0
    assert (tmp_path / "out" / "config.json").exists()
    bad = [*command, "--checkpoint", "nowhere.ckpt", "--out", str(tmp_path / "other")]
    outcome = subprocess.run(bad, capture_output=True, text=True, check=False)
    assert outcome.returncode == 1
    assert outcome.stderr.strip() == "error: --checkpoint nowhere.ckpt does not exist"
