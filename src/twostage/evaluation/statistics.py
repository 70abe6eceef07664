"""Mean and spread over seeds, and differences that are paired by seed."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats


def spread(values: Sequence[float]) -> dict[str, float | None]:
    """Mean, standard deviation and the two-sided 95 % interval of Student's t; of one value, the mean alone."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return {"mean": mean, "std": None, "ci95_low": None, "ci95_high": None}
    std = float(np.std(values, ddof=1))
    half = float(stats.t.ppf(0.975, len(values) - 1)) * std / len(values) ** 0.5
    return {"mean": mean, "std": std, "ci95_low": mean - half, "ci95_high": mean + half}


def paired(ours: Mapping[int, float], reference: Mapping[int, float]) -> dict[str, float | None] | None:
    """The spread of ours minus the reference, over the seeds that both have; None if they share none."""
    shared = [seed for seed in ours if seed in reference]
    return spread([ours[seed] - reference[seed] for seed in shared]) if shared else None


def word(value: Any) -> str:
    """The value of a varied key as tables and figures write it."""
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
