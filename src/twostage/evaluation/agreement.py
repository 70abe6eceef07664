"""How well images agree with the condition that they were drawn under, image by image."""

# N images, K conditions, P images of a condition, H height, W width, C channels

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch

from twostage import tokenizers
from twostage.data.maps import canny_edges, low_resolution
from twostage.errors import TwostageError
from twostage.evaluation.classifier import Classifier
from twostage.runtime import training
from twostage.weights.lpips import PerceptualDistance

# A decoder's black is not exactly black: what is brighter than this belongs to the silhouette.
SILHOUETTE_ABOVE = 32
GREY = 128  # what a classifier sees in place of what was given
BATCH = 100


@dataclass(frozen=True)
class Given:
    """What images should agree with: of each its real image, its label and its condition map (None if there is none).

    Images of one condition follow each other, `per_condition` of them. `rows_given`: the share of an image's rows, from
    the top, that was given with the condition, so that nothing there is measured.
    """

    image_NHWC: np.ndarray
    label_N: np.ndarray
    map_NHWC: np.ndarray | None
    per_condition: int = 1
    rows_given: float = 0.0


@dataclass(frozen=True)
class Judges:
    """What measures: LPIPS and a classifier where a quantity needs them, and the width of the edge detector."""

    lpips: PerceptualDistance | None
    classifier: Classifier | None
    canny_sigma: float


def agreement(quantity: str, image_NHWC: np.ndarray, given: Given, judges: Judges) -> np.ndarray:
    """One quantity of images uint8, float64 [N]; of the diversity of one condition's images, [K].

    It is of the rows that were drawn. The classifier takes whole images, so it sees the given rows in grey. Edges are
    found in the drawn rows alone, so along the cut they may differ from the map's.
    Raises TwostageError for an unknown quantity, where what it needs is not there, or if a row was given in part.
    """
    drawn_NHWC, truth_NHWC = (below(images, given.rows_given) for images in (image_NHWC, given.image_NHWC))
    drawn_map = None if given.map_NHWC is None else below(given.map_NHWC, given.rows_given)
    match quantity, judges, drawn_map:
        case "class_recovered", Judges(classifier=Classifier() as classifier), _:
            seen_NHWC = greyed(image_NHWC, given.rows_given)
            return (classifier.probabilities(seen_NHWC).argmax(1) == given.label_N).astype(float)
        case "edges_f1", _, np.ndarray() as map_NHWC:
            return edge_f1(canny_edges(drawn_NHWC, judges.canny_sigma) > 0, map_NHWC[..., 0] > 0)
        case "silhouette_iou", _, np.ndarray() as map_NHWC:
            return overlap(drawn_NHWC.max(axis=-1) > SILHOUETTE_ABOVE, map_NHWC[..., 0] > 0)
        case "consistency_psnr_decibels", _, np.ndarray() as map_NHWC:
            return psnr_of(low_resolution(drawn_NHWC, drawn_NHWC.shape[1] // map_NHWC.shape[1]), map_NHWC)
        case "psnr_to_truth_decibels", _, _:
            return psnr_of(drawn_NHWC, truth_NHWC)
        case "lpips_to_truth", _, _ if judges.lpips is not None:
            return _likeness(drawn_NHWC, truth_NHWC, judges.lpips)
        case "diversity_lpips", _, _ if judges.lpips is not None:
            return _diversity(drawn_NHWC, given.per_condition, judges.lpips)
        case _:
            raise TwostageError(
                f"{quantity} cannot be measured of these images: it is unknown, or its map, classifier or LPIPS is "
                "missing; measure something else"
            )


def first_drawn(height: int, rows_given: float) -> int:
    """The first of `height` rows that was drawn. Raises TwostageError if a row was given in part."""
    row = round(height * rows_given)
    if not np.isclose(row, height * rows_given):
        raise TwostageError(
            f"the upper {rows_given:g} of {height} rows, which were given, are no whole rows; set sampling.given so "
            "that whole rows of images and maps are drawn"
        )
    return row


def below(image_NHWC: np.ndarray, rows_given: float) -> np.ndarray:
    """The rows of images or maps that were drawn. Raises TwostageError as `first_drawn`."""
    return image_NHWC[:, first_drawn(image_NHWC.shape[1], rows_given) :]


def greyed(image_NHWC: np.ndarray, rows_given: float) -> np.ndarray:
    """Images uint8 with grey in place of the given rows. Raises TwostageError as `first_drawn`."""
    seen_NHWC = np.array(image_NHWC)
    seen_NHWC[:, : first_drawn(image_NHWC.shape[1], rows_given)] = GREY
    return seen_NHWC


def edge_f1(found_NHW: np.ndarray, wanted_NHW: np.ndarray) -> np.ndarray:
    """Harmonic mean of precision and recall of edge pixels at their very places, float64 [N]; 1 where there is none.

    With a pixel's tolerance, edges of unrelated 32x32 images agree to two thirds: a fifth of their pixels are edges.
    """
    both_N, all_N = (found_NHW & wanted_NHW).sum((1, 2)), found_NHW.sum((1, 2)) + wanted_NHW.sum((1, 2))
    return np.where(all_N > 0, 2 * both_N / np.maximum(all_N, 1), 1.0)


def overlap(a_NHW: np.ndarray, b_NHW: np.ndarray) -> np.ndarray:
    """Intersection over union of masks, float64 [N]; 1 where both are empty."""
    union_N = (a_NHW | b_NHW).sum((1, 2))
    return np.where(union_N > 0, (a_NHW & b_NHW).sum((1, 2)) / np.maximum(union_N, 1), 1.0)


def psnr_of(a_NHWC: np.ndarray, b_NHWC: np.ndarray) -> np.ndarray:
    """Peak signal-to-noise ratio of uint8 images, decibels, float64 [N]; equal images count as one grey level off."""
    square_N = np.square(a_NHWC.astype(np.float64) - b_NHWC).mean(axis=(1, 2, 3))
    return 10 * np.log10(255**2 / np.maximum(square_N, 1.0))


@torch.inference_mode()
def _likeness(image_NHWC: np.ndarray, truth_NHWC: np.ndarray, lpips: PerceptualDistance) -> np.ndarray:
    """LPIPS of images to the real ones of their conditions, float64 [N]."""
    found: list[np.ndarray] = []
    for start in range(0, len(image_NHWC), BATCH):
        ours, truth = (_prepared(images[start : start + BATCH]) for images in (image_NHWC, truth_NHWC))
        found.append(lpips(ours, truth).double().cpu().numpy())
    return np.concatenate(found)


@torch.inference_mode()
def _diversity(image_NHWC: np.ndarray, per_condition: int, lpips: PerceptualDistance) -> np.ndarray:
    """Mean LPIPS between the images of one condition, float64 [K]."""
    found = []
    for start in range(0, len(image_NHWC), per_condition):
        features = lpips.features(_prepared(image_NHWC[start : start + per_condition]))
        pairs = list(combinations(range(per_condition), 2))
        a, b = (np.array(side) for side in zip(*pairs, strict=True))
        distance_P = lpips.distance([level[a] for level in features], [level[b] for level in features])
        found.append(float(distance_P.mean()))
    return np.array(found)


def _prepared(image_NHWC: np.ndarray) -> torch.Tensor:
    return tokenizers.prepare_map(np.asarray(image_NHWC), "colour").to(training.device())
