"""How well samples agree with the condition that they were drawn under, image by image."""

# N samples, K conditions, P samples of a condition, H height, W width, C channels

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
BATCH = 100


@dataclass(frozen=True)
class Given:
    """What the samples should agree with: per sample its image, label and condition map (None if there is none)."""

    image_NHWC: np.ndarray
    label_N: np.ndarray
    map_NHWC: np.ndarray | None


@dataclass(frozen=True)
class Judges:
    """What measures: LPIPS, and what each kind of agreement needs."""

    lpips: PerceptualDistance
    classifier: Classifier | None
    canny_sigma: float


def agreement(kind: str, image_NHWC: np.ndarray, given: Given, judges: Judges) -> dict[str, np.ndarray]:
    """Agreement of one kind of samples uint8, name -> float64 [N]; higher is better.

    Raises TwostageError for an unknown kind, or where there is no map to agree with.
    """
    match kind, judges.classifier, given.map_NHWC:
        case "class", Classifier() as classifier, _:
            return {"class_recovered": (classifier.probabilities(image_NHWC).argmax(1) == given.label_N).astype(float)}
        case "edges", _, np.ndarray() as map_NHWC:
            edges_NHW = canny_edges(image_NHWC, judges.canny_sigma) > 0
            return {"edges_f1": edge_f1(edges_NHW, map_NHWC[..., 0] > 0)}
        case "silhouette", _, np.ndarray() as map_NHWC:
            shape_NHW = image_NHWC.max(axis=-1) > SILHOUETTE_ABOVE
            return {"silhouette_iou": overlap(shape_NHW, map_NHWC[..., 0] > 0)}
        case "low_resolution", _, np.ndarray() as map_NHWC:
            factor = image_NHWC.shape[1] // map_NHWC.shape[1]
            return {"consistency_psnr_decibels": psnr_of(low_resolution(image_NHWC, factor), map_NHWC)}
        case _:
            raise TwostageError(
                f"experiment.measures names {kind}, which this experiment's condition does not allow; expected class "
                "(of labelled data), edges, silhouette or low_resolution (of such a map)"
            )


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
def likeness(image_NHWC: np.ndarray, given: Given, judges: Judges) -> dict[str, np.ndarray]:
    """LPIPS and PSNR of samples to the real image of their condition, float64 [N]."""
    lpips: list[np.ndarray] = []
    for start in range(0, len(image_NHWC), BATCH):
        ours, truth = (_prepared(images[start : start + BATCH]) for images in (image_NHWC, given.image_NHWC))
        lpips.append(judges.lpips(ours, truth).double().cpu().numpy())
    decibels_N = psnr_of(np.asarray(image_NHWC), given.image_NHWC)
    return {"lpips_to_truth": np.concatenate(lpips), "psnr_to_truth_decibels": decibels_N}


@torch.inference_mode()
def diversity(image_NHWC: np.ndarray, per_condition: int, judges: Judges) -> dict[str, np.ndarray]:
    """Mean LPIPS between the samples of one condition, float64 [K]; nothing where a condition has a single sample."""
    if per_condition < 2:
        return {}
    found = []
    for start in range(0, len(image_NHWC), per_condition):
        features = judges.lpips.features(_prepared(image_NHWC[start : start + per_condition]))
        pairs = list(combinations(range(per_condition), 2))
        a, b = (np.array(side) for side in zip(*pairs, strict=True))
        distance_P = judges.lpips.distance([level[a] for level in features], [level[b] for level in features])
        found.append(float(distance_P.mean()))
    return {"diversity_lpips": np.array(found)}


def _prepared(image_NHWC: np.ndarray) -> torch.Tensor:
    return tokenizers.prepare_map(np.asarray(image_NHWC), "colour").to(training.device())
