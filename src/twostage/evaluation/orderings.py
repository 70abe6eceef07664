"""The ordering ablation: one transformer per order of the image tokens, paired by seed (Esser et al. 2021, Sec. D)."""

# S seeds, P evaluation points of a run

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from twostage.errors import TwostageError
from twostage.evaluation.statistics import Summary
from twostage.latents.orderings import ordering
from twostage.runtime.artifacts import read_array, read_csv, read_json, write_array, write_json
from twostage.runtime.job import Job
from twostage.runtime.scores import NLL, on

# What a controlled setting holds fixed, and the metrics of a run say.
FIXED = ("steps", "num_parameters", "learning_rate", "architecture")
NUM_SHOWN = 12  # samples of each ordering that the figure shows
PICTURE_SIDE = 4  # Fig. 34 shows every order on a 4x4 grid


@dataclass
class OrderingsConfig:
    """Which runs are compared, on what, and what the paper prints."""

    data: str
    tokenizer: str
    condition: str | None
    orderings: list[str]
    seeds: list[int]
    paper_nll: dict[str, float]


@dataclass(frozen=True)
class Runs:
    """The runs of one ordering, one a seed; NLLs in nats per token."""

    step_P: np.ndarray
    validation_SP: np.ndarray
    train_SP: np.ndarray  # mean over the batches since the point before; NaN at the first point, before any training

    @classmethod
    def read(cls, job: Job, name: str, seeds: list[int]) -> "Runs":
        """Reads the curves of an ordering. Raises TwostageError if its seeds were not evaluated at the same steps."""
        curves = [read_csv(job.upstream(f"{name}.seed{seed}") / "curve.csv") for seed in seeds]
        steps = {tuple(float(row["step"]) for row in curve) for curve in curves}
        if len(steps) > 1:
            raise TwostageError(f"the seeds of {name} were evaluated at different steps; set loop.evaluate_every alike")
        validation_SP = np.array([[float(row[NLL]) for row in curve] for curve in curves])
        train_SP = np.array([[float(row[on("train", NLL)] or "nan") for row in curve] for curve in curves])
        return cls(np.array(steps.pop()), validation_SP, train_SP)


def orderings(config: OrderingsConfig, job: Job) -> None:
    """Writes metrics.json: per ordering its final NLLs, differences to row-major and curves; the paper's beside them.

    And samples.npy: the first samples of each ordering's first seed, uint8 [orderings, N, H, W, C].

    Raises TwostageError if the runs differ in more than ordering and seed.
    """
    cost = _cost(job, config)
    runs = {name: Runs.read(job, name, config.seeds) for name in config.orderings}
    latents = read_json(job.upstream("latents") / "metadata.json")
    metrics = {
        "scale": job.scale,
        "data": config.data,
        "tokenizer": config.tokenizer,
        "condition": config.condition,
        "grid": latents["grid"],
        "seeds": config.seeds,
        "unigram_entropy_nats": latents["splits"]["validation"]["unigram_entropy_nats"],
        **cost,
        "orderings": {
            name: _measured(runs, name) | _printed(config.paper_nll, name) | {"sampling": _sampling(job, name)}
            for name in config.orderings
        },
        "picture_side": PICTURE_SIDE,
    }
    shown = [read_array(job.upstream(f"{name}.samples") / "samples.npy")[:NUM_SHOWN] for name in config.orderings]
    write_array(job.folder / "samples.npy", np.stack(shown))
    write_json(job.folder / "metrics.json", metrics)


def _sampling(job: Job, name: str) -> dict[str, Any]:
    drawn = read_json(job.upstream(f"{name}.samples") / "metrics.json")
    return {key: drawn[key] for key in ("temperature", "top_k", "top_p", "seconds_per_image", "tokens_per_second")}


def _cost(job: Job, config: OrderingsConfig) -> dict[str, Any]:
    """What all runs have in common, and the mean time of a step."""
    runs = [(name, seed) for name in config.orderings for seed in config.seeds]
    metrics = [read_json(job.upstream(f"{name}.seed{seed}") / "metrics.json") for name, seed in runs]
    for (name, seed), found in zip(runs, metrics, strict=True):
        expected = {"ordering": name, "seed": seed} | {key: metrics[0][key] for key in FIXED}
        for key, value in expected.items():
            if found[key] != value:
                raise TwostageError(
                    f"run {name}.seed{seed} has {key} {found[key]}, expected {value}; delete its folder and run again"
                )
    common = {key: metrics[0][key] for key in (*FIXED, "learning_rate_at_edge")}
    return common | {"seconds_per_step": float(np.mean([run["seconds_per_step"] for run in metrics]))}


def _measured(runs: dict[str, Runs], name: str) -> dict[str, Any]:
    """Final NLLs and curves of one ordering, and its differences to row-major: seed minus the same seed."""
    ours, row_major = runs[name], runs["row_major"]
    per_seed = {"validation": ours.validation_SP[:, -1], "train": ours.train_SP[:, -1]}
    if name != "row_major":
        per_seed["difference_to_row_major"] = per_seed["validation"] - row_major.validation_SP[:, -1]
    return {
        "nll_nats_per_token": {key: asdict(Summary.of(values_S.tolist())) for key, values_S in per_seed.items()},
        "per_seed": {key: values_S.tolist() for key, values_S in per_seed.items()},
        "curves": {
            "validation": _band(ours.step_P, ours.validation_SP),
            # A training loss stands for the steps before its point, so it begins with the second.
            "train": _band(ours.step_P[1:], ours.train_SP[:, 1:]),
        },
        "grid_order": ordering(name, PICTURE_SIDE, PICTURE_SIDE).tolist(),
    }


def _band(step_P: np.ndarray, nll_SP: np.ndarray) -> dict[str, list[float]]:
    """Mean over seeds, and one standard deviation to either side."""
    mean_P, std_P = nll_SP.mean(axis=0), nll_SP.std(axis=0, ddof=1)
    curve = {"step": step_P, "mean": mean_P, "low": mean_P - std_P, "high": mean_P + std_P}
    return {key: values_P.tolist() for key, values_P in curve.items()}


def _printed(paper_nll: dict[str, float], name: str) -> dict[str, float | None]:
    """The paper's final NLL and its difference to the paper's row-major; None where it prints none."""
    if name not in paper_nll:
        return {"paper_nll": None, "paper_difference": None}
    return {"paper_nll": paper_nll[name], "paper_difference": paper_nll[name] - paper_nll["row_major"]}
