"""Tokenizers side by side, as table, reconstructions and panels. Draws stored numbers, computes none."""

# R rows: the originals, then one a tokenizer; N images; H height, W width

from dataclasses import dataclass, field
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure

from twostage.config.schema import FiguresConfig
from twostage.errors import TwostageError
from twostage.figures.style import save, style
from twostage.figures.tables import write_tables
from twostage.figures.tokenizers import tiled
from twostage.runtime.artifacts import read_array, read_json
from twostage.runtime.job import Job

Metrics = dict[str, Any]

# What stands in every line of the CSV.
COMMON = ("ablation", "scale", "data", "split", "num_images", "num_rfid_images", "batch_size", "learning_rate", "seed")
COLOUR = "tokenizer"  # of the palette: what sets the rows apart stands on the axis
SLANTED: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}  # long numbers side by side
# Heights in units of the figure's width: a title and panels with their labels; the share of it that pictures fill.
PANELS_HEIGHT, PICTURES_WIDTH = 0.42, 0.85


@dataclass
class TokenizerAblationConfig:
    """The look."""

    figures: FiguresConfig = field(default_factory=FiguresConfig)


def tokenizer_ablation(config: TokenizerAblationConfig, job: Job) -> None:
    """Writes NAME.{csv,md,pdf,png}, NAME the job's variant."""
    if COLOUR not in config.figures.palette:
        raise TwostageError(f"figures.palette has no colour for {COLOUR}; add one")
    metrics = read_json(job.upstream("summary") / "metrics.json")
    grid_RNHWC = _pictures(job, list(metrics["compared"]))
    write_tables(job, pd.DataFrame(_numbers(metrics)), (_printed(metrics), _caption(metrics)))
    _draw(metrics, grid_RNHWC, config.figures, job)


def _pictures(job: Job, labels: list[str]) -> np.ndarray:
    """The originals, then every tokenizer's reconstructions of them, uint8 [R, N, H, W, 3]."""
    grids = [read_array(job.upstream(label) / "grid.npy") for label in labels]
    for label, grid in zip(labels, grids, strict=True):
        if not np.array_equal(grid[0], grids[0][0]):
            raise TwostageError(f"{label} shows other images than {labels[0]}; make both evaluations again")
    return np.stack([grids[0][0], *(grid[1] for grid in grids)])


def _numbers(metrics: Metrics) -> list[dict[str, Any]]:
    """Lines of the CSV: ours, then the paper's, which have no more than what is printed."""
    common = {key: metrics[key] for key in COMMON} | {"image_size": "x".join(map(str, metrics["image_size"]))}
    ours = [
        {"source": "ours", "row": label} | common | {"steps_per_epoch": metrics["steps_per_epoch"]} | row
        for label, row in metrics["compared"].items()
    ]
    paper = [
        {"source": "paper", "row": row["label"]} | {key: value for key, value in row.items() if key != "label"}
        for row in metrics["paper_rows"]
    ]
    return ours + paper


def _printed(metrics: Metrics) -> list[dict[str, str]]:
    """Lines of the rendered table."""
    rfid = f"rFID ({metrics['num_rfid_images']} images)"
    ours = [
        {
            metrics["varies"]: label,
            rfid: f"{row['rfid']:.2f}",
            "LPIPS (VGG)": f"{row['lpips_vgg']:.3f} ± {row['lpips_vgg_std_over_images']:.3f}",
            "PSNR [dB]": f"{row['psnr_decibels']:.2f}",
            "codes used": f"{row['codes_used']} of {row['num_codes']}",
            "perplexity": f"{row['perplexity']:.0f}",
            "steps with discriminator": str(row["adversarial_steps"]),
            "training [s]": f"{row['train_seconds']:.0f}",
        }
        for label, row in metrics["compared"].items()
    ]
    paper = [
        dict.fromkeys(ours[0], "")
        | {metrics["varies"]: f"paper: {row['label']}"}
        | {rfid: f"{row['rfid']:.2f}, on the training split {row['rfid_train']:.2f}"}
        for row in metrics["paper_rows"]
    ]
    return ours + paper


def _caption(metrics: Metrics) -> str:
    height, width = metrics["image_size"]
    return (
        f"Reconstructions at scale {metrics['scale']}: {metrics['data']}, {height}x{width} pixels, {metrics['steps']} "
        f"steps of {metrics['batch_size']} images for every row ({metrics['steps_per_epoch']} steps are an epoch), one "
        f"seed. LPIPS: mean ± standard deviation over {metrics['num_images']} {metrics['split']} images; PSNR, codes "
        f"used and perplexity over the same; rFID over the first {metrics['num_rfid_images']}: fewer images give "
        "larger values. Training: process CPU time at one thread (on an accelerator, wall time). Paper: "
        f"{metrics['paper_says']}."
    )


def _draw(metrics: Metrics, grid_RNHWC: np.ndarray, config: FiguresConfig, job: Job) -> None:
    num_rows, num_images = grid_RNHWC.shape[:2]
    pictures_height = PICTURES_WIDTH * num_rows / num_images
    with style(config, rows=1, columns=1, panel_ratio=pictures_height + PANELS_HEIGHT):
        figure = plt.figure()
        parts = figure.add_gridspec(2, 1, height_ratios=[pictures_height + 0.06, PANELS_HEIGHT - 0.06])
        above, below = figure.add_subfigure(parts[0]), figure.add_subfigure(parts[1])
        axes = above.subplots()
        axes.imshow(tiled(grid_RNHWC), interpolation="nearest")
        side = grid_RNHWC.shape[2] + 2
        axes.set_yticks((np.arange(num_rows) + 0.5) * side - 0.5, ["original", *metrics["compared"]])
        axes.set_xticks([])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_ylabel(metrics["varies"])
        above.suptitle(
            f"{metrics['ablation'].replace('_', ' ')} at scale {metrics['scale']}, {metrics['data']}: "
            f"{metrics['steps']} steps each, one seed, {metrics['split']} images",
            fontsize="small",
        )
        _panels(below, metrics, config.palette[COLOUR])
        save(figure, job.folder, job.variant, config.png_dpi)


def _panels(figure: SubFigure, metrics: Metrics, colour: str) -> None:
    rfid, lpips, psnr, codes = figure.subplots(1, 4)
    _line(rfid, metrics, "rfid", colour)
    _paper(rfid, metrics)
    rfid.set_ylabel(f"rFID, {metrics['num_rfid_images']} images (low: good)")
    _line(lpips, metrics, "lpips_vgg", colour, spread="lpips_vgg_std_over_images")
    lpips.set_ylabel(f"LPIPS (VGG), {metrics['num_images']} images\nmean and std (low: good)")
    _line(psnr, metrics, "psnr_decibels", colour)
    psnr.set_ylabel("PSNR [dB] (high: good)")
    _line(codes, metrics, "codes_used_share", colour, label="used", marker="s")
    _line(codes, metrics, "perplexity_share", colour, label="perplexity", marker="^")
    codes.set_ylim(0, 1.05)
    codes.set_ylabel("share of the codes")
    codes.legend(frameon=False, fontsize="x-small", handlelength=1.2, loc="lower right")
    figure.supxlabel(metrics["varies"], fontsize="small")


def _line(
    axes: Axes, metrics: Metrics, key: str, colour: str, spread: str = "", label: str = "", marker: str = "o"
) -> None:
    """A point per row, in the order of the experiment and at equal distances; a line joins what is a quantity."""
    labels, rows = list(metrics["compared"]), metrics["compared"].values()
    joined = "-" if all(name.isdecimal() for name in labels) else ""
    errors = [row[spread] for row in rows] if spread else None
    values = [row[key] for row in rows]
    axes.errorbar(
        range(len(labels)), values, yerr=errors, fmt=f"{marker}{joined}", color=colour, ms=3, lw=1, capsize=2,
        label=label,
    )  # fmt: skip
    axes.set_xticks(range(len(labels)), labels, **(SLANTED if joined else {}))
    axes.margins(x=0.25 if len(labels) < 3 else 0.1)


def _paper(axes: Axes, metrics: Metrics) -> None:
    """The printed values, at places of their own behind ours: other data, another number of images."""
    printed = metrics["paper_rows"]
    if not printed:
        return
    labels = list(metrics["compared"])
    places = range(len(labels), len(labels) + len(printed))
    axes.plot(places, [row["rfid"] for row in printed], "D", label="paper, ImageNet", mfc="none", color="0.3", ms=4)
    ticks = labels + [f"paper: {row['label']}" for row in printed]
    axes.set_xticks(range(len(ticks)), ticks, **SLANTED)
    axes.set_ylim(bottom=0)
    # Between ours, above, and the paper's, below.
    axes.legend(frameon=False, fontsize="x-small", handlelength=1, loc="center right")
