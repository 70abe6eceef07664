"""Table 1 as CSV, Markdown and LaTeX, and its learning curves. Draws stored numbers, computes none."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes

from twostage.config.schema import FiguresConfig
from twostage.errors import TwostageError
from twostage.evaluation.statistics import holm, p_value
from twostage.figures.style import save, style
from twostage.figures.tables import write_text
from twostage.runtime.artifacts import read_json
from twostage.runtime.job import Job

NAMES = {"gpt": "transformer", "pixelsnail": "PixelSNAIL"}
DIFFERENCES = ("difference_steps", "difference_time")


@dataclass
class Table1Config:
    """The order of the rows, and the look."""

    rows: list[str]
    paper_nll: dict[str, dict[str, float]]  # row -> what the paper prints; nothing is computed of it
    figures: FiguresConfig = field(default_factory=FiguresConfig)


def table1(config: Table1Config, job: Job) -> None:
    """Writes table1.{csv,md,tex} and table1_curves.{pdf,png}. Raises TwostageError for metrics of an older version."""
    rows = [read_json(job.upstream(label) / "metrics.json") for label in config.rows]
    if any("pace" not in row for row in rows):
        raise TwostageError("the metrics of Table 1 are of a version without paces; make them again: make table1")
    _correct(rows)
    numbers = pd.DataFrame([_numbers(row, config.paper_nll[row["row"]]) for row in rows])
    write_text(job.folder / "table1.csv", numbers.to_csv(index=False, float_format="%.5g"))
    printed = pd.DataFrame([_printed(row, config.paper_nll[row["row"]]) for row in rows])
    caption = _caption(rows[0])
    write_text(job.folder / "table1.md", f"{printed.to_markdown(index=False)}\n\n{caption}\n")
    text = printed.to_latex(index=False, escape=False, caption=caption, label="tab:table1")
    write_text(job.folder / "table1.tex", _latex(text))
    _curves(rows, config.figures, job.folder)


def _correct(rows: list[dict[str, Any]]) -> None:
    """Adds `p_holm` to every difference: each row is a job of its own, so only here all comparisons are at hand."""
    places = [(row, name) for row in rows for name in DIFFERENCES]
    p_values = [p_value([seed[name] for seed in row["per_seed"]]) for row, name in places]
    for (row, name), p in zip(places, holm(p_values), strict=True):
        row["nll_nats_per_token"][name]["p_holm"] = p


def _latex(text: str) -> str:
    """Plain LaTeX: no letter of it needs a package."""
    for character, command in {"±": r"$\pm$", "Δ": r"$\Delta$", "%": r"\%", "_": r"\_"}.items():
        text = text.replace(character, command)
    return text


def _numbers(row: dict[str, Any], paper: dict[str, float]) -> dict[str, Any]:
    """One line of the CSV: everything that was measured, nats per token unless the name says otherwise."""
    line = {key: row[key] for key in ("row", "scale", "data", "condition", "tune_on", "steps")}
    line["num_seeds"] = len(row["seeds"])
    line["unigram_entropy"] = row["unigram_entropy_nats"]
    for name, summary in row["nll_nats_per_token"].items():
        line |= {name: summary["mean"], f"{name}_std": summary["std"]}
        if name.startswith("difference"):
            line |= {f"{name}_{part}": summary[part] for part in ("ci95_low", "ci95_high", "p_holm")}
    for architecture, cost in row["cost"].items():
        line |= {f"{architecture}_{name}": value for name, value in cost.items()}
    line |= row["pace"]
    return line | {f"paper_{name}": value for name, value in paper.items()}


def _printed(row: dict[str, Any], paper: dict[str, float]) -> dict[str, str]:
    """One line of the rendered tables: ours as mean ± standard deviation over seeds, the paper's beside it."""
    nll, cost = row["nll_nats_per_token"], row["cost"]
    given = f" given {row['condition'].split('_')[0]}" if row["condition"] else ""

    def ours(name: str) -> str:
        return f"{nll[name]['mean']:.3f} ± {nll[name]['std']:.3f}"

    def interval(name: str) -> str:
        p = "" if nll[name]["p_holm"] is None else f", p {nll[name]['p_holm']:.2g}"
        return f"{nll[name]['mean']:+.3f} [{nll[name]['ci95_low']:+.3f}, {nll[name]['ci95_high']:+.3f}]{p}"

    return {
        "row": row["row"],
        "stand-in": row["data"].replace("_", " ") + given,
        "params [M]": " / ".join(f"{cost[name]['num_parameters'] / 1e6:.2f}" for name in NAMES),
        "transformer, P-SNAIL steps": ours("transformer_steps"),
        "transformer, P-SNAIL time": ours("transformer_time"),
        "PixelSNAIL": ours("pixelsnail"),
        "Δ steps": interval("difference_steps"),
        "Δ time": interval("difference_time"),
        "GFLOP / step": " / ".join(f"{cost[name]['gflops_per_step']:.3g}" for name in NAMES),
        "s / step": " / ".join(f"{cost[name]['seconds_per_step']:.3g}" for name in NAMES),
        "cost of a P-SNAIL step": _ratio(row["pace"]),
        "paper": " / ".join(f"{paper[name]:.2f}" for name in ("transformer_steps", "transformer_time", "pixelsnail")),
    }


def _ratio(pace: dict[str, float]) -> str:
    low, high = (pace[f"seconds_ratio_ci95_{end}"] for end in ("low", "high"))
    return f"{pace['seconds_ratio']:.3f} [{low:.3f}, {high:.3f}]"


def _caption(row: dict[str, Any]) -> str:
    return (
        f"Validation NLL, nats per token, at scale {row['scale']} ({row['steps']} PixelSNAIL steps, "
        f"{len(row['seeds'])} seeds): mean ± standard deviation over seeds. Δ: transformer minus PixelSNAIL, paired by "
        "seed, with its 95 % t interval, and p of the paired t test, corrected for all Δ of the table (Holm); "
        "negative: the transformer is better. Seeds are of the priors: each tokenizer was trained once, and no "
        "interval covers its seed. Two values in a cell: transformer / PixelSNAIL. Cost of a PixelSNAIL step: in steps "
        "of the transformer, measured with both stepping in turn in one process, so that other users of the "
        "machine move it little: the median of the rounds' ratios with its "
        "95 % interval. The transformer's NLL at PixelSNAIL's time is that after PixelSNAIL's steps times this cost, "
        "linear between its neighbouring evaluation points. Seconds of the same phase: process CPU time at one thread "
        "(on an accelerator, wall time). GFLOP: matrix products and convolutions, forward and backward. Paper: the "
        "printed NLLs of Table 1 in the order of the columns, on the data that ours stands in for."
    )


def _curves(rows: list[dict[str, Any]], config: FiguresConfig, folder: Path) -> None:
    with style(config, rows=2, columns=len(rows), panel_ratio=1.25):
        figure, axes = plt.subplots(2, len(rows), sharey="col", squeeze=False)
        for column, row in enumerate(rows):
            _panel(axes[0, column], row, config, "step", "step")
            _panel(axes[1, column], row, config, "train_seconds", "time [s]")
            axes[0, column].set_title(f"{row['row']}\n{row['data'].replace('_', ' ')}")
        figure.supylabel("validation NLL [nats per token]", fontsize="small")
        figure.suptitle(
            f"Table 1 at scale {rows[0]['scale']}: a line per seed, dashed the unigram entropy of the latents",
            fontsize="small",
        )
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
        save(figure, folder, "table1_curves", config.png_dpi)


def _panel(axes: Axes, row: dict[str, Any], config: FiguresConfig, over: str, label: str) -> None:
    for name, curve in row["curves"].items():
        architecture, _, seed = name.partition(".")
        first = seed == f"seed{row['seeds'][0]}"
        line_label = NAMES[architecture] if first else None
        axes.plot(curve[over], curve["nll"], color=config.palette[architecture], lw=1, alpha=0.8, label=line_label)
    entropy = row["unigram_entropy_nats"]
    axes.axhline(entropy, color="0.5", lw=0.8, ls="--")
    # The first point, before any training, would squeeze everything that matters into the lower edge.
    lowest = min(min(curve["nll"]) for curve in row["curves"].values())
    axes.set_ylim(lowest - 0.1 * (entropy - lowest), entropy + 0.15 * (entropy - lowest))
    axes.set_xlabel(label)
