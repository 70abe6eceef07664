"""Class-conditional samples of several settings as table, curves and samples. Draws stored numbers, computes none."""

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

Metrics = dict[str, Any]

COLUMNS = (
    "top_k", "top_p", "acceptance", "pool", "classes", "fid", "fid_infinity", "fid_infinity_standard_error", "kid_mean",
    "kid_std_over_subsets", "precision", "recall", "density", "coverage", "class_accuracy", "rejector_class_accuracy",
    "inception_score_mean", "inception_score_std_over_splits",
)  # fmt: skip


@dataclass
class RejectionConfig:
    """The look, and what the paper says: text and printed numbers, of which nothing is computed."""

    paper_says: str
    paper_rows: list[dict[str, Any]]
    figures: FiguresConfig = field(default_factory=FiguresConfig)


def rejection(config: RejectionConfig, job: Job) -> None:
    """Writes rejection.{csv,md,pdf,png}."""
    metrics = read_json(job.upstream("summary") / "metrics.json")
    grid = read_array(job.upstream("summary") / "grid.npy")
    ours = [_numbers(metrics, label, row) for label, row in metrics["rows"].items()]
    numbers = pd.DataFrame(ours + [_paper(row) for row in config.paper_rows])
    printed = [_printed(label, row) for label, row in metrics["rows"].items()]
    printed += [_printed_paper(row) for row in config.paper_rows]
    write_tables(job, numbers, (printed, _caption(metrics, config)))
    _figure(metrics, grid, config.figures, job)


def _numbers(metrics: Metrics, label: str, row: Metrics) -> dict[str, Any]:
    line = {"setting": label, "source": "ours", "scale": metrics["scale"], "data": metrics["data"]}
    return line | {"num_images": metrics["num_images"]} | {key: row[key] for key in COLUMNS}


def _paper(row: Metrics) -> dict[str, Any]:
    named = {"fid": row["fid"], "inception_score_mean": row["is"], "inception_score_std_over_splits": row["is_std"]}
    settings = {"top_k": row["k"], "top_p": row["p"], "acceptance": row["acceptance_rate"]}
    return {"setting": f"paper, k {row['k']}", "source": "paper", "data": "imagenet"} | settings | named


def _printed(label: str, row: Metrics) -> dict[str, str]:
    score = row["inception_score_mean"]
    return {
        "setting": label,
        "acceptance": f"{row['acceptance']:g}",
        "FID": f"{row['fid']:.1f}",
        "KID": f"{row['kid_mean']:.3f} ± {row['kid_std_over_subsets']:.3f}",
        "precision": f"{row['precision']:.3f}",
        "recall": f"{row['recall']:.3f}",
        "density": f"{row['density']:.3f}",
        "coverage": f"{row['coverage']:.3f}",
        "class accuracy": f"{row['class_accuracy']:.3f}",
        "IS": "" if score is None else f"{score:.1f} ± {row['inception_score_std_over_splits']:.1f}",
    }


def _printed_paper(row: Metrics) -> dict[str, str]:
    return {
        "setting": f"paper, ImageNet: k {row['k']}",
        "acceptance": f"{row['acceptance_rate']:g}",
        "FID": f"{row['fid']:.2f}",
        "IS": f"{row['is']:.1f} ± {row['is_std']:.1f}",
    }


def _caption(metrics: Metrics, config: RejectionConfig) -> str:
    settings = metrics["settings"]
    absent = metrics["inception_score_not_available"]
    score = " Inception Score is not measured: the Inception weights at hand have no classifier." if absent else ""
    trained = metrics["judge"]["network"] == "small"
    judge = "a second classifier, of another seed," if trained else "the same classifier, which it flatters,"
    return (
        f"Class-conditional samples at scale {metrics['scale']}: {metrics['data']}, all classes equally often. Of "
        f"each setting {metrics['num_images']} samples, against {metrics['real_images']} real images: so few inflate "
        "FID, for every setting alike. Acceptance: the share of a pool, class by class, that one classifier "
        "finds the likeliest to show its class; in the figure, numbers at filled points are shares accepted. "
        f"{_pools(metrics)} Class accuracy: the share whose class {judge} recovers; of real validation images it "
        f"recovers {metrics['judge']['accuracy']:.3f}. Precision and recall with {settings['precision_neighbours']}, "
        f"density and coverage with {settings['coverage_neighbours']} neighbours.{score} Paper: "
        f"{config.paper_says}."
    )


def _pools(metrics: Metrics) -> str:
    """How many samples each kind of setting is chosen from, in the caption."""
    settings = {"mixed": "mixed", "all": "p"}
    size = {settings.get(row["top_k"], "k"): row["pool"] for row in metrics["rows"].values()}
    said = f"Pools: mixed k has {size['mixed']} samples"
    if "k" in size:
        said += f"; a row k ... is drawn from its part of them, {size['k']}"
    if "p" in size:
        said += f"; a row p ... from {size['p']}, as many as are compared"
    return f"{said}."


def _figure(metrics: Metrics, grid: np.ndarray, config: FiguresConfig, job: Job) -> None:
    labels = list(metrics["rows"])
    with style(config, rows=2, columns=3, panel_ratio=0.62 + 0.09 * len(labels)):
        figure = plt.figure()
        parts = figure.add_gridspec(2, 1, height_ratios=[3, len(labels)])
        above, below = (figure.add_subfigure(parts[row, 0]) for row in range(2))
        axes = above.subplots(1, 3)
        _over_acceptance(axes[0], metrics, config, "fid", "FID ↓")
        _over_acceptance(axes[1], metrics, config, "class_accuracy", "class accuracy ↑")
        _trade(axes[2], metrics, config)
        for panel, label, images in zip(below.subplots(len(labels), 1, squeeze=False)[:, 0], labels, grid, strict=True):
            panel.imshow(strip(images), interpolation="nearest")
            panel.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=points(6))
            panel.set(xticks=[], yticks=[], frame_on=False)
        figure.suptitle(
            f"Class-conditional samples at scale {metrics['scale']}, {metrics['data']}: {metrics['num_images']} "
            "samples of each setting",
            fontsize="small",
        )
        save(figure, job.folder, "rejection", config.png_dpi)


def _over_acceptance(axes: Axes, metrics: Metrics, config: FiguresConfig, key: str, label: str) -> None:
    """The pool of all settings over the share that is accepted; without rejection, every other setting as a point."""
    rejected = [row for row in metrics["rows"].values() if row["top_k"] == "mixed"]
    others = [(name, row) for name, row in metrics["rows"].items() if row["top_k"] != "mixed"]
    colour = config.palette["conditional"]
    axes.plot([row["acceptance"] for row in rejected], [row[key] for row in rejected], "o-", ms=3, lw=1, color=colour,
              label="mixed k")  # fmt: skip
    for _, row in others:
        axes.plot(row["acceptance"], row[key], "D", ms=3, mfc="none", color="0.4")
    axes.set_xscale("log")
    axes.invert_xaxis()
    axes.set_xlabel("share accepted")
    axes.set_title(label)


def _trade(axes: Axes, metrics: Metrics, config: FiguresConfig) -> None:
    """Fidelity against diversity: precision over recall, a point for every setting, those under rejection joined."""
    rejected = [row for row in metrics["rows"].values() if row["top_k"] == "mixed"]
    axes.plot([row["recall"] for row in rejected], [row["precision"] for row in rejected], "-", lw=0.8,
              color=config.palette["conditional"])  # fmt: skip
    for at, (name, row) in enumerate(metrics["rows"].items()):
        label, marker, colour, face = name, "D", "0.4", "none"
        if row["top_k"] == "mixed":
            colour = face = config.palette["conditional"]
            label, marker = f"{row['acceptance']:g}", "o"
        # Neighbours in the list are often neighbours here: above the point and below it in turn.
        place = (2, 2) if at % 2 else (2, -6)
        at_point = (row["recall"], row["precision"])
        axes.plot(*at_point, marker, ms=3, mfc=face, color=colour)
        axes.annotate(label, at_point, xytext=place, textcoords="offset points", fontsize=points(4.5), color=colour)
    axes.margins(0.2)
    axes.set_xlabel("recall (diversity)")
    axes.set_ylabel("precision (fidelity)")
    axes.set_title("precision and recall")
