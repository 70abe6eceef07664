"""One task of conditional synthesis as table, measures and grid of samples. Draws stored numbers, computes none."""

# H height, W width

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from twostage.config.schema import FiguresConfig
from twostage.figures.strips import strip
from twostage.figures.style import points, save, style
from twostage.figures.tables import words, write_tables
from twostage.runtime.artifacts import read_array, read_json
from twostage.runtime.job import Job

Metrics = dict[str, Any]

# What is measured, as headings say it; an arrow shows where better is.
LABELS = {
    "class_recovered": "class recovered ↑",
    "edges_f1": "edges agree (F1) ↑",
    "silhouette_iou": "silhouette agrees (IoU) ↑",
    "consistency_psnr_decibels": "downsampled sample to condition,\nPSNR [dB] ↑",
    "lpips_to_truth": "LPIPS to the real image ↓",
    "psnr_to_truth_decibels": "PSNR to the real image [dB] ↑",
    "diversity_lpips": "LPIPS between samples\nof one condition",
    "fid": "FID ↓",
    "kid_mean": "KID ↓",
}
PARTS = ("mean", "std", "ci95_low", "ci95_high", "std_over_images")
# What a prior is scored by: SUNDAE has no likelihood, absorbing diffusion a bound of it.
SCORES = {
    "nll_nats_per_token": "NLL",
    "denoising_nats_per_token": "unrolled denoising cross-entropy",
    "bound_nats_per_token": "upper bound of the NLL",
}
# What the caption says of scores that are no NLL, and whose prior it is.
SAID = {
    "denoising_nats_per_token": (
        " Unrolled denoising cross-entropy: that of clean codes along the chain, no likelihood.",
        "; the prior: McKinney & Willcocks 2022",
    ),
    "bound_nats_per_token": (
        " Upper bound of the NLL: variational, an estimate over fixed masks.",
        "; the prior: Bond-Taylor et al. 2021",
    ),
}
# A real image agrees with the map that was made of it.
TRIVIAL = (("real", "edges_f1"), ("real", "consistency_psnr_decibels"))
GAP = 3  # white columns between condition, real image and samples


@dataclass
class ConditionalConfig:
    """The look."""

    figures: FiguresConfig = field(default_factory=FiguresConfig)


def conditional(config: ConditionalConfig, job: Job) -> None:
    """Writes <task>.{csv,md,pdf,png}."""
    metrics = read_json(job.upstream("summary") / "metrics.json")
    grid = read_array(job.upstream("summary") / "grid.npy")
    numbers = pd.DataFrame([_numbers(metrics, name) for name in metrics["rows"]])
    printed = [_printed(metrics, name) for name in metrics["rows"]]
    write_tables(job, numbers, (printed, _caption(metrics)))
    _figure(metrics, grid, config.figures, job)


def _measures(metrics: Metrics) -> list[str]:
    """Names of all that was measured of the samples."""
    return list(metrics["rows"]["conditional"])


def _numbers(metrics: Metrics, name: str) -> dict[str, Any]:
    """One line of the CSV."""
    line = {"model": name} | {key: metrics[key] for key in ("scale", "task", "data", "condition", "num_conditions")}
    line["num_seeds"] = len(metrics["seeds"])
    for measure in _measures(metrics):
        found = metrics["rows"][name].get(measure, {})
        line |= {f"{measure}_{part}".removesuffix("_mean"): found.get(part) for part in PARTS}
    score = _score(metrics)
    found = metrics[score].get(name, {})
    line |= {f"validation_{score}": found.get("mean"), f"validation_{score}_std": found.get("std")}
    chosen = metrics.get(name, {})
    line |= {key: chosen.get(key) for key in ("steps", "num_parameters", "learning_rate")}
    if "unmasking_steps" in metrics["conditional"]:
        return line | {key: chosen.get(key) for key in ("unmasking_steps", "temperature")}
    if "chain_steps" not in metrics["conditional"]:
        return line | {key: chosen.get(key) for key in ("temperature", "top_k")}
    ends = {key: words(chosen[key]) if chosen else None for key in ("temperature", "proportion")}
    return line | {"chain_steps": chosen.get("chain_steps")} | ends


def _printed(metrics: Metrics, name: str) -> dict[str, str]:
    """One line of the rendered table."""
    line = {"": name}
    for measure in _measures(metrics):
        line[LABELS[measure].replace("\n", " ")] = _interval(metrics["rows"][name].get(measure))
    score = _score(metrics)
    return line | {f"{SCORES[score]} [nats per token]": _interval(metrics[score].get(name))}


def _score(metrics: Metrics) -> str:
    return next(score for score in SCORES if score in metrics)


def _drawn_by(chosen: Metrics) -> str:
    """How samples were drawn, in the caption."""
    if "unmasking_steps" in chosen:
        return f"unmasked in {chosen['unmasking_steps']} steps at temperature {chosen['temperature']:g}"
    if "chain_steps" not in chosen:
        return f"temperature {chosen['temperature']:g}, top-k {chosen['top_k']}"
    return (
        f"chains of {chosen['chain_steps']} steps at temperature {words(chosen['temperature'])} and proportion "
        f"{words(chosen['proportion'])}"
    )


def _heading(metrics: Metrics) -> str:
    # Not capitalize(), which makes small letters of all others: the task may name its prior.
    return f"{metrics['task'][0].upper()}{metrics['task'][1:]} at scale {metrics['scale']}"


def _interval(found: Metrics | None) -> str:
    if found is None:
        return ""
    return f"{found['mean']:.3f} ± {found['std']:.3f}" if "std" in found else f"{found['mean']:.4g}"


def _caption(metrics: Metrics) -> str:
    conditional, size = metrics["conditional"], metrics["size"]
    given = conditional["given_tokens_per_image"]
    by = f"the first {given} tokens of real images" if given else f"the condition {metrics['condition']}"
    judge = ""
    if metrics["classifier"]:
        accuracy, number = metrics["classifier"]["accuracy"], metrics["classifier"]["images"]
        judge = f" The classifier is right of {accuracy:.3f} of the {number} real validation images."
    no_likelihood, whose = SAID.get(_score(metrics), ("", ""))
    source = f"Esser et al. 2021{whose}"
    edge = " (at the edge of its sweep)" if conditional["learning_rate_at_edge"] else ""
    return (
        f"{_heading(metrics)}: {metrics['data']}, {size}x{size} pixels, "
        f"{metrics['num_conditions']} validation images, {conditional['per_condition']} samples of each under {by}. "
        f"Both models: {conditional['steps']} steps, learning rate {conditional['learning_rate']:g}{edge}, "
        f"{_drawn_by(conditional)}, {len(metrics['seeds'])} seeds; mean ± standard "
        "deviation over seeds of the mean over images. The unconditional model's samples are held against the same "
        f"conditions. FID and KID: all samples of the first seed against {metrics['real_images']} real validation "
        f"images. Reconstruction: the real images through the tokenizer.{judge}{no_likelihood} Paper ({source}): "
        f"{metrics['paper_says']}."
    )


def _figure(metrics: Metrics, grid: np.ndarray, config: FiguresConfig, job: Job) -> None:
    # KID, which says what FID says, is left to the table.
    measures = [measure for measure in _measures(metrics) if measure != "kid_mean"]
    with style(config, rows=1, columns=1, panel_ratio=0.62):
        figure = plt.figure()
        parts = figure.add_gridspec(1, 2, width_ratios=[1.25, 1])
        left, right = (figure.add_subfigure(parts[0, column]) for column in range(2))
        _pictures(left.subplots(1, 1), metrics, grid)
        heights = [len(_barred(metrics, measure)) for measure in measures]
        panels = right.subplots(len(measures), 1, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
        for axes, measure in zip(panels, measures, strict=True):
            _bars(axes, metrics, measure, config)
        number = metrics["num_conditions"]
        figure.suptitle(
            f"{_heading(metrics)}, {metrics['data']}: {number} conditions, {len(metrics['seeds'])} seeds",
            fontsize="small",
        )
        save(figure, Path(job.folder), job.variant, config.png_dpi)


def _pictures(axes: Axes, metrics: Metrics, grid: np.ndarray) -> None:
    """Rows of condition, real image and samples, with headings; a class is written where the condition would be."""
    num_rows, num_columns = grid.shape[:2]
    rows = [np.concatenate([_padded(strip(row[at : at + 1])) for at in range(num_columns)], axis=1) for row in grid]
    sheet = np.concatenate(rows)
    axes.imshow(sheet, interpolation="nearest")
    step = sheet.shape[1] / num_columns
    samples = "samples" if num_columns > 3 else "sample"
    for at, heading in ((0, "condition"), (1, "real"), ((num_columns - 2) / 2 + 1.5, samples)):
        axes.text(step * (at + 0.5), -2, heading, ha="center", va="bottom", fontsize=points(6))
    if metrics["condition"] == "class":
        for at, name in enumerate(metrics["names"][:num_rows]):
            axes.text(
                step / 2, (at + 0.5) * sheet.shape[0] / num_rows, name, ha="center", va="center", fontsize=points(4.5)
            )
    axes.set_axis_off()


def _padded(image_HW3: np.ndarray) -> np.ndarray:
    return np.pad(image_HW3, ((0, 0), (0, GAP), (0, 0)), constant_values=255)


def _barred(metrics: Metrics, measure: str) -> list[str]:
    """Whose number of a measure says something."""
    return [name for name in metrics["rows"] if measure in metrics["rows"][name] and (name, measure) not in TRIVIAL]


def _bars(axes: Axes, metrics: Metrics, measure: str, config: FiguresConfig) -> None:
    names = _barred(metrics, measure)
    for at, name in enumerate(names):
        found = metrics["rows"][name][measure]
        axes.barh(
            at, found["mean"], xerr=found.get("std"), color=config.palette[name], height=0.7, error_kw={"lw": 0.8}
        )
        axes.annotate(
            f" {found['mean']:.3g}", (found["mean"] + found.get("std", 0), at), va="center", fontsize=points(5)
        )
    axes.set_yticks(range(len(names)), names, fontsize=points(5))
    axes.invert_yaxis()
    axes.margins(x=0.2)
    axes.tick_params(axis="x", labelsize=points(5))
    axes.set_title(LABELS[measure], fontsize=points(6))
