"""A study: rows x what varies x seeds -> measured quantities. One file says it all, and no Python belongs to it.

Adds its jobs to a plan: as far down the pipeline as what is measured needs.
"""

import itertools
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from twostage.config import plugins
from twostage.config.schema import DENOISERS
from twostage.config.values import LONGEST_NAME
from twostage.errors import TwostageError
from twostage.evaluation.quantities import AUTOREGRESSIVE, QUANTITIES, spread_over_images
from twostage.planning.builder import Builder
from twostage.planning.conditions import (
    AGREEMENT,
    CONDITIONAL,
    GIVEN,
    HALF,
    REAL,
    RECONSTRUCTION,
    UNCONDITIONAL,
    agreement_job,
    kind_of,
    require_measurable,
    require_one_grid,
)
from twostage.planning.jobs import (
    chain_name,
    data_job,
    denoising_job,
    grid_side,
    plain_job,
    prior_job,
    reconstruct_job,
    sampling_job,
    tokenizer_job,
    tune_job,
    windows_job,
    with_denoising,
)
from twostage.planning.study_file import (
    OF_PRIORS,
    OF_ROW,
    OF_SAMPLES,
    OF_TOKENIZERS,
    ORDERING,
    Assignment,
    Study,
    columns,
    keys_of,
    of_images,
    parsed,
    short,
)
from twostage.planning.verbs import new_job
from twostage.runtime.artifacts import sha256_json
from twostage.runtime.job import Job, Tree

# What may be a part of a job's name as it is.
_WORD = re.compile(r"[A-Za-z0-9_.+-]{0,40}")
_LONGEST = 80  # characters of a mapping's values in a name; for more of them stands a hash
# Where a denoiser's chain stands in the config tree; which of its keys the name of the samples tells anyway.
CHAIN = "sampling.denoising.chain"
TOKENIZER_SEED = "tokenizers.loop.seed"
IN_CHAIN_NAME = {
    *(
        f"{CHAIN}.{key}"
        for key in ("steps", "proportion_start", "proportion_end", "temperature_start", "temperature_end")
    ),
    *(f"sampling.denoising.unmasking.{key}" for key in ("steps", "temperature")),
}


@dataclass(frozen=True)
class Point:
    """One run: its row, the overrides that are its own, and its seed (None of images that no prior drew)."""

    row: str
    row_overrides: Assignment
    varied: Assignment  # key -> value
    seed: int | None
    model: str = CONDITIONAL  # or one of the study's baselines


def plan_study(plan: Builder) -> None:
    """Adds the jobs of a study: those of its runs, its long table, and what is drawn of it.

    Raises TwostageError, one line, for a file that asks for what there is not.
    """
    study = parsed(plan.study)
    asked = [(point, _jobs_of(plan, study, point)) for point in _points(plan, study)]
    points, made = [point for point, jobs in asked if jobs], [jobs for _, jobs in asked if jobs]
    asked_of = _Asked(plan.jobs)
    _require_effect(study, points, [tuple(asked_of(job) for job in jobs.values()) for jobs in made])
    inputs = {f"{at}.{role}": job for at, jobs in enumerate(made) for role, job in jobs.items() if role != "latents"}
    table = _collected(plan, study, points, inputs | _latents_of_rows(points, made))
    _drawn(plan, study, points, table)


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
    if "priors" in asked:
        return asked | {"priors.loop.seed": point.seed or 0}
    # Table 1's tokenizer is that of seed 0.
    return asked | ({TOKENIZER_SEED: point.seed} if point.seed and not is_usual else {})


def _overrides(study: Study, point: Point) -> Assignment:
    """All that a study says of a run. A row comes before what is fixed."""
    return study.fixed | point.row_overrides | point.varied


def _composed(plan: Builder, asked: Assignment) -> Tree:
    return plan.composed({key: value for key, value in asked.items() if key not in OF_ROW})


def _measured(study: Study, point: Point) -> list[str]:
    """What is measured of a run's row."""
    return [name for name in study.measure if name not in point.row_overrides.get("without", [])]


def _words(study: Study, point: Point, section: str, usual: Tree, tree: Tree, told: Collection[str] = ()) -> list[str]:
    """What sets a section of a run's tree apart from the usual one, as parts of a job's name, but for keys in `told`.

    A section that is the usual one has the usual name, so that studies share the job.
    """
    if _unseeded(tree[section]) == _unseeded(usual[section]):
        return []
    asked = _overrides(study, point)
    # These stand in every name.
    told = ("priors.architecture", "priors.ordering", "priors.condition", *told)
    own = {key: asked[key] for key in study.fixed | point.varied if short(study, key) and key not in told}
    own = {key: value for key, value in own.items() if key.startswith((f"{section}.", f"scale.{section}."))}
    unlike = {key: value for key, value in own.items() if _at(usual, key) != value and not _is_fixed(study, key, value)}
    return [word for key, value in (unlike or own).items() if (word := _word(short(study, key), value))]


def _unseeded(section: Tree) -> Tree:
    """The section of a model with seed 0: names tell the seed by themselves."""
    return section | {"loop": section["loop"] | {"seed": 0}} if isinstance(section.get("loop"), dict) else section


def _is_fixed(study: Study, key: str, value: Any) -> bool:
    """Whether a varied key has the value of a section that the study fixes, and so is told by that."""
    section, _, name = key.rpartition(".")
    return value is not None and bool(_at(study.fixed.get(section), name) == value)


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
            said = "_".join(map(str, value))
            return f"{key}{said if _WORD.fullmatch(said) else sha256_json(value)[:6]}"
        case dict():
            said = "_".join(_word(name, each) for name, each in value.items())
            return said if len(said) <= _LONGEST else f"{key}_{sha256_json(value)[:6]}"
        case _:
            # A path names no folder.
            said = str(value) if _WORD.fullmatch(str(value)) else sha256_json(value)[:6]
            return f"{said}_{key}"


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
        if OF_SAMPLES & drawn or ((study.pictures or study.films) and is_first):
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
    """An unchanged tokenizer keeps its name, so the job is shared. A changed one is named for what changed, or for the
    hash of that, if it is long.
    """
    seed = [f"seed{point.seed}"] if TOKENIZER_SEED in _asked(study, point, is_usual=False) else []
    first, words = usual["tokenizers"]["name"], _words(study, point, "tokenizers", usual, tree)
    name = "_".join([first, *words, *seed])
    if len(name) > LONGEST_NAME:
        name = "_".join([first, sha256_json(words)[:6], *seed])
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
    if TOKENIZER_SEED in _asked(study, point, is_usual=False) and tokenizer_job(tree).verb != "train":
        raise TwostageError(f"{tree['tokenizers']['name']} is not trained, so seeds change nothing; say seeds: [0]")
    for name in _measured(study, point):
        quantity = QUANTITIES[name]
        of_prior = quantity.role in OF_PRIORS | OF_SAMPLES
        if of_prior and "priors" not in _overrides(study, point):
            raise TwostageError(f"{name} is measured of priors, and the row chooses none; set fixed.priors")
        model = tree["priors"]["architecture"] if of_prior else tokenizer_job(tree).verb
        # Priors of plugins draw token by token.
        of_plugins = plugins.words("architecture") if AUTOREGRESSIVE[0] in quantity.models else ()
        if quantity.models and model not in (*quantity.models, *of_plugins):
            have = ", ".join(quantity.models)
            raise TwostageError(f"{model} has no {name}, which is of {have}; measure something else")
        if of_map != "image" and quantity.role not in OF_PRIORS:
            raise TwostageError(f"{name} is of images, and {tree['tokenizers']['name']} reads {of_map}; drop it")
        if not of_prior and "tokenizer_data" in point.row_overrides:
            raise TwostageError(f"{name} is of a tokenizer on its own data; drop it, or tokenizer_data")
    require_one_grid(plan, tree, has_window=_has_window(point, tree))


def _tokenizer_jobs(plan: Builder, tree: Tree, roles: set[str]) -> dict[str, Job]:
    if not OF_TOKENIZERS & roles:
        return {}
    tokenizer = plan.trained(tree)
    found = {"tokenizer": tokenizer, "reconstruct": reconstruct_job(tree, tokenizer, data_job(tree))}
    return found | ({"rfid": plan.rfid(tree, tokenizer)} if "rfid" in roles else {})


def _encoded(plan: Builder, point: Point, tree: Tree) -> Job:
    """The latents of a run."""
    data = point.row_overrides.get("tokenizer_data")
    return plan.encoded_by(tree, tree if data is None else tree | {"data": plan.composed({"data": data})["data"]})


def _prior(plan: Builder, study: Study, point: Point, usual: Tree, tree: Tree) -> tuple[Job, Job]:
    """The whole latents and the prior of a run."""
    latents = _encoded(plan, point, tree)
    condition = _condition(plan, study, point, tree)
    seen, given = _seen(plan, point, tree, latents), condition and _seen(plan, point, tree, condition)
    is_swept = tree["priors"]["learning_rate"] is None
    tune = {"tune": _tuned(plan, study, point, latents)} if is_swept else {}
    label = ".".join(_words(study, point, "priors", usual, tree))
    is_ordered = tree["priors"]["architecture"] == "gpt"
    return latents, plan.add(prior_job(tree, seen, given, tune, spell_row_major=is_ordered, label=label))


def _has_window(point: Point, tree: Tree) -> bool:
    """Whether the row's prior sees a part of the grid at a time."""
    window = point.row_overrides.get("window")
    return window is not None and window < grid_side(tree)


def _seen(plan: Builder, point: Point, tree: Tree, codes: Job) -> Job:
    """What a run's prior sees of some codes: all, or windows. A class has no place.

    Windows of image and condition are cut by one seed, so they lie at the same places.
    """
    if not _has_window(point, tree) or codes.config["map"] == "class":
        return codes
    if tree["priors"]["architecture"] != "gpt":
        raise TwostageError(
            f"{tree['priors']['architecture']} draws by no sliding window; drop window, or choose priors: gpt"
        )
    per_image = plan.tree["scale"]["study"]["f_sweep"]["windows_per_image"]
    return plan.add(windows_job(tree, codes, point.row_overrides["window"], per_image))


def _condition(plan: Builder, study: Study, point: Point, tree: Tree) -> Job | None:
    """Adds everything up to the codes that condition the prior; None if nothing does."""
    match tree["priors"]["condition"]:
        case None:
            return None
        case "class" | "coordinates" as kind:
            return plan.add_with_upstream(plain_job(tree, kind), data_job(tree))
        case name:
            # What is said of the image's tokenizer does not concern that of the map.
            asked = _overrides(study, point)
            of_data = {key: value for key, value in asked.items() if key.split(".")[0] in ("data", "latents", "scale")}
            return plan.encoded_by(tree, plan.composed(of_data | {"tokenizers": name}))


def _tuned(plan: Builder, study: Study, point: Point, latents: Job) -> Job:
    """One sweep, of what does not vary, sets the rate of all runs, without a condition too; or that of `tune_on`."""
    asked = _asked(study, replace(point, model=CONDITIONAL), is_usual=True)
    if (other := point.row_overrides.get("tune_on")) is None:
        tree = _composed(plan, asked)
        codes, condition = latents, _condition(plan, study, point, tree)
    else:
        tree = _composed(plan, asked | {"data": other, "priors.condition": None})
        codes, condition = plan.encoded_by(tree, tree), None
    given = condition and _seen(plan, point, tree, condition)
    return plan.add(tune_job(tree, _seen(plan, point, tree, codes), given))


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
    words = _words(study, point, "sampling", usual, tree, {"sampling.num_images", *told})
    number, about = _number(plan, study, usual, draws_whole, section)
    words += [about] if about else []
    tokenizer = plan.jobs[latents.inputs["tokenizer"]]
    condition = _condition(plan, study, point, tree)
    several = {} if study.conditions is None else {"per_condition": study.conditions.per_condition}
    if draws_whole:
        asked = with_denoising(tree, number, several)
        label = "_".join([chain_name(asked) if study.conditions is None else "conditions", *words])
        sampling = plan.add(denoising_job(asked, prior, tokenizer, condition, label=label))
    else:
        amount = {"num_images": number, "batch_size": min(number, section["batch_size"])} | several
        side = grid_side(tree)
        canvas = {"canvas": [side, side]} if _has_window(point, tree) else {}
        asked = tree | {"sampling": section | amount | canvas}
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


class _Asked:
    """What a job is asked, and what it reads is: the same for jobs that differ in name alone."""

    def __init__(self, jobs: Mapping[str, Job]) -> None:
        self._jobs, self._known = jobs, dict[str, str]()

    def __call__(self, job: Job) -> str:
        if job.out not in self._known:
            read = {role: self(self._jobs[folder]) for role, folder in job.inputs.items()}
            self._known[job.out] = sha256_json([job.name, job.config, read])
        return self._known[job.out]


def _require_effect(study: Study, points: Sequence[Point], made: Sequence[tuple[str, ...]]) -> None:
    """A varied key, or a seed, that no measured job depends on would fill a table with copies of one run.

    `made`: what each point's jobs are asked, whatever they are called.
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
    sizes = {point.row: _tree(plan, study, point, is_usual=False)["data"]["size"] for point in points}
    if (study.pictures or study.films) and len(set(sizes.values())) > 1:
        said = ", ".join(f"{row} {size}" for row, size in sizes.items())
        raise TwostageError(
            f"study {study.name}: pictures stand side by side, and rows have sides of {said} pixels; set pictures: 0 "
            "and films: 0"
        )
    _require_films(study, [job for name, job in inputs.items() if name.endswith(".sampling")])
    spreads = [spread_over_images(name) for name in study.measure if name in AGREEMENT]
    config: Tree = {
        "study": study.name,
        "points": [{"row": point.row, "values": _values(study, point), "seed": point.seed} for point in points],
        "quantities": [*study.measure, *spreads],
        "compare_to": _reference(study, points),
        "equal": study.equal,
        "pictures": study.pictures,
        "orderings": study.vary[ORDERING] if _shows(study, "orders") else [],
    }
    files = ["table.csv", "metrics.json"] + (["grid.npy"] if study.pictures else [])
    if study.films:
        config["films"] = study.films
        files.append("film.npy")
    return plan.add(new_job("evaluation.collect", study.name, plan.tree, config, inputs, files))


def _require_films(study: Study, drawn: Sequence[Job]) -> None:
    """Raises TwostageError if the samples have no chains, or fewer of them are kept than the study asks for."""
    if not study.films:
        return
    if {job.name for job in drawn} != {"sampling.denoise"}:
        raise TwostageError(f"study {study.name}: films need SUNDAE or absorbing priors; drop films")
    kept = min(min(job.config["film_images"], job.config["num_images"]) for job in drawn)
    if study.films > kept:
        raise TwostageError(
            f"study {study.name}: films is {study.films}, but {kept} chains are kept; lower it, or raise "
            "sampling.denoising.film_images under fixed, and images"
        )


def _shows(study: Study, kind: str) -> bool:
    return any(panel.kind == kind for panel in study.figures)


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


def _shown(plan: Builder, study: Study, point: Point) -> dict[str, Any]:
    """What captions say of a row: data, tokenizer unless that varies, window, and what its samples are given."""
    usual = _tree(plan, study, replace(point, model=CONDITIONAL), is_usual=True)
    shown = {key: usual[key]["name"] for key in ("data", "tokenizers") if key not in point.varied}
    shown |= {"window": point.row_overrides["window"]} if _has_window(point, usual) else {}
    kind = kind_of(plan, usual)
    return shown | ({"condition": kind} if kind and study.conditions is not None else {})


def _panels(study: Study, points: Sequence[Point]) -> list[Tree]:
    """The panels of what is measured on the data of the scale."""
    measured = {name for point in points for name in _measured(study, point)}
    found: list[Tree] = []
    for panel in study.figures:
        for y in of_images(study) if panel.y == "each" else [panel.y]:
            found += (
                [{"kind": panel.kind, "y": y, "x": panel.x}]
                if y in measured or panel.kind in ("pictures", "orders")
                else []
            )
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
        "compare_to": table.config["compare_to"],
    }
    names = [f"{study.name}.csv", f"{study.name}_long.csv", f"{study.name}.md", f"{study.name}.tex"]
    for kinds, end in (
        (("line", "point", "difference", "bars"), ""),
        (("pictures",), "_samples"),
        (("orders",), "_grid"),
    ):
        if any(_shows(study, kind) for kind in kinds):
            names += [f"{study.name}{end}.pdf", f"{study.name}{end}.png"]
    plan.add(new_job("figures.study", study.name, plan.tree, config, {"table": table}, names))
