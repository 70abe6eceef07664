"""FID-infinity: what FID would be with infinitely many samples (Chong & Forsyth 2020).

FID is biased: its expectation falls about linearly in 1/M with the number M of samples, at a slope that differs
between generators. The line's intercept has no such bias. With fewer samples than features the line bends, so the
intercept is then too high, though nearer than FID. The real side stays as it is, as in the paper: a small real set
inflates FID-infinity too.
"""

# N real images, M samples, D features, R rank of the real covariance

from dataclasses import dataclass

import numpy as np

# ours: enough for a standard error, few enough to be cheap
JACKKNIFE_GROUPS = 10
# Eigenvalues below this share of the largest are rounding.
NEGLIGIBLE = 1e-12


@dataclass(frozen=True)
class RealStatistics:
    """Mean and covariance of real features; the covariance is `root_DR @ root_DR.T`."""

    mean_D: np.ndarray
    root_DR: np.ndarray

    @classmethod
    def of(cls, real_ND: np.ndarray) -> "RealStatistics":
        """Statistics of features, in float64."""
        return cls.known(real_ND.mean(axis=0, dtype=np.float64), np.cov(real_ND, rowvar=False))

    @classmethod
    def known(cls, mean_D: np.ndarray, covariance_DD: np.ndarray) -> "RealStatistics":
        """Statistics that are given as such."""
        value_D, vector_DD = np.linalg.eigh(covariance_DD)
        kept = value_D > NEGLIGIBLE * value_D[-1]
        return cls(mean_D, vector_DD[:, kept] * np.sqrt(value_D[kept]))


def fid_infinity(real: RealStatistics, sample_MD: np.ndarray, parts: int, seed: int) -> tuple[float, float]:
    """FID-infinity and its standard error.

    The samples are shuffled by `seed` and divided into 1, 2, ... `parts` parts; the mean FID of equally large parts
    is one point over 1 / size, so every point uses all samples. Source: Chong & Forsyth 2020, Sec. 3, whose points
    are random subsets. The error is the jackknife's over ten groups of samples: the residuals of the line would miss
    what its points share. Needs two parts, as a line needs two points, and `least_samples(parts)` samples.
    """
    feature_MD = np.random.default_rng(seed).permutation(sample_MD).astype(np.float64)
    # Covariances are needed in the span of the real one only.
    features = _Projected(feature_MD, feature_MD @ real.root_DR, real)
    groups = np.arange(len(feature_MD)) % JACKKNIFE_GROUPS
    without = [_intercept(features, np.flatnonzero(groups != group), parts) for group in range(JACKKNIFE_GROUPS)]
    variance = (JACKKNIFE_GROUPS - 1) * np.var(without)
    return _intercept(features, np.arange(len(feature_MD)), parts), float(np.sqrt(variance))


def least_samples(parts: int) -> int:
    """The fewest samples that `fid_infinity` takes: two in every part, after a group of samples is left out."""
    return 3 * max(parts, JACKKNIFE_GROUPS)


@dataclass(frozen=True)
class _Projected:
    feature_MD: np.ndarray
    projected_MR: np.ndarray
    real: RealStatistics

    def fid(self, chosen: np.ndarray) -> float:
        """FID of some of the samples; as torch-fidelity's, but a symmetric eigenproblem of the smallest size.

        With A Aᵀ the real covariance and X the centred samples, the eigenvalues of the product of covariances, other
        than 0, are those of (X A)(X A)ᵀ / (M - 1).
        """
        feature_MD, projected_MR = self.feature_MD[chosen], self.projected_MR[chosen]
        projected_MR = projected_MR - projected_MR.mean(axis=0)
        wide = projected_MR.shape[0] < projected_MR.shape[1]
        gram = projected_MR @ projected_MR.T if wide else projected_MR.T @ projected_MR
        eigenvalues = np.linalg.eigvalsh(gram / (len(chosen) - 1)).clip(min=0)
        difference_D = feature_MD.mean(axis=0) - self.real.mean_D
        traces = np.square(self.real.root_DR).sum() + feature_MD.var(axis=0, ddof=1).sum()
        return float(difference_D @ difference_D + traces - 2 * np.sqrt(eigenvalues).sum())


def _intercept(features: _Projected, chosen: np.ndarray, parts: int) -> float:
    """Where the least-squares line through mean FIDs over 1 / size meets 0."""
    inverse_sizes, fids = [], []
    for count in range(1, parts + 1):
        size = len(chosen) // count
        inverse_sizes.append(1 / size)
        fids.append(np.mean([features.fid(chosen[part * size : (part + 1) * size]) for part in range(count)]))
    _, intercept = np.polyfit(inverse_sizes, fids, 1)
    return float(intercept)
