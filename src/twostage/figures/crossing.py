"""GPT against PixelSNAIL over budgets, as table and curves. Draws stored numbers and the laws that these describe."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from twostage.config.schema import FiguresConfig
from twostage.evaluation.crossing import AXES, CHECKED_FROM, FITTED_FROM, RIVALS, TESTED, PowerLaw
from twostage.figures.style import save, style
from twostage.figures.table1 import NAMES
from twostage.figures.tables import write_tables
from twostage.runtime.artifacts import read_json
from twostage.runtime.job import Job

# S seeds, P budgets
Metrics = dict[str, Any]

# Units of a budget -> the name of what is told, and what it is divided by.
UNITS = {"steps": ("steps", 1), "seconds": ("s", 1), "gflops": ("TFLOP", 1000)}
COSTS = ("num_parameters", "learning_rate", "learning_rate_at_edge", "seconds_per_step", "gflops_per_step")
# Laws are drawn up to so many times the budget of the runs.
DRAWN_TO = 10


@dataclass
class CrossingConfig:
    """The look, and what the paper says: text, of which nothing is computed."""

    paper_says: str
    figures: FiguresConfig = field(default_factory=FiguresConfig)


def crossing(config: CrossingConfig, job: Job) -> None:
    """Writes crossing.{csv,md,pdf,png}."""
    metrics = read_json(job.upstream("crossing") / "metrics.json")
    numbers = pd.DataFrame([_numbers(row, metrics["scale"]) for row in metrics["rows"]])
    printed = [line for row in metrics["rows"] for line in _printed(row, metrics["farthest"])]
    write_tables(job, numbers, (printed, _caption(metrics, config.paper_says)))
    _figure(metrics, config.figures, job.folder)


def _numbers(row: Metrics, scale: str) -> dict[str, Any]:
    """One line of the CSV: NLLs and gaps in nats per token, budgets in the unit that their names end with."""
    line = {"row": row["row"], "scale": scale, "data": row["data"], "grid": _grid(row)}
    line |= {key: row[key] for key in ("steps", "batch_size", "epochs", "unigram_entropy_nats")}
    line |= {"num_seeds": len(row["seeds"])}
    line |= {f"{rival}_{key}": row["cost"][rival][key] for rival in RIVALS for key in COSTS}
    line |= {f"{rival}_nll{part}": row["nll"][rival][key] for rival in RIVALS
             for part, key in (("", "mean"), ("_std", "std"))}  # fmt: skip
    for axis, gap in row["gaps"].items():
        end = gap["at_end"]
        line |= {f"budget_{axis}": gap["budget"][-1], f"difference_{axis}": end["mean"]}
        line |= {f"difference_{axis}_{part}": end.get(part) for part in ("std", "ci95_low", "ci95_high", "p_holm")}
        line |= {f"difference_{axis}_at_half": gap["at_half"], f"ahead_from_{axis}": gap["ahead_from"]}
        line |= {f"extrapolated_{part}_{axis}": value for part, value in gap["extrapolated"].items()}
    for rival, law in row["laws"].items():
        line |= {f"{rival}_law_{part}": value for part, value in law.items()}
    return line


def _grid(row: Metrics) -> str:
    return "x".join(map(str, row["grid"]))


def _printed(row: Metrics, farthest: int) -> list[dict[str, str]]:
    """The lines of one row in the rendered table, one for each unit of the budget."""
    cost, laws = row["cost"], row["laws"]
    about = {
        "row": row["row"],
        "tokens": _grid(row),
        "params [M]": " / ".join(f"{cost[rival]['num_parameters'] / 1e6:.2f}" for rival in RIVALS),
        "epochs": f"{row['epochs']:.3g}",
        "rate": " / ".join(_rate(cost[rival]) for rival in RIVALS),
        "NLL": " / ".join(f"{row['nll'][rival]['mean']:.3f}" for rival in RIVALS),
    }
    missed = " / ".join(f"{laws[rival]['missed']:+.3f}{'!' if laws[rival]['at_edge'] else ''}" for rival in RIVALS)
    lines = []
    for axis, gap in row["gaps"].items():
        end = gap["at_end"]
        p = "" if end.get("p_holm") is None else f", p {end['p_holm']:.2g}"
        interval = "" if end["ci95_low"] is None else f" [{end['ci95_low']:+.3f}, {end['ci95_high']:+.3f}]"
        found = {
            "equal": UNITS[axis][0],
            "budget": _budget(axis, gap["budget"][-1]),
            "Δ at half": "" if gap["at_half"] is None else f"{gap['at_half']:+.3f}",
            "Δ at the end": f"{end['mean']:+.3f}{interval}{p}",
            "ahead from": "not yet" if gap["ahead_from"] is None else _budget(axis, gap["ahead_from"]),
            "extrapolated": _extrapolated(gap, farthest),
            "laws missed": missed,
        }
        lines.append(about | found)
    return lines


def _budget(axis: str, value: float) -> str:
    told = value / UNITS[axis][1]
    return f"{told:,.0f}" if told >= 1000 else f"{told:.3g}"


def _rate(cost: Metrics) -> str:
    return f"{cost['learning_rate']:g}{'!' if cost['learning_rate_at_edge'] else ''}"


def _extrapolated(gap: Metrics, farthest: int) -> str:
    """Where the lead changes by the laws, in budgets of the runs, with its interval."""
    found, budget = gap["extrapolated"], gap["budget"][-1]
    change = "loses the lead" if found["gpt_leads"] else "takes the lead"
    if found["changes_at"] is None:
        return f"{'ahead' if found['gpt_leads'] else 'behind'} up to {farthest} ({found['share_of_draws']:.0%} change)"
    low, high = (f"> {farthest}" if found[end] is None else f"{found[end] / budget:.3g}" for end in ("low", "high"))
    return f"{change} at {found['changes_at'] / budget:.3g} [{low}, {high}]"


def _caption(metrics: Metrics, paper_says: str) -> str:
    first, tested = metrics["rows"][0], len(TESTED) * len(metrics["rows"])
    return (
        f"Scale {metrics['scale']}, {first['data']}, {first['steps']} PixelSNAIL steps, {len(first['seeds'])} "
        "seeds. Δ: validation NLL of the transformer less that of PixelSNAIL at equal budget, nats per token, "
        f"paired by seed, with its 95 % t interval and the p of the paired t test, corrected for the {tested} Δ at "
        "equal steps and time (Holm); negative: the transformer is better. Seeds are of the priors: each tokenizer "
        "was trained once, and no interval covers its seed. Two values in a cell: transformer / PixelSNAIL. "
        "Epochs: of PixelSNAIL's run; rows differ in them. NLL: at the end of each run. Rate: !: at the edge of "
        "its sweep. Seconds: steps times the seconds of a step, measured with both rivals stepping in turn in one "
        "process. TFLOP: matrix products and convolutions, forward and backward, those of attention whole, masked "
        "or not. Between evaluations, an NLL is linear in the logarithm of the step. Ahead from: the smallest "
        "budget from which on the mean Δ stays below 0. Extrapolated, not measured: where the lead changes after "
        "the runs by power laws of both curves (NLL = floor + drop x budget^-power, of the points from a quarter "
        f"of the steps on), in budgets of the runs, with the 95 % interval of {metrics['draws']} bootstrap draws of "
        "the points, which are not independent, so it is too narrow. The laws know of no end of the training "
        "images and of no other rate. Laws missed: the NLL at the end less that of a law of the points up to "
        f"{CHECKED_FROM:g} of the steps; where it is as large as Δ, or a law lies at the edge of what is fitted (!), "
        f"the extrapolation says nothing. Paper: {paper_says}."
    )


def _figure(metrics: Metrics, config: FiguresConfig, folder: Path) -> None:
    rows = metrics["rows"]
    with style(config, rows=3, columns=len(rows), panel_ratio=1.0):
        figure, axes = plt.subplots(3, len(rows), squeeze=False)
        for column, row in enumerate(rows):
            _curves(axes[0, column], row, config, "gflops_per_step", 1e-3, "compute [TFLOP]")
            _curves(axes[1, column], row, config, "seconds_per_step", 1.0, "time [s]")
            _gaps(axes[2, column], row)
            million = " / ".join(f"{row['cost'][rival]['num_parameters'] / 1e6:.3g}" for rival in RIVALS)
            title = f"{_grid(row)} tokens, {million} M\n{row['epochs']:.3g} epochs"
            axes[0, column].set_title(title, fontsize="x-small")
        axes[0, 0].set_ylabel("validation NLL\n[nats per token]")
        axes[1, 0].set_ylabel("validation NLL\n[nats per token]")
        axes[2, 0].set_ylabel("Δ NLL, transformer\nless PixelSNAIL")
        figure.suptitle(
            f"Transformer against PixelSNAIL over the training budget, scale {metrics['scale']}, {rows[0]['data']}. "
            "Above: a line per seed;\nthin: power laws, dotted where extrapolated. Below: mean over seeds, from the "
            "lowest to the highest",
            fontsize="small",
        )
        for row in (0, 2):
            axes[row, -1].legend(frameon=False, fontsize="x-small")
        save(figure, folder, "crossing", config.png_dpi)


def _curves(axes: Axes, row: Metrics, config: FiguresConfig, cost: str, factor: float, label: str) -> None:
    """A line a seed, and the law of all: over the points that it is fitted to, and on to DRAWN_TO times the end."""
    shown = []
    for rival in RIVALS:
        per_step, law = row["cost"][rival][cost] * factor, row["laws"][rival]
        colour, dash = config.palette[rival], "-" if rival == "gpt" else "--"
        for at, seed in enumerate(row["seeds"]):
            curve = row["curves"][f"{rival}.seed{seed}"]
            step, nll = (np.array(curve[key], float)[1:] for key in ("step", "nll"))
            axes.plot(step * per_step, nll, dash, color=colour, lw=1, label=None if at else NAMES[rival])
            shown += [*nll[step >= FITTED_FROM * step[-1]]]
        fit = PowerLaw(law["floor"], law["drop"], law["power"])
        for begin, end, style_of_line in ((FITTED_FROM, 1, dash), (1, DRAWN_TO, ":")):
            share = np.geomspace(begin, end, 50)
            fitted = fit.at(share)
            axes.plot(share * law["end_step"] * per_step, fitted, style_of_line, color=colour, lw=0.5)
        shown.append(fitted[-1])
    margin = 0.05 * (max(shown) - min(shown)) or 0.1
    axes.set(xscale="log", ylim=(min(shown) - margin, max(shown) + margin), xlabel=label)


def _gaps(axes: Axes, row: Metrics) -> None:
    """The gap over the share of the budget, mean over seeds, between the lowest and the highest seed."""
    axes.axhline(0, color="0.5", lw=0.8, ls="--")
    names = ("equal steps", "equal time", "equal operations")
    for axis, colour, dash, name in zip(AXES, ("#000000", "#CC79A7", "#009E73"), ("-", "--", ":"), names, strict=True):
        gap = row["gaps"][axis]
        share, gap_SP = np.array(gap["budget"]) / gap["budget"][-1], np.array(list(gap["per_seed"].values()))
        axes.plot(share, gap_SP.mean(axis=0), dash, color=colour, lw=1, label=name)
        axes.fill_between(share, gap_SP.min(axis=0), gap_SP.max(axis=0), color=colour, alpha=0.2, lw=0)
    axes.set_xlabel("share of the budget")
