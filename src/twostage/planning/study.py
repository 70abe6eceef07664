"""A study: rows x what varies x seeds -> measured quantities. One file says it all, and no Python belongs to it.

Reads the file, checks it, and adds its jobs to a plan: as far down the pipeline as what is measured needs.
"""

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from omegaconf import MISSING

from twostage.config import composition
from twostage.config.schema import DENOISERS
from twostage.config.values import at_least, one_of, some_of
from twostage.errors import TwostageError
from twostage.evaluation.quantities import AGREEMENT, QUANTITIES, spread_over_images
from twostage.evaluation.statistics import word
from twostage.planning.builder import Builder
from twostage.planning.cells import Cell
from twostage.planning.conditions import (
    CONDITIONAL,
    GIVEN,
    REAL,
    RECONSTRUCTION,
    UNCONDITIONAL,
    Conditions,
    agreement_job,
    kind_of,
    require_measurable,
    require_one_grid,
)
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
OF_ROW = ("tokenizer_data", "tune_on", "without")
KINDS = ("line", "point", "difference", "bars", "pictures")
# Columns of the long table, and of the rendered one beside them.
RESERVED = {"model", "study", "row", "source", "seed", "step", "quantity", "value", "unit", "job", "scale"}
OF_TOKENIZERS, OF_PRIORS, OF_SAMPLES = (
    {"tokenizer", "reconstruct", "rfid"},
    {"prior"},
    {"sampling", "samples", "agreement"},
)
# Where a denoiser's chain stands in the config tree; which of its keys the name of the samples tells anyway.
CHAIN = "sampling.denoising.chain"
# The share of an image's tokens that the paper completes it from (Esser et al. 2021, Fig. 4).
HALF = 0.5
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

    to: Any = "first"  # first, a value of the first varied key, or one of the baselines


@dataclass
class Table:
    """The rendered table: a line for each value of what varies, and a column for each quantity."""

    show: list[str] = field(default_factory=list)  # quantities, `nll.difference` for a difference; empty: all


@dataclass
class Panel:
    """One panel of the study's figure."""

    # line: over steps | point: over what varies | difference | bars: one for each run | pictures: samples
    kind: str = MISSING
    y: str = ""  # a quantity; each: a panel for every one that is measured of images; of pictures none
    # point: a varied key or a quantity; empty: the first varied key, or the row. What else varies, colours tell.
    x: str = ""


@dataclass
class Study:
    """A file of conf/study/. Rows: label -> stand_in | paper -> overrides (null: no such row in that column).

    Beside overrides a row may say `tokenizer_data`, the dataset of its tokenizer; `tune_on`, the dataset whose sweep of
    the prior without a condition sets the learning rate (default: a sweep of its own does); and `without`, a list of
    quantities that are not measured of it.
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
    """One run: its row, the overrides that are its own, and its seed (None of images that no prior drew)."""

    row: str
    row_overrides: Assignment
    varied: Assignment  # key -> value
    seed: int | None
    model: str = CONDITIONAL  # or one of the study's baselines


def add_study(plan: Builder) -> None:
    """Adds the jobs of a study: those of its runs, its long table, and what is drawn of it.

    Raises TwostageError, one line, for a file that asks for what there is not.
    """
    study = parsed(plan.study)
    plan.on_request = study.on_request
    asked = [(point, _jobs_of(plan, study, point)) for point in _points(plan, study)]
    points, made = [point for point, jobs in asked if jobs], [jobs for _, jobs in asked if jobs]
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
        _require_conditions(study)
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
    if study.pictures and not asked:
        raise TwostageError("pictures of conditions come with how samples agree with them; measure lpips_to_truth")


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
    if len(study.seeds) > 1 and study.sample_seeds == "first" and roles <= {"sampling", "samples"}:
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
    if study.compare is not None and not columns(study):
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
            without = (asked or {}).get("without", [])
            if not isinstance(without, list) or not set(without) <= set(study.measure):
                raise TwostageError(
                    f"row {label} is without {without}; list some of measure, {', '.join(study.measure)}"
                )


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
            if key in QUANTITIES and (isinstance(value, bool) or not isinstance(value, int | float)):
                raise TwostageError(f"paper has {key}: {value}; give it a number")


def _require_panel(study: Study, panel: Panel) -> None:
    names = columns(study)
    if panel.kind not in KINDS:
        raise TwostageError(f"figures has kind {panel.kind}; choose one of {', '.join(KINDS)}")
    if panel.kind == "pictures":
        if not study.pictures:
            raise TwostageError("a figure shows pictures and pictures is 0; say how many")
        return
    if panel.kind in ("point", "bars") and panel.y == "each" and _of_images(study):
        return
    if panel.y not in study.measure:
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


def _of_images(study: Study) -> list[str]:
    """What is measured of samples and held against real images."""
    return [name for name in study.measure if QUANTITIES[name].role in ("agreement", "samples")]


def _points(plan: Builder, study: Study) -> Iterator[Point]:
    column = plan.tree["scale"]["sources"]
    if all(column in row and row[column] is None for row in study.rows.values()):
        raise TwostageError(f"study {study.name}: no row has a {column}; give one row overrides there")
    for label, row in study.rows.items():
        if column not in row:
            raise TwostageError(f"study {study.name}: row {label} has no {column}; give it one, or {column}: null")
        if row[column] is None:
            continue
        for varied, model in itertools.product(_assignments(study), [CONDITIONAL, *study.baselines]):
            for seed in [None] if model in (RECONSTRUCTION, REAL) else study.seeds:
                yield Point(label, dict(row[column]), varied, seed, model)


def _assignments(study: Study) -> Iterator[Assignment]:
    zipped = [dict(zip(study.zip, values, strict=True)) for values in zip(*study.zip.values(), strict=True)] or [{}]
    for crossed in itertools.product(*study.vary.values()):
        for together in zipped:
            yield dict(zip(study.vary, crossed, strict=True)) | together


def _tree(plan: Builder, study: Study, point: Point, is_usual: bool) -> Tree:
    """The config tree of a run; the usual one has none of the keys that the study fixes or varies below a group, but
    for a condition, which makes its priors others.
    """
    return _composed(plan, _asked(study, point, is_usual))


def _asked(study: Study, point: Point, is_usual: bool) -> Assignment:
    """The overrides of a run: a row's own come before what is fixed."""

    def of(overrides: Assignment) -> Assignment:
        kept = {key for key in overrides if not is_usual or "." not in key or key == "priors.condition"}
        return {key: value for key, value in overrides.items() if key in kept}

    asked = of(study.fixed) | point.row_overrides | of(point.varied)
    if point.model == UNCONDITIONAL:
        asked = {key: value for key, value in asked.items() if key not in GIVEN}
    return asked | ({"priors.loop.seed": point.seed or 0} if "priors" in asked else {})


def _composed(plan: Builder, asked: Assignment) -> Tree:
    return plan.composed({key: value for key, value in asked.items() if key not in OF_ROW})


def _measured(study: Study, point: Point) -> list[str]:
    """What is measured of a run's row."""
    return [name for name in study.measure if name not in point.row_overrides.get("without", [])]


def _words(study: Study, point: Point, section: str, usual: Tree, tree: Tree, told: Collection[str] = ()) -> list[str]:
    """What sets a section of a run's tree apart from the usual one, as parts of a job's name, but for keys in `told`.

    A section that is the usual one has the usual name, so that studies share the job.
    """
    if tree[section] == usual[section]:
        return []
    asked = study.fixed | point.row_overrides | point.varied
    asked = {key: asked[key] for key in study.fixed | point.varied if short(study, key)}
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


def _jobs_of(plan: Builder, study: Study, point: Point) -> dict[str, Job]:
    """The jobs of one run. Raises TwostageError, which says of which row, for one that cannot be planned."""
    try:
        return _jobs(plan, study, point)
    except TwostageError as error:
        raise TwostageError(f"study {study.name}, row {point.row}: {error}") from error


def _jobs(plan: Builder, study: Study, point: Point) -> dict[str, Job]:
    """Adds the jobs of one run, as far as what is measured needs; those that are read, by their roles.

    None at all of a baseline of which nothing can be measured.
    """
    measured = _measured(study, point)
    roles = {QUANTITIES[name].role for name in measured}
    usual, tree = (_tree(plan, study, point, is_usual) for is_usual in (True, False))
    tree = _named_tokenizer(study, point, usual, tree)
    _require_given(plan, study, point, tree)
    if point.model in (RECONSTRUCTION, REAL):
        source = _tokenizer_of_latents(plan, point, tree) if point.model == RECONSTRUCTION else None
        return _agreement(plan, study, point, tree, source)
    found = _tokenizer_jobs(plan, tree, roles)
    if (OF_PRIORS | OF_SAMPLES) & roles:
        latents, prior = _prior(plan, study, point, usual, tree)
        found |= {"latents": latents, "prior": prior}
        is_first = study.sample_seeds == "all" or point.seed == study.seeds[0]
        drawn = roles if is_first else roles & {"agreement"}
        if OF_SAMPLES & drawn or (study.pictures and is_first):
            found |= _samples(plan, study, point, usual, tree, prior, latents, drawn)
            found |= _agreement(plan, study, point, tree, found["sampling"])
    for name in measured:
        role = QUANTITIES[name].role
        if QUANTITIES[name].measure is not None and role in found:
            job = new_job(
                "evaluation.measure", f"{name}.{found[role].variant}", tree, {"quantity": name}, {role: found[role]}
            )
            found[name] = plan.add(job)
    return found


def _tokenizer_of_latents(plan: Builder, point: Point, tree: Tree) -> Job:
    return plan.jobs[_encoded(plan, point, tree).inputs["tokenizer"]]


def _agreement(plan: Builder, study: Study, point: Point, tree: Tree, source: Job | None) -> dict[str, Job]:
    """How images agree with the conditions of the study's own prior; `pictures`, of the first seed's samples."""
    if study.conditions is None:
        return {}
    given = (
        tree if point.model == CONDITIONAL else _tree(plan, study, replace(point, model=CONDITIONAL), is_usual=False)
    )
    are_shown = point.model == CONDITIONAL and point.seed == study.seeds[0]
    pictures = study.pictures if are_shown else 0
    measured = _measured(study, point)
    job = agreement_job(plan, given, kind_of(plan, given), measured, source, study.conditions, pictures)
    if job is None:
        return {}
    return {"agreement": job} | ({"pictures": job} if pictures else {})


def _named_tokenizer(study: Study, point: Point, usual: Tree, tree: Tree) -> Tree:
    """An unchanged tokenizer keeps its name, so the job is shared; a changed one is named for what changed."""
    name = "_".join([usual["tokenizers"]["name"], *_words(study, point, "tokenizers", usual, tree)])
    return tree | {"tokenizers": tree["tokenizers"] | {"name": name}}


def _require_given(plan: Builder, study: Study, point: Point, tree: Tree) -> None:
    """Every quantity is one that the run's prior or tokenizer has, and every condition one that its prior takes."""
    of_map = tree["tokenizers"]["map"]
    if study.conditions is not None and point.model == CONDITIONAL:
        if tree["priors"]["condition"] is None and not tree["sampling"]["given"]:
            raise TwostageError(
                "nothing is given to samples under conditions; set priors.condition, or sampling.given: 0.5 to "
                "complete images"
            )
        require_measurable(_measured(study, point), kind_of(plan, tree))
    for name in _measured(study, point):
        quantity = QUANTITIES[name]
        of_prior = quantity.role in OF_PRIORS | OF_SAMPLES
        if of_prior and "priors" not in point.row_overrides | study.fixed | point.varied:
            raise TwostageError(f"{name} is measured of priors, and the row chooses none; set fixed.priors")
        model = tree["priors"]["architecture"] if of_prior else tokenizer_job(tree).verb
        if quantity.models and model not in quantity.models:
            have = ", ".join(quantity.models)
            raise TwostageError(f"{model} has no {name}, which is of {have}; measure something else")
        if of_map != "image" and quantity.role not in OF_PRIORS:
            raise TwostageError(f"{name} is of images, and {tree['tokenizers']['name']} reads {of_map}; drop it")
        if not of_prior and "tokenizer_data" in point.row_overrides:
            raise TwostageError(f"{name} is of a tokenizer on its own data; drop it, or tokenizer_data")
    require_one_grid(plan, tree)


def _tokenizer_jobs(plan: Builder, tree: Tree, roles: set[str]) -> dict[str, Job]:
    if not OF_TOKENIZERS & roles:
        return {}
    tokenizer = plan.trained(tree)
    found = {"tokenizer": tokenizer, "reconstruct": reconstruct_job(tree, tokenizer, data_job(tree))}
    return found | ({"rfid": plan.rfid(tree, tokenizer)} if "rfid" in roles else {})


def _cell(point: Point, tree: Tree) -> Cell:
    return Cell(
        data=tree["data"]["name"],
        tokenizer=tree["tokenizers"]["name"],
        tokenizer_data=point.row_overrides.get("tokenizer_data"),
        condition=tree["priors"]["condition"],
    )


def _encoded(plan: Builder, point: Point, tree: Tree) -> Job:
    """The latents of a run."""
    data = point.row_overrides.get("tokenizer_data")
    return plan.encoded_by(tree, tree if data is None else tree | {"data": plan.composed({"data": data})["data"]})


def _prior(plan: Builder, study: Study, point: Point, usual: Tree, tree: Tree) -> tuple[Job, Job]:
    """The latents and the prior of a run."""
    latents = _encoded(plan, point, tree)
    condition = plan.condition(_cell(point, tree))
    tune = _tuned(plan, study, point, latents)
    label = ".".join(_words(study, point, "priors", usual, tree))
    is_ordered = tree["priors"]["architecture"] == "gpt"
    return latents, plan.add(
        prior_job(tree, latents, condition, {"tune": tune}, spell_row_major=is_ordered, label=label)
    )


def _tuned(plan: Builder, study: Study, point: Point, latents: Job) -> Job:
    """One sweep, of what does not vary, sets the rate of all runs, without a condition too; or that of `tune_on`."""
    asked = _asked(study, replace(point, model=CONDITIONAL), is_usual=True)
    if (other := point.row_overrides.get("tune_on")) is None:
        usual = _composed(plan, asked)
        return plan.add(tune_job(usual, latents, plan.condition(_cell(point, usual))))
    tree = _composed(plan, asked | {"data": other, "priors.condition": None})
    return plan.add(tune_job(tree, plan.encoded_by(tree, tree), None))


def _samples(
    plan: Builder, study: Study, point: Point, usual: Tree, tree: Tree, prior: Job, latents: Job, roles: set[str]
) -> dict[str, Job]:
    """Samples of a run's prior, in the way of its architecture, and what is measured of them."""
    draws_whole = tree["priors"]["architecture"] in DENOISERS
    given = tree["sampling"]["given"]
    if given and draws_whole:
        raise TwostageError(
            f"images are completed token by token, which {tree['priors']['architecture']} does "
            "not; name a condition, or choose priors: gpt"
        )
    section = tree["sampling"]["denoising"] if draws_whole else tree["sampling"]
    told = IN_CHAIN_NAME if draws_whole and study.conditions is None else {"sampling.given"}
    words = _words(study, point, "sampling", usual, tree, told)
    number, about = _number(plan, study, usual, draws_whole, section)
    words += [about] if about else []
    tokenizer = plan.jobs[latents.inputs["tokenizer"]]
    condition = plan.jobs[prior.inputs["condition"]] if "condition" in prior.inputs else None
    several = {} if study.conditions is None else {"per_condition": study.conditions.per_condition}
    if draws_whole:
        asked = with_denoising(tree, number, several)
        label = "_".join([chain_name(asked) if study.conditions is None else "conditions", *words])
        sampling = plan.add(denoising_job(asked, prior, tokenizer, condition, label=label))
    else:
        amount = {"num_images": number, "batch_size": min(number, section["batch_size"])} | several
        asked = tree | {"sampling": section | amount}
        what = [] if study.conditions is None and not given else [_completed(given) if given else "conditions"]
        begun = latents if given else None
        sampling = plan.add(sampling_job(asked, prior, tokenizer, condition, begun, label="_".join([*what, *words])))
    found = {"sampling": sampling}
    return found | ({"samples": plan.measured(tree, sampling, number)} if "samples" in roles else {})


def _completed(given: float) -> str:
    return "completed" if given == HALF else f"completed_from{given:g}"


def _number(plan: Builder, study: Study, usual: Tree, draws_whole: bool, section: Tree) -> tuple[int, str]:
    """How many samples are drawn of a run, and what says so in their name, where it is not the usual number."""
    budget = plan.tree["scale"]["study"]
    if study.conditions is not None:
        asked, of = study.conditions, budget["conditional"]
        is_usual = (asked.images, asked.per_condition) == (of["conditions"], of["per_condition"])
        return asked.num_samples, "" if is_usual else f"images{asked.images}x{asked.per_condition}"
    number = study.images or section["num_images"]
    # Names without a number are those of the designs, whose denoisers draw what the scale says for all of them.
    usual_number = budget["sundae"]["images"] if draws_whole else usual["sampling"]["num_images"]
    return number, "" if number == usual_number else f"images{number}"


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
        whole = {"row": point.row, "model": point.model, "seed": point.seed, **point.varied}
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
    spreads = [spread_over_images(name) for name in study.measure if name in AGREEMENT]
    config: Tree = {
        "study": study.name,
        "points": [{"row": point.row, "values": _values(study, point), "seed": point.seed} for point in points],
        "quantities": [*study.measure, *spreads],
        "compare_to": _reference(study, points),
        "equal": study.equal,
        "pictures": study.pictures,
    }
    files = ["table.csv", "metrics.json"] + (["grid.npy"] if study.pictures else [])
    return plan.add(new_job("evaluation.collect", study.name, plan.tree, config, inputs, files))


def _values(study: Study, point: Point) -> Tree:
    """What sets a run apart, by columns."""
    varied = {short(study, key): point.varied[key] for key in keys_of(study)}
    return ({"model": point.model} if study.baselines else {}) | varied


def _reference(study: Study, points: list[Point]) -> Tree | None:
    if study.compare is None:
        return None
    to, keys = study.compare.to, keys_of(study)
    for point in points:
        if to in ("first", *([point.varied[keys[0]]] if keys else []), *([point.model] if study.baselines else [])):
            return _values(study, point)
    known = f"no value of {keys[0]}" if keys else "no baseline"
    raise TwostageError(f"study {study.name}: compare.to is {to}, {known}; name one of them")


def _shown(plan: Builder, study: Study, point: Point) -> dict[str, str]:
    """What captions say of a row: its data and its tokenizer, unless that varies, and what its samples are given."""
    usual = _tree(plan, study, replace(point, model=CONDITIONAL), is_usual=True)
    shown = {key: usual[key]["name"] for key in ("data", "tokenizers") if key not in point.varied}
    kind = kind_of(plan, usual)
    return shown | ({"condition": kind} if kind and study.conditions is not None else {})


def _panels(study: Study, points: Sequence[Point]) -> list[Tree]:
    """The panels of what is measured on the data of the scale."""
    measured = {name for point in points for name in _measured(study, point)}
    found: list[Tree] = []
    for panel in study.figures:
        for y in _of_images(study) if panel.y == "each" else [panel.y]:
            found += [{"kind": panel.kind, "y": y, "x": panel.x}] if y in measured or panel.kind == "pictures" else []
    return found


def _drawn(plan: Builder, study: Study, points: list[Point], table: Job) -> None:
    """Adds the job that draws the study's table and figures. Text and printed numbers are read here alone."""
    rows = {point.row: _shown(plan, study, point) for point in points}
    measured = {name for point in points for name in _measured(study, point)}
    config: Tree = {
        "figures": plan.tree["figures"],
        "title": study.title,
        "rows": rows,
        "keys": columns(study),
        "show": [name for name in study.table.show or study.measure if name.partition(".")[0] in measured],
        "panels": _panels(study, points),
        "paper": study.paper,
        "paper_says": study.paper_says,
    }
    names = [f"{study.name}.csv", f"{study.name}_long.csv", f"{study.name}.md", f"{study.name}.tex"]
    if any(panel.kind != "pictures" for panel in study.figures):
        names += [f"{study.name}.pdf", f"{study.name}.png"]
    if any(panel.kind == "pictures" for panel in study.figures):
        names += [f"{study.name}_samples.pdf", f"{study.name}_samples.png"]
    plan.add(new_job("figures.study", study.name, plan.tree, config, {"table": table}, names))
