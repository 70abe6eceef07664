"""A study: rows x what varies x seeds -> measured quantities. One file says it all, and no Python belongs to it.

Reads the file, checks it, and adds its jobs to a plan: as far down the pipeline as what is measured needs.
"""

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from twostage.config import composition
from twostage.config.schema import DENOISERS
from twostage.config.values import at_least, one_of, some_of
from twostage.errors import TwostageError
from twostage.evaluation.quantities import QUANTITIES
from twostage.evaluation.statistics import word
from twostage.planning.builder import Builder
from twostage.planning.cells import Cell
from twostage.planning.jobs import (
    chain_name,
    data_job,
    denoising_job,
    prior_job,
    reconstruct_job,
    sampling_job,
    tokenizer_job,
    tune_job,
    with_denoising,
)
from twostage.planning.verbs import new_job
from twostage.runtime.job import Job, Tree

Assignment = dict[str, Any]
COLUMNS = ("stand_in", "paper")
# Keys of a row that are no overrides of the config tree.
OF_ROW = ("tokenizer_data",)
KINDS = ("line", "point", "difference", "pictures")
# Columns of the long table, and of the rendered one beside them.
RESERVED = {"study", "row", "source", "seed", "step", "quantity", "value", "unit", "job", "scale"}
OF_TOKENIZERS, OF_PRIORS, OF_SAMPLES = ({"tokenizer", "reconstruct", "rfid"}, {"prior"}, {"sampling", "samples"})
# Where a denoiser's chain stands in the config tree; which of its keys the name of the samples tells anyway.
CHAIN = "sampling.denoising.chain"
IN_CHAIN_NAME = {
    *(
        f"{CHAIN}.{key}"
        for key in ("steps", "proportion_start", "proportion_end", "temperature_start", "temperature_end")
    ),
    *(f"sampling.denoising.unmasking.{key}" for key in ("steps", "temperature")),
}


@dataclass
class Compare:
    """Which run the others are compared with, seed by seed."""

    to: Any = "first"  # first, or a value of the first varied key


@dataclass
class Table:
    """The rendered table: a line for each value of what varies, and a column for each quantity."""

    show: list[str] = field(default_factory=list)  # quantities, `nll.difference` for a difference; empty: all


@dataclass
class Panel:
    """One panel of the study's figure."""

    kind: str = MISSING  # line: over steps | point: over what varies | difference | pictures: samples
    y: str = ""  # a quantity; of pictures none
    # point: a varied key or a quantity; empty: the first varied key, or the row. What else varies, colours tell.
    x: str = ""


@dataclass
class Study:
    """A file of conf/experiment/. Rows: label -> stand_in | paper -> overrides (null: no such row in that column)."""

    name: str = MISSING  # of the file
    title: str = ""  # one sentence: what is compared
    rows: dict[str, dict[str, Any]] = MISSING
    fixed: dict[str, Any] = field(default_factory=dict)  # overrides of every run
    vary: dict[str, list[Any]] = field(default_factory=dict)  # overrides, crossed: key -> values
    zip: dict[str, list[Any]] = field(default_factory=dict)  # overrides that change together: key -> values
    spell: dict[str, str] = field(default_factory=dict)  # key -> its short name in tables and names of jobs
    seeds: list[int] = field(default_factory=lambda: [0])
    measure: list[str] = MISSING  # keys of evaluation.quantities.QUANTITIES
    images: int | None = at_least(2, default=None)  # samples of each run; null: sampling.num_images
    sample_seeds: str = one_of("first", "all", default="first")  # first: only the first seed is sampled from
    pictures: int = at_least(0, default=0)  # samples of each run that a figure shows
    # What the metrics of a row's priors must agree in.
    equal: list[str] = some_of("steps", "num_parameters", "learning_rate", "architecture", "clock", "threads")  # noqa: RUF009
    compare: Compare | None = None
    paper: list[dict[str, Any]] = field(default_factory=list)  # printed numbers: row, varied keys, quantities
    paper_says: str = ""
    claims: list[str] = field(default_factory=list)  # ids that the study bears on
    table: Table = field(default_factory=Table)
    figures: list[Panel] = field(default_factory=list)
    on_request: bool = False  # whether only its own target asks for it, as for data that the user brings


@dataclass(frozen=True)
class Point:
    """One run: its row, the overrides that are its own, and its seed."""

    row: str
    row_overrides: Assignment
    varied: Assignment  # key -> value
    seed: int


def add_study(plan: Builder) -> None:
    """Adds the jobs of a study: those of its runs, its long table, and what is drawn of it.

    Raises TwostageError, one line, for a file that asks for what there is not.
    """
    study = parsed(plan.experiment)
    plan.on_request = study.on_request
    points = list(_points(plan, study))
    made = [
        _jobs(plan, study, point, is_sampled=study.sample_seeds == "all" or point.seed == study.seeds[0])
        for point in points
    ]
    _require_effect(study, points, [tuple(job.out for job in jobs.values()) for jobs in made])
    inputs = {f"{at}.{role}": job for at, jobs in enumerate(made) for role, job in jobs.items() if role != "latents"}
    table = _collected(plan, study, points, inputs | _latents_of_rows(points, made))
    _drawn(plan, study, points, table)


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
        _require_measured(study)
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


def _require_measured(study: Study) -> None:
    wanted = [*study.measure, *(shown.partition(".")[0] for shown in study.table.show)]
    if unknown := [quantity for quantity in wanted if quantity not in QUANTITIES]:
        raise TwostageError(f"{unknown[0]} is no quantity; name some of {', '.join(QUANTITIES)}")
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
    if len(study.seeds) > 1 and study.sample_seeds == "first" and roles <= OF_SAMPLES:
        raise TwostageError(
            f"only the first of seeds {study.seeds} is sampled from, and nothing else is measured; "
            "set sample_seeds: all, or one seed"
        )


def _require_keys(study: Study) -> None:
    names = [short(study, key) for key in keys_of(study)]
    if clash := [name for name in names if not name or names.count(name) > 1 or name in RESERVED | {*study.measure}]:
        raise TwostageError(f"two columns would be called {clash[0] or 'nothing'}; give one a name in spell")
    if unknown := sorted(set(study.spell) - set(study.vary) - set(study.zip) - set(study.fixed)):
        raise TwostageError(f"spell names {unknown[0]}, a key that the study does not set; drop it")
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
    if study.compare is not None and not names:
        raise TwostageError("compare needs a key that varies; drop it, or vary one")


def _require_rows(study: Study) -> None:
    if not study.rows:
        raise TwostageError("rows is empty; name one or more")
    for label, row in study.rows.items():
        if odd := sorted(set(row) - set(COLUMNS)):
            raise TwostageError(f"row {label} has {odd[0]}; its keys are {' and '.join(COLUMNS)}")
        for column, asked in row.items():
            if not isinstance(asked, dict | None):
                raise TwostageError(f"row {label} has {column}: {asked}; give it overrides such as {{data: cifar10}}")


def _require_paper(study: Study) -> None:
    """Of a printed line every word must be known, as a mistyped one would never be shown."""
    names = [short(study, key) for key in keys_of(study)]
    for printed in study.paper:
        if printed.get("row", next(iter(study.rows))) not in study.rows:
            raise TwostageError(f"paper has a line of row {printed['row']}, which is none of {', '.join(study.rows)}")
        if "row" not in printed and len(study.rows) > 1:
            raise TwostageError(f"paper has the line {printed} of no row; say one of {', '.join(study.rows)}")
        for key, value in printed.items():
            if key not in ("row", *names) and key not in QUANTITIES:
                known = ", ".join(["row", *names, *study.measure])
                raise TwostageError(f"paper has {key}, which is no column; name some of {known}")
            if key in QUANTITIES and (isinstance(value, bool) or not isinstance(value, int | float)):
                raise TwostageError(f"paper has {key}: {value}; give it a number")


def _require_panel(study: Study, panel: Panel) -> None:
    names = [short(study, key) for key in keys_of(study)]
    if panel.kind not in KINDS:
        raise TwostageError(f"figures has kind {panel.kind}; choose one of {', '.join(KINDS)}")
    if panel.kind == "pictures":
        if not study.pictures:
            raise TwostageError("a figure shows pictures and pictures is 0; say how many")
        return
    if panel.y not in study.measure:
        raise TwostageError(f"a figure shows {panel.y or 'no y'}, which is not in measure; add it there")
    if panel.kind == "line" and not QUANTITIES[panel.y].curve:
        raise TwostageError(f"{panel.y} is measured at the end alone, so it has no line; use point")
    columns = {"line": ["step"], "point": [*names, *study.measure, "row"], "difference": []}[panel.kind]
    if panel.x and panel.x not in columns:
        known = f"name one of {', '.join(columns)}" if columns else "drop x"
        raise TwostageError(f"a figure of kind {panel.kind} is drawn over {panel.x}, which is no column of it; {known}")


def _points(plan: Builder, study: Study) -> Iterator[Point]:
    column = plan.tree["scale"]["sources"]
    if all(column in row and row[column] is None for row in study.rows.values()):
        raise TwostageError(f"study {study.name}: no row has a {column}; give one row overrides there")
    for label, row in study.rows.items():
        if column not in row:
            raise TwostageError(f"study {study.name}: row {label} has no {column}; give it one, or {column}: null")
        if row[column] is None:
            continue
        for varied, seed in itertools.product(_assignments(study), study.seeds):
            yield Point(label, dict(row[column]), varied, seed)


def _assignments(study: Study) -> Iterator[Assignment]:
    zipped = [dict(zip(study.zip, values, strict=True)) for values in zip(*study.zip.values(), strict=True)] or [{}]
    for crossed in itertools.product(*study.vary.values()):
        for together in zipped:
            yield dict(zip(study.vary, crossed, strict=True)) | together


def _tree(plan: Builder, study: Study, point: Point, is_usual: bool) -> Tree:
    """The config tree of a run; the usual one has none of the keys that the study fixes or varies below a group, but
    for a condition, which makes its priors others.
    """
    asked = dict(point.row_overrides)
    for key, value in (study.fixed | point.varied).items():
        asked |= {key: value} if "." not in key or key == "priors.condition" or not is_usual else {}
    asked |= {"priors.loop.seed": point.seed} if "priors" in asked else {}
    try:
        return plan.composed({key: value for key, value in asked.items() if key not in OF_ROW})
    except TwostageError as error:
        raise TwostageError(f"study {study.name}, row {point.row}: {error}") from error


def _words(study: Study, point: Point, section: str, usual: Tree, tree: Tree, told: Collection[str] = ()) -> list[str]:
    """What sets a section of a run's tree apart from the usual one, as parts of a job's name, but for keys in `told`.

    A section that is the usual one has the usual name, so that studies share the job.
    """
    if tree[section] == usual[section]:
        return []
    asked = {key: value for key, value in (study.fixed | point.varied).items() if short(study, key)}
    own = {key: value for key, value in asked.items() if key.startswith((f"{section}.", f"scale.{section}."))}
    # These stand in every name.
    own = {key: value for key, value in own.items() if key not in ("priors.ordering", "priors.condition", *told)}
    unlike = {key: value for key, value in own.items() if _at(usual, key) != value}
    return [_word(short(study, key), value) for key, value in (unlike or own).items()]


def _at(tree: Any, key: str) -> Any:
    """The value of a dotted key; None if there is none."""
    for part in key.split("."):
        tree = tree.get(part) if isinstance(tree, dict) else None
    return tree


def _word(key: str, value: Any) -> str:
    match value:
        case None:
            return f"no_{key}"
        case bool():
            return key if value else f"no_{key}"
        case float():
            return f"{key}{value:g}"
        case int():
            return f"{key}{value}"
        case list():
            return f"{key}{'_'.join(map(str, value))}"
        case dict():
            return "_".join(_word(name, each) for name, each in value.items())
        case _:
            return f"{value}_{key}"


def _jobs(plan: Builder, study: Study, point: Point, is_sampled: bool) -> dict[str, Job]:
    """Adds the jobs of one run, as far as what is measured needs; those that are read, by their roles."""
    roles = {QUANTITIES[name].role for name in study.measure}
    usual, tree = (_tree(plan, study, point, is_usual) for is_usual in (True, False))
    tree = _named_tokenizer(study, point, usual, tree)
    _require_given(study, point, tree)
    found = _tokenizer_jobs(plan, tree, roles)
    if (OF_PRIORS | OF_SAMPLES) & roles:
        latents, prior = _prior(plan, study, point, usual, tree)
        found |= {"latents": latents, "prior": prior}
        if is_sampled and (OF_SAMPLES & roles or study.pictures):
            found |= _samples(plan, study, point, usual, tree, prior, latents, roles)
    for name in study.measure:
        role = QUANTITIES[name].role
        if QUANTITIES[name].measure is not None and role in found:
            job = new_job(
                "evaluation.measure", f"{name}.{found[role].variant}", tree, {"quantity": name}, {role: found[role]}
            )
            found[name] = plan.add(job)
    return found


def _named_tokenizer(study: Study, point: Point, usual: Tree, tree: Tree) -> Tree:
    """An unchanged tokenizer keeps its name, so the job is shared; a changed one is named for what changed."""
    name = "_".join([usual["tokenizers"]["name"], *_words(study, point, "tokenizers", usual, tree)])
    return tree | {"tokenizers": tree["tokenizers"] | {"name": name}}


def _require_given(study: Study, point: Point, tree: Tree) -> None:
    """Every quantity is one that the run's prior or tokenizer has."""
    said = f"study {study.name}, row {point.row}"
    of_map = tree["tokenizers"]["map"]
    for name in study.measure:
        quantity = QUANTITIES[name]
        of_prior = quantity.role in OF_PRIORS | OF_SAMPLES
        if of_prior and "priors" not in point.row_overrides | study.fixed | point.varied:
            raise TwostageError(f"{said}: {name} is measured of priors, and the row chooses none; set fixed.priors")
        model = tree["priors"]["architecture"] if of_prior else tokenizer_job(tree).verb
        if quantity.models and model not in quantity.models:
            have = ", ".join(quantity.models)
            raise TwostageError(f"{said}: {model} has no {name}, which is of {have}; measure something else")
        if of_map != "image" and quantity.role not in OF_PRIORS:
            raise TwostageError(
                f"{said}: {name} is of images, and {tree['tokenizers']['name']} reads {of_map}; drop it"
            )
        if not of_prior and "tokenizer_data" in point.row_overrides:
            raise TwostageError(f"{said}: {name} is of a tokenizer on its own data; drop it, or tokenizer_data")


def _tokenizer_jobs(plan: Builder, tree: Tree, roles: set[str]) -> dict[str, Job]:
    if not OF_TOKENIZERS & roles:
        return {}
    tokenizer = plan.trained(tree)
    found = {"tokenizer": tokenizer, "reconstruct": reconstruct_job(tree, tokenizer, data_job(tree))}
    return found | ({"rfid": plan.rfid(tree, tokenizer)} if "rfid" in roles else {})


def _prior(plan: Builder, study: Study, point: Point, usual: Tree, tree: Tree) -> tuple[Job, Job]:
    """The latents and the prior of a run; one sweep, of what does not vary, sets the rate of all."""
    cell = Cell(
        data=tree["data"]["name"],
        tokenizer=tree["tokenizers"]["name"],
        tokenizer_data=point.row_overrides.get("tokenizer_data"),
        condition=tree["priors"]["condition"],
    )
    of_tokenizer = tree
    if cell.tokenizer_data is not None:
        of_tokenizer = tree | {"data": plan.composed({"data": cell.tokenizer_data})["data"]}
    latents = plan.encoded_by(tree, of_tokenizer)
    condition = plan.condition(cell)
    tune = plan.add(tune_job(usual, latents, condition))
    label = ".".join(_words(study, point, "priors", usual, tree))
    is_ordered = tree["priors"]["architecture"] == "gpt"
    return latents, plan.add(
        prior_job(tree, latents, condition, {"tune": tune}, spell_row_major=is_ordered, label=label)
    )


def _samples(
    plan: Builder, study: Study, point: Point, usual: Tree, tree: Tree, prior: Job, latents: Job, roles: set[str]
) -> dict[str, Job]:
    """Samples of a run's prior, in the way of its architecture, and what is measured of them."""
    draws_whole = tree["priors"]["architecture"] in DENOISERS
    section = tree["sampling"]["denoising"] if draws_whole else tree["sampling"]
    number = study.images or section["num_images"]
    # Names without a number are those of the designs, whose denoisers draw what the scale says for all of them.
    usual_number = (
        plan.tree["scale"]["experiment"]["sundae"]["images"] if draws_whole else usual["sampling"]["num_images"]
    )
    words = _words(study, point, "sampling", usual, tree, told=IN_CHAIN_NAME if draws_whole else set())
    words += [f"images{number}"] if number != usual_number else []
    tokenizer = plan.jobs[latents.inputs["tokenizer"]]
    condition = plan.jobs[prior.inputs["condition"]] if "condition" in prior.inputs else None
    if draws_whole:
        asked = with_denoising(tree, number)
        label = "_".join([chain_name(asked), *words])
        sampling = plan.add(denoising_job(asked, prior, tokenizer, condition, label=label))
    else:
        amount = {"num_images": number, "batch_size": min(number, section["batch_size"])}
        asked = tree | {"sampling": section | amount}
        sampling = plan.add(sampling_job(asked, prior, tokenizer, condition, label="_".join(words)))
    found = {"sampling": sampling}
    return found | ({"samples": plan.measured(tree, sampling, number)} if "samples" in roles else {})


def _require_effect(study: Study, points: Sequence[Point], made: Sequence[tuple[str, ...]]) -> None:
    """A varied key, or a seed, that no measured job depends on would fill a table with copies of one run.

    `made`: the folders of each point's jobs.
    """
    for key in keys_of(study):
        together = study.zip if key in study.zip else (key,)
        if len((study.vary | study.zip)[key]) > 1 and _are_alike(points, made, together):
            raise TwostageError(
                f"study {study.name} varies {key}, on which nothing that it measures depends; drop it, or measure more"
            )
    if len(study.seeds) > 1 and _are_alike(points, made, ("seed",)):
        raise TwostageError(f"study {study.name} has seeds {study.seeds}, on which nothing that it measures depends")


def _are_alike(points: Sequence[Point], made: Sequence[tuple[str, ...]], keys: Collection[str]) -> bool:
    """Whether all points that differ in nothing but these keys rest on the same jobs."""
    alike: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
    for point, jobs in zip(points, made, strict=True):
        whole = {"row": point.row, "seed": point.seed, **point.varied}
        alike.setdefault(tuple(str(value) for key, value in whole.items() if key not in keys), set()).add(jobs)
    return all(len(jobs) == 1 for jobs in alike.values())


def _latents_of_rows(points: Sequence[Point], made: Sequence[Mapping[str, Job]]) -> dict[str, Job]:
    """The latents of every row whose runs share them."""
    found: dict[str, dict[str, Job]] = {}
    for point, jobs in zip(points, made, strict=True):
        if "latents" in jobs:
            found.setdefault(f"{point.row}.latents", {})[jobs["latents"].out] = jobs["latents"]
    return {name: next(iter(jobs.values())) for name, jobs in found.items() if len(jobs) == 1}


def _collected(plan: Builder, study: Study, points: list[Point], inputs: Mapping[str, Job]) -> Job:
    """Adds the job that writes the study's long table."""
    names = {key: short(study, key) for key in keys_of(study)}
    config: Tree = {
        "study": study.name,
        "points": [
            {"row": point.row, "values": {name: point.varied[key] for key, name in names.items()}, "seed": point.seed}
            for point in points
        ],
        "quantities": study.measure,
        "compare_to": _reference(study, points, names),
        "equal": study.equal,
        "pictures": study.pictures,
    }
    files = ["table.csv", "metrics.json"] + (["grid.npy"] if study.pictures else [])
    return plan.add(new_job("evaluation.collect", study.name, plan.tree, config, inputs, files))


def _reference(study: Study, points: list[Point], names: Mapping[str, str]) -> Tree | None:
    if study.compare is None:
        return None
    key = keys_of(study)[0]
    for point in points:
        if study.compare.to in ("first", point.varied[key]):
            return {name: point.varied[other] for other, name in names.items()}
    raise TwostageError(f"study {study.name}: compare.to is {study.compare.to}, no value of {key}; name one of them")


def _shown(plan: Builder, study: Study, point: Point) -> dict[str, str]:
    """What captions say of a row: its data and its tokenizer, unless that varies."""
    usual = _tree(plan, study, point, is_usual=True)
    return {key: usual[key]["name"] for key in ("data", "tokenizers") if key not in point.varied}


def _drawn(plan: Builder, study: Study, points: list[Point], table: Job) -> None:
    """Adds the job that draws the study's table and figures. Text and printed numbers are read here alone."""
    rows = {point.row: _shown(plan, study, point) for point in points}
    config: Tree = {
        "figures": plan.tree["figures"],
        "title": study.title,
        "rows": rows,
        "keys": [short(study, key) for key in keys_of(study)],
        "show": study.table.show or study.measure,
        "panels": [{"kind": p.kind, "y": p.y, "x": p.x} for p in study.figures],
        "paper": study.paper,
        "paper_says": study.paper_says,
    }
    names = [f"{study.name}.csv", f"{study.name}_long.csv", f"{study.name}.md", f"{study.name}.tex"]
    if any(panel.kind != "pictures" for panel in study.figures):
        names += [f"{study.name}.pdf", f"{study.name}.png"]
    if any(panel.kind == "pictures" for panel in study.figures):
        names += [f"{study.name}_samples.pdf", f"{study.name}_samples.png"]
    plan.add(new_job("figures.study", study.name, plan.tree, config, {"table": table}, names))
