"""The table and the figures that a study file declares. Draws stored numbers, computes none."""

import math
import textwrap
from dataclasses import dataclass, field
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from twostage.config.schema import FiguresConfig
from twostage.evaluation.quantities import QUANTITIES
from twostage.evaluation.words import word
from twostage.figures.style import points, save, style
from twostage.figures.tables import words, write_tables, write_text
from twostage.runtime.artifacts import read_array, read_csv, read_json, write_csv
from twostage.runtime.job import Job

# T tokens of a small grid; S strips of N images, H W C
Line = dict[str, Any]
Metrics = dict[str, Any]
# Okabe & Ito's colours, which colour-blind readers tell apart; lines differ in their dashes as well.
COLOURS = ("#000000", "#E69F00", "#56B4E9", "#009E73", "#D55E00", "#0072B2", "#CC79A7", "#999999")
FEW_CURVES = 4
# A legend with one mark would look like a point inside of the axes.
ABOVE: dict[str, Any] = {
    "loc": "lower right",
    "bbox_to_anchor": (1, 1),
    "borderaxespad": 0,
    "frameon": False,
    "fontsize": "x-small",
    "handlelength": 1,
}
PLOTS = ("line", "point", "difference", "bars")
DASHES = ("-", "--", ":", "-.")
# How samples were drawn under conditions, in captions.
HOW_DRAWN = {
    "sampling_steps": "steps", "proportion": "proportion", "temperature": "temperature", "top_k": "top-k",
    "top_p": "top-p",
}  # fmt: skip
# Where better is.
ARROWS = {"lower": "↓", "higher": "↑", "neither": ""}
WIDEST = 4  # panels side by side


@dataclass
class Panel:
    """One panel: its kind, and the columns that it is drawn over."""

    kind: str  # line | point | difference | bars | pictures | orders
    y: str
    x: str


@dataclass
class StudyConfig:
    """The look, what is shown, and what the paper says: text and printed numbers, of which nothing is computed."""

    title: str
    rows: dict[str, dict[str, Any]]  # label -> data and tokenizer
    keys: list[str]  # short names of what varies
    show: list[str]  # quantities of the rendered table, `nll.difference` for a difference
    panels: list[Panel]
    paper: list[dict[str, Any]]
    paper_says: str
    compare_to: dict[str, Any] | None = None  # values of what varies of the run that others are compared with
    figures: FiguresConfig = field(default_factory=FiguresConfig)


def study(config: StudyConfig, job: Job) -> None:
    """Writes NAME.{csv,md,tex}, NAME_long.csv and, as the panels ask, NAME and NAME_samples as PDF and PNG."""
    table, metrics = job.upstream("table"), read_json(job.upstream("table") / "metrics.json")
    lines = read_csv(table / "table.csv")
    write_csv(job.folder / f"{job.variant}_long.csv", [*lines, *_paper_lines(config, job.variant)])
    numbers = pd.DataFrame(list(_numbers(config, metrics)))
    printed = list(_printed(config, metrics))
    write_tables(job, numbers, (printed, _caption(config, metrics)))
    latex = pd.DataFrame(printed).fillna("").to_latex(index=False, escape=True)
    write_text(job.folder / f"{job.variant}.tex", latex)
    kinds = {panel.kind for panel in config.panels}
    panels = [panel for panel in config.panels if panel.kind in PLOTS]
    if panels:
        num_rows = 1 if len(panels) <= WIDEST else 2
        num_columns = math.ceil(len(panels) / num_rows)
        with style(config.figures, rows=num_rows, columns=num_columns, panel_ratio=0.85 if num_columns < 4 else 1.1):
            figure, axes = plt.subplots(num_rows, num_columns, squeeze=False)
            for at, panel in zip(axes.flat[: len(panels)], panels, strict=True):
                _draw(at, panel, config, metrics, lines)
            for at in axes.flat[len(panels) :]:
                at.set_axis_off()
            figure.suptitle(_title(config, metrics), fontsize="small")
            save(figure, job.folder, job.variant, config.figures.png_dpi)
    if "pictures" in kinds:
        _strips(config, metrics, read_array(table / "grid.npy"), job)
    if "orders" in kinds:
        _orders(config, metrics["orders"], job)


def _paper_lines(config: StudyConfig, name: str) -> list[Line]:
    """The printed numbers in the shape of the long table."""
    return [
        {"study": name, "row": printed.get("row", next(iter(config.rows))), "source": "paper"}
        | {key: printed.get(key, "") for key in config.keys}
        | {"quantity": quantity, "unit": QUANTITIES[quantity].unit, "value": value}
        for printed in config.paper
        for quantity, value in printed.items()
        if quantity in QUANTITIES
    ]


def _found(metrics: Metrics) -> dict[tuple[str, tuple[Any, ...]], dict[str, Metrics]]:
    """Row and values of what varies -> quantity -> its statistics."""
    found: dict[tuple[str, tuple[Any, ...]], dict[str, Metrics]] = {}
    for one in metrics["statistics"]:
        found.setdefault((one["row"], tuple(map(word, one["values"].values()))), {})[one["quantity"]] = one
    return found


def _of_paper(config: StudyConfig, row: str, values: tuple[str, ...], quantity: str) -> float | None:
    for printed in config.paper:
        if _place_of(config, printed) == (row, values) and quantity in printed:
            return float(printed[quantity])
    return None


def _difference_of_paper(config: StudyConfig, row: str, values: tuple[str, ...], quantity: str) -> float | None:
    """A printed number less that of the run that others are compared with; None for that run, or if either is not
    printed.
    """
    if config.compare_to is None:
        return None
    reference = tuple(map(word, config.compare_to.values()))
    ours, theirs = (_of_paper(config, row, each, quantity) for each in (values, reference))
    return None if ours is None or theirs is None or values == reference else ours - theirs


def _numbers(config: StudyConfig, metrics: Metrics) -> list[Line]:
    """Lines of the CSV: everything that was measured, and what the paper prints."""
    found: list[Line] = []
    for (row, values), quantities in _found(metrics).items():
        line: Line = {"row": row, **dict(zip(config.keys, values, strict=True)), "scale": metrics["scale"]}
        # What varies may be called as something that all runs share: steps of a chain, and of its prior.
        line |= {
            f"prior_{key}" if key in line else key: value for key, value in (config.rows[row] | metrics["told"]).items()
        }
        line |= {key: _told(value) for key, value in metrics.get("conditions", {}).items()}
        for name, one in quantities.items():
            line |= {f"num_seeds_{name}": one["num_seeds"], name: one["mean"]}
            line |= {f"{name}_{part}": one[part] for part in ("std", "ci95_low", "ci95_high")}
            line |= {f"{name}_difference_{part}": value for part, value in (one["difference"] or {}).items()}
            of_paper = _of_paper(config, row, values, name)
            line |= {} if of_paper is None else {f"paper_{name}": of_paper}
            difference = _difference_of_paper(config, row, values, name)
            line |= {} if difference is None else {f"paper_{name}_difference": difference}
        found.append(line)
    for printed in _unmatched(config, metrics):
        row, values = _place_of(config, printed)
        line = {"row": row, **dict(zip(config.keys, values, strict=True))}
        found.append(line | {f"paper_{name}": value for name, value in printed.items() if name in QUANTITIES})
    return found


def _printed(config: StudyConfig, metrics: Metrics) -> list[dict[str, str]]:
    """Lines of the rendered table, with the paper's own below ours where it has others."""
    lines, found = [], _found(metrics)
    told_of_paper = {name for name in QUANTITIES for at in found if _difference_of_paper(config, *at, name) is not None}
    for (row, values), quantities in found.items():
        line = ({"row": row} if _tells_rows(config) else {}) | dict(zip(config.keys, values, strict=True))
        for shown in config.show:
            name, _, part = shown.partition(".")
            quantity, one = QUANTITIES[name], quantities.get(name)
            if part:
                signed = "+" + quantity.format.lstrip("+,")
                line[f"Δ {quantity.label}"] = "" if one is None else _cell(one["difference"], signed)
                p = None if one is None or one["difference"] is None else one["difference"].get("p_holm")
                line[f"Δ {quantity.label}"] += "" if p is None else f", p {p:.2g}"
                difference = _difference_of_paper(config, row, values, name)
                if name in told_of_paper:
                    line[f"paper Δ {quantity.label}"] = "" if difference is None else f"{difference:{signed}}"
                continue
            line[_titled(name)] = "" if one is None else _cell(one, quantity.format)
            printed = _of_paper(config, row, values, name)
            if printed is not None:
                line[f"paper {quantity.label}"] = f"{printed:g}"
        lines.append(line)
    return [*lines, *(_of_print(config, printed) for printed in _unmatched(config, metrics))]


def _unmatched(config: StudyConfig, metrics: Metrics) -> list[dict[str, Any]]:
    """The printed lines to which no run of ours corresponds."""
    ours = set(_found(metrics))
    return [printed for printed in config.paper if _place_of(config, printed) not in ours]


def _place_of(config: StudyConfig, printed: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
    """Row and values; of a key that the paper does not say, nothing."""
    values = tuple(word(printed[key]) if key in printed else "" for key in config.keys)
    return printed.get("row", next(iter(config.rows))), values


def _of_print(config: StudyConfig, printed: dict[str, Any]) -> dict[str, str]:
    row, values = _place_of(config, printed)
    first, *others = [*([row] if _tells_rows(config) else []), *values]
    source = "paper" if row in config.rows else f"paper, {row}"
    line = dict(zip(_labels(config), [f"{source}: {first}", *others], strict=True))
    return line | {_titled(name): f"{printed[name]:g}" for name in config.show if name in printed}


def _cell(one: Metrics | None, form: str) -> str:
    if one is None:
        return ""
    # Counts that all seeds share have no spread to tell of.
    if one["std"] is None or (one["std"] == 0 and form.endswith(".0f")):
        return f"{one['mean']:{form}}"
    plain = form.removeprefix("+")
    return f"{one['mean']:{form}} ± {one['std']:{plain}} [{one['ci95_low']:{form}}, {one['ci95_high']:{form}}]"


def _titled(name: str) -> str:
    quantity = QUANTITIES[name]
    return f"{quantity.label} [{quantity.unit}]" if quantity.unit else quantity.label


def _on_axis(name: str) -> str:
    """The title of a quantity in short lines, as panels are narrow."""
    quantity = QUANTITIES[name]
    lines = textwrap.wrap(quantity.label, 18)
    return "\n".join([*lines, f"[{quantity.unit}]"] if quantity.unit else lines)


def _title(config: StudyConfig, metrics: Metrics) -> str:
    data = dict.fromkeys(row["data"] for row in config.rows.values() if "data" in row)
    return f"{config.title or 'Study'}: " + ", ".join([f"scale {metrics['scale']}", *data, _seeds(metrics)])


def _seeds(metrics: Metrics) -> str:
    return "1 seed" if metrics["num_seeds"] == 1 else f"{metrics['num_seeds']} seeds"


def _caption(config: StudyConfig, metrics: Metrics) -> str:
    rows = [f"{label}: {_of_row(row)}{_grid(metrics, label)}" for label, row in config.rows.items() if row]
    sentences = [config.title, "; ".join([f"Scale {metrics['scale']}", *rows]), ", ".join(_runs(metrics))]
    sentences += _of_conditions(metrics.get("conditions", {}))
    if metrics["num_seeds"] > 1:
        sentences.append("± standard deviation over seeds [95 % t interval]; Δ paired by seed; no spread: one seed")
        sentences += _of_comparisons(metrics)
    sentences.append(f"Paper: {config.paper_says}" if config.paper_says else "")
    return " ".join(f"{sentence}." for sentence in sentences if sentence)


def _of_comparisons(metrics: Metrics) -> list[str]:
    """What the intervals do not cover, and how p is corrected; nothing of what older versions collected."""
    compared = [one for one in metrics["statistics"] if (one["difference"] or {}).get("p_holm") is not None]
    sentences = ["p: paired t test, corrected for all Δ of its column (Holm)"] if compared else []
    if metrics.get("seeds_of") == "priors":
        sentences.append("Seeds are of the priors: each tokenizer was trained once, and no interval covers its seed")
    return sentences


def _of_row(row: Metrics) -> str:
    through = " through ".join(row[key] for key in ("data", "tokenizers") if key in row)
    through += f", seen in windows of {row['window']}x{row['window']} tokens" if "window" in row else ""
    return f"{through}, given {row['condition']}" if "condition" in row else through


def _told(value: Any) -> str:
    return words(value) if isinstance(value, list) else word(value)


def _of_conditions(told: Metrics) -> list[str]:
    """Sentences on what samples are drawn under and held against; none where there are no conditions."""
    if not told:
        return []
    given = told.get("given_tokens_per_image")
    begun = f", given the first {given} tokens of its image" if given else ""
    drawn = [f"{said} {_told(told[key])}" for key, said in HOW_DRAWN.items() if key in told]
    sentences = [
        f"Conditions of {told['num_conditions']} validation images of {told['size']}x{told['size']} pixels, "
        f"{told['per_condition']} samples of each{begun}: {', '.join(drawn)}",
        "unconditional: the same prior without the condition, held against the same images; reconstruction: the real "
        "images through the tokenizer; means over images",
    ]
    if "drawn_rows" in told:
        sentences.append(
            f"Agreement is of the lower {told['drawn_rows']} rows, which were drawn; the classifier sees grey above"
        )
    if "real_images" in told:
        sentences.append(f"FID and KID: all samples of the first seed against {told['real_images']} real images")
    if "classifier_accuracy" in told:
        accuracy, number = told["classifier_accuracy"], told["classifier_images"]
        seen = "whole, " if "drawn_rows" in told else ""
        sentences.append(f"The classifier is right of {accuracy:.3f} of the {number} {seen}real validation images")
    return sentences


def _runs(metrics: Metrics) -> list[str]:
    """What all runs have in common."""
    told, found = metrics["told"], [_seeds(metrics)]
    found += [f"{told['steps']} steps"] if "steps" in told else []
    found += [f"{told['num_parameters'] / 1e6:.2f} M parameters"] if "num_parameters" in told else []
    if "learning_rate" in told:
        edge = " (at the edge of its sweep)" if told.get("learning_rate_at_edge") else ""
        found.append(f"learning rate {told['learning_rate']:g}{edge}")
    return found


def _grid(metrics: Metrics, label: str) -> str:
    grid = metrics["rows"][label].get("grid")
    return "" if grid is None else f", {'x'.join(map(str, grid))} tokens"


def _draw(axes: Axes, panel: Panel, config: StudyConfig, metrics: Metrics, lines: list[dict[str, str]]) -> None:
    match panel.kind:
        case "line":
            _line_panel(axes, panel, config, lines)
        case "difference":
            _difference_panel(axes, panel, config, metrics)
        case "bars":
            _bars_panel(axes, panel, config, metrics)
        case _:
            _point_panel(axes, panel, config, metrics)


def _line_panel(axes: Axes, panel: Panel, config: StudyConfig, lines: list[dict[str, str]]) -> None:
    """Means over seeds at every evaluation, between the lowest and the highest seed."""
    curves = pd.DataFrame([line for line in lines if line["quantity"] == panel.y and line["step"] != ""])
    curves = curves.astype({"step": int, "value": float})
    for at, (labels, curve) in enumerate(curves.groupby(_labels(config), sort=False)):
        colour, dash = COLOURS[at % len(COLOURS)], DASHES[at % len(DASHES)]
        at_step = curve.groupby("step")["value"]
        mean = at_step.mean()
        axes.plot(
            mean.index, mean, dash, color=colour, lw=1, label=" ".join(str(label) or word(None) for label in labels)
        )
        axes.fill_between(mean.index, at_step.min(), at_step.max(), color=colour, alpha=0.2, lw=0)
    # The fall of the first steps, alike for all, would squeeze what sets the runs apart.
    late = curves[curves["step"] >= curves["step"].max() / 4]["value"]
    margin = 0.05 * (late.max() - late.min()) or 0.1
    axes.set_ylim(late.min() - margin, late.max() + margin)
    axes.set_xlabel("step")
    axes.set_ylabel(_on_axis(panel.y))
    # Many names would hide the curves.
    outside: dict[str, Any] = (
        {"loc": "center left", "bbox_to_anchor": (1, 0.5)} if len(axes.get_lines()) > FEW_CURVES else {}
    )
    title = ", ".join(config.keys)
    axes.legend(frameon=False, fontsize="x-small", title=title, title_fontsize="x-small", **outside)


def _labels(config: StudyConfig) -> list[str]:
    return [*(["row"] if _tells_rows(config) else []), *config.keys]


def _tells_rows(config: StudyConfig) -> bool:
    return len(config.rows) > 1 or not config.keys


def _point_panel(axes: Axes, panel: Panel, config: StudyConfig, metrics: Metrics) -> None:
    """Means with 95 % intervals over what varies; the paper's numbers as open diamonds."""
    x = panel.x or (config.keys[0] if config.keys else "row")
    # A baseline has not all that is measured.
    places = [(place, found) for place, found in _found(metrics).items() if x not in QUANTITIES or x in found]
    numeric = all(_number(_x(config, x, place, found)) is not None for place, found in places)
    ticks = list(dict.fromkeys(_x(config, x, place, found) for place, found in places))
    hues: dict[str, list[tuple[float, Metrics, float | None]]] = {}
    for (row, values), found in places:
        at = _x(config, x, (row, values), found)
        hue = " ".join([*([row] if _tells_rows(config) and x != "row" else []), *_others(config, x, values)])
        if panel.y in found:
            place = float(at) if numeric else float(ticks.index(at))
            hues.setdefault(hue, []).append((place, found[panel.y], _of_paper(config, row, values, panel.y)))
    for number, (hue, placed) in enumerate(hues.items()):
        colour = COLOURS[number % len(COLOURS)]
        placed.sort(key=lambda point: point[0])
        mean = [one["mean"] for _, one, _ in placed]
        half = [0.0 if one["std"] is None else one["ci95_high"] - one["mean"] for _, one, _ in placed]
        axes.errorbar(
            [at for at, _, _ in placed],
            mean,
            yerr=half,
            fmt="o-" if numeric else "o",
            color=colour,
            ms=3,
            lw=0.8,
            capsize=2,
            label=hue or None,
        )
        printed = [(at, value) for at, _, value in placed if value is not None]
        if printed:
            axes.plot(*zip(*printed, strict=True), "D", mfc="none", color=colour, ms=3, label="paper")
    if not numeric:
        axes.set_xticks(range(len(ticks)), ticks, rotation=30, ha="right")
        axes.margins(x=0.3)
    axes.set_xlabel(_on_axis(x) if x in QUANTITIES else "" if x == "row" else x)
    axes.set_ylabel(_on_axis(panel.y))
    if labels := axes.get_legend_handles_labels()[1]:
        # Within the axes a longer word lies on the points.
        is_above = set(labels) == {"paper"} or len(max(labels, key=len)) > 16
        axes.legend(**(ABOVE if is_above else {"frameon": False, "fontsize": "x-small"}))


def _x(config: StudyConfig, x: str, place: tuple[str, tuple[str, ...]], found: dict[str, Metrics]) -> str:
    if x == "row":
        return place[0]
    return str(found[x]["mean"]) if x in QUANTITIES else place[1][config.keys.index(x)]


def _others(config: StudyConfig, x: str, values: tuple[str, ...]) -> list[str]:
    return [f"{key} {value}" for key, value in zip(config.keys, values, strict=True) if key != x]


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _difference_panel(axes: Axes, panel: Panel, config: StudyConfig, metrics: Metrics) -> None:
    """Differences to the reference, paired by seed, with 95 % intervals; a line each, the first at the top."""
    places: list[tuple[str, Metrics | None]] = []
    printed: list[tuple[float | None, int]] = []
    for (row, values), found in _found(metrics).items():
        if panel.y in found:
            printed.append((_difference_of_paper(config, row, values, panel.y), len(places)))
            places.append((" ".join([*([row] if _tells_rows(config) else []), *values]), found[panel.y]["difference"]))
    axes.axvline(0, color="0.5", lw=0.8, ls="--")
    for at, (_, one) in enumerate(places):
        if one is not None:
            half = 0.0 if one["std"] is None else one["ci95_high"] - one["mean"]
            axes.errorbar(
                one["mean"], at, xerr=half, fmt="o", color=COLOURS[at % len(COLOURS)], ms=3, lw=0.8, capsize=2
            )
    known = [(difference, at - 0.25) for difference, at in printed if difference is not None]
    if known:
        axes.plot(*zip(*known, strict=True), "D", mfc="none", color="0.3", ms=3, label="paper")
        axes.legend(**ABOVE)
    axes.set_yticks(range(len(places)), [_in_lines(label) for label, _ in places])
    axes.set_ylim(len(places) - 0.5, -0.5)
    axes.set_xlabel(f"difference in\n{_on_axis(panel.y)}")


def _places(panel: Panel, config: StudyConfig, metrics: Metrics) -> list[tuple[str, Metrics]]:
    """Every run of which the quantity is measured, by its label."""
    return [
        (" ".join([*([row] if _tells_rows(config) else []), *values]), found[panel.y])
        for (row, values), found in _found(metrics).items()
        if panel.y in found
    ]


def _in_lines(label: str) -> str:
    """The label of a run in short lines: a setting may be a whole mapping."""
    return "\n".join(textwrap.wrap(label, 24))


def _bars_panel(axes: Axes, panel: Panel, config: StudyConfig, metrics: Metrics) -> None:
    """Means from zero on, with 95 % intervals and their numbers; a bar each, the first at the top."""
    places, quantity = _places(panel, config, metrics), QUANTITIES[panel.y]
    for at, (label, one) in enumerate(places):
        colour = config.figures.palette.get(label, COLOURS[(at + 1) % len(COLOURS)])
        half = None if one["std"] is None else one["ci95_high"] - one["mean"]
        axes.barh(at, one["mean"], xerr=half, color=colour, height=0.7, error_kw={"lw": 0.8})
        axes.annotate(f" {one['mean']:{quantity.format}}", (one["mean"] + (half or 0), at), va="center", size="x-small")
    axes.set_yticks(range(len(places)), [_in_lines(label) for label, _ in places])
    axes.set_ylim(len(places) - 0.5, -0.5)
    axes.margins(x=0.4)
    axes.set_title("\n".join(textwrap.wrap(f"{_titled(panel.y)} {ARROWS[quantity.better]}", 26)), fontsize="small")


def _numbered(labels: list[str]) -> list[str]:
    """The labels of strips; those of several seeds have one, and say which of them each is."""
    return [
        f"{label} ({labels[: at + 1].count(label)} of {labels.count(label)})"
        if label and labels.count(label) > 1
        else label
        for at, label in enumerate(labels)
    ]


def _strips(config: StudyConfig, metrics: Metrics, image_SNHWC: np.ndarray, job: Job) -> None:
    """A row of pictures for every run."""
    with style(config.figures, rows=len(image_SNHWC), columns=1, panel_ratio=0.1):
        figure, panels = plt.subplots(len(image_SNHWC), 1, squeeze=False)
        for axes, label, image_NHWC in zip(panels[:, 0], _numbered(metrics["strips"]), image_SNHWC, strict=True):
            axes.imshow(np.concatenate(list(image_NHWC), axis=1), interpolation="nearest")
            axes.set(xticks=[], yticks=[])
            axes.set_ylabel(_in_lines(label), rotation=0, ha="right", va="center")
        # The classes, where they are the condition.
        width = image_SNHWC.shape[3]
        for at, name in enumerate(metrics.get("names", [])):
            panels[0, 0].text((at + 0.5) * width, -2, name, ha="center", va="bottom", fontsize="x-small")
        figure.suptitle(_title(config, metrics), fontsize="small")
        save(figure, job.folder, f"{job.variant}_samples", config.figures.png_dpi)


def _orders(config: StudyConfig, orders: dict[str, list[int]], job: Job) -> None:
    """Every order on a small grid: the number of each token, and the path (Esser et al. 2021, Fig. 34)."""
    with style(config.figures, rows=1, columns=len(orders), panel_ratio=1.35):
        figure, panels = plt.subplots(1, len(orders), squeeze=False)
        for axes, (name, order_T) in zip(panels[0], orders.items(), strict=True):
            side = round(len(order_T) ** 0.5)
            rows_T, columns_T = np.divmod(np.array(order_T), side)
            axes.scatter(columns_T, rows_T, c=range(len(order_T)), cmap="cividis", marker="s", s=70, alpha=0.35, lw=0)
            axes.plot(columns_T, rows_T, color="0.7", lw=0.6)
            for t, (row, column) in enumerate(zip(rows_T, columns_T, strict=True)):
                axes.text(column, row, str(t), ha="center", va="center", fontsize=points(5.5))
            axes.set(xlim=(-0.6, side - 0.4), ylim=(side - 0.4, -0.6), aspect="equal", xticks=[], yticks=[], title=name)
        save(figure, job.folder, f"{job.variant}_grid", config.figures.png_dpi)
