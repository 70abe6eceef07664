"""A study: rows x what varies x seeds -> measured quantities. One file says it all, and no Python belongs to it.

Reads the file, checks it, and adds its jobs to a plan: as far down the pipeline as what is measured needs.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from twostage.config import composition
from twostage.config.values import at_least
from twostage.errors import TwostageError
from twostage.evaluation.quantities import QUANTITIES
from twostage.planning.builder import Builder
from twostage.planning.cells import Cell
from twostage.planning.jobs import (
    chain_name,
    data_job,
    denoising_job,
    prior_job,
    reconstruct_job,
    sampling_job,
    tune_job,
)
from twostage.planning.verbs import new_job
from twostage.runtime.job import Job, Tree

Assignment = dict[str, Any]
# Keys of a row that are no overrides of the config tree.
OF_ROW = ("tokenizer_data",)
KINDS = ("line", "point", "difference", "pictures")


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
    x: str = ""  # point: a varied key or a quantity; empty: the first varied key
    hue: str = ""  # line, point: a varied key; empty: the first one that is not x


@dataclass
class Study:
    """A file of conf/study/. Rows: label -> stand_in | paper -> overrides (null: no such row in that column)."""

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
    sample_seeds: str = "first"  # first: only the first seed is sampled from | all
    pictures: int = 0  # samples of each run that a figure shows
    equal: list[str] = field(default_factory=list)  # what the runs' metrics must agree in, such as steps
    compare: Compare | None = None
    paper: list[dict[str, Any]] = field(default_factory=list)  # printed numbers: row, varied keys, quantities
    paper_says: str = ""
    claims: list[str] = field(default_factory=list)  # ids that the study bears on
    table: Table = field(default_factory=Table)
    figures: list[Panel] = field(default_factory=list)
    on_request: bool = False  # the user brings the data at every scale, so that only its own target asks for it


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
    inputs: dict[str, Job] = {}
    for at, point in enumerate(points):
        jobs = _jobs(plan, study, point, is_sampled=study.sample_seeds == "all" or point.seed == study.seeds[0])
        inputs |= {f"{at}.{role}": job for role, job in jobs.items() if role != "latents"}
        if "latents" in jobs:
            inputs[f"{point.row}.latents"] = jobs["latents"]
    _require_effect(study, points, inputs)
    table = _collected(plan, study, points, inputs)
    _drawn(plan, study, points, table)


def parsed(tree: Tree) -> Study:
    """The study that a file holds. Raises TwostageError for an unknown key, quantity or panel."""
    name = tree["name"]
    try:
        study = composition.parse(Study, tree)
    except TwostageError as error:
        raise TwostageError(f"study {name}: {str(error).removeprefix('Study: ')}") from error
    wanted = [*study.measure, *(shown.partition(".")[0] for shown in study.table.show)]
    if unknown := [quantity for quantity in wanted if quantity not in QUANTITIES]:
        raise TwostageError(
            f"study {name} measures {unknown[0]}, which is unknown; name some of {', '.join(QUANTITIES)}"
        )
    if unmeasured := [shown for shown in study.table.show if shown.partition(".")[0] not in study.measure]:
        raise TwostageError(f"study {name}: table.show names {unmeasured[0]}, which is not in measure; add it there")
    if not study.seeds or len(set(study.seeds)) < len(study.seeds):
        raise TwostageError(f"study {name}: seeds is {study.seeds}; name one or more, once each")
    _require_spellings(study)
    for panel in study.figures:
        _require_panel(study, panel)
    return study


def short(study: Study, key: str) -> str:
    """The name of a key in tables and names of jobs: its last part, unless the study spells it otherwise.

    Empty for a key that is not told: one that changes together with another, or one that `spell` leaves empty.
    """
    return "" if key in list(study.zip)[1:] else study.spell.get(key, key.rpartition(".")[2])


def keys_of(study: Study) -> list[str]:
    """The varied keys that tables show, in the order of the file; keys that change together are told by the first."""
    return [*study.vary, *list(study.zip)[:1]]


def _require_spellings(study: Study) -> None:
    names = [short(study, key) for key in keys_of(study)]
    reserved = {"study", "row", "source", "seed", "step", "quantity", "value", "unit", "job"}
    if clash := [name for name in names if names.count(name) > 1 or name in reserved]:
        raise TwostageError(f"study {study.name}: two columns would be called {clash[0]}; give one a name in spell")
    if unknown := sorted(set(study.spell) - set(study.vary) - set(study.zip) - set(study.fixed)):
        raise TwostageError(f"study {study.name}: spell names {unknown[0]}, a key that the study does not set")
    if len({len(values) for values in study.zip.values()}) > 1:
        raise TwostageError(f"study {study.name}: the lists of zip have different lengths; give them one")
    for key, values in (study.vary | study.zip).items():
        if not values or (key in study.vary and len({str(value) for value in values}) < len(values)):
            raise TwostageError(f"study {study.name}: {key} is {values}; name one or more values, once each")


def _require_panel(study: Study, panel: Panel) -> None:
    names = [short(study, key) for key in keys_of(study)]
    if panel.kind not in KINDS:
        raise TwostageError(f"study {study.name}: figures has kind {panel.kind}; choose one of {', '.join(KINDS)}")
    if panel.kind == "pictures":
        if not study.pictures:
            raise TwostageError(f"study {study.name}: a figure shows pictures and pictures is 0; say how many")
        return
    if panel.y not in study.measure:
        raise TwostageError(f"study {study.name}: a figure shows {panel.y}, which is not in measure; add it there")
    if panel.kind == "line" and not QUANTITIES[panel.y].curve:
        raise TwostageError(f"study {study.name}: {panel.y} is measured at the end alone, so it has no line; use point")
    for column in (panel.x, panel.hue):
        if column and column not in names and column not in study.measure:
            raise TwostageError(
                f"study {study.name}: a figure is drawn over {column}, which is no column; name one of "
                f"{', '.join([*names, *study.measure])}"
            )


def _points(plan: Builder, study: Study) -> Iterator[Point]:
    column = plan.tree["scale"]["sources"]
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
    """The config tree of a run; the usual one has none of the keys that the study fixes or varies below a group."""
    asked = dict(point.row_overrides)
    for key, value in (study.fixed | point.varied).items():
        asked |= {key: value} if "." not in key or not is_usual else {}
    asked |= {"priors.loop.seed": point.seed} if "priors" in asked else {}
    try:
        return plan.composed({key: value for key, value in asked.items() if key not in OF_ROW})
    except TwostageError as error:
        raise TwostageError(f"study {study.name}, row {point.row}: {error}") from error


def _words(study: Study, point: Point, section: str, usual: Tree, tree: Tree) -> list[str]:
    """What sets a section of a run's tree apart from the usual one, as parts of a job's name.

    A section that is the usual one has the usual name, so that studies share the job.
    """
    if tree[section] == usual[section]:
        return []
    asked = {key: value for key, value in (study.fixed | point.varied).items() if short(study, key)}
    own = {key: value for key, value in asked.items() if key.startswith((f"{section}.", f"scale.{section}."))}
    # An ordering stands in every name.
    own.pop("priors.ordering", None)
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
        case int() | float():
            return f"{key}{value:g}"
        case list():
            return f"{key}{'_'.join(map(str, value))}"
        case _:
            return f"{value}_{key}"


def _jobs(plan: Builder, study: Study, point: Point, is_sampled: bool) -> dict[str, Job]:
    """Adds the jobs of one run, as far as what is measured needs; those that are read, by their roles."""
    roles = {QUANTITIES[name].role for name in study.measure}
    usual, tree = (_tree(plan, study, point, is_usual) for is_usual in (True, False))
    tree = _named_tokenizer(study, point, usual, tree)
    found = _tokenizer_jobs(plan, point, tree, roles)
    if {"prior", "sampling", "samples"} & roles:
        latents, prior = _prior(plan, study, point, usual, tree)
        found |= {"latents": latents, "prior": prior}
        if (is_sampled and {"sampling", "samples"} & roles) or (is_sampled and study.pictures):
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


def _tokenizer_jobs(plan: Builder, point: Point, tree: Tree, roles: set[str]) -> dict[str, Job]:
    if not {"tokenizer", "reconstruct", "rfid"} & roles:
        return {}
    tokenizer = plan.trained(tree)
    found = {"tokenizer": tokenizer, "reconstruct": reconstruct_job(tree, tokenizer, data_job(tree))}
    if tokenizer.config["map"] != "image":
        raise TwostageError(f"row {point.row}: {tokenizer.variant} reads no images, so they cannot be reconstructed")
    return found | ({"rfid": plan.rfid(tree, tokenizer)} if "rfid" in roles else {})


def _prior(plan: Builder, study: Study, point: Point, usual: Tree, tree: Tree) -> tuple[Job, Job]:
    """The latents and the prior of a run; one sweep, of what does not vary, sets the rate of all."""
    if "priors" not in point.row_overrides | study.fixed | point.varied:
        raise TwostageError(f"study {study.name} measures priors, and its runs choose none; set fixed.priors")
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
    draws_whole = tree["priors"]["architecture"] not in ("gpt", "pixelsnail")
    section = tree["sampling"]["denoising"] if draws_whole else tree["sampling"]
    number = study.images or section["num_images"]
    amount = {"num_images": number, "batch_size": min(number, section["batch_size"])}
    tokenizer = plan.jobs[latents.inputs["tokenizer"]]
    condition = plan.jobs[prior.inputs["condition"]] if "condition" in prior.inputs else None
    if draws_whole:
        asked = tree | {"sampling": tree["sampling"] | {"denoising": section | amount}}
        sampling = plan.add(denoising_job(asked, prior, tokenizer, condition, label=chain_name(asked)))
    else:
        asked = tree | {"sampling": section | amount}
        words = _words(study, point, "sampling", usual, tree)
        words += [f"images{number}"] if number != usual["sampling"]["num_images"] else []
        sampling = plan.add(sampling_job(asked, prior, tokenizer, condition, label="_".join(words)))
    found = {"sampling": sampling}
    return found | ({"samples": plan.measured(tree, sampling, number)} if "samples" in roles else {})


def _require_effect(study: Study, points: list[Point], inputs: Mapping[str, Job]) -> None:
    """A varied key that no measured job depends on would fill a table with copies of one run."""
    for key in keys_of(study):
        alike: dict[tuple[Any, ...], set[tuple[str, ...]]] = {}
        for at, point in enumerate(points):
            others = (point.row, point.seed, *(str(value) for other, value in point.varied.items() if other != key))
            jobs = tuple(job.out for name, job in inputs.items() if name.startswith(f"{at}."))
            alike.setdefault(others, set()).add(jobs)
        if key in study.vary and len(study.vary[key]) > 1 and all(len(jobs) == 1 for jobs in alike.values()):
            raise TwostageError(
                f"study {study.name} varies {key}, on which nothing that it measures depends; drop it, or measure more"
            )


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


def _shown(study: Study, point: Point) -> dict[str, str]:
    """What captions say of a row: its data and its tokenizer, unless that varies."""
    asked = study.fixed | point.row_overrides
    return {key: asked[key] for key in ("data", "tokenizers") if key in asked and key not in point.varied}


def _drawn(plan: Builder, study: Study, points: list[Point], table: Job) -> None:
    """Adds the job that draws the study's table and figures. Text and printed numbers are read here alone."""
    rows = {point.row: _shown(study, point) for point in points}
    config: Tree = {
        "figures": plan.tree["figures"],
        "title": study.title,
        "rows": rows,
        "keys": [short(study, key) for key in keys_of(study)],
        "show": study.table.show or study.measure,
        "panels": [{"kind": p.kind, "y": p.y, "x": p.x, "hue": p.hue} for p in study.figures],
        "paper": study.paper,
        "paper_says": study.paper_says,
    }
    names = [f"{study.name}.csv", f"{study.name}_long.csv", f"{study.name}.md", f"{study.name}.tex"]
    if any(panel.kind != "pictures" for panel in study.figures):
        names += [f"{study.name}.pdf", f"{study.name}.png"]
    if any(panel.kind == "pictures" for panel in study.figures):
        names += [f"{study.name}_samples.pdf", f"{study.name}_samples.png"]
    plan.add(new_job("figures.study", study.name, plan.tree, config, {"table": table}, names))
