"""One row of Table 1: GPT against PixelSNAIL at equal steps and at equal training time (Esser et al. 2021, Sec. 4.1).

Per seed, with S the step and T the training seconds at which PixelSNAIL ends: the GPT's NLL at S, the GPT's NLL at T
(linear interpolation in training seconds between its two neighbouring evaluation points), PixelSNAIL's NLL at S.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from twostage import cli
from twostage.artifacts import read_csv, read_json, write_json
from twostage.errors import TwostageError
from twostage.evaluation.sampled import Metrics, metrics_of, require_alike
from twostage.jobs import Job
from twostage.scores import NLL

KINDS = ("gpt", "pixelsnail")


@dataclass
class CompareConfig:
    """What a row of the table is called and which runs it holds."""

    row: str
    data: str
    condition: str | None
    tune_on: str
    seeds: list[int]
    paper_nll: dict[str, float]


@dataclass(frozen=True)
class Curve:
    """Evaluation points of one training run, in the order of steps."""

    step: np.ndarray  # optimiser steps
    train_seconds: np.ndarray  # cumulative, training only
    nll: np.ndarray  # validation, nats per token

    @classmethod
    def read(cls, folder: Path) -> "Curve":
        """The curve of a finished `priors.train` job."""
        rows = read_csv(folder / "curve.csv")
        return cls(*(np.array([float(row[name]) for row in rows]) for name in ("step", "train_seconds", NLL)))

    def at_step(self, step: float) -> float:
        """NLL at an evaluation point. Raises TwostageError if the run was not evaluated at this step."""
        found = np.flatnonzero(self.step == step)
        if len(found) == 0:
            points = self.step.tolist()
            raise TwostageError(f"no evaluation at step {step:g}, only at {points}; set loop.evaluate_every")
        return float(self.nll[found[0]])

    def at_seconds(self, seconds: float) -> float:
        """NLL at a training time, linear between evaluation points. Raises TwostageError beyond the run's end."""
        end = self.train_seconds[-1]
        if seconds > end:
            raise TwostageError(f"the run ends after {end:.1f} s, asked for its NLL at {seconds:.1f} s")
        return float(np.interp(seconds, self.train_seconds, self.nll))


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
            raise TwostageError(f"a spread needs at least two seeds, got {len(values)}; set scale.experiment.seeds")
        mean, std = float(np.mean(values)), float(np.std(values, ddof=1))
        half = float(stats.t.ppf(0.975, len(values) - 1)) * std / len(values) ** 0.5
        return cls(mean, std, mean - half, mean + half)


def compare_seed(gpt: Curve, pixelsnail: Curve) -> dict[str, float]:
    """The three NLLs of one seed (nats per token) and the GPT's differences to PixelSNAIL; negative: the GPT wins."""
    end_nll = float(pixelsnail.nll[-1])
    at_steps = gpt.at_step(pixelsnail.step[-1])
    at_time = gpt.at_seconds(float(pixelsnail.train_seconds[-1]))
    return {
        "transformer_steps": at_steps,
        "transformer_time": at_time,
        "pixelsnail": end_nll,
        "difference_steps": at_steps - end_nll,
        "difference_time": at_time - end_nll,
    }


def compare(config: CompareConfig, job: Job) -> None:
    """Writes metrics.json: the row's summaries, both architectures' cost, and the curves that the figure draws.

    Raises TwostageError if training seconds were measured in unlike ways: no time would be equal.
    """
    curves = {name: Curve.read(job.upstream(name)) for name in job.inputs if ".seed" in name}
    runs = {name: metrics_of(job, name) for name in curves}
    require_alike(runs, ("threads", "clock"))
    per_seed = [compare_seed(curves[f"gpt.seed{seed}"], curves[f"pixelsnail.seed{seed}"]) for seed in config.seeds]
    summaries = {name: asdict(Summary.of([seed[name] for seed in per_seed])) for name in per_seed[0]}
    latents = read_json(job.upstream("latents") / "metadata.json")
    write_json(
        job.folder / "metrics.json",
        {
            **asdict(config),
            "scale": job.scale,
            "steps": int(curves[f"pixelsnail.seed{config.seeds[0]}"].step[-1]),
            "nll_nats_per_token": summaries,
            "per_seed": per_seed,
            "unigram_entropy_nats": latents["splits"]["validation"]["unigram_entropy_nats"],
            "cost": {kind: _cost([runs[f"{kind}.seed{seed}"] for seed in config.seeds]) for kind in KINDS},
            "curves": {name: {key: value.tolist() for key, value in asdict(c).items()} for name, c in curves.items()},
        },
    )


def _cost(runs: list[Metrics]) -> Metrics:
    return {
        "num_parameters": runs[0]["num_parameters"],
        "learning_rate": runs[0]["learning_rate"],
        "learning_rate_at_edge": runs[0]["learning_rate_at_edge"],
        "seconds_per_step": float(np.mean([run["seconds_per_step"] for run in runs])),
    }


def main() -> None:
    """Entry point of `python -m twostage.evaluation.compare`."""
    cli.run("evaluation.compare", CompareConfig, compare)


if __name__ == "__main__":
    main()
