import numpy as np
import pytest
import torch

from twostage.errors import TwostageError
from twostage.tokenizers import as_bytes, prepare_map


@pytest.mark.parametrize("kind", ["colour", "grey", "binary"])
def test_bytes_become_minus_one_to_one(kind):
    byte_BHWC = np.array([0, 51, 255], np.uint8).reshape(1, 1, 3, 1)
    assert prepare_map(byte_BHWC, kind).flatten().tolist() == pytest.approx([-1.0, -0.6, 1.0])


def test_pixels_keep_their_place():
    byte_BHWC = np.random.default_rng(0).integers(0, 256, (2, 4, 6, 3)).astype(np.uint8)
    image_BCHW = prepare_map(byte_BHWC[:, :, ::-1], "colour")
    assert image_BCHW.shape == (2, 3, 4, 6)
    assert image_BCHW[1, 2, 3, 0].item() == pytest.approx(byte_BHWC[1, 3, 5, 2] / 127.5 - 1, abs=1e-6)


def test_images_become_bytes_channels_last():
    image_BCHW = torch.tensor([-3.0, -1.0, 0.0, 1.0, 2.0, 0.5]).view(1, 3, 1, 2)
    assert as_bytes(image_BCHW).tolist() == [[[[0, 128, 255], [0, 255, 191]]]]


def test_bytes_come_back_as_they_were():
    byte_BHWC = np.arange(256, dtype=np.uint8).reshape(1, 8, 32, 1)
    assert np.array_equal(as_bytes(prepare_map(byte_BHWC, "grey")), byte_BHWC)


def test_labels_become_one_hot():
    label_BHWC = np.array([2, 0], np.uint8).reshape(1, 1, 2, 1)
    one_hot_BCHW = prepare_map(label_BHWC, "labels", 3)
    assert torch.equal(one_hot_BCHW[0, :, 0].T, torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]))


def test_bad_maps_are_named():
    label_BHWC = np.full((1, 2, 2, 1), 7, np.uint8)
    with pytest.raises(TwostageError, match=r"label 7.*below 3.*num_labels"):
        prepare_map(label_BHWC, "labels", 3)
    with pytest.raises(TwostageError, match="number of labels"):
        prepare_map(label_BHWC, "labels")
    with pytest.raises(TwostageError, match="kind infrared"):
        prepare_map(label_BHWC, "infrared")
