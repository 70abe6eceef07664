"""Nearest images: those of brute force, however they are cut into chunks."""

import numpy as np
import pytest
import torch

from twostage.evaluation import neighbours
from twostage.evaluation.neighbours import nearest
from twostage.evaluation.overfitting import nearest_of
from twostage.weights.lpips import PerceptualDistance

from .conftest import random_images


class Tiny(PerceptualDistance):
    """LPIPS with two small random levels in the backbone's place."""

    def __init__(self):
        torch.nn.Module.__init__(self)
        generator = torch.Generator().manual_seed(0)
        self.kernels = [torch.randn(width, 3, size, size, generator=generator) for width, size in ((4, 2), (6, 4))]
        for level in range(2):
            self.register_buffer(f"head_{level}", torch.rand((4, 6)[level], generator=generator))

    def features(self, image_BCHW):
        found = [torch.nn.functional.conv2d(image_BCHW, kernel, stride=kernel.shape[-1]) for kernel in self.kernels]
        return [level / level.norm(dim=1, keepdim=True).clamp_min(1e-6) for level in found]


def brute_force(lpips, query, images):
    a, b = (torch.from_numpy(x.astype(np.float32) / 127.5 - 1).permute(0, 3, 1, 2) for x in (query, images))
    return np.stack([lpips(one[None].expand(len(b), -1, -1, -1), b).numpy() for one in a])


@pytest.mark.parametrize(("chunk", "query_bytes"), [(50, 2**28), (4, 1), (1, 10**4)])
def test_they_are_those_of_brute_force(monkeypatch, chunk, query_bytes):
    monkeypatch.setattr(neighbours, "CHUNK", chunk)
    monkeypatch.setattr(neighbours, "QUERY_BYTES", query_bytes)
    lpips, query, images = Tiny(), random_images(5, 0), random_images(17, 1)
    distance_NL, place_NL = nearest(lpips, query, images, 3)
    expected = brute_force(lpips, query, images)
    assert np.array_equal(place_NL, expected.argsort(1)[:, :3])
    assert distance_NL == pytest.approx(np.sort(expected, axis=1)[:, :3], abs=1e-5)


def test_a_copy_is_at_distance_zero_and_a_mirrored_copy_too():
    lpips, images = Tiny(), random_images(9, 1)
    parts = [images, images[:, :, ::-1]]
    query = np.stack([images[3], images[5, :, ::-1]])
    distance_ML, shown = nearest_of(lpips, query, parts, 2, 2)
    assert distance_ML[:, 0] == pytest.approx([0, 0], abs=1e-5)
    assert np.array_equal(shown[:, 0], query)
    assert (np.diff(distance_ML, axis=1) >= 0).all()


def test_more_neighbours_than_images_are_refused():
    with pytest.raises(ValueError, match="3 neighbours out of 2 images"):
        nearest(Tiny(), random_images(1, 0), random_images(2, 1), 3)
