"""Distances between sets of features: what they must be, and how they must react."""

import numpy as np
import pytest
import torch
from torch_fidelity.metric_prc import prc_features_to_metric

from twostage.evaluation import distribution
from twostage.evaluation.distribution import (
    density_coverage,
    frechet_distance,
    inception_score,
    kernel_distance,
    precision_recall,
)


def gaussian(number, seed, shift=0.0, scale=1.0, width=24):
    generator = torch.Generator().manual_seed(seed)
    return shift + scale * torch.randn(number, width, generator=generator)


REAL = gaussian(300, 0)


def compute_prdc(*arguments, **options):
    return pytest.importorskip("prdc", reason="make install brings it").compute_prdc(*arguments, **options)


@pytest.mark.parametrize("neighbours", [1, 3, 5])
@pytest.mark.parametrize("sample_MD", [gaussian(200, 1), gaussian(257, 2, 0.3, 0.8), gaussian(40, 3, 0.0, 1.5)])
def test_density_and_coverage_equal_prdc(sample_MD, neighbours):
    expected = compute_prdc(REAL.numpy(), sample_MD.numpy(), nearest_k=neighbours)
    density, coverage = density_coverage(REAL, sample_MD, neighbours)
    assert density == pytest.approx(expected["density"], abs=1e-6)
    assert coverage == pytest.approx(expected["coverage"], abs=1e-6)
    assert 0 < coverage < 1


def test_precision_and_recall_equal_prdc():
    sample_MD = gaussian(200, 1, 0.2, 0.9)
    expected = compute_prdc(REAL.numpy(), sample_MD.numpy(), nearest_k=3)
    precision, recall = precision_recall(REAL, sample_MD, 3)
    assert precision == pytest.approx(expected["precision"], abs=1e-6)
    assert recall == pytest.approx(expected["recall"], abs=1e-6)


def test_chunks_change_nothing(monkeypatch):
    sample_MD = gaussian(200, 1)
    whole = density_coverage(REAL, sample_MD, 5), precision_recall(REAL, sample_MD, 3)
    # The library's own function for what fits into memory.
    full = prc_features_to_metric(sample_MD, REAL, prc_neighborhood=3, save_cpu_ram=False, verbose=False)
    monkeypatch.setattr(distribution, "CHUNK", 7)
    assert (density_coverage(REAL, sample_MD, 5), precision_recall(REAL, sample_MD, 3)) == whole
    assert whole[1] == (full["precision"], full["recall"])


def test_density_and_coverage_of_the_real_distribution_are_near_one():
    density, coverage = density_coverage(gaussian(2000, 0, width=4), gaussian(2000, 1, width=4), 5)
    assert density == pytest.approx(1, abs=0.05)
    assert coverage > 0.95


def test_a_collapsed_generator_loses_recall_and_coverage_but_not_precision():
    healthy = gaussian(300, 1)
    collapsed = REAL[:3].repeat(100, 1) + 0.05 * gaussian(300, 2)
    assert precision_recall(REAL, collapsed, 3)[1] < 0.2 < 0.5 < precision_recall(REAL, healthy, 3)[1]
    assert density_coverage(REAL, collapsed, 5)[1] < 0.2 < 0.5 < density_coverage(REAL, healthy, 5)[1]
    assert precision_recall(REAL, collapsed, 3)[0] == 1


def test_a_noisy_generator_raises_fid_and_kid_and_loses_density():
    levels = [gaussian(300, 1) + noise * gaussian(300, 2) for noise in (0.0, 0.5, 1.0)]
    fids = [frechet_distance(REAL, level) for level in levels]
    kids = [kernel_distance(REAL, level, 10, 100, 0)[0] for level in levels]
    densities = [density_coverage(REAL, level, 5)[0] for level in levels]
    assert fids == sorted(fids)
    assert kids == sorted(kids)
    assert densities == sorted(densities, reverse=True)
    assert fids[2] > 3 * fids[0]


def test_fid_of_a_shift_is_its_square():
    assert frechet_distance(REAL, REAL) == pytest.approx(0, abs=1e-3)
    assert frechet_distance(REAL, REAL + 0.5) == pytest.approx(24 * 0.25, rel=1e-3)


def test_kid_is_unbiased_and_seeded():
    mean, std = kernel_distance(REAL, gaussian(300, 1), 50, 100, 0)
    assert abs(mean) < 3 * std
    assert kernel_distance(REAL, gaussian(300, 1), 50, 100, 0) == (mean, std)
    assert kernel_distance(REAL, gaussian(300, 1), 50, 100, 1) != (mean, std)


def test_inception_score_counts_the_classes_of_sure_and_varied_samples():
    sure_MK = 100 * torch.eye(8).repeat(50, 1)
    assert inception_score(sure_MK, 1, 0) == pytest.approx((8, 0))
    assert inception_score(sure_MK[:1].repeat(400, 1), 4, 0) == pytest.approx((1, 0))
    assert 1 < inception_score(sure_MK, 40, 0)[0] < 8
    assert np.isfinite(inception_score(torch.zeros(10, 8), 2, 0)).all()
