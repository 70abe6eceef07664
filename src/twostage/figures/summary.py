"""The headline numbers of every experiment as one small JSON, and the learning curves as CSVs: what DVC shows.

A line of a CSV is one evaluation point: the panel and the curve that it belongs to, where it stands, its NLL.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twostage import cli
from twostage.artifacts import read_json, write_csv, write_json
from twostage.jobs import Job
from twostage.scores import NLL

TOKENIZER_METRICS = ("lpips_vgg", "psnr_decibels", "perplexity", "codes_used")
ABLATION_METRICS = ("rfid", "lpips_vgg", "psnr_decibels", "perplexity", "codes_used")
PIXELS_METRICS = ("fid_improvement_percent", "kid_improvement_percent", "sampling_speedup")
SET_METRICS = ("fid", "fid_infinity", "density", "coverage", "sampling_seconds_per_image")
FACTOR_METRICS = ("lpips", "nll_nats_per_image", "fid", "kid_mean", "sampling_seconds_per_image", "sampling_speedup")
CONDITIONAL_MODELS = ("conditional", "unconditional")
TABLE1_METRICS = ("transformer_steps", "transformer_time", "pixelsnail")


@dataclass
class SummaryConfig:
    """Nothing to choose: all that was evaluated is summarised."""


def summary(_: SummaryConfig, job: Job) -> None:
    """Writes metrics.json, experiment -> row -> number, table1_curves.csv and orderings_curves.csv."""
    measured = {variant: read_json(Path(folder) / "metrics.json") for variant, folder in job.inputs.items()}
    rows = {metrics["row"]: metrics for metrics in measured.values() if "row" in metrics}
    ordered = measured["orderings"]["orderings"]
    headlines = {
        "table1_nll": {label: {name: _mean(row, name) for name in TABLE1_METRICS} for label, row in rows.items()},
        "orderings_nll": {name: _mean(metrics, "validation") for name, metrics in ordered.items()},
        "tokenizers": {
            _key(variant): {name: metrics[name] for name in TOKENIZER_METRICS}
            for variant, metrics in measured.items()
            if "lpips_vgg" in metrics
        },
        **{metrics["ablation"]: _ablated(metrics) for metrics in measured.values() if "ablation" in metrics},
        "pixels_vs_latents": {name: measured["pixels_vs_latents"][name] for name in PIXELS_METRICS},
        "conditional": {
            metrics["conditional_task"]: {model: _agreement(metrics, model) for model in CONDITIONAL_MODELS}
            for metrics in measured.values()
            if "conditional_task" in metrics
        },
        **{_key(variant): _sets(metrics) for variant, metrics in measured.items() if "sets" in metrics},
        **{_key(variant): _scores(metrics) for variant, metrics in measured.items() if "values" in metrics},
        **{_key(variant): _factors(metrics) for variant, metrics in measured.items() if "factors" in metrics},
    }
    write_json(job.folder / "metrics.json", headlines)
    write_csv(job.folder / "table1_curves.csv", [line for row in rows.values() for line in _table1_lines(row)])
    write_csv(job.folder / "orderings_curves.csv", list(_orderings_lines(ordered)))


def _mean(metrics: dict[str, Any], name: str) -> float:
    return float(metrics["nll_nats_per_token"][name]["mean"])


def _ablated(metrics: dict[str, Any]) -> dict[str, dict[str, float]]:
    """The numbers of each tokenizer that an ablation compares."""
    return {label: {name: row[name] for name in ABLATION_METRICS} for label, row in metrics["compared"].items()}


def _agreement(metrics: dict[str, Any], model: str) -> dict[str, float]:
    """All that was measured of one model's samples, means over seeds."""
    return {name: found["mean"] for name, found in metrics["rows"][model].items()}


def _key(variant: str) -> str:
    """A variant's name where dots would separate keys."""
    return variant.replace(".", "_")


def _sets(metrics: dict[str, Any]) -> dict[str, dict[str, float]]:
    """The numbers of each set of samples that is compared."""
    return {label: {name: row[name] for name in SET_METRICS} for label, row in metrics["sets"].items()}


def _scores(metrics: dict[str, Any]) -> dict[str, float]:
    """The unrolled denoising cross-entropy of each value of what a hourglass is compared in, mean over seeds."""
    return {value: found["denoising_nats_per_token"]["mean"] for value, found in metrics["values"].items()}


def _factors(metrics: dict[str, Any]) -> dict[str, dict[str, float]]:
    """The numbers of each factor f of the first stage."""
    return {factor: {name: row[name] for name in FACTOR_METRICS} for factor, row in metrics["factors"].items()}


def _table1_lines(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A panel for the row, a curve for each prior and seed."""
    for run, curve in row["curves"].items():
        prior, _, seed = run.partition(".seed")
        for step, seconds, nll in zip(curve["step"], curve["train_seconds"], curve["nll"], strict=True):
            place = {"panel": row["row"], "curve": prior, "seed": seed, "step": int(step), "train_seconds": seconds}
            yield place | {NLL: nll}


def _orderings_lines(ordered: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One panel, a curve for each ordering, its mean over seeds."""
    for name, metrics in ordered.items():
        curve = metrics["curves"]["validation"]
        for step, nll in zip(curve["step"], curve["mean"], strict=True):
            yield {"panel": "orderings", "curve": name, "seed": "mean", "step": int(step), NLL: nll}


def main() -> None:
    """Entry point of `python -m twostage.figures.summary`."""
    cli.run("figures.summary", SummaryConfig, summary)


if __name__ == "__main__":
    main()
