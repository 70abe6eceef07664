"""Images through the tokenizer of a folder: what codes can keep of them comes back, in order."""

import numpy as np
import torch

from tests.unit.tokenizers.conftest import small_config
from twostage.evaluation.reconstruct import gradient_size, reconstructed
from twostage.tokenizers import model, pixels
from twostage.tokenizers.model import Tokenizer
from twostage.tokenizers.pixels import PixelTokenizer

from .conftest import random_images

GREYS = np.array([0, 100, 220], np.uint8)


def test_a_palette_gives_back_its_own_colours_and_of_others_the_nearest(tmp_path):
    pixels.save(PixelTokenizer(torch.from_numpy(GREYS)[:, None].repeat(1, 3)), "greys", tmp_path)
    image_NHWC = np.repeat(np.random.default_rng(0).choice(GREYS, (5, 8, 6, 1)), 3, axis=3)
    # Two whole batches and a rest.
    np.testing.assert_array_equal(reconstructed(tmp_path, image_NHWC, 2), image_NHWC)
    np.testing.assert_array_equal(reconstructed(tmp_path, image_NHWC + 9, 2), image_NHWC)


def test_networks_give_bytes_of_the_images_shape_whatever_the_batches(tmp_path):
    torch.manual_seed(0)
    model.save(Tokenizer(small_config(), "colour", 3), tmp_path)
    image_NHWC = random_images(5, 0)
    found = reconstructed(tmp_path, image_NHWC, 2)
    assert (found.shape, found.dtype) == (image_NHWC.shape, np.uint8)
    # Sums are rounded otherwise in another batch.
    assert np.abs(found.astype(int) - reconstructed(tmp_path, image_NHWC, 5)).max() <= 1
    assert not np.array_equal(found[0], found[1])


def test_gradients_halve_where_contrast_does_and_vanish_where_all_is_flat():
    # Stripes of one pixel: neighbours to the right differ by 2, those below not at all.
    stripes_BCHW = torch.tensor([-1.0, 1.0]).repeat(4).expand(2, 3, 6, 8)
    image_BCHW = torch.cat([stripes_BCHW, 0.5 * stripes_BCHW, torch.zeros(1, 3, 6, 8)])
    assert gradient_size(image_BCHW).tolist() == [1.0, 1.0, 0.5, 0.5, 0.0]
