"""Pixels against latents as table, bars and samples. Draws stored numbers, computes none."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from twostage.config.schema import FiguresConfig
from twostage.figures.strips import strip
from twostage.figures.style import save, style
from twostage.figures.tables import write_tables
from twostage.runtime.artifacts import read_array, read_json
from twostage.runtime.job import Job
from twostage.runtime.scores import NLL

Metrics = dict[str, Any]

COLUMNS = (
    "tokenizer", "grid", "num_codes", "num_parameters", "steps", "train_seconds", "seconds_per_step", "learning_rate",
    "learning_rate_at_edge", "tokenizer_train_seconds", NLL, "unigram_entropy_nats",
    "num_images", "real_images", "fid", "fid_infinity", "fid_infinity_standard_error", "kid_mean",
    "kid_std_over_subsets", "precision", "recall", "density", "coverage", "sampling_seconds_per_image",
    "tokens_per_image", "batch_size", "temperature", "top_k",
)  # fmt: skip
COMPARED = ("fid_improvement_percent", "kid_improvement_percent", "sampling_speedup")


@dataclass
class PixelsVsLatentsConfig:
    """The look, and what the paper says: text and printed numbers, of which nothing is computed."""

    paper: dict[str, float]
    figures: FiguresConfig = field(default_factory=FiguresConfig)


def pixels_vs_latents(config: PixelsVsLatentsConfig, job: Job) -> None:
    """Writes pixels_vs_latents.{csv,md,pdf,png}."""
    metrics = read_json(job.upstream("pixels_vs_latents") / "metrics.json")
    grid = read_array(job.upstream("pixels_vs_latents") / "grid.npy")
    numbers = pd.DataFrame([_numbers(metrics, kind, config.paper) for kind in metrics["rows"]])
    printed = [_printed(kind, row) for kind, row in metrics["rows"].items()]
    write_tables(job, numbers, (printed, f"{_comparison(metrics, config.paper)}\n\n{_caption(metrics)}"))
    _figure(metrics, grid, config.figures, job.folder)


def _numbers(metrics: Metrics, kind: str, paper: dict[str, float]) -> dict[str, Any]:
    """One line of the CSV; the comparison and the paper's stand in the line of the latents."""
    row = metrics["rows"][kind]
    line = {"tokens": kind, "scale": metrics["scale"], "data": metrics["data"]}
    line |= {key: "x".join(map(str, row[key])) if key == "grid" else row[key] for key in COLUMNS}
    if kind == "latents":
        line |= {key: metrics[key] for key in COMPARED}
        line |= {f"paper_{key}": number for key, number in paper.items()}
    return line


def _printed(kind: str, row: Metrics) -> dict[str, str]:
    """One line of the rendered table."""
    return {
        "tokens": f"{kind} ({row['tokenizer']})",
        "grid": "x".join(map(str, row["grid"])),
        "steps": f"{row['steps']}",
        "training [s]": f"{row['train_seconds']:.3g}",
        "NLL [nats per token]": f"{row[NLL]:.3f}",
        "FID": f"{row['fid']:.1f}",
        "FID∞": f"{row['fid_infinity']:.1f} ± {row['fid_infinity_standard_error']:.1f}",
        "KID": f"{row['kid_mean']:.3f} ± {row['kid_std_over_subsets']:.3f}",
        "sampling [s per image]": f"{row['sampling_seconds_per_image']:.4f}",
    }


def _comparison(metrics: Metrics, paper: dict[str, float]) -> str:
    return (
        f"Latents against pixels: FID {_percent(metrics['fid_improvement_percent'])} lower (paper: "
        f"{paper['fid_improvement_percent']:.2f} %), KID {_percent(metrics['kid_improvement_percent'])} lower, "
        f"sampling {metrics['sampling_speedup']:.2f} times as fast (paper: {paper['sampling_speedup']:.2f})."
    )


def _percent(value: float | None) -> str:
    return "not comparably" if value is None else f"{value:.1f} %"


def _caption(metrics: Metrics) -> str:
    pixels, latents = metrics["rows"]["pixels"], metrics["rows"]["latents"]
    edge = " (at its edge)" if pixels["learning_rate_at_edge"] else ""
    return (
        f"At scale {metrics['scale']}: {metrics['data']}, {metrics['size']}x{metrics['size']} pixels, one transformer, "
        f"one seed, learning rate {pixels['learning_rate']:g} of one sweep, on other latents, for both{edge}; the "
        "prior on latents trained for as long as the one on pixels, the tokenizer's "
        f"{latents['tokenizer_train_seconds']:.0f} s of training not counted. FID and KID of {pixels['num_images']} "
        f"samples each against {pixels['real_images']} real images: so few samples inflate FID, FID∞ "
        "(extrapolated, ± standard error) less, KID not. Sampling: drawing and decoding, batches of "
        f"{pixels['batch_size']}, temperature {pixels['temperature']:g}, top-k {pixels['top_k']}; seconds: "
        f"{pixels['clock']}. KID: ± standard deviation over subsets. Paper: Esser et al. 2021, Sec. 4.3."
    )


def _figure(metrics: Metrics, grid: np.ndarray, config: FiguresConfig, folder: Path) -> None:
    kinds = list(metrics["rows"])
    with style(config, rows=2, columns=3, panel_ratio=0.95):
        figure = plt.figure()
        parts = figure.add_gridspec(2, 1, height_ratios=[1.25, 1])
        above, below = (figure.add_subfigure(parts[row, 0]) for row in range(2))
        axes = above.subplots(1, 3, width_ratios=[1.4, 1, 1])
        _curves(axes[0], metrics, config)
        _bars(axes[1], metrics, config, "fid", "FID")
        _bars(axes[2], metrics, config, "sampling_seconds_per_image", "sampling [s per image]")
        for panel, kind, images in zip(below.subplots(2, 1), kinds, grid, strict=True):
            panel.imshow(strip(images), interpolation="nearest")
            panel.set_title(f"{kind}: the first samples", fontsize="x-small")
            panel.set_axis_off()
        num_images = metrics["rows"]["pixels"]["num_images"]
        figure.suptitle(
            f"Pixels against latents at scale {metrics['scale']}, {metrics['data']}: equal training time, FID of "
            f"{num_images} samples each",
            fontsize="small",
        )
        save(figure, folder, "pixels_vs_latents", config.png_dpi)


def _curves(axes: Axes, metrics: Metrics, config: FiguresConfig) -> None:
    for kind, curve in metrics["curves"].items():
        axes.plot(curve["train_seconds"], curve["share_of_unigram_entropy"], color=config.palette[kind], label=kind)
    axes.set_xlabel("training time [s]")
    axes.set_ylabel("validation NLL\n[share of the unigram entropy]")
    axes.legend(frameon=False, fontsize="x-small")


def _bars(axes: Axes, metrics: Metrics, config: FiguresConfig, key: str, label: str) -> None:
    for at, (kind, row) in enumerate(metrics["rows"].items()):
        axes.bar(at, row[key], color=config.palette[kind], width=0.6)
        axes.annotate(f"{row[key]:.3g}", (at, row[key]), ha="center", va="bottom", fontsize="x-small")
    axes.set_xticks(range(len(metrics["rows"])), list(metrics["rows"]))
    axes.margins(y=0.15)
    axes.set_ylabel(label)
