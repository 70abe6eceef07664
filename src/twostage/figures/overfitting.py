"""Overfitting as table, learning curves and nearest neighbours. Draws stored numbers, computes none."""

# H height, W width

from dataclasses import dataclass, field
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from twostage.config.schema import FiguresConfig
from twostage.figures.strips import strip
from twostage.figures.style import points, save, style
from twostage.figures.tables import write_tables
from twostage.runtime.artifacts import read_array, read_json
from twostage.runtime.job import Job
from twostage.runtime.scores import NLL, on

Metrics = dict[str, Any]

COLOURS = {"early_stopping": "conditional", "to_the_end": "pixelsnail", "validation": "real"}
OF_RUN = ("steps", "last_step", "num_parameters", "learning_rate", "temperature", "top_k", NLL, on("train", NLL),
          "fid", "kid_mean", "fid_images")  # fmt: skip


@dataclass
class OverfittingConfig:
    """The look, and what the paper says: text and printed numbers, of which nothing is computed."""

    paper_says: str
    figures: FiguresConfig = field(default_factory=FiguresConfig)


def overfitting(config: OverfittingConfig, job: Job) -> None:
    """Writes overfitting.{csv,md,pdf,png}."""
    metrics = read_json(job.upstream("summary") / "metrics.json")
    grid = read_array(job.upstream("summary") / "grid.npy")
    numbers = pd.DataFrame([_numbers(metrics, images) for images in metrics["nearest_lpips"]])
    printed = [_printed(metrics, images) for images in metrics["nearest_lpips"]]
    write_tables(job, numbers, (printed, _caption(metrics, config)))
    _figure(metrics, grid, config.figures, job)


def _spoken(images: str) -> str:
    words = {"validation": "validation, reconstructed"}
    return words.get(images, f"samples, {images.replace('_', ' ')}")


def _numbers(metrics: Metrics, images: str) -> dict[str, Any]:
    found, run = metrics["nearest_lpips"][images], metrics["runs"].get(images, {})
    line = {"images": images} | {key: metrics[key] for key in ("scale", "data", "train_images")}
    line |= {"num_images": metrics["images"], "nearest_lpips": found["mean"], "nearest_lpips_std": found["std"]}
    return line | found["quantiles"] | {key: run.get(key) for key in OF_RUN}


def _printed(metrics: Metrics, images: str) -> dict[str, str]:
    found, run = metrics["nearest_lpips"][images], metrics["runs"].get(images)
    train_nll = run[on("train", NLL)] if run else None
    return {
        "": _spoken(images),
        "steps": f"{run['steps']}" if run else "",
        "validation NLL [nats per token]": f"{run[NLL]:.3f}" if run else "",
        "train NLL [nats per token]": f"{train_nll:.3f}" if train_nll is not None else "",
        "FID": f"{run['fid']:.1f}" if run else "",
        "KID": f"{run['kid_mean']:.4f}" if run else "",
        "LPIPS to the nearest training image": f"{found['mean']:.3f} ± {found['std']:.3f}",
        "5 % quantile": f"{found['quantiles']['q05']:.3f}",
    }


def _caption(metrics: Metrics, config: OverfittingConfig) -> str:
    run = metrics["runs"]["early_stopping"]
    return (
        f"One transformer on {metrics['train_images']} training images (mirrored ones counted) at scale "
        f"{metrics['scale']}: {metrics['data']}, one seed, learning rate {run['learning_rate']:g}. Early stopping "
        f"keeps the weights of the lowest validation NLL, step {run['steps']}, chosen on the images that it is "
        "reported on, which flatters it; the other run has those of its last step. Training NLL: mean over the steps "
        f"since the point before. FID and KID of {run['fid_images']} samples against real validation images. LPIPS of "
        f"{metrics['images']} samples of each, and of as many validation images through the tokenizer, to the nearest "
        "of the training images: mean ± standard deviation over images. "
        f"Paper: {config.paper_says}."
    )


def _figure(metrics: Metrics, grid: np.ndarray, config: FiguresConfig, job: Job) -> None:
    num_runs, num_rows = grid.shape[:2]
    with style(config, rows=1, columns=1, panel_ratio=0.5):
        figure = plt.figure()
        parts = figure.add_gridspec(1, 2, width_ratios=[1, 1.3])
        left, right = (figure.add_subfigure(parts[0, column]) for column in range(2))
        above, below = left.subplots(2, 1)
        _curves(above, metrics, config)
        _distances(below, metrics, config)
        panels = right.subplots(1, num_runs, squeeze=False)[0]
        for axes, run, rows in zip(panels, metrics["runs"], grid, strict=True):
            axes.imshow(np.concatenate([strip(row) for row in rows[:num_rows]]), interpolation="nearest")
            axes.set_title(f"{_spoken(run)},\nand nearest in training", fontsize=points(5.5))
            axes.set_axis_off()
        figure.suptitle(
            f"Overfitting at scale {metrics['scale']}, {metrics['data']}: {metrics['train_images']} training images, "
            "mirrored ones counted",
            fontsize="small",
        )
        save(figure, job.folder, "overfitting", config.png_dpi)


def _curves(axes: Axes, metrics: Metrics, config: FiguresConfig) -> None:
    curve = metrics["curve"]
    trained = [(step, nll) for step, nll in zip(curve["step"], curve["train"], strict=True) if nll is not None]
    axes.plot(*zip(*trained, strict=True), color=config.palette["unconditional"], lw=1, label="training")
    axes.plot(curve["step"], curve["validation"], color=config.palette["conditional"], lw=1, label="validation")
    axes.axvline(metrics["runs"]["early_stopping"]["steps"], color="0.5", lw=0.8, ls="--", label="early stopping")
    axes.set_xlabel("step")
    axes.set_ylabel("NLL [nats per token]")
    axes.legend(frameon=False, fontsize=points(5))


def _distances(axes: Axes, metrics: Metrics, config: FiguresConfig) -> None:
    """Of each set, the share of images whose nearest training image is at most so far."""
    for images, found in metrics["nearest_lpips"].items():
        values = found["sorted"]
        shares = [(at + 1) / len(values) for at in range(len(values))]
        axes.step(values, shares, where="post", color=config.palette[COLOURS[images]], lw=1, label=_spoken(images))
    axes.set_xlabel("LPIPS to the nearest training image")
    axes.set_ylabel("share of images")
    axes.legend(frameon=False, fontsize=points(5), loc="upper left")
