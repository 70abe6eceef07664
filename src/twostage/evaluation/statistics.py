"""Mean and spread over seeds, differences that are paired by seed, and how sure several of them are together."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy import stats

from twostage.errors import TwostageError


@dataclass(frozen=True)
class Summary:
    """Mean and spread of one quantity over seeds; the interval is Student's t, two-sided, 95 %."""

    mean: float
    std: float
    ci95_low: float
    ci95_high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Summary":
        """Summary of at least two values. Raises TwostageError for fewer."""
        if len(values) < 2:
            raise TwostageError(f"a spread needs at least two seeds, got {len(values)}; set scale.study.seeds")
        mean, std = float(np.mean(values)), float(np.std(values, ddof=1))
        half = float(stats.t.ppf(0.975, len(values) - 1)) * std / len(values) ** 0.5
        return cls(mean, std, mean - half, mean + half)


def spread(values: Sequence[float]) -> dict[str, float | None]:
    """The summary of some values; of one value, the mean alone."""
    if len(values) < 2:
        return {"mean": float(np.mean(values)), "std": None, "ci95_low": None, "ci95_high": None}
    return asdict(Summary.of(values))


def paired(ours: Mapping[int | None, float], reference: Mapping[int | None, float]) -> dict[str, float | None] | None:
    """The spread of ours minus the reference, over the seeds that both have, and its `p`; None if they share none."""
    differences = [ours[seed] - reference[seed] for seed in ours if seed in reference]
    return spread(differences) | {"p": p_value(differences)} if differences else None


def p_value(differences: Sequence[float]) -> float | None:
    """Two-sided p of Student's t test that paired differences have the mean 0.

    None where nothing says how sure they are: one difference, or several equal ones.
    """
    if len(differences) < 2 or len(set(differences)) == 1:
        return None
    return float(stats.ttest_1samp(differences, 0.0).pvalue)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """The p-values of several comparisons, corrected for their number; None stays None and does not count.

    Rejecting those up to 0.05, some true hypothesis is rejected with a probability of at most 5 %. Source: Holm 1979.
    """
    known = sorted((p, at) for at, p in enumerate(p_values) if p is not None)
    found: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, at) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * p))
        found[at] = largest
    return found
