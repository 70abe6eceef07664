"""Verb `evaluation.crossing`: from which training budget on the GPT has a lower NLL than PixelSNAIL.

Esser et al. 2021, Sec. 4.1, compare the two at one budget. Here the gap is told over all budgets up to that: in steps,
in seconds and in floating-point operations of training. Beyond what was run, power laws of both curves say where they
would cross. That is an extrapolation, and is named so.
"""

# P evaluation points of a curve, or budgets

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from twostage.evaluation.sampled import Metrics, metrics_of
from twostage.evaluation.statistics import holm, paired
from twostage.runtime.artifacts import read_json, write_json
from twostage.runtime.job import Job

RIVALS = ("gpt", "pixelsnail")
# What a step costs in each unit of a budget; a step itself costs 1.
AXES = {"steps": None, "seconds": "seconds_per_step", "gflops": "gflops_per_step"}
# Points before this share of the steps are left out of the fits: rates warm up, and frequencies of codes are learned.
FITTED_FROM = 0.25
# Points from this share on are left out where a law is checked against the end of the run.
CHECKED_FROM = 0.6
# A crossing is looked for up to so many times the budget of the runs.
FARTHEST = 1000
DRAWS = 200
# A curve of training that falls more slowly, or faster, is not told from these by a few points.
POWERS = np.geomspace(0.1, 3, 60)


@dataclass
class CrossingConfig:
    """The order of the rows."""

    rows: list[str]


@dataclass(frozen=True)
class PowerLaw:
    """NLL = floor + drop * (budget / end) ** -power, nats per token, with the budget `end` at which the run ended."""

    floor: float
    drop: float
    power: float

    def at(self, share_P: np.ndarray) -> np.ndarray:
        """The NLL at budgets that are shares of `end`."""
        return self.floor + self.drop * share_P**-self.power

    @classmethod
    def of(cls, share_P: np.ndarray, nll_P: np.ndarray) -> "PowerLaw":
        """The law that fits these points best, by least squares, with one of POWERS and no floor below 0."""
        laws = [cls._with(power, share_P, nll_P) for power in POWERS]
        errors = [float(np.sum((law.at(share_P) - nll_P) ** 2)) for law in laws]
        return laws[int(np.argmin(errors))]

    @classmethod
    def _with(cls, power: float, share_P: np.ndarray, nll_P: np.ndarray) -> "PowerLaw":
        x_P = share_P**-power
        centred_P = x_P - x_P.mean()
        spread = float(centred_P @ centred_P)
        # Points at one budget alone say nothing of a fall.
        drop = max(0.0, float(centred_P @ nll_P) / spread) if spread > 0 else 0.0
        floor = float(nll_P.mean() - drop * x_P.mean())
        if floor < 0:
            floor, drop = 0.0, float(x_P @ nll_P / (x_P @ x_P))
        return cls(floor, drop, float(power))


def crossing(config: CrossingConfig, job: Job) -> None:
    """Writes metrics.json: of each row, the gap over budgets, from which of them on the GPT is ahead, both power laws,
    and where these cross, with a bootstrap interval. The gap is the GPT's NLL less PixelSNAIL's, nats per token.

    `missed`: how far laws of the points before CHECKED_FROM are from the NLL at the end. Where that is as large as the
    gap, the extrapolation says nothing.
    """
    rows = [_row(metrics_of(job, label), read_json(job.upstream(f"{label}.latents") / "metadata.json"))
            for label in config.rows]  # fmt: skip
    ends = [gap["at_end"] for row in rows for gap in row["gaps"].values()]
    for end, p in zip(ends, holm([end["p"] for end in ends]), strict=True):
        end["p_holm"] = p
    write_json(job.folder / "metrics.json", {"scale": job.scale, "farthest": FARTHEST, "draws": DRAWS, "rows": rows})


def _row(compared: Metrics, latents: Metrics) -> Metrics:
    seeds = compared["seeds"]
    units = {axis: {rival: compared["cost"][rival][key] if key else 1.0 for rival in RIVALS}
             for axis, key in AXES.items()}  # fmt: skip
    runs = {rival: [compared["curves"][f"{rival}.seed{seed}"] for seed in seeds] for rival in RIVALS}
    points = {rival: _late_points(runs[rival]) for rival in RIVALS}
    laws = {rival: PowerLaw.of(*points[rival]) for rival in RIVALS}
    # Both rivals' draws are independent, so one list of pairs serves all units.
    generator = np.random.default_rng(0)
    drawn = [{rival: PowerLaw.of(*_drawn(points[rival], generator)) for rival in RIVALS} for _ in range(DRAWS)]
    steps = {rival: float(runs[rival][0]["step"][-1]) for rival in RIVALS}
    gaps = {}
    for axis, unit in units.items():
        end = {rival: steps[rival] * unit[rival] for rival in RIVALS}
        gap = _gap(runs, unit, seeds)
        found = [crossing_of(each, end) for each in drawn]
        gap["extrapolated"] = {
            "from": crossing_of(laws, end),
            "share_of_draws": float(np.mean([each is not None for each in found])),
        } | dict(zip(("low", "high"), _interval(found), strict=True))
        gaps[axis] = gap
    return {
        **{key: compared[key] for key in ("row", "data", "seeds", "steps", "unigram_entropy_nats", "curves", "cost")},
        "grid": latents["grid"],
        "gaps": gaps,
        "laws": {
            rival: {"end_step": steps[rival], **vars(law), "missed": _missed(runs[rival])}
            for rival, law in laws.items()
        },
    }


def _gap(runs: Mapping[str, list[Metrics]], unit: Mapping[str, float], seeds: list[int]) -> Metrics:
    """The gap at PixelSNAIL's evaluation points; the GPT's NLL is linear between its own."""
    step_P = np.array(runs["pixelsnail"][0]["step"], float)
    # Before the first step both know nothing, and beyond the GPT's end there is nothing to compare.
    last = runs["gpt"][0]["step"][-1] * unit["gpt"]
    kept_P = (step_P > 0) & (step_P * unit["pixelsnail"] <= last * (1 + 1e-9))
    budget_P = step_P[kept_P] * unit["pixelsnail"]
    per_seed = {
        seed: np.interp(budget_P / unit["gpt"], gpt["step"], gpt["nll"]) - np.array(rival["nll"])[kept_P]
        for seed, gpt, rival in zip(seeds, runs["gpt"], runs["pixelsnail"], strict=True)
    }
    mean_P = np.mean(list(per_seed.values()), axis=0)
    return {
        "budget": budget_P.tolist(),
        "per_seed": {str(seed): gap_P.tolist() for seed, gap_P in per_seed.items()},
        "ahead_from": ahead_from(budget_P, mean_P),
        "at_end": paired({seed: float(gap_P[-1]) for seed, gap_P in per_seed.items()}, dict.fromkeys(seeds, 0.0)),
    }


def ahead_from(budget_P: np.ndarray, gap_P: np.ndarray) -> float | None:
    """The first budget from which on all gaps are below 0; None if the last is not."""
    behind = np.flatnonzero(gap_P >= 0)
    first = behind[-1] + 1 if len(behind) else 0
    return float(budget_P[first]) if first < len(budget_P) else None


def crossing_of(laws: Mapping[str, PowerLaw], end: Mapping[str, float]) -> float | None:
    """The first budget, of those from the end of the runs to FARTHEST times that, from which on the GPT's law lies
    below PixelSNAIL's; None if it does not at the last.

    `end`: the budget of each rival's own run, in one unit.
    """
    budget_P = np.geomspace(1, FARTHEST, 601) * min(end.values())
    return ahead_from(
        budget_P, laws["gpt"].at(budget_P / end["gpt"]) - laws["pixelsnail"].at(budget_P / end["pixelsnail"])
    )


def _late_points(curves: list[Metrics], before: float = np.inf) -> tuple[np.ndarray, np.ndarray]:
    """Shares of the steps, and NLL, of all seeds' points that a law is fitted to: before a share of the steps."""
    share_P = np.concatenate([np.array(curve["step"], float) / curve["step"][-1] for curve in curves])
    nll_P = np.concatenate([np.array(curve["nll"], float) for curve in curves])
    late_P = (share_P >= FITTED_FROM) & (share_P < before)
    return share_P[late_P], nll_P[late_P]


def _missed(curves: list[Metrics]) -> float:
    """The NLL at the end of the runs less that of a law of their earlier points: mean over seeds."""
    law = PowerLaw.of(*_late_points(curves, CHECKED_FROM))
    return float(np.mean([curve["nll"][-1] for curve in curves]) - law.at(np.ones(1))[0])


def _drawn(points: tuple[np.ndarray, np.ndarray], generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """As many of the points, drawn with replacement."""
    at_P = generator.integers(len(points[0]), size=len(points[0]))
    return points[0][at_P], points[1][at_P]


def _interval(found: list[float | None]) -> tuple[float | None, float | None]:
    """The 2.5 % and 97.5 % quantiles; None where they lie beyond all budgets that were looked at."""
    far = np.array([np.inf if each is None else each for each in found])
    ends = np.quantile(far, (0.025, 0.975), method="closest_observation")
    low, high = (float(end) if np.isfinite(end) else None for end in ends)
    return low, high
