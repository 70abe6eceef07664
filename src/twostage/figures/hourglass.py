"""One choice of the hourglass as table, curves and differences. Draws stored numbers, computes none."""

from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes

from twostage.config.schema import FiguresConfig
from twostage.figures.style import save, style
from twostage.figures.tables import write_tables
from twostage.runtime.artifacts import read_json
from twostage.runtime.job import Job

Metrics = dict[str, Any]

LINES = (("-", "#000000"), ("--", "#E69F00"), (":", "#56B4E9"))  # one a value; Okabe & Ito's colours
QUANTITIES = ("denoising_nats_per_token", "difference_to_first", "seconds_per_step")


@dataclass
class HourglassConfig:
    """The look."""

    figures: FiguresConfig = field(default_factory=FiguresConfig)


def hourglass(config: HourglassConfig, job: Job) -> None:
    """Writes NAME.{csv,md,pdf,png}, NAME the job's variant."""
    rows = {label: read_json(job.upstream(label) / "metrics.json") for label in job.inputs}
    numbers = pd.DataFrame([line for metrics in rows.values() for line in _numbers(metrics)])
    write_tables(job, numbers, *((_printed(metrics), _caption(metrics)) for metrics in rows.values()))
    with style(config.figures, rows=len(rows), columns=2, panel_ratio=0.7):
        figure, axes = plt.subplots(len(rows), 2, squeeze=False)
        for (curves, ends), metrics in zip(axes, rows.values(), strict=True):
            _curves(curves, metrics)
            _ends(ends, metrics, config.figures)
        save(figure, job.folder, job.variant, config.figures.png_dpi)


def _numbers(metrics: Metrics) -> list[dict[str, Any]]:
    """Lines of the CSV, one a value; of one seed there is no spread."""
    about = {"row": metrics["label"], "scale": metrics["scale"], "data": metrics["data"], "key": metrics["key"]}
    about |= {"grid": "x".join(map(str, metrics["grid"])), "num_seeds": len(metrics["seeds"])}
    about |= {key: metrics[key] for key in ("steps", "num_parameters", "learning_rate", "learning_rate_at_edge")}
    lines = []
    for value, found in metrics["values"].items():
        line = about | {"value": value}
        for quantity in QUANTITIES:
            line |= {
                f"{quantity}{'' if kind == 'mean' else f'_{kind}'}": number
                for kind, number in (found[quantity] or {}).items()
            }
        lines.append(line)
    return lines


def _printed(metrics: Metrics) -> list[dict[str, str]]:
    """Lines of the rendered table."""
    first = next(iter(metrics["values"]))
    return [
        {
            metrics["key"]: value,
            "unrolled denoising cross-entropy [nats per token]": _spread(found["denoising_nats_per_token"], ".3f"),
            f"Δ to {first}": _spread(found["difference_to_first"], "+.3f"),
            "seconds per step": _spread(found["seconds_per_step"], ".4f"),
        }
        for value, found in metrics["values"].items()
    ]


def _spread(found: Metrics | None, form: str) -> str:
    if found is None:
        return ""
    if found["std"] is None:
        return f"{found['mean']:{form}}"
    interval = f"[{found['ci95_low']:{form}}, {found['ci95_high']:{form}}]"
    return f"{found['mean']:{form}} ± {found['std']:{form.removeprefix('+')}} {interval}"


def _caption(metrics: Metrics) -> str:
    seeds = len(metrics["seeds"])
    edge = " (at its edge)" if metrics["learning_rate_at_edge"] else ""
    spread = "; ± standard deviation over seeds [95 % t interval], Δ paired by seed" if seeds > 1 else ""
    return (
        f"At scale {metrics['scale']}: {metrics['data']}, {'x'.join(map(str, metrics['grid']))} tokens, "
        f"{metrics['steps']} steps, {metrics['num_parameters'] / 1e6:.2f} M parameters, learning rate "
        f"{metrics['learning_rate']:g} of one sweep for all{edge}, {seeds} seed{'s' if seeds > 1 else ''}{spread}. "
        "Cross-entropy: of the clean codes along the chain, mean over held-out images, equal corruption for all: "
        f"lower is better, and it is no likelihood. Positive Δ: the first is better. Seconds: {metrics['clock']}. "
        f"Paper: {metrics['paper_says']}; McKinney & Willcocks 2022."
    )


def _curves(axes: Axes, metrics: Metrics) -> None:
    for (value, found), (line, colour) in zip(metrics["values"].items(), cycle(LINES)):
        curve = found["curve"]
        axes.plot(curve["step"], curve["mean"], line, color=colour, label=value)
    axes.set_xlabel("step")
    axes.set_ylabel("unrolled denoising\ncross-entropy [nats per token]")
    num_seeds = len(metrics["seeds"])
    over = f"mean of {num_seeds} seeds" if num_seeds > 1 else "one seed"
    axes.set_title(f"{metrics['key']} at scale {metrics['scale']}\n{metrics['data']}, {over}")
    axes.legend(frameon=False, fontsize="x-small")


def _ends(axes: Axes, metrics: Metrics, config: FiguresConfig) -> None:
    """The final score of every run, a line for each seed: what is compared is each line's slope."""
    values = list(metrics["values"])
    for at, seed in enumerate(metrics["seeds"]):
        scores = [metrics["values"][value]["scores"][at] for value in values]
        axes.plot(values, scores, "o-", color=config.palette["sundae"], ms=4, lw=0.8, alpha=0.7, label=f"seed {seed}")
    for at, found in enumerate(metrics["values"].values()):
        mean = found["denoising_nats_per_token"]["mean"]
        axes.plot(at, mean, "_", color="black", ms=12)
        axes.annotate(f"{mean:.3f}", (at, mean), (8, 0), textcoords="offset points", va="center", fontsize="x-small")
    axes.margins(0.35)
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.set_ylabel("unrolled denoising\ncross-entropy [nats per token]")
    axes.set_title(f"after {metrics['steps']} steps (low: good)\na line a seed, dashes: means")
