"""SUNDAE against transformers as table, bars and samples. Draws stored numbers, computes none."""

# M images, H height, W width

from dataclasses import dataclass, field
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure

from twostage.config.schema import FiguresConfig
from twostage.figures.strips import strip
from twostage.figures.style import save, style
from twostage.figures.tables import plain, words, write_tables
from twostage.runtime.artifacts import read_array, read_json
from twostage.runtime.job import Job
from twostage.runtime.scores import NLL

Metrics = dict[str, Any]

COLUMNS = (
    "architecture", "num_parameters", "steps", "train_seconds", "learning_rate", "learning_rate_at_edge",
    NLL, "denoising_nats_per_token", "unigram_entropy_nats", "chain_steps", "proportion",
    "temperature", "top_k", "tokens_per_image", "network_evaluations", "sampling_seconds_per_image", "batch_size",
    "clock", "evaluated_images", "real_images", "fid", "fid_infinity", "fid_infinity_standard_error", "kid_mean",
    "kid_std_over_subsets", "precision", "recall", "density", "coverage",
)  # fmt: skip
# Only where a prior has one: summaries of before there was such a prior do not name it.
BOUND = "bound_nats_per_token"
# What the paper prints, and the column of ours that it stands in.
PRINTED = {"steps": "chain_steps", "fid": "fid", "density": "density", "coverage": "coverage"}
BARS = (
    ("fid", "FID\n(low: good)"),
    ("density", "density\n(high: good)"),
    ("coverage", "coverage\n(high: good)"),
    ("sampling_seconds_per_image", "sampling\n[s per image]"),
)
NUM_FEATURES = 2048  # of FID's Inception
# The paper's usual chain, where ours is another.
ANNEALED = "and its chains go from a temperature of about 1 down to a low one (Sec. 3.4)"
# Heights in units of the figure's width: a title and the bars, and every strip of samples with its title.
BARS_HEIGHT, STRIP_HEIGHT = 0.5, 0.15


@dataclass
class SundaeVsAutoregressiveConfig:
    """The look, and what the paper says: text and printed numbers, of which nothing is computed."""

    paper_says: str
    paper_rows: dict[str, list[dict[str, Any]]]  # row -> printed lines
    figures: FiguresConfig = field(default_factory=FiguresConfig)


def sundae_vs_autoregressive(config: SundaeVsAutoregressiveConfig, job: Job) -> None:
    """Writes NAME.{csv,md,pdf,png}, NAME the job's variant."""
    rows = {label: read_json(job.upstream(label) / "metrics.json") for label in job.inputs}
    for label, metrics in rows.items():
        metrics |= {"paper_says": config.paper_says, "paper_rows": config.paper_rows[label]}
    grids = {label: read_array(job.upstream(label) / "grid.npy") for label in job.inputs}
    numbers = pd.DataFrame([line for metrics in rows.values() for line in numbers_of(metrics)])
    write_tables(job, numbers, *((_printed(metrics), _caption(metrics)) for metrics in rows.values()))
    _draw(rows, grids, config.figures, job)


def numbers_of(metrics: Metrics) -> list[dict[str, Any]]:
    """Lines of the CSV: ours, then the paper's, which have no more than what is printed."""
    place = {"row": metrics["label"]}
    about = {key: metrics[key] for key in ("scale", "data", "tokenizer", "size")}
    ours = [
        {"source": "ours"} | place | {"set": label} | about | {key: plain(found[key]) for key in _columns(metrics)}
        for label, found in metrics["sets"].items()
    ]
    paper = [
        {"source": "paper"} | place | {"set": row["label"]} | {PRINTED[key]: row[key] for key in PRINTED if key in row}
        for row in metrics["paper_rows"]
    ]
    return ours + paper


def _has_bound(metrics: Metrics) -> bool:
    return any(row.get(BOUND) is not None for row in metrics["sets"].values())


def _columns(metrics: Metrics) -> list[str]:
    """Columns of the CSV: each score has one of its own."""
    at = COLUMNS.index("denoising_nats_per_token") + 1
    return [*COLUMNS[:at], *([BOUND] if _has_bound(metrics) else []), *COLUMNS[at:]]


def _printed(metrics: Metrics) -> list[dict[str, str]]:
    """Lines of the rendered table."""
    ours = [
        {
            metrics["label"]: label,
            "params [M]": f"{row['num_parameters'] / 1e6:.2f}",
            "FID": f"{row['fid']:.2f}",
            "FID∞": f"{row['fid_infinity']:.2f} ± {row['fid_infinity_standard_error']:.2f}",
            "KID": f"{row['kid_mean']:.3f} ± {row['kid_std_over_subsets']:.3f}",
            "density": f"{row['density']:.2f}",
            "coverage": f"{row['coverage']:.2f}",
            "s per image": f"{row['sampling_seconds_per_image']:.4f}",
            "network evaluations": f"{row['network_evaluations']:g}",
            "training": f"{row['steps']} steps, {row['train_seconds']:.0f} s",
            "score [nats per token]": _score(row),
            **({"bound of the NLL [nats per token]": _bound(row)} if _has_bound(metrics) else {}),
        }
        for label, row in metrics["sets"].items()
    ]
    paper = [
        dict.fromkeys(ours[0], "")
        | {metrics["label"]: f"paper: {row['label']}", "FID": f"{row['fid']:.2f}"}
        | {key: f"{row[key]:.2f}" for key in ("density", "coverage") if key in row}
        | ({"network evaluations": f"{row['steps']}"} if "steps" in row else {})
        for row in metrics["paper_rows"]
    ]
    return ours + paper


def _score(row: Metrics) -> str:
    nll, denoising = row[NLL], row["denoising_nats_per_token"]
    if nll is not None:
        return f"NLL {nll:.3f}"
    return "" if denoising is None else f"denoising loss {denoising:.3f}"


def _bound(row: Metrics) -> str:
    return "" if row[BOUND] is None else f"≤ {row[BOUND]:.3f}"


def few(row: Metrics) -> str:
    """What the number of samples does to the numbers of a line."""
    inflated = "a finite number of samples inflates FID, and not that of every line by as much"
    if row["evaluated_images"] >= NUM_FEATURES:
        return f"{inflated}."
    return f"{inflated}; with fewer than Inception's {NUM_FEATURES} features FID∞ is too high as well, KID is not."


def _chains(metrics: Metrics) -> str:
    """How each kind of prior is sampled."""
    rows = {row["architecture"]: row for row in metrics["sets"].values()}
    said = [f"SUNDAE's chains are at temperature {words(rows['sundae']['temperature'])}, proportion "
            f"{words(rows['sundae']['proportion'])}, of all codes"]  # fmt: skip
    if "gpt" in rows:
        top_k = rows["gpt"]["top_k"]
        cut = "all codes" if top_k is None else f"the {top_k} likeliest codes"
        said.append(f"the transformer draws at temperature {words(rows['gpt']['temperature'])} out of {cut}")
    if "absorbing" in rows:
        said.append(
            f"absorbing diffusion (Bond-Taylor et al. 2021) unmasks at temperature "
            f"{words(rows['absorbing']['temperature'])}, of all codes"
        )
    return "; ".join(said)


def _caption(metrics: Metrics) -> str:
    row = next(iter(metrics["sets"].values()))
    return (
        f"At scale {metrics['scale']}: {metrics['data']} through {metrics['tokenizer']}, {metrics['size']}x"
        f"{metrics['size']} pixels, {row['tokens_per_image']} tokens; one seed. "
        f"{_chains(metrics)}. FID, KID, density and coverage of the first "
        f"{row['evaluated_images']} samples of each set against the same {row['real_images']} real images; "
        f"{few(row)} FID∞: extrapolated to infinitely many samples, ± jackknife's standard error; KID: ± standard "
        f"deviation over subsets. Sampling: drawing and decoding, batches of {row['batch_size']}; seconds: "
        f"{row['clock']}. "
        "Network evaluations of an image: the transformer keeps keys and values of earlier tokens, so each of its "
        "evaluations costs that of one token, each of SUNDAE's that of all. The score of SUNDAE is a cross-entropy "
        "given corrupted codes: no likelihood of images, no bound of one, and not comparable with an NLL (a bound that "
        f"is cheap to have, the cross-entropy given nothing but noise, ignores the chain). {_said_of_bound(metrics)}"
        f"Paper: {metrics['paper_says']} ({metrics['label']}; McKinney & Willcocks 2022, Tables 1 and 2, Sec. 4.1; the "
        f"FID of its own rows is FID∞, {ANNEALED})."
    )


def _said_of_bound(metrics: Metrics) -> str:
    if not _has_bound(metrics):
        return ""
    return (
        "The bound of absorbing diffusion is variational: its NLL is at most that. It draws every token once, so an "
        "image takes no more evaluations than steps, each over all tokens. "
    )


def _draw(rows: dict[str, Metrics], grids: dict[str, np.ndarray], config: FiguresConfig, job: Job) -> None:
    heights = [BARS_HEIGHT + STRIP_HEIGHT * len(metrics["sets"]) for metrics in rows.values()]
    with style(config, rows=1, columns=1, panel_ratio=sum(heights)):
        figure = plt.figure()
        parts = figure.add_gridspec(len(rows), 1, height_ratios=heights)
        for at, (label, metrics) in enumerate(rows.items()):
            _row(figure.add_subfigure(parts[at]), metrics, grids[label], config)
        save(figure, job.folder, job.variant, config.png_dpi)


def _row(figure: SubFigure, metrics: Metrics, grid: np.ndarray, config: FiguresConfig) -> None:
    heights = [BARS_HEIGHT, STRIP_HEIGHT * len(metrics["sets"])]
    parts = figure.add_gridspec(2, 1, height_ratios=heights)
    above, below = figure.add_subfigure(parts[0]), figure.add_subfigure(parts[1])
    row = next(iter(metrics["sets"].values()))
    above.suptitle(
        f"SUNDAE and transformers at scale {metrics['scale']}, {metrics['data']} in place of {metrics['label']}: "
        f"{row['evaluated_images']} samples each",
        fontsize="small",
    )
    for panel, (key, label) in zip(above.subplots(1, len(BARS), sharey=True), BARS, strict=True):
        _bars(panel, metrics, config, key, label)
    draw_strips(below, list(metrics["sets"]), grid)


def _bars(axes: Axes, metrics: Metrics, config: FiguresConfig, key: str, label: str) -> None:
    for at, row in enumerate(metrics["sets"].values()):
        axes.barh(at, row[key], color=config.palette[row["architecture"]], height=0.6)
        axes.annotate(f" {row[key]:.3g}", (row[key], at), va="center", fontsize="x-small")
    axes.set_yticks(range(len(metrics["sets"])), list(metrics["sets"]))
    axes.set_ylim(len(metrics["sets"]) - 0.5, -0.5)
    axes.margins(x=0.5)
    axes.set_xlabel(label)


def draw_strips(figure: SubFigure, labels: list[str], grid: np.ndarray) -> None:
    """The first samples of every set, one strip below the other."""
    for panel, label, image_MHW3 in zip(
        figure.subplots(len(labels), 1, squeeze=False)[:, 0], labels, grid, strict=True
    ):
        panel.imshow(strip(image_MHW3), interpolation="nearest")
        panel.set_title(f"{label}: the first samples", fontsize="x-small")
        panel.set_axis_off()
