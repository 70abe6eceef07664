"""Agreement with a condition: 1 for what agrees, chance for what does not."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from twostage.data.maps import canny_edges, low_resolution
from twostage.errors import TwostageError
from twostage.evaluation.agreement import (
    Given,
    Judges,
    agreement,
    below,
    edge_f1,
    overlap,
    psnr_of,
)
from twostage.evaluation.classifier import Classifier
from twostage.planning.conditions import AGREEMENT

from .conftest import random_images


class Levels(torch.nn.Module):
    """In LPIPS's place: mean squared difference of 2x2 averages, by features and a distance as LPIPS has them."""

    def features(self, image_BCHW):
        return [torch.nn.functional.avg_pool2d(image_BCHW, 2)]

    def distance(self, a, b):
        return (a[0] - b[0]).square().mean(dim=(1, 2, 3))

    def forward(self, a_BCHW, b_BCHW):
        return self.distance(self.features(a_BCHW), self.features(b_BCHW))


class ByRed(torch.nn.Module):
    """Class 1 if an image is redder than the middle."""

    def forward(self, image_BCHW):
        red_B = image_BCHW[:, 0].mean((1, 2))
        return torch.stack([-red_B, red_B], dim=1)


def judges():
    return Judges(Levels(), Classifier(ByRed(), "small", ["grey", "red"]), canny_sigma=1.0)


def test_edges_of_the_image_itself_agree_and_those_of_others_hardly():
    images = random_images(12, 0)
    given = Given(images, np.zeros(12), canny_edges(images, 1.0)[..., None])
    assert agreement("edges_f1", images, given, judges()) == pytest.approx(np.ones(12))
    assert agreement("edges_f1", np.roll(images, 1, axis=0), given, judges()).mean() < 0.6


def test_f1_counts_pixels_at_their_places():
    found, wanted = np.zeros((2, 4, 4), bool), np.zeros((2, 4, 4), bool)
    found[0, 0, :2] = wanted[0, 0, 1:3] = True
    assert edge_f1(found, wanted) == pytest.approx([0.5, 1])


def test_overlap_is_intersection_over_union():
    a, b = np.zeros((2, 4, 4), bool), np.zeros((2, 4, 4), bool)
    a[0, :2] = b[0, 1:3] = True
    assert overlap(a, b) == pytest.approx([1 / 3, 1])


def test_a_silhouette_is_what_is_not_black():
    layout = np.zeros((1, 8, 8, 1), np.uint8)
    layout[:, 2:6] = 4
    given = Given(np.zeros((1, 8, 8, 3), np.uint8), np.zeros(1), layout)
    sample = np.full((1, 8, 8, 3), 5, np.uint8)
    sample[:, 2:6] = 200
    assert agreement("silhouette_iou", sample, given, judges()) == pytest.approx([1])
    assert agreement("silhouette_iou", np.roll(sample, 2, axis=1), given, judges()) == pytest.approx([1 / 3])


def test_consistency_is_that_of_the_downsampled_sample():
    images = random_images(3, 0)
    given = Given(images, np.zeros(3), low_resolution(images, 4))
    # Fine structure with the same mean is as consistent as the image itself.
    textured = images.astype(int)
    textured[:, ::2] = textured[:, ::2].clip(9, 246) + 9
    textured[:, 1::2] = textured[:, 1::2].clip(9, 246) - 9
    name = "consistency_psnr_decibels"
    assert (agreement(name, images, given, judges()) > 48).all()
    assert (agreement(name, textured.astype(np.uint8), given, judges()) > 30).all()
    assert (agreement(name, 255 - images, given, judges()) < 15).all()


def test_a_class_is_recovered_where_the_classifier_sees_it():
    images = np.zeros((4, 8, 8, 3), np.uint8)
    images[2:, ..., 0] = 255
    given = Given(images, np.array([0, 1, 0, 1]), None)
    assert agreement("class_recovered", images, given, judges()).tolist() == [1, 0, 0, 1]


@pytest.mark.parametrize("kind", ["edges_f1", "mood"])
def test_a_measure_without_its_map_is_one_line(kind):
    images = random_images(1, 0)
    with pytest.raises(TwostageError, match=rf"^{kind} cannot be measured"):
        agreement(kind, images, Given(images, np.zeros(1), None), judges())


def test_likeness_and_diversity_are_zero_for_copies():
    images = random_images(4, 0)
    given = Given(images, np.zeros(4), None, per_condition=2)
    assert agreement("lpips_to_truth", images, given, judges()) == pytest.approx(np.zeros(4))
    assert (agreement("lpips_to_truth", random_images(4, 1), given, judges()) > 0).all()
    found = agreement("diversity_lpips", images[[0, 0, 1, 2]], given, judges())
    assert found[0] == pytest.approx(0)
    assert found[1] > 0


@pytest.mark.parametrize("quantity", AGREEMENT)
def test_every_quantity_of_agreement_can_be_measured(quantity):
    side = 4 if quantity == "consistency_psnr_decibels" else 8
    given = Given(np.zeros((2, 8, 8, 3), np.uint8), np.zeros(2), np.zeros((2, side, side, 3), np.uint8), 2)
    assert np.isfinite(agreement(quantity, given.image_NHWC, given, judges())).all()


def reddish(seed):
    images = random_images(4, seed)
    images[..., 0] = 255
    return images


def black(images, rows):
    """The images with their first rows, or their last ones, in black."""
    images = images.copy()
    images[:, rows] = 0
    return images


@pytest.mark.parametrize("quantity", AGREEMENT)
def test_what_was_given_changes_no_number_and_what_was_drawn_does(quantity):
    truth, images, maps = reddish(0), reddish(1), random_images(4, 2)
    step = 4 if quantity == "consistency_psnr_decibels" else 1
    given = Given(truth, np.ones(4), maps[:, ::step, ::step], per_condition=2, rows_given=0.5)
    found = agreement(quantity, images, given, judges())
    upper, lower = slice(8), slice(8, 16)
    assert agreement(quantity, black(images, upper), given, judges()).tolist() == found.tolist()
    assert agreement(quantity, black(images, lower), given, judges()).tolist() != found.tolist()
    other = replace(given, image_NHWC=black(truth, upper), map_NHWC=black(given.map_NHWC, slice(8 // step)))
    assert agreement(quantity, images, other, judges()).tolist() == found.tolist()


def test_a_half_that_is_real_does_not_flatter_the_other():
    truth, images = random_images(3, 0), random_images(3, 1)
    completed = np.concatenate([truth[:, :8], images[:, 8:]], axis=1)
    found = agreement("psnr_to_truth_decibels", completed, Given(truth, np.zeros(3), None, rows_given=0.5), judges())
    assert found == pytest.approx(psnr_of(images[:, 8:], truth[:, 8:]))
    assert (agreement("psnr_to_truth_decibels", completed, Given(truth, np.zeros(3), None), judges()) > found + 2).all()


@pytest.mark.parametrize(("height", "rows_given", "drawn"), [(8, 0.0, 8), (8, 0.25, 6), (32, 0.375, 20), (3, 1 / 3, 2)])
def test_rows_are_cut_by_their_share(height, rows_given, drawn):
    rows = np.arange(height)[None, :, None, None]
    assert below(rows, rows_given).ravel().tolist() == list(range(height - drawn, height))


def test_a_row_that_was_given_in_part_is_one_line():
    images = random_images(1, 0)
    given = Given(images, np.zeros(1), np.zeros((1, 3, 3, 1), np.uint8), rows_given=0.5)
    with pytest.raises(TwostageError, match=r"^the upper 0\.5 of 3 rows, .* no whole rows; set sampling\.given"):
        agreement("consistency_psnr_decibels", images, given, judges())


def test_psnr_of_a_known_difference():
    a = np.full((1, 2, 2, 3), 100, np.uint8)
    assert psnr_of(a, a + 10) == pytest.approx([10 * np.log10(255**2 / 100)])
    # The difference of bytes does not wrap around.
    assert psnr_of(a + 10, a) == pytest.approx(psnr_of(a, a + 10))
