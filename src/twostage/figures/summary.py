"""All numbers of every study as one JSON, its headlines as another, and curves as CSVs: what DVC shows.

A line of a CSV is one evaluation point: the panel and the curve that it belongs to, where it stands, its NLL; of
rejection, one setting.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from twostage.evaluation.words import word
from twostage.runtime.artifacts import read_csv, read_json, write_csv, write_json
from twostage.runtime.job import Job
from twostage.runtime.scores import NLL

TOKENIZER_METRICS = ("lpips_vgg", "psnr_decibels", "perplexity", "codes_used")
PIXELS_METRICS = ("fid_improvement_percent", "kid_improvement_percent", "sampling_speedup")
SET_METRICS = ("fid", "fid_infinity", "density", "coverage", "sampling_seconds_per_image")
FACTOR_METRICS = ("lpips", "nll_nats_per_image", "fid", "kid_mean", "sampling_seconds_per_image", "sampling_speedup")
TABLE1_METRICS = ("transformer_steps", "transformer_time", "pixelsnail")

# `dvc metrics show` prints one row: a number for each finding, so that it can be read. Name -> which number of the
# summary it is, by its dotted name; the first one that matches.
HEADLINES = {
    "transformer_nll": r"table1_nll\.IN\.transformer_steps",
    "pixelsnail_nll": r"table1_nll\.IN\.pixelsnail",
    "subsample_nll": r"orderings\.IN ordering subsample\.nll",
    "lpips_vgg": r"tokenizers\.cifar10_vqgan_f4\.lpips_vgg",
    "rfid": r"vqgan_vs_vqvae\.VQGAN\.rfid",
    "f8_speedup": r"f_sweep\.\w*f8\.sampling_speedup",
    "edges_f1": r"edges\.\S+ model conditional\.edges_f1",
    "transformer_fid": r"sundae_vs_autoregressive_\w+\.transformer\.fid",
    "sundae_fid": r"sundae_vs_autoregressive_\w+\.SUNDAE[^.]*\.fid",
}


@dataclass
class SummaryConfig:
    """Nothing to choose: all that was evaluated is summarised."""


def summary(_: SummaryConfig, job: Job) -> None:
    """Writes summary.json, study -> row -> number, metrics.json, the few of HEADLINES, table1_curves.csv,
    orderings_curves.csv and rejection_curve.csv.
    """
    measured = {variant: read_json(Path(folder) / "metrics.json") for variant, folder in job.inputs.items()}
    rows = {metrics["row"]: metrics for metrics in measured.values() if "row" in metrics}
    numbers = {
        "table1_nll": {label: {name: _mean(row, name) for name in TABLE1_METRICS} for label, row in rows.items()},
        "tokenizers": {
            _key(variant): {name: metrics[name] for name in TOKENIZER_METRICS}
            for variant, metrics in measured.items()
            if "lpips_vgg" in metrics
        },
        **{metrics["study"]: _studied(metrics) for metrics in measured.values() if "statistics" in metrics},
        "pixels_vs_latents": {name: measured["pixels_vs_latents"][name] for name in PIXELS_METRICS},
        **{_key(variant): _sets(metrics) for variant, metrics in measured.items() if "sets" in metrics},
        **{_key(variant): _factors(metrics) for variant, metrics in measured.items() if "factors" in metrics},
    }
    write_json(job.folder / "summary.json", numbers)
    write_json(job.folder / "metrics.json", headlines(numbers))
    write_csv(job.folder / "table1_curves.csv", [line for row in rows.values() for line in _table1_lines(row)])
    ordered = read_csv(job.upstream("orderings") / "table.csv")
    write_csv(job.folder / "orderings_curves.csv", _orderings_lines(ordered))
    write_csv(job.folder / "rejection_curve.csv", _rejection_lines(measured["rejection"]))


def headlines(numbers: dict[str, Any]) -> dict[str, float]:
    """Those of HEADLINES that were measured, under their short names."""
    flat = dict(_flat(numbers))
    found = {
        name: [value for key, value in flat.items() if re.fullmatch(wanted, key)] for name, wanted in HEADLINES.items()
    }
    return {name: values[0] for name, values in found.items() if values}


def _flat(tree: dict[str, Any], above: str = "") -> Iterator[tuple[str, float]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{key}.")
        elif value is not None:
            yield f"{above}{key}", value


def _mean(metrics: dict[str, Any], name: str) -> float:
    return float(metrics["nll_nats_per_token"][name]["mean"])


def _studied(metrics: dict[str, Any]) -> dict[str, dict[str, float]]:
    """The quantities of each run of a study, means over seeds; a run is told by its row and what varies."""
    found: dict[str, dict[str, float]] = {}
    for one in metrics["statistics"]:
        label = " ".join([one["row"], *(f"{key} {word(value)}" for key, value in one["values"].items())])
        found.setdefault(label.replace(".", "_"), {})[one["quantity"]] = one["mean"]
    return found


def _key(variant: str) -> str:
    """A variant's name where dots would separate keys."""
    return variant.replace(".", "_")


def _sets(metrics: dict[str, Any]) -> dict[str, dict[str, float]]:
    """The numbers of each set of samples that is compared."""
    return {label: {name: row[name] for name in SET_METRICS} for label, row in metrics["sets"].items()}


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


def _orderings_lines(lines: list[dict[str, str]]) -> list[dict[str, Any]]:
    """One panel, a curve for each ordering, its mean over seeds."""
    found: dict[tuple[str, int], list[float]] = {}
    for line in lines:
        if line["quantity"] == "nll" and line["step"]:
            found.setdefault((line["ordering"], int(line["step"])), []).append(float(line["value"]))
    return [
        {"panel": "orderings", "curve": name, "seed": "mean", "step": step, NLL: fmean(values)}
        for (name, step), values in found.items()
    ]


def _rejection_lines(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """Ours alone: of the paper's rows no class accuracy is known, and DVC draws an empty cell as a point at 0."""
    keys = ("acceptance", "class_accuracy")
    return [{"setting": label} | {key: row[key] for key in keys} for label, row in metrics["rows"].items()]
