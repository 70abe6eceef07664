"""GPT against PixelSNAIL over budgets, as table and curves. Draws stored numbers, computes none."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from twostage.config.schema import FiguresConfig
from twostage.evaluation.crossing import AXES, RIVALS, PowerLaw
from twostage.figures.style import save, style
from twostage.figures.table1 import NAMES
from twostage.figures.tables import write_tables
from twostage.runtime.artifacts import read_json
from twostage.runtime.job import Job

Metrics = dict[str, Any]

UNITS = {"steps": "steps", "seconds": "s", "gflops": "GFLOP"}
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
    line = {"row": row["row"], "scale": scale, "data": row["data"], "grid": "x".join(map(str, row["grid"]))}
    line |= {"steps": row["steps"], "num_seeds": len(row["seeds"])}
    line |= {f"{rival}_{key}": row["cost"][rival][key] for rival in RIVALS for key in COSTS}
    for axis, gap in row["gaps"].items():
        end = gap["at_end"]
        line |= {f"budget_{axis}": gap["budget"][-1], f"difference_{axis}": end["mean"]}
        line |= {f"difference_{axis}_{part}": end[part] for part in ("std", "ci95_low", "ci95_high", "p_holm")}
        line |= {f"ahead_from_{axis}": gap["ahead_from"]}
        line |= {f"extrapolated_{part}_{axis}": value for part, value in gap["extrapolated"].items()}
    for rival, law in row["laws"].items():
        line |= {f"{rival}_law_{part}": value for part, value in law.items()}
    return line


def _printed(row: Metrics, farthest: int) -> list[dict[str, str]]:
    """The lines of one row in the rendered table, one for each unit of the budget."""
    lines = []
    for axis, gap in row["gaps"].items():
        end, budget = gap["at_end"], gap["budget"][-1]
        p = "" if end["p_holm"] is None else f", p {end['p_holm']:.2g}"
        interval = "" if end["ci95_low"] is None else f" [{end['ci95_low']:+.3f}, {end['ci95_high']:+.3f}]"
        lines.append(
            {
                "row": row["row"],
                "tokens": "x".join(map(str, row["grid"])),
                "params [M]": " / ".join(f"{row['cost'][rival]['num_parameters'] / 1e6:.2f}" for rival in RIVALS),
                "equal": UNITS[axis],
                "budget": f"{budget:,.4g}",
                "Δ at half": f"{_at_share(gap, 0.5):+.3f}",
                "Δ at the end": f"{end['mean']:+.3f}{interval}{p}",
                "ahead from": "not yet" if gap["ahead_from"] is None else f"{gap['ahead_from']:,.4g}",
                "extrapolated": _extrapolated(gap, budget, farthest),
                "laws missed": " / ".join(f"{row['laws'][rival]['missed']:+.3f}" for rival in RIVALS),
            }
        )
    return lines


def _at_share(gap: Metrics, share: float) -> float:
    """The gap, mean over seeds, at a share of the budget: linear between evaluation points."""
    mean = np.mean(list(gap["per_seed"].values()), axis=0)
    return float(np.interp(share * gap["budget"][-1], gap["budget"], mean))


def _extrapolated(gap: Metrics, budget: float, farthest: int) -> str:
    """Where the laws cross, in budgets of the runs, with its interval."""
    found, never = gap["extrapolated"], f"> {farthest}"

    def told(value: float | None) -> str:
        return never if value is None else f"{value / budget:.3g}"

    return f"{told(found['from'])} [{told(found['low'])}, {told(found['high'])}] budgets"


def _caption(metrics: Metrics, paper_says: str) -> str:
    first = metrics["rows"][0]
    return (
        f"Scale {metrics['scale']}, {first['data']}, {first['steps']} PixelSNAIL steps, {len(first['seeds'])} seeds. "
        "Δ: validation NLL of the transformer less that of PixelSNAIL at equal budget, nats per token, paired by seed, "
        "with its 95 % t interval and the p of the paired t test, corrected for all Δ at the end (Holm); negative: the "
        "transformer is better. Two values in a cell: transformer / PixelSNAIL. Seconds: of a step in their pace, both "
        "stepping in turn in one process. GFLOP: matrix products and convolutions, forward and backward. Ahead from: "
        "the smallest budget from which on the mean Δ stays below 0. Extrapolated, not measured: where power laws of "
        "both curves (NLL = floor + drop x budget^-power, points from a quarter of the steps on) cross after the runs, "
        f"in budgets of these, with the 95 % interval of {metrics['draws']} bootstrap draws of the points. These "
        "are not independent, so the interval is too narrow. Laws missed: the NLL at the end less that of a law of the "
        "points up to 0.6 of the steps; where it is as large as Δ, the extrapolation says nothing. "
        f"Paper: {paper_says}."
    )


def _figure(metrics: Metrics, config: FiguresConfig, folder: Path) -> None:
    rows = metrics["rows"]
    with style(config, rows=3, columns=len(rows), panel_ratio=1.0):
        figure, axes = plt.subplots(3, len(rows), squeeze=False)
        for column, row in enumerate(rows):
            _curves(axes[0, column], row, config, "gflops_per_step", 1e-3, "compute [TFLOP]")
            _curves(axes[1, column], row, config, "seconds_per_step", 1.0, "time [s]")
            _gaps(axes[2, column], row)
            million = row["cost"]["gpt"]["num_parameters"] / 1e6
            axes[0, column].set_title(f"{'x'.join(map(str, row['grid']))} tokens\n{million:.2g} M parameters")
        axes[0, 0].set_ylabel("validation NLL\n[nats per token]")
        axes[1, 0].set_ylabel("validation NLL\n[nats per token]")
        axes[2, 0].set_ylabel("Δ NLL, transformer\nless PixelSNAIL")
        figure.suptitle(
            f"NLL over the budget of training, scale {metrics['scale']}, {rows[0]['data']}, a line per seed. "
            "Thin: power laws, extrapolated",
            fontsize="small",
        )
        for row in (0, 2):
            axes[row, -1].legend(frameon=False, fontsize="x-small")
        save(figure, folder, "crossing", config.png_dpi)


def _curves(axes: Axes, row: Metrics, config: FiguresConfig, cost: str, factor: float, label: str) -> None:
    """A line a seed, and the law through all, from the first point of its fit to DRAWN_TO times the end."""
    shown = []
    for rival in RIVALS:
        per_step, law = row["cost"][rival][cost] * factor, row["laws"][rival]
        colour, dash = config.palette[rival], "-" if rival == "gpt" else "--"
        for at, seed in enumerate(row["seeds"]):
            curve = row["curves"][f"{rival}.seed{seed}"]
            step, nll = (np.array(curve[key], float)[1:] for key in ("step", "nll"))
            axes.plot(step * per_step, nll, dash, color=colour, lw=1, label=None if at else NAMES[rival])
            shown += [*nll[step >= step[-1] / 4]]
        share = np.geomspace(0.25, DRAWN_TO, 100)
        fitted = PowerLaw(law["floor"], law["drop"], law["power"]).at(share)
        axes.plot(share * law["end_step"] * per_step, fitted, dash, color=colour, lw=0.4)
        shown.append(fitted[-1])
    margin = 0.05 * (max(shown) - min(shown))
    axes.set(xscale="log", ylim=(min(shown) - margin, max(shown) + margin), xlabel=label)


def _gaps(axes: Axes, row: Metrics) -> None:
    """The gap over the share of the budget, mean over seeds, between the lowest and the highest seed."""
    axes.axhline(0, color="0.5", lw=0.8, ls="--")
    for axis, colour, dash in zip(AXES, ("#000000", "#CC79A7", "#009E73"), ("-", "--", ":"), strict=True):
        gap = row["gaps"][axis]
        share, per_seed = np.array(gap["budget"]) / gap["budget"][-1], np.array(list(gap["per_seed"].values()))
        axes.plot(
            share, per_seed.mean(axis=0), dash, color=colour, lw=1, label=f"equal {axis}".replace("gflops", "GFLOP")
        )
        axes.fill_between(share, per_seed.min(axis=0), per_seed.max(axis=0), color=colour, alpha=0.2, lw=0)
    axes.set_xlabel("share of the budget")
