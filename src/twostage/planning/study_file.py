"""The file of a study: what it may say, and what is refused before anything is planned."""

import math
import re
from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from twostage.config import composition
from twostage.config.values import at_least, one_of, some_of
from twostage.errors import TwostageError
from twostage.evaluation.quantities import QUANTITIES, spread_over_images
from twostage.evaluation.words import word
from twostage.planning.conditions import (
    AGREEMENT,
    REAL,
    RECONSTRUCTION,
    UNCONDITIONAL,
    Conditions,
)
from twostage.runtime.job import Tree

Assignment = dict[str, Any]
COLUMNS = ("stand_in", "paper")
# Keys of a row that are no overrides of the config tree.
OF_ROW = ("tokenizer_data", "tune_on", "without", "window")
KINDS = ("line", "point", "difference", "bars", "pictures", "orders")
# What `spell` calls a key is a column, and a part of the names of folders.
_SPELLED = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")
ORDERING, SEED = "priors.ordering", "priors.loop.seed"
# Columns of the long table, and of the rendered one beside them.
RESERVED = {"model", "study", "row", "source", "seed", "step", "quantity", "value", "unit", "job", "scale"}
OF_TOKENIZERS, OF_PRIORS, OF_SAMPLES = (
    {"tokenizer", "reconstruct", "rfid"},
    {"prior"},
    {"sampling", "samples", "agreement"},
)


@dataclass
class Compare:
    """Which run the others are compared with, seed by seed."""

    to: Any = "first"  # first, a value of the first varied key, or one of the baselines


@dataclass
class Table:
    """The rendered table: a line for each value of what varies, and a column for each quantity."""

    show: list[str] = field(default_factory=list)  # quantities, `nll.difference` for a difference; empty: all


@dataclass
class Panel:
    """One panel of the study's figure."""

    # line: over steps | point: over what varies | difference | bars: one for each run | pictures: samples |
    # orders: paths of the orderings
    kind: str = MISSING
    y: str = ""  # a quantity; each: a panel for every one that is measured of images; of pictures and orders none
    # point: a varied key or a quantity; empty: the first varied key, or the row. What else varies, colours tell.
    x: str = ""


@dataclass
class Study:
    """A file of conf/study/. Rows: label -> stand_in | paper -> overrides (null: no such row in that column).

    Beside overrides a row may say `tokenizer_data`, the dataset of its tokenizer; `tune_on`, the dataset whose sweep of
    the prior without a condition sets the learning rate (default: a sweep of its own does); `without`, a list of
    quantities that are not measured of it; and `window`, the side of what a transformer sees, tokens: on a larger grid
    it trains on windows, as many of an image as f_sweep cuts, and draws by a sliding one.
    """

    name: str = MISSING  # of the file
    title: str = ""  # one sentence: what is compared
    rows: dict[str, dict[str, Any]] = MISSING
    fixed: dict[str, Any] = field(default_factory=dict)  # overrides of every run whose row says nothing else
    vary: dict[str, list[Any]] = field(default_factory=dict)  # overrides, crossed: key -> values
    zip: dict[str, list[Any]] = field(default_factory=dict)  # overrides that change together: key -> values
    spell: dict[str, str] = field(default_factory=dict)  # key -> its short name in tables and names of jobs
    seeds: list[int] = field(default_factory=lambda: [0])
    measure: list[str] = MISSING  # keys of evaluation.quantities.QUANTITIES
    # Samples are drawn under conditions, or beginnings, of held-out images, and may be held against these.
    conditions: Conditions | None = None
    baselines: list[str] = some_of(UNCONDITIONAL, RECONSTRUCTION, REAL)  # noqa: RUF009
    images: int | None = at_least(2, default=None)  # samples of each run; null: sampling.num_images
    # first: only the first seed's samples are compared with real images; for agreement all seeds are sampled from
    sample_seeds: str = one_of("first", "all", default="first")
    pictures: int = at_least(0, default=0)  # samples of each run that a figure shows
    films: int = at_least(0, default=0)  # samples of each run whose chains the page shows, step by step
    # What the metrics of a row's priors must agree in.
    equal: list[str] = some_of("steps", "num_parameters", "learning_rate", "architecture", "clock", "threads")  # noqa: RUF009
    compare: Compare | None = None
    paper: list[dict[str, Any]] = field(default_factory=list)  # printed numbers: row, varied keys, quantities
    paper_says: str = ""
    claims: list[str] = field(default_factory=list)  # ids that the study bears on
    table: Table = field(default_factory=Table)
    figures: list[Panel] = field(default_factory=list)
    plugins: list[str] = field(default_factory=list)  # Python files, by paths that begin at the folder of this file
    on_request: bool = False  # whether only its own target asks for it, as for data that the user brings


def parsed(tree: Tree) -> Study:
    """The study that a file holds. Raises TwostageError, one line, for what no run could give."""
    name = tree["name"]
    try:
        study = composition.parse(Study, tree)
    except TwostageError as error:
        key = getattr(error.__cause__, "full_key", None)
        said = str(error).removeprefix("Study: ").removeprefix("config: Study.")
        raise TwostageError(f"study {name}: {key}: {said}" if key else f"study {name}: {said}") from error
    try:
        _require_rows(study)
        _require_settings_of_runs(study)
        _require_measured(study)
        _require_conditions(study)
        _require_spelled(study)
        _require_keys(study)
        _require_paper(study)
        for panel in study.figures:
            _require_panel(study, panel)
    except TwostageError as error:
        raise TwostageError(f"study {name}: {error}") from error
    return study


def short(study: Study, key: str) -> str:
    """The name of a key in tables and names of jobs: its last part, unless the study spells it otherwise.

    Empty for a key that is not told: one that changes together with another, or one that `spell` leaves empty.
    """
    return "" if key in list(study.zip)[1:] else study.spell.get(key, key.rpartition(".")[2])


def keys_of(study: Study) -> list[str]:
    """The varied keys that tables show, in the order of the file; keys that change together are told by the first."""
    return [*study.vary, *list(study.zip)[:1]]


def columns(study: Study) -> list[str]:
    """The columns of what sets runs apart: the model, where there are baselines, and the varied keys."""
    return [*(["model"] if study.baselines else []), *(short(study, key) for key in keys_of(study))]


def _require_conditions(study: Study) -> None:
    asked = [name for name in study.measure if name in AGREEMENT]
    if study.conditions is None:
        if asked or study.baselines:
            raise TwostageError(
                f"{[*asked, *study.baselines][0]} is of samples under conditions; add conditions: {{images: 100}}"
            )
        return
    if study.images is not None:
        raise TwostageError("images and conditions both say how many samples are drawn; drop images")
    if "diversity_lpips" in asked and study.conditions.per_condition < 2:
        raise TwostageError("diversity_lpips needs several samples of a condition; set conditions.per_condition: 2")
    if study.films:
        raise TwostageError("films are of samples without conditions; drop films, or conditions")
    if study.pictures and not asked:
        raise TwostageError("pictures of conditions come with how samples agree with them; measure lpips_to_truth")


def _require_measured(study: Study) -> None:
    wanted = [*study.measure, *(shown.partition(".")[0] for shown in study.table.show)]
    if unknown := [quantity for quantity in wanted if quantity not in QUANTITIES]:
        raise TwostageError(f"{unknown[0]} is no quantity; name some of {', '.join(QUANTITIES)}")
    spreads = {spread_over_images(name): name for name in AGREEMENT}
    if asked := [name for name in wanted if name in spreads]:
        raise TwostageError(f"{asked[0]} comes with {spreads[asked[0]]}; measure that")
    if not study.measure or len(set(study.measure)) < len(study.measure):
        raise TwostageError(f"measure is {study.measure}; name one or more quantities, once each")
    for shown in study.table.show:
        quantity, _, part = shown.partition(".")
        if quantity not in study.measure:
            raise TwostageError(f"table.show names {shown}, which is not in measure; add it there")
        if part not in ("", "difference"):
            raise TwostageError(f"table.show names {shown}; say {quantity}, or {quantity}.difference")
    roles = {QUANTITIES[name].role for name in study.measure}
    if study.equal and not (OF_PRIORS | OF_SAMPLES) & roles:
        raise TwostageError(f"equal names {study.equal[0]} of priors, and nothing of a prior is measured; drop it")
    if len(study.seeds) > 1 and study.sample_seeds == "first" and roles <= {"sampling", "samples"}:
        raise TwostageError(
            f"only the first of seeds {study.seeds} is sampled from, and nothing else is measured; "
            "set sample_seeds: all, or one seed"
        )


def _require_settings_of_runs(study: Study) -> None:
    """A study sets what its runs do, at the scale that it is asked for."""
    rows = {f"row {label}": {key for asked in row.values() for key in asked or {}} for label, row in study.rows.items()}
    of_runs = {*composition.groups()} - {"scale", "study", "figures"}
    for place, keys in {"fixed": {*study.fixed}, "vary": {*study.vary}, "zip": {*study.zip}, **rows}.items():
        for key in sorted(keys):
            group, _, rest = key.lstrip("+~").partition(".")
            if group == "scale" and rest.partition(".")[0] not in of_runs:
                raise TwostageError(
                    f"{place} sets {key}; a study has the scale that it is asked for, such as --config scale=laptop; "
                    "drop it, or set a section such as scale.priors"
                )
            if group in ("study", "figures"):
                raise TwostageError(f"{place} sets {key}, which no run reads; set keys of {', '.join(sorted(of_runs))}")


def _require_spelled(study: Study) -> None:
    if "$" in study.title:
        raise TwostageError(f"title is {study.title!r}; write it without $, which begins a formula")
    if unknown := sorted(set(study.spell) - set(study.vary) - set(study.zip) - set(study.fixed)):
        raise TwostageError(f"spell names {unknown[0]}, a key that the study does not set; drop it")
    if odd := [said for said in study.spell.values() if said and not _SPELLED.fullmatch(said)]:
        raise TwostageError(f"spell has {odd[0][:60]!r}; use up to 40 letters, digits and _, a letter first")


def _require_keys(study: Study) -> None:
    names = [short(study, key) for key in keys_of(study)]
    if clash := [name for name in names if not name or names.count(name) > 1 or name in RESERVED | {*study.measure}]:
        raise TwostageError(f"two columns would be called {clash[0] or 'nothing'}; give one a name in spell")
    if twice := sorted((set(study.vary) & set(study.zip)) | (set(study.fixed) & {*study.vary, *study.zip})):
        raise TwostageError(f"{twice[0]} stands in two of fixed, vary and zip; leave it in one")
    if len({len(values) for values in study.zip.values()}) > 1:
        raise TwostageError("the lists of zip have different lengths; give them one")
    for key, values in (study.vary | study.zip).items():
        if not values or (key in keys_of(study) and len({word(value) for value in values}) < len(values)):
            raise TwostageError(f"{key} is {values}; name one or more values, once each")
    if not study.seeds or len(set(study.seeds)) < len(study.seeds):
        raise TwostageError(f"seeds is {study.seeds}; name one or more, once each")
    differences = [*study.table.show, *(f".{panel.kind}" for panel in study.figures)]
    if study.compare is None and any(each.endswith(".difference") for each in differences):
        raise TwostageError("a difference is shown and nothing is compared; add compare: {to: first}")
    if study.compare is not None and not columns(study):
        raise TwostageError("compare needs a key that varies; drop it, or vary one")


def _require_rows(study: Study) -> None:
    if not study.rows:
        raise TwostageError("rows is empty; name one or more")
    for label, row in study.rows.items():
        # Matplotlib reads what stands between two $ as a formula.
        if "$" in label or not label.strip() or not label.isprintable() or len(label) > 60:
            raise TwostageError(f"rows has {label[:60]!r}; use 1 to 60 letters and signs in one line, without $")
        if odd := sorted(set(row) - set(COLUMNS)):
            raise TwostageError(f"row {label} has {odd[0]}; its keys are {' and '.join(COLUMNS)}")
        for column, asked in row.items():
            if not isinstance(asked, dict | None):
                raise TwostageError(f"row {label} has {column}: {asked}; give it overrides such as {{data: cifar10}}")
            _require_overrides(study, label, asked or {})
    rows = [overrides or {} for row in study.rows.values() for overrides in row.values()]
    if any(SEED in each for each in (study.fixed, study.vary, study.zip, *rows)):
        raise TwostageError(f"{SEED} is set by seeds; say seeds: [0, 1]")


def _require_overrides(study: Study, label: str, asked: Tree) -> None:
    without, window = asked.get("without", []), asked.get("window")
    if window is not None and (type(window) is not int or window < 1):
        raise TwostageError(f"row {label} has window: {window}; give it a number of tokens, such as 16")
    # A group that varies may have its usual option in a row.
    if twice := sorted(key for key in asked if "." in key and key in {*study.vary, *study.zip}):
        raise TwostageError(f"row {label} sets {twice[0]}, which varies; leave it to one of them")
    if not isinstance(without, list) or any(each not in study.measure for each in without):
        raise TwostageError(f"row {label} is without {without}; list some of measure, {', '.join(study.measure)}")


def _require_paper(study: Study) -> None:
    """Of a printed line every word must be known, as a mistyped one would never be shown."""
    names = columns(study)
    for printed in study.paper:
        if printed.get("row", next(iter(study.rows))) not in study.rows:
            raise TwostageError(f"paper has a line of row {printed['row']}, which is none of {', '.join(study.rows)}")
        if "row" not in printed and len(study.rows) > 1:
            raise TwostageError(f"paper has the line {printed} of no row; say one of {', '.join(study.rows)}")
        for key, value in printed.items():
            if key not in ("row", *names) and key not in QUANTITIES:
                known = ", ".join(["row", *names, *study.measure])
                raise TwostageError(f"paper has {key}, which is no column; name some of {known}")
            is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            if key in QUANTITIES and not is_number:
                raise TwostageError(f"paper has {key}: {value}; give it a number")


def _require_panel(study: Study, panel: Panel) -> None:
    names = columns(study)
    if panel.kind not in KINDS:
        raise TwostageError(f"figures has kind {panel.kind}; choose one of {', '.join(KINDS)}")
    if panel.kind == "pictures":
        if not study.pictures:
            raise TwostageError("a figure shows pictures and pictures is 0; say how many")
        return
    if panel.kind == "orders":
        if ORDERING not in study.vary:
            raise TwostageError(
                f"a figure shows orders, and {ORDERING} does not vary; add it to vary, or drop the figure"
            )
        return
    is_each = panel.kind in ("point", "bars") and panel.y == "each" and of_images(study)
    if not is_each and panel.y not in study.measure:
        raise TwostageError(f"a figure shows {panel.y or 'no y'}, which is not in measure; add it there")
    if panel.kind == "line" and not QUANTITIES[panel.y].curve:
        raise TwostageError(f"{panel.y} is measured at the end alone, so it has no line; use point")
    known = {
        "line": ["step"],
        "point": [*names, *study.measure, "row"],
    }.get(panel.kind, [])
    if panel.x and panel.x not in known:
        instead = f"name one of {', '.join(known)}" if known else "drop x"
        raise TwostageError(
            f"a figure of kind {panel.kind} is drawn over {panel.x}, which is no column of it; {instead}"
        )


def of_images(study: Study) -> list[str]:
    """What is measured of samples and held against real images."""
    return [name for name in study.measure if QUANTITIES[name].role in ("agreement", "samples")]
