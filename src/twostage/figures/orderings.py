"""The ordering ablation as table, learning curves and pictures of the orders. Draws stored numbers, computes none."""

# T tokens of the picture's grid; O orderings, N samples, H W C their images

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from twostage.config.schema import FiguresConfig
from twostage.errors import TwostageError
from twostage.figures.style import points, save, style
from twostage.figures.tables import write_tables
from twostage.runtime.artifacts import read_array, read_json
from twostage.runtime.job import Job

Metrics = dict[str, Any]

# What was summarised, and its columns of the CSV.
COLUMNS = {
    "validation": "validation_nll",
    "train": "train_nll",
    "difference_to_row_major": "difference_to_row_major",
}
PARTS = {"mean": "", "std": "_std", "ci95_low": "_ci95_low", "ci95_high": "_ci95_high"}
COST = ("num_parameters", "learning_rate", "learning_rate_at_edge", "seconds_per_step")


@dataclass
class OrderingsConfig:
    """The look."""

    figures: FiguresConfig = field(default_factory=FiguresConfig)


def orderings(config: OrderingsConfig, job: Job) -> None:
    """Writes orderings.{csv,md}, and orderings, orderings_grid and orderings_samples as PDF and PNG."""
    metrics = read_json(job.upstream("orderings") / "metrics.json")
    colourless = sorted(set(metrics["orderings"]) - set(config.figures.palette))
    if colourless:
        raise TwostageError(f"figures.palette has no colour for {', '.join(colourless)}; add one")
    rows = metrics["orderings"].items()
    numbers = pd.DataFrame([_numbers(metrics, name, row) for name, row in rows])
    printed = [_printed(name, row) for name, row in rows]
    write_tables(job, numbers, (printed, _caption(metrics)))
    _curves(metrics, config.figures, job.folder)
    _pictures(metrics, config.figures, job.folder)
    _samples(metrics, read_array(job.upstream("orderings") / "samples.npy"), config.figures, job.folder)


def _spoken(name: str) -> str:
    return name.replace("_", " ")


def _numbers(metrics: Metrics, name: str, row: Metrics) -> dict[str, Any]:
    """One line of the CSV: everything that was measured, nats per token unless the name says otherwise."""
    line: dict[str, Any] = {"ordering": name}
    line |= {key: metrics[key] for key in ("scale", "data", "tokenizer", "condition", "steps")}
    line["num_seeds"] = len(metrics["seeds"])
    line["unigram_entropy"] = metrics["unigram_entropy_nats"]
    for key, column in COLUMNS.items():
        # Row-major differs from itself by nothing, so it has no such summary.
        summary = row["nll_nats_per_token"].get(key, {})
        line |= {f"{column}{suffix}": summary.get(part) for part, suffix in PARTS.items()}
    line |= {key: row[key] for key in ("paper_nll", "paper_difference")}
    return line | {key: metrics[key] for key in COST}


def _printed(name: str, row: Metrics) -> dict[str, str]:
    """One line of the rendered table: ours as mean ± standard deviation over seeds, the paper's beside it."""
    nll = row["nll_nats_per_token"]
    ours, train, difference = (nll.get(key) for key in ("validation", "train", "difference_to_row_major"))

    def interval(summary: dict[str, float], sign: str = "") -> str:
        return f"[{summary['ci95_low']:{sign}.3f}, {summary['ci95_high']:{sign}.3f}]"

    return {
        "ordering": _spoken(name),
        "validation NLL": f"{ours['mean']:.3f} ± {ours['std']:.3f}",
        "95 % interval": interval(ours),
        "Δ to row major": f"{difference['mean']:+.3f} {interval(difference, '+')}" if difference else "",
        "train NLL": f"{train['mean']:.3f} ± {train['std']:.3f}",
        "paper NLL": "" if row["paper_nll"] is None else f"{row['paper_nll']:.3f}",
        "paper Δ": f"{row['paper_difference']:+.3f}" if row["paper_difference"] else "",
    }


def _caption(metrics: Metrics) -> str:
    rows, columns = metrics["grid"]
    edge = " (at its edge)" if metrics["learning_rate_at_edge"] else ""
    return (
        f"Final NLL, nats per token, at scale {metrics['scale']}: {metrics['data']} through {metrics['tokenizer']}, "
        f"{rows}x{columns} tokens, {metrics['steps']} steps, {len(metrics['seeds'])} seeds, "
        f"{metrics['num_parameters'] / 1e6:.2f} M parameters, for every ordering the learning rate "
        f"{metrics['learning_rate']:g} of the row-major sweep{edge}. Mean ± standard deviation over seeds, 95 % t "
        "intervals; Δ: paired by seed, positive: row-major is better. Train NLL: mean over the batches between the "
        "last two evaluations. Equal seeds mean equal initialisation and equal batches. Paper: printed values on "
        "ImageNet (Esser et al. 2021, Sec. D)."
    )


def _curves(metrics: Metrics, config: FiguresConfig, folder: Path) -> None:
    with style(config, rows=1, columns=3, panel_ratio=1.25):
        figure, axes = plt.subplots(1, 3, width_ratios=[1.4, 1, 1])
        _curve_panel(axes[0], metrics, config)
        _final_panel(axes[1], metrics, config)
        _difference_panel(axes[2], metrics, config)
        axes[2].tick_params(labelleft=False)
        figure.suptitle(
            f"Orderings at scale {metrics['scale']}, {metrics['data']}: mean and standard deviation over "
            f"{len(metrics['seeds'])} seeds",
            fontsize="small",
        )
        save(figure, folder, "orderings", config.png_dpi)


def _curve_panel(axes: Axes, metrics: Metrics, config: FiguresConfig) -> None:
    highest, lowest = [], []
    for name, row in metrics["orderings"].items():
        curve, colour = row["curves"]["validation"], config.palette[name]
        axes.plot(curve["step"], curve["mean"], color=colour, lw=1, label=_spoken(name))
        axes.fill_between(curve["step"], curve["low"], curve["high"], color=colour, alpha=0.25, lw=0)
        # The fall of the first steps, alike for all, would squeeze what sets the orders apart.
        highest.append(np.interp(metrics["steps"] / 4, curve["step"], curve["mean"]))
        lowest.append(min(curve["low"]))
    margin = 0.05 * (max(highest) - min(lowest))
    axes.set_ylim(min(lowest) - margin, max(highest) + margin)
    axes.set_xlabel("step")
    axes.set_ylabel("validation NLL [nats per token]")
    axes.legend(frameon=False, fontsize="x-small", handlelength=1.2)


def _final_panel(axes: Axes, metrics: Metrics, config: FiguresConfig) -> None:
    _spread(axes, metrics, config, "validation")
    axes.set_xlabel("final validation NLL\n[nats per token]")


def _difference_panel(axes: Axes, metrics: Metrics, config: FiguresConfig) -> None:
    axes.axvline(0, color="0.5", lw=0.8, ls="--")
    _spread(axes, metrics, config, "difference_to_row_major")
    printed = [(row["paper_difference"], at - 0.25) for at, row in enumerate(metrics["orderings"].values())]
    # Neither the paper's nor our row-major differs from itself.
    known = [place for place in printed if place[0]]
    if known:
        axes.plot(*zip(*known, strict=True), "D", mfc="none", color="0.3", ms=3, label="paper, ImageNet")
        axes.legend(frameon=False, fontsize="x-small", handlelength=1)
    axes.set_xlabel("difference to row major\n[nats per token]")


def _spread(axes: Axes, metrics: Metrics, config: FiguresConfig, key: str) -> None:
    """A line per ordering, first at the top: its mean with standard deviation, and a dot per seed below it."""
    for at, (name, row) in enumerate(metrics["orderings"].items()):
        if key not in row["per_seed"]:
            continue
        summary, seeds, colour = row["nll_nats_per_token"][key], row["per_seed"][key], config.palette[name]
        axes.errorbar(summary["mean"], at, xerr=summary["std"], fmt="o", color=colour, ms=4, capsize=2, lw=1)
        axes.plot(seeds, [at + 0.25] * len(seeds), ".", color=colour, ms=3, alpha=0.7)
    axes.set_yticks(range(len(metrics["orderings"])), [_spoken(name) for name in metrics["orderings"]])
    axes.set_ylim(len(metrics["orderings"]) - 0.5, -0.5)


def _pictures(metrics: Metrics, config: FiguresConfig, folder: Path) -> None:
    """Every order on a small grid, as the top of Fig. 34: the number of each token in the sequence, and the path."""
    names = list(metrics["orderings"])
    with style(config, rows=1, columns=len(names), panel_ratio=1.35):
        figure, panels = plt.subplots(1, len(names), squeeze=False)
        for axes, name in zip(panels[0], names, strict=True):
            _picture(axes, metrics["orderings"][name]["grid_order"], metrics["picture_side"])
            axes.set_title(_spoken(name))
        save(figure, folder, "orderings_grid", config.png_dpi)


def _picture(axes: Axes, order_T: list[int], side: int) -> None:
    rows_T, columns_T = np.divmod(np.array(order_T), side)
    axes.scatter(columns_T, rows_T, c=range(len(order_T)), cmap="cividis", marker="s", s=70, alpha=0.35, lw=0)
    axes.plot(columns_T, rows_T, color="0.7", lw=0.6)
    for t, (row, column) in enumerate(zip(rows_T, columns_T, strict=True)):
        axes.text(column, row, str(t), ha="center", va="center", fontsize=points(5.5))
    axes.set(xlim=(-0.6, side - 0.4), ylim=(side - 0.4, -0.6), aspect="equal", xticks=[], yticks=[])


def _samples(metrics: Metrics, image_ONHWC: np.ndarray, config: FiguresConfig, folder: Path) -> None:
    """A row of samples for every ordering, as the bottom of Fig. 34."""
    names = list(metrics["orderings"])
    with style(config, rows=len(names), columns=1, panel_ratio=0.095):
        figure, panels = plt.subplots(len(names), 1, squeeze=False)
        for axes, name, image_NHWC in zip(panels[:, 0], names, image_ONHWC, strict=True):
            axes.imshow(np.concatenate(list(image_NHWC), axis=1), interpolation="nearest")
            axes.set(xticks=[], yticks=[])
            axes.set_ylabel(_spoken(name), rotation=0, ha="right", va="center")
        drawn = metrics["orderings"][names[0]]["sampling"]
        figure.suptitle(
            f"Samples at scale {metrics['scale']}, {metrics['data']}: seed {metrics['seeds'][0]}, temperature "
            f"{drawn['temperature']:g}, top-k {drawn['top_k']}, the same random numbers for every ordering",
            fontsize="small",
        )
        save(figure, folder, "orderings_samples", config.png_dpi)
