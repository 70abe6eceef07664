"""Samples over what SUNDAE's chain does, as table, curves and strips. Draws stored numbers, computes none."""

from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure

from twostage.config.schema import FiguresConfig
from twostage.figures.style import save, style
from twostage.figures.sundae_vs_autoregressive import ANNEALED, draw_strips, few, numbers_of
from twostage.figures.tables import words, write_tables
from twostage.runtime.artifacts import read_array, read_json
from twostage.runtime.job import Job

Metrics = dict[str, Any]

PANELS = (
    ("fid", "FID\n(low: good)"),
    ("density", "density\n(high: good)"),
    ("coverage", "coverage\n(high: good)"),
    ("sampling_seconds_per_image", "sampling\n[s per image]"),
)
LINES = ("o-", "s--", "^:", "D-.")  # one a value of what is held
# Heights in units of the figure's width, as in the comparison with transformers.
PANELS_HEIGHT, STRIP_HEIGHT = 0.42, 0.15


@dataclass
class SundaeChainsConfig:
    """The look."""

    figures: FiguresConfig = field(default_factory=FiguresConfig)


def sundae_chains(config: SundaeChainsConfig, job: Job) -> None:
    """Writes NAME.{csv,md,pdf,png}, NAME the job's variant."""
    rows = {label: read_json(job.upstream(label) / "metrics.json") for label in job.inputs}
    grids = {label: read_array(job.upstream(label) / "grid.npy") for label in job.inputs}
    numbers = pd.DataFrame([line for metrics in rows.values() for line in numbers_of(metrics)])
    write_tables(job, numbers, *((_printed(metrics), _caption(metrics)) for metrics in rows.values()))
    heights = [PANELS_HEIGHT + STRIP_HEIGHT * len(metrics["sets"]) for metrics in rows.values()]
    with style(config.figures, rows=1, columns=1, panel_ratio=sum(heights)):
        figure = plt.figure()
        places = figure.add_gridspec(len(rows), 1, height_ratios=heights)
        for at, (label, metrics) in enumerate(rows.items()):
            _row(figure.add_subfigure(places[at]), metrics, grids[label], config.figures)
        save(figure, job.folder, job.variant, config.figures.png_dpi)


def _printed(metrics: Metrics) -> list[dict[str, str]]:
    """Lines of the rendered table: ours, then what the paper prints elsewhere of the same."""
    name, held = metrics["varies"], metrics["held"]
    ours = [
        {
            held: f"{row['held_value']:g}",
            name: f"{row['value']:g}",
            "FID": f"{row['fid']:.2f}",
            "FID∞": f"{row['fid_infinity']:.2f} ± {row['fid_infinity_standard_error']:.2f}",
            "KID": f"{row['kid_mean']:.3f} ± {row['kid_std_over_subsets']:.3f}",
            "density": f"{row['density']:.2f}",
            "coverage": f"{row['coverage']:.2f}",
            "precision": f"{row['precision']:.2f}",
            "recall": f"{row['recall']:.2f}",
            "s per image": f"{row['sampling_seconds_per_image']:.4f}",
            "steps taken": f"{row['network_evaluations']:g}",
        }
        for row in metrics["sets"].values()
    ]
    paper = [
        dict.fromkeys(ours[0], "")
        | {held: f"paper, {metrics['label']}", name: f"{row[name]:g}"}
        | {"FID": f"{row['fid']:.2f}"}
        | {key: f"{row[key]:.2f}" for key in ("density", "coverage")}
        for row in metrics["paper_rows"]
    ]
    return ours + paper


def _caption(metrics: Metrics) -> str:
    row = next(iter(metrics["sets"].values()))
    usual = "" if metrics["varies"] == "temperature" else f", {ANNEALED}"
    return (
        f"At scale {metrics['scale']}: {metrics['data']} through {metrics['tokenizer']}, {metrics['size']}x"
        f"{metrics['size']} pixels, {row['tokens_per_image']} tokens; one prior of {row['steps']} training steps, of "
        f"whose chain {metrics['varies']} varies{_kept(metrics)}. FID, KID, density, coverage, precision and recall of "
        f"{row['evaluated_images']} samples each against the same {row['real_images']} real images; {few(row)} "
        "FID∞ ±: jackknife's standard error over samples; KID ±: standard deviation over subsets. Steps taken: mean "
        "over the images, as a sample freezes once a step leaves it as it is. Seconds: drawing and decoding, "
        f"{row['clock']}. Paper: {metrics['paper_says']}{usual}; McKinney & Willcocks 2022."
    )


def _kept(metrics: Metrics) -> str:
    """What else makes a chain, and is the same in every line."""
    row = next(iter(metrics["sets"].values()))
    names = [name for name in ("temperature", "proportion") if name not in (metrics["varies"], metrics["held"])]
    return "".join(f", {name} {words(row[name])}" for name in names)


def _row(figure: SubFigure, metrics: Metrics, grid: np.ndarray, config: FiguresConfig) -> None:
    places = figure.add_gridspec(2, 1, height_ratios=[PANELS_HEIGHT, STRIP_HEIGHT * len(metrics["sets"])])
    above, below = figure.add_subfigure(places[0]), figure.add_subfigure(places[1])
    row = next(iter(metrics["sets"].values()))
    above.suptitle(
        f"{metrics['varies'].capitalize()} of SUNDAE's chain at scale {metrics['scale']}, {metrics['data']} "
        f"({metrics['label']}): {row['evaluated_images']} samples each, one prior",
        fontsize="small",
    )
    axes = above.subplots(1, len(PANELS))
    for panel, (key, label) in zip(axes, PANELS, strict=True):
        _panel(panel, metrics, config, key, label)
    if len(axes[0].get_lines()) > 1:
        axes[0].legend(frameon=False, fontsize="x-small", title=metrics["held"], title_fontsize="x-small")
    draw_strips(below, list(metrics["sets"]), grid)


def _panel(axes: Axes, metrics: Metrics, config: FiguresConfig, key: str, label: str) -> None:
    rows = list(metrics["sets"].values())
    for held, line in zip(dict.fromkeys(row["held_value"] for row in rows), cycle(LINES)):
        points = [(row["value"], row[key]) for row in rows if row["held_value"] == held]
        axes.plot(*zip(*points, strict=True), line, color=config.palette["sundae"], ms=3, lw=1, label=f"{held:g}")
    values = sorted({row["value"] for row in rows})
    if metrics["varies"] == "steps":
        axes.set_xscale("log")
        axes.set_xticks([], minor=True)
    axes.set_xticks(values, [f"{value:g}" for value in values])
    axes.set_xlabel(metrics["varies"])
    axes.set_title(label)
    axes.margins(0.1)
    # FID alone has a range far from zero, in which its differences would vanish.
    if key != "fid":
        axes.set_ylim(0, 1.1 * max(row[key] for row in rows) or 1)
