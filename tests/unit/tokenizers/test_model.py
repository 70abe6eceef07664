import pytest
import torch

from twostage.errors import TwostageError
from twostage.runtime.tensors import read_tensors, write_tensors
from twostage.tokenizers import Tokenizer, load
from twostage.tokenizers.model import save

from .conftest import small_config

LAYOUTS = {
    "paper": {},
    "released": {"layout": "released", "channel_multipliers": [1, 1, 2], "attention_levels": [2]},
}


def tokenizer(kind="colour", num_channels=3, **changes) -> Tokenizer:
    torch.manual_seed(0)
    made = Tokenizer(small_config(**changes), kind, num_channels).eval()
    with torch.no_grad():
        made.quantizer.codebook_KD.normal_()
    return made


@pytest.mark.parametrize("layout", LAYOUTS)
def test_saved_and_loaded_it_is_the_same(layout, tmp_path):
    made = tokenizer(**LAYOUTS[layout])
    save(made, tmp_path)
    loaded = load(tmp_path)
    image_BCHW = torch.randn(2, 3, 16, 24)
    index_BHW = made.encode(image_BCHW)
    assert index_BHW.shape == (2, 4, 6)
    assert index_BHW.dtype == torch.int64
    assert torch.equal(loaded.encode(image_BCHW), index_BHW)
    assert torch.equal(loaded.decode(index_BHW), made.decode(index_BHW))
    assert (loaded.num_codes, loaded.factor, loaded.num_channels, loaded.kind) == (16, 4, 3, "colour")
    assert loaded.config == made.config


@pytest.mark.parametrize("layout", LAYOUTS)
def test_decoding_codes_is_the_forward_pass(layout):
    made = tokenizer(**LAYOUTS[layout])
    image_BCHW = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(made.decode(made.encode(image_BCHW)), made(image_BCHW).output_BCHW)


def test_encoding_never_runs_the_decoder():
    made = tokenizer()
    del made.decoder
    assert made.encode(torch.randn(1, 3, 16, 16)).shape == (1, 4, 4)


def test_sizes_and_channels_that_do_not_fit_are_named():
    with pytest.raises(TwostageError, match="divisible by 4, got 16x18"):
        tokenizer().encode(torch.zeros(1, 3, 16, 18))
    with pytest.raises(TwostageError, match="takes 3 channels, got 1"):
        tokenizer().encode(torch.zeros(1, 1, 16, 16))


@pytest.mark.parametrize(
    ("kind", "num_channels", "reconstruction", "low", "high"),
    [
        ("labels", 5, "cross_entropy", 0, 1),
        ("labels", 5, "binary_cross_entropy", 0, 1),
        ("binary", 1, "binary_cross_entropy", -1, 1),
    ],
)
def test_logits_become_what_prepare_makes(kind, num_channels, reconstruction, low, high):
    made = tokenizer(kind, num_channels, loss__reconstruction=reconstruction)
    image_BCHW = made.decode(torch.randint(0, 16, (2, 4, 4)))
    assert image_BCHW.shape == (2, num_channels, 16, 16)
    assert image_BCHW.min() >= low
    assert image_BCHW.max() <= high
    if reconstruction == "cross_entropy":
        torch.testing.assert_close(image_BCHW.sum(1), torch.ones(2, 16, 16))


def test_weights_of_another_model_are_refused(tmp_path):
    save(tokenizer(), tmp_path)
    tensors, _ = read_tensors(tmp_path / "model.safetensors")
    tensors.pop("quantizer.codebook_KD")
    write_tensors(tmp_path / "model.safetensors", tensors)
    with pytest.raises(TwostageError, match=r"model.safetensors does not match config.json.*codebook"):
        load(tmp_path)
    with pytest.raises(TwostageError, match=r"config\.json is missing"):
        load(tmp_path / "elsewhere")
