"""FID-infinity on features whose distance is known."""

import numpy as np
import pytest
import torch

from twostage.evaluation.distribution import frechet_distance
from twostage.evaluation.infinity import RealStatistics, fid_infinity, least_samples

WIDTH = 16


def covariance(seed):
    mixing = np.random.default_rng(seed).normal(size=(WIDTH, WIDTH)) / 4
    return mixing @ mixing.T + 0.1 * np.eye(WIDTH)


REAL_COVARIANCE, SAMPLE_COVARIANCE = covariance(0), covariance(1)
SHIFT = np.full(WIDTH, 0.2)


def truth():
    """FID between the two Gaussians themselves."""
    eigenvalues = np.linalg.eigvals(REAL_COVARIANCE @ SAMPLE_COVARIANCE).real
    return SHIFT @ SHIFT + np.trace(REAL_COVARIANCE + SAMPLE_COVARIANCE) - 2 * np.sqrt(eigenvalues).sum()


def drawn(number, seed):
    root = np.linalg.cholesky(SAMPLE_COVARIANCE)
    return np.random.default_rng(seed).normal(size=(number, WIDTH)) @ root.T + SHIFT


REAL = RealStatistics.known(np.zeros(WIDTH), REAL_COVARIANCE)


def plain_fid(sample_MD):
    """FID to the known real statistics, by the textbook's formula."""
    sample_covariance = np.cov(sample_MD, rowvar=False)
    eigenvalues = np.linalg.eigvals(REAL_COVARIANCE @ sample_covariance).real.clip(min=0)
    mean_D = sample_MD.mean(axis=0)
    return mean_D @ mean_D + np.trace(REAL_COVARIANCE + sample_covariance) - 2 * np.sqrt(eigenvalues).sum()


@pytest.mark.parametrize("parts", [2, 4])
def test_the_truth_is_met_within_the_standard_error(parts):
    found = np.array([fid_infinity(REAL, drawn(400, seed), parts, 0) for seed in range(60)])
    errors, standard_errors = found[:, 0] - truth(), found[:, 1]
    # Two thirds of normal errors are within one standard error, and 95 % within two.
    assert np.mean(np.abs(errors) < standard_errors) > 0.5
    assert np.mean(np.abs(errors) < 2 * standard_errors) > 0.85
    # The standard error is what the estimates scatter by.
    assert standard_errors.mean() == pytest.approx(errors.std(), rel=0.35)


def test_it_has_less_bias_than_fid():
    samples = [drawn(200, seed) for seed in range(60)]
    bias = np.mean([plain_fid(sample_MD) for sample_MD in samples]) - truth()
    left = np.mean([fid_infinity(REAL, sample_MD, 4, 0)[0] for sample_MD in samples]) - truth()
    assert bias > 0.2
    assert abs(left) < bias / 3


@pytest.mark.parametrize("number", [10, 200])
def test_it_extrapolates_torch_fidelitys_fid(number, monkeypatch):
    """With two parts the line goes through FID of all samples and the mean FID of the halves; wide and tall alike."""
    generator = torch.Generator().manual_seed(0)
    real_ND = torch.randn(300, 64, generator=generator)
    sample_MD = 0.1 + 1.1 * torch.randn(2 * number, 64, generator=generator)
    monkeypatch.setattr(np.random, "default_rng", lambda seed: Unshuffled())
    found, _ = fid_infinity(RealStatistics.of(real_ND.numpy()), sample_MD.numpy(), 2, 0)
    whole = frechet_distance(real_ND, sample_MD)
    halves = [frechet_distance(real_ND, half_MD) for half_MD in sample_MD.split(number)]
    assert found == pytest.approx(2 * whole - np.mean(halves), rel=1e-4)


class Unshuffled:
    def permutation(self, array):
        return array


def test_real_features_of_less_than_full_rank_are_taken():
    features = np.random.default_rng(0).normal(size=(20, 64)).astype(np.float32)
    statistics = RealStatistics.of(features)
    assert statistics.root_DR.shape == (64, 19)
    np.testing.assert_allclose(statistics.root_DR @ statistics.root_DR.T, np.cov(features, rowvar=False), atol=1e-8)


def test_it_depends_on_the_seed_and_on_nothing_else():
    sample_MD = drawn(100, 0)
    assert fid_infinity(REAL, sample_MD, 3, 0) == fid_infinity(REAL, sample_MD, 3, 0)
    assert fid_infinity(REAL, sample_MD, 3, 0) != fid_infinity(REAL, sample_MD, 3, 1)


@pytest.mark.parametrize("parts", [2, 10, 15])
def test_the_fewest_samples_suffice(parts):
    assert np.isfinite(fid_infinity(REAL, drawn(least_samples(parts), 0), parts, 0)).all()
