"""The nearest of many images by LPIPS, in bounded memory."""

# N queries, M images, F features of an image, L their nearest, H height, W width, C channels

import math

import numpy as np
import torch

from twostage import tokenizers
from twostage.runtime import training
from twostage.weights.lpips import PerceptualDistance

# Images whose features are computed at a time, and the bytes that the features of all queries at a time may take.
CHUNK, QUERY_BYTES = 50, 2**28


@torch.inference_mode()
def nearest(
    lpips: PerceptualDistance, query_NHWC: np.ndarray, image_MHWC: np.ndarray, number: int
) -> tuple[np.ndarray, np.ndarray]:
    """LPIPS float32 [N, L] and places int64 [N, L] of the `number` nearest images of each query, the nearest first.

    Images are uint8. LPIPS is a squared Euclidean distance between weighted features, so that a matrix product gives
    that of all pairs. Memory grows with neither N nor M. Raises ValueError if there are fewer images than asked for.
    """
    if len(image_MHWC) < number:
        raise ValueError(f"{number} neighbours out of {len(image_MHWC)} images")
    bytes_each = 4 * _features(lpips, query_NHWC[:1]).shape[1]
    size = max(1, min(len(query_NHWC), QUERY_BYTES // bytes_each))
    parts = [_of_some(lpips, query_NHWC[start : start + size], image_MHWC, number)
             for start in range(0, len(query_NHWC), size)]  # fmt: skip
    distances, places = zip(*parts, strict=True)
    return np.concatenate(distances), np.concatenate(places)


def _of_some(
    lpips: PerceptualDistance, query_NHWC: np.ndarray, image_MHWC: np.ndarray, number: int
) -> tuple[np.ndarray, np.ndarray]:
    query_NF = _features(lpips, query_NHWC)
    square_N1 = query_NF.square().sum(1, keepdim=True)
    best_NL = torch.full((len(query_NF), 0), torch.inf, device=query_NF.device)
    place_NL = torch.zeros(len(query_NF), 0, dtype=torch.int64, device=query_NF.device)
    for start in range(0, len(image_MHWC), CHUNK):
        image_CF = _features(lpips, image_MHWC[start : start + CHUNK])
        distance_NC = square_N1 + image_CF.square().sum(1) - 2 * query_NF @ image_CF.T
        places_C = torch.arange(start, start + len(image_CF), device=query_NF.device)
        best_NL = torch.cat([best_NL, distance_NC], dim=1)
        place_NL = torch.cat([place_NL, places_C.expand(len(query_NF), -1)], dim=1)
        best_NL, order_NL = best_NL.topk(min(number, best_NL.shape[1]), dim=1, largest=False)
        place_NL = place_NL.gather(1, order_NL)
    # What cancels may end below zero by rounding.
    return best_NL.clamp_min(0).cpu().numpy(), place_NL.cpu().numpy()


def _features(lpips: PerceptualDistance, image_NHWC: np.ndarray) -> torch.Tensor:
    """Features [N, F] whose squared Euclidean distance is LPIPS."""
    parts = []
    for start in range(0, len(image_NHWC), CHUNK):
        batch = np.asarray(image_NHWC[start : start + CHUNK])
        levels = lpips.features(tokenizers.prepare_map(batch, "colour").to(training.device()))
        flat = []
        for level, feature_BCHW in enumerate(levels):
            weight_C = lpips.get_buffer(f"head_{level}") / math.prod(feature_BCHW.shape[2:])
            flat.append((feature_BCHW * weight_C.sqrt()[:, None, None]).flatten(1))
        parts.append(torch.cat(flat, dim=1))
    return torch.cat(parts)
