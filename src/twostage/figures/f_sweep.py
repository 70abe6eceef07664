"""The sweep over the factor f as table, curves and samples. Draws stored numbers, computes none."""

from dataclasses import dataclass, field
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from twostage.config.schema import FiguresConfig
from twostage.evaluation.quantities import QUANTITIES
from twostage.figures.strips import strip
from twostage.figures.study import ARROWS
from twostage.figures.style import points, save, style
from twostage.figures.tables import write_tables
from twostage.runtime.artifacts import read_array, read_json
from twostage.runtime.job import Job

Metrics = dict[str, Any]

COLUMNS = (
    "factor", "tokenizer", "grid", "window", "num_codes", "codes_used", "perplexity", "lpips", "lpips_std_over_images",
    "psnr_decibels", "nll_nats_per_image", "nll_nats_per_image_std_over_images", "nll_nats_per_dimension",
    "likelihood_images", "fid", "fid_infinity", "fid_infinity_standard_error", "kid_mean", "kid_std_over_subsets",
    "precision", "recall", "density", "coverage", "num_images", "real_images", "sampling_seconds_per_image",
    "sampling_speedup", "tokens_per_image", "batch_size", "temperature", "top_k", "num_parameters", "steps",
    "train_seconds", "seconds_per_step", "learning_rate", "learning_rate_at_edge",
)  # fmt: skip
# quantity, its spread over images, the title, whether its axis is logarithmic
PANELS = (
    ("lpips", "lpips_std_over_images", "LPIPS (VGG)\nof reconstructions", False),
    ("nll_nats_per_image", "nll_nats_per_image_std_over_images", "NLL of the codes\n[nats per image]", True),
    ("fid", None, "FID\nof samples", False),
    ("sampling_speedup", None, "sampling speed-up\nover the first f", True),
)
PAPER = "paper, faces of 256x256 pixels"


@dataclass
class FSweepConfig:
    """The look, and what the paper says: text and printed numbers, of which nothing is computed."""

    paper: dict[str, dict[str, float]]  # quantity -> factor -> number
    paper_says: str = ""
    figures: FiguresConfig = field(default_factory=FiguresConfig)


def f_sweep(config: FSweepConfig, job: Job) -> None:
    """Writes NAME.{csv,md,pdf,png} and NAME_samples.{pdf,png}, where NAME is the study's."""
    metrics = read_json(job.upstream(job.variant) / "metrics.json")
    grid = read_array(job.upstream(job.variant) / "grid.npy")
    for factor, row in metrics["factors"].items():
        row["paper"] = {name: numbers.get(factor) for name, numbers in config.paper.items()}
    rows = list(metrics["factors"].values())
    numbers = pd.DataFrame([_numbers(metrics, row) for row in rows])
    write_tables(job, numbers, ([_printed(row) for row in rows], _caption(metrics, config.paper_says)))
    _curves(metrics, config.figures, job)
    _samples(metrics, grid, config.figures, job)


def _numbers(metrics: Metrics, row: Metrics) -> dict[str, Any]:
    """One line of the CSV: all that was measured at one f, and what the paper prints of it."""
    line = {"scale": metrics["scale"], "data": metrics["data"], "size": metrics["size"]}
    line |= {key: "x".join(map(str, row[key])) if key in ("grid", "window") else row[key] for key in COLUMNS}
    line |= {f"paper_{name}": number for name, number in row["paper"].items()}
    if "condition" not in metrics:
        return line
    line |= {"condition": metrics["condition"], **row["agreement"]}
    return line | {f"{name}_by_chance": number for name, number in row["agreement_by_chance"].items()}


def _printed(row: Metrics) -> dict[str, str]:
    """One line of the rendered table: ours, and the paper's in brackets where it prints one."""
    paper = row["paper"]

    def beside(ours: str, name: str, form: str) -> str:
        return ours if paper.get(name) is None else f"{ours} ({paper[name]:{form}})"

    line = {
        "f": str(row["factor"]),
        "tokens": "x".join(map(str, row["grid"])),
        "LPIPS": beside(f"{row['lpips']:.3f} ± {row['lpips_std_over_images']:.3f}", "lpips", ".2f"),
        "NLL [nats per image]": beside(f"{row['nll_nats_per_image']:.4g}", "nll_nats_per_image", ".4g"),
        "NLL [nats per dimension]": f"{row['nll_nats_per_dimension']:.3f}",
        "FID": f"{row['fid']:.1f}",
        "FID∞": f"{row['fid_infinity']:.1f} ± {row['fid_infinity_standard_error']:.1f}",
        "KID": f"{row['kid_mean']:.3f} ± {row['kid_std_over_subsets']:.3f}",
        "s per image": beside(f"{row['sampling_seconds_per_image']:.4f}", "sampling_seconds_per_image", ".0f"),
        "speed-up": beside(f"{row['sampling_speedup']:.2f}", "sampling_speedup", ".2f"),
    }
    for name, number in row.get("agreement", {}).items():
        line[f"{_in_words(name)} (chance)"] = f"{number:.3f} ({row['agreement_by_chance'][name]:.3f})"
    return line


def _in_words(measure: str) -> str:
    quantity = QUANTITIES[measure]
    unit = f" [{quantity.unit}]" if quantity.unit else ""
    return f"{quantity.label}{unit} {ARROWS[quantity.better]}".rstrip()


def _caption(metrics: Metrics, paper_says: str) -> str:
    row = next(iter(metrics["factors"].values()))
    edge = " (at its edge)" if row["learning_rate_at_edge"] else ""
    in_brackets, seen, paper = _of_condition(metrics, paper_says) if "condition" in metrics else _of_faces()
    return (
        f"At scale {metrics['scale']}: {metrics['data']}, {metrics['size']}x{metrics['size']} pixels, one transformer "
        f"over at most {metrics['window']}x{metrics['window']} tokens, {row['steps']} steps, one seed, learning rate "
        f"{row['learning_rate']:g} of one sweep, at one f, for all{edge}. {in_brackets} LPIPS: mean ± standard "
        "deviation over validation images. NLL: of the codes of whole "
        f"images, over {row['likelihood_images']} validation images, every token given what its sliding window shows "
        f"of {seen}; codes of one f say less than those of another, so this is no ranking of likelihoods "
        f"of images; per dimension: over the pixels' three channels. FID and KID of {row['num_images']} samples each "
        f"against {row['real_images']} real images: so few inflate FID, FID∞ (extrapolated, ± standard error) less, "
        "KID (± standard deviation over subsets) not. Sampling: drawing and decoding, batches of "
        f"{row['batch_size']}, temperature {row['temperature']:g}, top-k {row['top_k']}; seconds: {row['clock']}. "
        f"{paper}"
    )


def _of_faces() -> tuple[str, str, str]:
    """Of the caption: what stands in brackets, what a window shows, and what the paper says."""
    return (
        "In brackets the paper's, on faces of 256x256 pixels with 16x16 tokens.",
        "the tokens before it",
        "Paper: Esser et al. 2021, Fig. 7 and 8; the text of Fig. 8 gives its columns no f, which is inferred.",
    )


def _of_condition(metrics: Metrics, paper_says: str) -> tuple[str, str, str]:
    """The same where the transformer is given a map."""
    return (
        f"The transformer is given the {metrics['condition']} of validation images, one sample each. Chance: the same "
        "samples held against the next image and its map.",
        "the tokens before it and of the map's",
        f"Paper: Esser et al. 2021, Fig. 10, which prints no numbers: {paper_says}.",
    )


def _curves(metrics: Metrics, config: FiguresConfig, job: Job) -> None:
    rows = list(metrics["factors"].values())
    agreement = next(iter(rows[0].get("agreement", {})), None)
    num_panels = len(PANELS) + (agreement is not None)
    with style(config, rows=1, columns=num_panels, panel_ratio=1.5):
        figure, axes = plt.subplots(1, num_panels)
        for panel, description in zip(axes[: len(PANELS)], PANELS, strict=True):
            _panel(panel, rows, config, *description)
        if agreement is not None:
            _agreement_panel(axes[-1], rows, config, agreement)
        figure.suptitle(
            f"Factor f of the first stage at scale {metrics['scale']}, {metrics['data']}{_given(metrics)}: windows of "
            f"at most {metrics['window']}x{metrics['window']} tokens, FID of {rows[0]['num_images']} samples each",
            fontsize="small",
        )
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
        save(figure, job.folder, job.variant, config.png_dpi)


def _given(metrics: Metrics) -> str:
    return f" given {metrics['condition']}" if "condition" in metrics else ""


def _panel(
    axes: Axes, rows: list[Metrics], config: FiguresConfig, key: str, spread: str | None, label: str, logarithmic: bool
) -> None:
    factors, values = [row["factor"] for row in rows], [row[key] for row in rows]
    errors = [row[spread] for row in rows] if spread else None
    colour = config.palette["latents"]
    axes.errorbar(factors, values, yerr=errors, fmt="o-", color=colour, ms=3, lw=1, capsize=2, label="ours")
    printed = [(row["factor"], row["paper"][key]) for row in rows if row["paper"].get(key) is not None]
    if printed:
        axes.plot(*zip(*printed, strict=True), "D", mfc="none", color="0.3", ms=3, label=PAPER)
    _finish(axes, factors, label, logarithmic)


def _agreement_panel(axes: Axes, rows: list[Metrics], config: FiguresConfig, measure: str) -> None:
    """Samples against their own condition and against another one's."""
    factors = [row["factor"] for row in rows]
    own, chance = ([row[key][measure] for row in rows] for key in ("agreement", "agreement_by_chance"))
    axes.plot(factors, own, "o-", color=config.palette["latents"], ms=3, lw=1)
    axes.plot(factors, chance, "s--", mfc="none", color="0.5", ms=3, lw=1, label="chance")
    axes.legend(frameon=False, fontsize=points(5))
    _finish(axes, factors, _in_words(measure).replace(" (", "\n(").replace(" to ", "\nto "), logarithmic=False)


def _finish(axes: Axes, factors: list[int], label: str, logarithmic: bool) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(factors, [str(factor) for factor in factors])
    axes.set_xlabel("factor f")
    axes.set_title(label)
    axes.margins(0.12)
    if logarithmic:
        axes.set_yscale("log")
    else:
        axes.set_ylim(0, 1.08 * axes.get_ylim()[1])


def _samples(metrics: Metrics, grid: np.ndarray, config: FiguresConfig, job: Job) -> None:
    """A strip of samples for every factor, as Fig. 7; with a condition as Fig. 10, reconstructions beside them."""
    if "condition" in metrics:
        _conditional_samples(metrics, grid, config, job)
        return
    rows = list(metrics["factors"].values())
    with style(config, rows=len(rows), columns=1, panel_ratio=0.17):
        figure, axes = plt.subplots(len(rows), 1, squeeze=False)
        for panel, row, images in zip(axes[:, 0], rows, grid, strict=True):
            panel.imshow(strip(images), interpolation="nearest")
            panel.set_title(f"f = {row['factor']} at scale {metrics['scale']}: the first samples, {_cost(row)}",
                            fontsize="x-small")  # fmt: skip
            panel.set_axis_off()
        save(figure, job.folder, f"{job.variant}_samples", config.png_dpi)


def _cost(row: Metrics) -> str:
    return (
        f"{row['tokens_per_image']} tokens each; {row['sampling_seconds_per_image']:.3g} s an image, speed-up "
        f"{row['sampling_speedup']:.3g}"
    )


def _conditional_samples(metrics: Metrics, grid: np.ndarray, config: FiguresConfig, job: Job) -> None:
    """Left: the maps, then samples of every factor; right: the real images, then their reconstructions."""
    rows = list(metrics["factors"].values())
    titles = [metrics["condition"], f"{metrics['data']}, validation images"]
    for row in rows:
        titles += [
            f"f = {row['factor']}: samples, {row['tokens_per_image']} tokens",
            f"reconstructions, LPIPS {row['lpips']:.3f}",
        ]
    with style(config, rows=len(rows) + 1, columns=2, panel_ratio=0.2):
        figure, axes = plt.subplots(len(rows) + 1, 2)
        for panel, title, images in zip(axes.flat, titles, grid, strict=True):
            panel.imshow(strip(images), interpolation="nearest")
            panel.set_title(title, fontsize="x-small")
            panel.set_axis_off()
        figure.suptitle(
            f"Samples of one condition each, and what the first stage keeps, at scale {metrics['scale']}",
            fontsize="small",
        )
        save(figure, job.folder, f"{job.variant}_samples", config.png_dpi)
