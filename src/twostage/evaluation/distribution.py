"""Distances between two sets of features, and Inception Score, by torch-fidelity's own functions.

Features are float32 tensors on the CPU: [N, D] of real images, [M, D] of samples. That they are enough for a metric is
for the caller to see to: `twostage.evaluation.samples.require_enough`.
"""

# N real images, M samples, C of a chunk, D features, K classes

import torch
from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, KEY_METRIC_ISC_STD, isc_features_to_metric
from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, KEY_METRIC_KID_STD, kid_features_to_metric
from torch_fidelity.metric_prc import KEY_METRIC_PRECISION, KEY_METRIC_RECALL, prc_features_to_metric

# Rows of distances that are in memory at a time.
CHUNK = 1000


def frechet_distance(real_ND: torch.Tensor, sample_MD: torch.Tensor) -> float:
    """FID. Source: Heusel et al. 2017, Eq. 6."""
    statistics = [fid_features_to_statistics(feature) for feature in (sample_MD, real_ND)]
    return float(fid_statistics_to_metric(*statistics, verbose=False)[KEY_METRIC_FID])


def kernel_distance(
    real_ND: torch.Tensor, sample_MD: torch.Tensor, subsets: int, subset_size: int, seed: int
) -> tuple[float, float]:
    """KID with its polynomial kernel: mean and standard deviation over seeded subsets, unbiased at any sample size.

    Source: Binkowski et al. 2018, Sec. 3.
    """
    found = kid_features_to_metric(
        sample_MD, real_ND, kid_subsets=subsets, kid_subset_size=subset_size, rng_seed=seed, verbose=False
    )
    return found[KEY_METRIC_KID_MEAN], found[KEY_METRIC_KID_STD]


def precision_recall(real_ND: torch.Tensor, sample_MD: torch.Tensor, neighbours: int) -> tuple[float, float]:
    """Precision and recall, both in [0, 1], by balls up to the k-th neighbour.

    Source: Kynkaanniemi et al. 2019, Eq. 1 and 2, on Inception features where they had VGG's.
    """
    found = prc_features_to_metric(
        sample_MD, real_ND, prc_neighborhood=neighbours, prc_batch_size=CHUNK, save_cpu_ram=True, verbose=False
    )
    return found[KEY_METRIC_PRECISION], found[KEY_METRIC_RECALL]


def inception_score(logits_MK: torch.Tensor, splits: int, seed: int) -> tuple[float, float]:
    """Inception Score from logits without bias: mean and standard deviation over splits of the shuffled samples.

    Source: Salimans et al. 2016, Sec. 4.
    """
    found = isc_features_to_metric(logits_MK, splits=splits, shuffle=True, rng_seed=seed)
    return found[KEY_METRIC_ISC_MEAN], found[KEY_METRIC_ISC_STD]


def density_coverage(real_ND: torch.Tensor, sample_MD: torch.Tensor, neighbours: int) -> tuple[float, float]:
    """Density, not bounded by 1, and coverage, in [0, 1]; memory grows with N + M only.

    Density is the mean number of real balls around a sample, over k; coverage the share of real balls that hold any
    sample; the ball of a real image reaches, without its rim, to the k-th nearest other real one. Source: Naeem et
    al. 2020, Eq. 3 and 4.
    """
    real_ND, sample_MD = real_ND.double(), sample_MD.double()
    num_inside, num_covered = 0, 0
    for chunk_CD in real_ND.split(CHUNK):
        # One more than k, as every image is its own nearest neighbour.
        radius_C = _distances(chunk_CD, real_ND).kthvalue(neighbours + 1).values
        inside_CM = _distances(chunk_CD, sample_MD) < radius_C[:, None]
        num_inside += int(inside_CM.sum())
        num_covered += int(inside_CM.any(dim=1).sum())
    return num_inside / (neighbours * len(sample_MD)), num_covered / len(real_ND)


def _distances(a_CD: torch.Tensor, b_MD: torch.Tensor) -> torch.Tensor:
    # By matrix products, ten times as fast; in float64 what they cancel is below 1e-6.
    return torch.cdist(a_CD, b_MD, compute_mode="use_mm_for_euclid_dist")
