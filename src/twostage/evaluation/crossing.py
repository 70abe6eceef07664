"""Verb `evaluation.crossing`: from which training budget on the GPT has a lower NLL than PixelSNAIL.

Esser et al. 2021, Sec. 4.1, compare the two at one budget. Here the gap is told over all budgets up to that: in steps,
in seconds and in floating-point operations of training. Beyond what was run, power laws of both curves say where the
lead would change. That is an extrapolation, and is named so: it knows neither that images run out nor that rates decay.
"""

# P evaluation points of a curve, or budgets

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from twostage.errors import TwostageError
from twostage.evaluation.sampled import Metrics, metrics_of
from twostage.evaluation.statistics import holm, paired, spread
from twostage.runtime.artifacts import read_json, write_json
from twostage.runtime.job import Job

RIVALS = ("gpt", "pixelsnail")
# Units of a budget -> what a step costs in them; a step itself costs 1.
AXES = {"steps": None, "seconds": "seconds_per_step", "gflops": "gflops_per_step"}
# Operations are told beside: Table 1 has steps and seconds, so these alone are tested.
TESTED = ("steps", "seconds")
# Points before this share of the steps are left out of the fits: rates warm up, and frequencies of codes are learned.
FITTED_FROM = 0.25
# Points from this share on are left out where a law is checked against the end of the run.
CHECKED_FROM = 0.6
# A change of the lead is looked for up to so many times the budget of the runs.
FARTHEST = 30
DRAWS = 200
# A few points cannot tell slower or faster laws from these.
POWERS = np.geomspace(0.1, 3, 60)


@dataclass
class CrossingConfig:
    """The rows in their order -> images of a training step."""

    batch_sizes: dict[str, int]


@dataclass(frozen=True)
class PowerLaw:
    """NLL = floor + drop * (budget / end) ** -power, nats per token, with the budget `end` at which the run ended."""

    floor: float
    drop: float
    power: float

    def at(self, share_P: np.ndarray) -> np.ndarray:
        """The NLL at budgets that are shares of `end`."""
        return self.floor + self.drop * share_P**-self.power

    @property
    def at_edge(self) -> bool:
        """Whether the points ask for another power than POWERS has, or do not fall."""
        return self.power in (POWERS[0], POWERS[-1]) or self.drop == 0

    @classmethod
    def of(cls, share_P: np.ndarray, nll_P: np.ndarray) -> "PowerLaw":
        """The law that fits these points best, by least squares, with one of POWERS and no floor below 0.

        Points at one budget say nothing of a fall: their law is flat.
        """
        if np.ptp(share_P) == 0:
            return cls(float(nll_P.mean()), 0.0, float(POWERS[0]))
        laws = [cls._with(float(power), share_P, nll_P) for power in POWERS]
        errors = [float(np.sum((law.at(share_P) - nll_P) ** 2)) for law in laws]
        return laws[int(np.argmin(errors))]

    @classmethod
    def _with(cls, power: float, share_P: np.ndarray, nll_P: np.ndarray) -> "PowerLaw":
        x_P = share_P**-power
        centred_P = x_P - x_P.mean()
        drop = max(0.0, float(centred_P @ nll_P / (centred_P @ centred_P)))
        floor = float(nll_P.mean() - drop * x_P.mean())
        if floor < 0:
            floor, drop = 0.0, float(x_P @ nll_P / (x_P @ x_P))
        return cls(floor, drop, power)


def crossing(config: CrossingConfig, job: Job) -> None:
    """Writes metrics.json: of each row, the gap over budgets, from which of them on the GPT is ahead, both power laws,
    and where the lead would change by these, with a bootstrap interval. The gap is the GPT's NLL less PixelSNAIL's,
    nats per token.

    `missed`: the NLL at the end of the runs less that of a law of the points before CHECKED_FROM. Where that is as
    large as the gap, the extrapolation says nothing. Raises TwostageError for runs of too few evaluations.
    """
    rows = []
    for label, batch_size in config.batch_sizes.items():
        latents = read_json(job.upstream(f"{label}.latents") / "metadata.json")
        row = _row(metrics_of(job, label))
        epochs = row["steps"] * batch_size / latents["splits"]["train"]["num_images"]
        rows.append(row | {"grid": latents["grid"], "batch_size": batch_size, "epochs": epochs})
    ends = [row["gaps"][axis]["at_end"] for row in rows for axis in TESTED]
    for end, p in zip(ends, holm([end["p"] for end in ends]), strict=True):
        end["p_holm"] = p
    write_json(job.folder / "metrics.json", {"scale": job.scale, "farthest": FARTHEST, "draws": DRAWS, "rows": rows})


def _row(compared: Metrics) -> Metrics:
    seeds, cost = compared["seeds"], compared["cost"]
    units = {axis: {rival: cost[rival][key] if key else 1.0 for rival in RIVALS} for axis, key in AXES.items()}
    runs = {rival: [compared["curves"][f"{rival}.seed{seed}"] for seed in seeds] for rival in RIVALS}
    points = {rival: _fitted_points(runs[rival]) for rival in RIVALS}
    laws = {rival: PowerLaw.of(*points[rival]) for rival in RIVALS}
    # Laws are in shares of each run's own end, so the same draws serve every unit.
    generator = np.random.default_rng(0)
    drawn = [{rival: PowerLaw.of(*_drawn(points[rival], generator)) for rival in RIVALS} for _ in range(DRAWS)]
    steps = {rival: float(runs[rival][0]["step"][-1]) for rival in RIVALS}
    gaps = {}
    for axis, unit in units.items():
        ends = {rival: steps[rival] * unit[rival] for rival in RIVALS}
        gaps[axis] = _gap(runs, unit, seeds) | {"extrapolated": _extrapolated(laws, drawn, ends)}
    return {
        **{key: compared[key] for key in ("row", "data", "seeds", "steps", "unigram_entropy_nats", "curves", "cost")},
        "nll": {rival: spread([curve["nll"][-1] for curve in runs[rival]]) for rival in RIVALS},
        "gaps": gaps,
        "laws": {
            rival: {"end_step": steps[rival], **vars(law), "at_edge": law.at_edge, "missed": _missed(runs[rival])}
            for rival, law in laws.items()
        },
    }


def _gap(runs: Mapping[str, Sequence[Metrics]], unit: Mapping[str, float], seeds: Sequence[int]) -> Metrics:
    """The gap at PixelSNAIL's evaluation points and at the end of the shorter run."""
    # Between its untrained state and its first evaluation, nothing is known of a run.
    first = max(runs[rival][0]["step"][1] * unit[rival] for rival in RIVALS)
    last = min(runs[rival][0]["step"][-1] * unit[rival] for rival in RIVALS)
    points_P = np.array(runs["pixelsnail"][0]["step"], float) * unit["pixelsnail"]
    inner_P = points_P[(points_P >= first * (1 - 1e-9)) & (points_P < last * (1 - 1e-9))]
    if first > last * (1 + 1e-9):
        raise TwostageError("one run ends before the first evaluation of the other; set priors.loop.evaluate_every")
    budget_P = np.append(inner_P, last)
    per_seed = {}
    for at, seed in enumerate(seeds):
        gpt_P, rival_P = (_nll_at(runs[rival][at], budget_P / unit[rival]) for rival in RIVALS)
        per_seed[seed] = gpt_P - rival_P
    mean_P = np.mean(list(per_seed.values()), axis=0)
    half = float(np.interp(last / 2, budget_P, mean_P)) if budget_P[0] <= last / 2 * (1 + 1e-9) else None
    return {
        "budget": budget_P.tolist(),
        "per_seed": {str(seed): gap_P.tolist() for seed, gap_P in per_seed.items()},
        "ahead_from": ahead_from(budget_P, mean_P),
        "ahead_from_per_seed": {str(seed): ahead_from(budget_P, gap_P) for seed, gap_P in per_seed.items()},
        "at_half": half,
        "at_end": paired({seed: float(gap_P[-1]) for seed, gap_P in per_seed.items()}, dict.fromkeys(seeds, 0.0)),
    }


def _nll_at(curve: Metrics, step_P: np.ndarray) -> np.ndarray:
    """The NLL between evaluation points, linear in the logarithm of the step, in which curves are straighter."""
    return np.interp(np.log(step_P), np.log(curve["step"][1:]), curve["nll"][1:])


def ahead_from(budget_P: np.ndarray, gap_P: np.ndarray) -> float | None:
    """The first budget from which on all gaps are below 0; None if the last is not."""
    behind = np.flatnonzero(gap_P >= 0)
    first = behind[-1] + 1 if len(behind) else 0
    return float(budget_P[first]) if first < len(budget_P) else None


def change_of_lead(laws: Mapping[str, PowerLaw], ends: Mapping[str, float]) -> tuple[bool, float | None]:
    """Whether the GPT's law lies below PixelSNAIL's at the end of the shorter run, and the first budget after it, up to
    FARTHEST times it, at which that is otherwise; None if there is none.

    `ends`: the budget of each rival's own run, in one unit.
    """
    budget_P = np.geomspace(1, FARTHEST, 601) * min(ends.values())
    gpt_P, rival_P = (laws[rival].at(budget_P / ends[rival]) for rival in RIVALS)
    leads_P = gpt_P < rival_P
    changed = np.flatnonzero(leads_P != leads_P[0])
    return bool(leads_P[0]), float(budget_P[changed[0]]) if len(changed) else None


def _extrapolated(
    laws: Mapping[str, PowerLaw], drawn: Sequence[Mapping[str, PowerLaw]], ends: Mapping[str, float]
) -> Metrics:
    """Who leads at the end by the laws, the budget at which that changes, and its 95 % interval over the draws.

    A draw in which the other leads already has changed at the end. None: not up to FARTHEST times the runs.
    """
    leads, change = change_of_lead(laws, ends)
    found = []
    for each in drawn:
        other, budget = change_of_lead(each, ends)
        found.append(budget if other == leads else min(ends.values()))
    far = np.array([np.inf if each is None else each for each in found])
    low, high = (float(end) for end in np.quantile(far, (0.025, 0.975), method="closest_observation"))
    return {
        "gpt_leads": leads,
        "changes_at": change,
        "low": low if np.isfinite(low) else None,
        "high": high if np.isfinite(high) else None,
        "share_of_draws": float(np.mean(np.isfinite(far))),
    }


def _fitted_points(curves: Sequence[Metrics], before: float = np.inf) -> tuple[np.ndarray, np.ndarray]:
    """Shares of the steps, and NLL, of all seeds' points that a law is fitted to: from FITTED_FROM up to `before`."""
    share_P = np.concatenate([np.array(curve["step"], float) / curve["step"][-1] for curve in curves])
    nll_P = np.concatenate([np.array(curve["nll"], float) for curve in curves])
    fitted_P = (share_P >= FITTED_FROM) & (share_P < before)
    if not fitted_P.any():
        raise TwostageError("a law needs evaluations before the end of a run; set priors.loop.evaluate_every")
    return share_P[fitted_P], nll_P[fitted_P]


def _missed(curves: Sequence[Metrics]) -> float:
    """The NLL at the end of the runs less that of a law of their earlier points: mean over seeds."""
    law = PowerLaw.of(*_fitted_points(curves, CHECKED_FROM))
    return float(np.mean([curve["nll"][-1] for curve in curves]) - law.at(np.ones(1))[0])


def _drawn(points: tuple[np.ndarray, np.ndarray], generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """As many of the points, drawn with replacement."""
    at_P = generator.integers(len(points[0]), size=len(points[0]))
    return points[0][at_P], points[1][at_P]
