"""Pictures in the layouts that people have are refused in one line that says how to get there."""

import numpy as np
import pytest
import torch

from twostage.errors import TwostageError
from twostage.tokenizers import tiles
from twostage.tokenizers.greys import grey_tokenizer
from twostage.tokenizers.maps import prepare_map
from twostage.tokenizers.model import Tokenizer

from .conftest import small_config

BYTES = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3)).astype(np.uint8)


def networks(kind="colour", num_channels=3):
    return Tokenizer(small_config(), kind, num_channels).eval()


@pytest.fixture(params=[networks, grey_tokenizer])
def tokenizer(request):
    torch.manual_seed(0)
    return request.param()


def refused(call, *arguments) -> str:
    with pytest.raises(TwostageError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


PREPARED = torch.zeros(2, 3, 16, 16)


@pytest.mark.parametrize(
    "given",
    [
        BYTES[0],
        BYTES,
        torch.from_numpy(BYTES[0]),
        torch.from_numpy(BYTES),
        torch.from_numpy(BYTES).float() / 127.5 - 1,
        torch.from_numpy(BYTES).permute(0, 3, 1, 2),
        torch.from_numpy(BYTES).permute(0, 3, 1, 2).float(),
        PREPARED[0],
        PREPARED.double(),
        PREPARED.half(),
        PREPARED[:0],
        PREPARED * float("nan"),
        BYTES.tolist(),
        None,
    ],
    ids=lambda given: f"{type(given).__name__} {getattr(given, 'dtype', '')} {list(getattr(given, 'shape', []))}",
)
def test_encode_says_what_it_takes(tokenizer, given):
    line = refused(tokenizer.encode, given)
    assert "float32 [B, 3, H, W] in [-1, 1]" in line
    assert "prepare" in line


def test_following_the_line_works(tokenizer):
    image_HWC = BYTES[0]
    line = refused(tokenizer.encode, image_HWC)
    assert "tokenizer.encode(tokenizer.prepare(map))" in line
    assert "image[None]" in line
    assert tokenizer.encode(tokenizer.prepare(image_HWC[None])).dtype == torch.int64


@pytest.mark.parametrize(
    "given", [BYTES[0], BYTES / 255, torch.from_numpy(BYTES), BYTES.transpose(0, 3, 1, 2), BYTES[..., :1], None]
)
def test_prepare_says_what_it_takes(tokenizer, given):
    assert "prepare takes a uint8 array [B, H, W, C]" in refused(tokenizer.prepare, given)


def test_binary_maps_of_zero_and_one_are_no_black_ones():
    edge_BHWC = np.eye(16, dtype=np.uint8)[None, ..., None]
    assert "multiply it by 255" in refused(prepare_map, edge_BHWC, "binary")
    assert prepare_map(edge_BHWC * 255, "binary").max() == 1


@pytest.mark.parametrize(
    "given",
    [
        np.zeros((1, 4, 4), np.int64),
        torch.zeros(4, 4, dtype=torch.int64),
        torch.zeros(1, 4, 4),
        torch.zeros(1, 4, 4, dtype=torch.bool),
        torch.zeros(1, 4, 4, dtype=torch.uint8),
        torch.zeros(1, 16, dtype=torch.int64),
        torch.zeros(0, 4, 4, dtype=torch.int64),
        [[[0]]],
    ],
)
def test_decode_says_what_it_takes(tokenizer, given):
    assert "decode takes codes int64 [B, h, w]" in refused(tokenizer.decode, given)


@pytest.mark.parametrize("code", [-1, 256])
def test_codes_out_of_range_are_refused(tokenizer, code):
    assert "[0, " in refused(tokenizer.decode, torch.full((1, 4, 4), code))


def test_tiles_take_the_same():
    made = networks()
    assert "prepare takes" in refused(tiles.encode, made, BYTES[0])
    assert "divisible by 4" in refused(tiles.encode, made, BYTES[:, :15])
    assert "decode takes codes" in refused(tiles.decode, made, torch.zeros(4, 4, dtype=torch.int64))


def test_reconstructions_may_be_encoded_again():
    made = networks()
    index_BHW = made.encode(made.prepare(BYTES))
    made.encode(made.decode(index_BHW) * 2)


def test_probabilities_of_labels_are_held_to_their_range():
    made = Tokenizer(small_config(map="segmentation"), "labels", 5).eval()
    label_BHW1 = np.zeros((1, 16, 16, 1), np.uint8)
    made.encode(made.prepare(label_BHW1))
    assert "in [0, 1]" in refused(made.encode, torch.full((1, 5, 16, 16), 2.0))
    assert "C = 1" in refused(made.prepare, np.zeros((1, 16, 16, 5), np.uint8))
