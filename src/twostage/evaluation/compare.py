"""One row of Table 1: GPT against PixelSNAIL at equal steps and at equal training time (Esser et al. 2021, Sec. 4.1).

Per seed, with S the step at which PixelSNAIL ends: the GPT's NLL at S, the GPT's NLL after as many steps as take as
long as those S (linear interpolation between its two neighbouring evaluation points), PixelSNAIL's NLL at S. How many
steps take as long is measured by `priors.pace`: the seconds that each run took tell what else the machine did.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from twostage.errors import TwostageError
from twostage.evaluation.sampled import Metrics, metrics_of, pace_of, require_alike
from twostage.evaluation.statistics import Summary
from twostage.runtime.artifacts import read_csv, read_json, write_json
from twostage.runtime.job import Job
from twostage.runtime.scores import NLL

# Who is who in their pace: the transformer is matched in time to PixelSNAIL.
ROLES = {"gpt": "own", "pixelsnail": "rival"}


@dataclass
class CompareConfig:
    """What a row of the table is called and which runs it holds."""

    row: str
    data: str
    condition: str | None
    tune_on: str
    seeds: list[int]


@dataclass(frozen=True)
class Curve:
    """Evaluation points of one training run, in the order of steps."""

    step: np.ndarray  # optimiser steps
    nll: np.ndarray  # validation, nats per token

    @classmethod
    def read(cls, folder: Path) -> "Curve":
        """The curve of a finished `priors.train` job."""
        rows = read_csv(folder / "curve.csv")
        return cls(*(np.array([float(row[name]) for row in rows]) for name in ("step", NLL)))

    def at_step(self, step: float) -> float:
        """NLL at an evaluation point. Raises TwostageError if the run was not evaluated at this step."""
        found = np.flatnonzero(self.step == step)
        if len(found) == 0:
            points = self.step.tolist()
            raise TwostageError(f"no evaluation at step {step:g}, only at {points}; set loop.evaluate_every")
        return float(self.nll[found[0]])

    def between(self, step: float) -> float:
        """NLL at any step, linear between evaluation points. Raises TwostageError beyond the run's end."""
        if step > self.step[-1]:
            raise TwostageError(f"the run ends at step {self.step[-1]:g}, asked for its NLL at step {step:.1f}")
        return float(np.interp(step, self.step, self.nll))

    def drawn(self, seconds_per_step: float) -> Metrics:
        """As lists, with the training seconds of every point."""
        seconds = self.step * seconds_per_step
        return {"step": self.step.tolist(), "train_seconds": seconds.tolist(), "nll": self.nll.tolist()}


def compare_seed(gpt: Curve, pixelsnail: Curve, ratio: float) -> dict[str, float]:
    """The three NLLs of one seed (nats per token) and the GPT's differences to PixelSNAIL; negative: the GPT wins.

    `ratio`: seconds of a PixelSNAIL step over those of a GPT step.
    """
    steps, end_nll = float(pixelsnail.step[-1]), float(pixelsnail.nll[-1])
    at_steps, at_time = gpt.at_step(steps), gpt.between(steps * ratio)
    return {
        "transformer_steps": at_steps,
        "transformer_time": at_time,
        "pixelsnail": end_nll,
        "difference_steps": at_steps - end_nll,
        "difference_time": at_time - end_nll,
    }


def compare(config: CompareConfig, job: Job) -> None:
    """Writes metrics.json: the row's summaries, both architectures' cost, and the curves that the figure draws.

    Raises TwostageError if the pace was measured in another way than the runs were made.
    """
    kinds = {f"{kind}.seed{seed}": kind for kind in ROLES for seed in config.seeds}
    runs, pace = {name: metrics_of(job, name) for name in kinds}, pace_of(job)
    require_alike({"pace": metrics_of(job, "pace"), **runs}, ("threads", "clock"))
    curves = {name: Curve.read(job.upstream(name)) for name in kinds}
    pairs = [(curves[f"gpt.seed{seed}"], curves[f"pixelsnail.seed{seed}"]) for seed in config.seeds]
    per_seed = [compare_seed(*pair, pace["seconds_ratio"]) for pair in pairs]
    summaries = {name: asdict(Summary.of([seed[name] for seed in per_seed])) for name in per_seed[0]}
    latents = read_json(job.upstream("latents") / "metadata.json")
    seconds = {kind: pace["seconds_per_step"][role] for kind, role in ROLES.items()}
    write_json(
        job.folder / "metrics.json",
        {
            **asdict(config),
            "scale": job.scale,
            "steps": int(pairs[0][1].step[-1]),
            "nll_nats_per_token": summaries,
            "per_seed": per_seed,
            "unigram_entropy_nats": latents["splits"]["validation"]["unigram_entropy_nats"],
            "cost": {kind: _cost(runs[f"{kind}.seed{config.seeds[0]}"], pace, kind) for kind in ROLES},
            "pace": _pace(pace, pairs),
            "curves": {name: curve.drawn(seconds[kinds[name]]) for name, curve in curves.items()},
        },
    )


def _cost(run: Metrics, pace: Metrics, kind: str) -> Metrics:
    known = {key: run[key] for key in ("num_parameters", "learning_rate", "learning_rate_at_edge")}
    return known | {key: pace[key][ROLES[kind]] for key in ("seconds_per_step", "gflops_per_step")}


def _pace(pace: Metrics, pairs: Sequence[tuple[Curve, Curve]]) -> Metrics:
    """The ratio of seconds per step, with its spread, and `difference_time` at both ends of that, means over seeds."""
    found = {"seconds_ratio": pace["seconds_ratio"]}
    for end in ("low", "high"):
        ratio = found[f"seconds_ratio_ci95_{end}"] = pace[f"seconds_ratio_ci95_{end}"]
        differences = [compare_seed(*pair, ratio)["difference_time"] for pair in pairs]
        found[f"difference_time_at_ratio_{end}"] = float(np.mean(differences))
    return found
