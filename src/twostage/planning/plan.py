"""Experiments x scale -> the list of jobs. Pure: reads `conf/` through `compose`, writes nothing.

Rows of an experiment share every job they can: jobs are keyed by their folder, and two different jobs for one folder
are an error.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from twostage.config import composition, schema
from twostage.errors import TwostageError
from twostage.planning.cells import Cell
from twostage.planning.designs import classes, conditional, denoisers, factors, tokenizers
from twostage.planning.jobs import (
    BACKBONE_OF,
    data_job,
    features_job,
    latents_job,
    maps_job,
    pace_job,
    plain_job,
    prior_job,
    reconstruct_job,
    rfid_job,
    samples_evaluation_job,
    sampling_job,
    tokenizer_job,
    tune_job,
    weights_job,
)
from twostage.planning.verbs import new_job
from twostage.runtime.job import Job, Tree

C = TypeVar("C", bound=Cell)
# Files of conf/experiment/ with a plan of their own; every other one is a task of conditional synthesis.
EXPERIMENTS = (
    "table1",
    "orderings",
    "vqgan_vs_vqvae",
    "codebook_size",
    "warmup",
    "pixels_vs_latents",
    "f_sweep",
    "f_sweep_conditional",
    "rejection",
    "overfitting",
    *denoisers.EXPERIMENTS,
)
# Of Table 1: the rival, and the transformer that is matched to it in steps and in time.
ARCHITECTURES = ("pixelsnail", "gpt")


@dataclass(frozen=True)
class Planned:
    """A whole plan: jobs by their folders, the tree of its scale, and why each experiment that it lacks is broken."""

    scale: str
    jobs: dict[str, Job]
    tree: Tree
    broken: dict[str, str]


class Plan:
    """The jobs of one experiment at one scale, in an order in which they can run. `jobs` is keyed by their folders."""

    def __init__(self, experiment: str, scale: str, compose: Callable[[tuple[str, ...]], Tree] | None = None) -> None:
        self.scale = scale
        self.jobs: dict[str, Job] = {}
        # Whether the user brings the data at every scale, so that nothing but its own target asks for it.
        self.on_request = False
        # Experiments that a whole plan lacks -> why each could not be planned, in one line.
        self.broken: dict[str, str] = {}
        self._compose = compose or composition.trees()
        self.tree = self._compose((f"scale={scale}", f"experiment={experiment}"))
        self.experiment = self.tree["experiment"]
        _require_name(self.experiment, experiment)
        self._tunes: dict[tuple[str, str], Job] = {}
        match experiment:
            case "table1":
                self._table1()
            case "orderings":
                self._orderings()
            case "vqgan_vs_vqvae" | "codebook_size" | "warmup":
                tokenizers.tokenizer_ablation(self)
            case "pixels_vs_latents":
                factors.pixels_vs_latents(self)
            case "f_sweep" | "f_sweep_conditional":
                factors.f_sweep(self)
            case "rejection":
                classes.rejection(self)
            case "overfitting":
                classes.overfitting(self)
            case name if name in denoisers.EXPERIMENTS:
                denoisers.add_jobs(self)
            case _:
                conditional.conditional(self)

    def _add(self, job: Job) -> Job:
        known = self.jobs.setdefault(job.out, job)
        if known != job:
            raise TwostageError(f"two different jobs want {job.out}; give one of their variants another name")
        return known

    def _add_with_upstream(self, job: Job, *upstream: Job) -> Job:
        for other in upstream:
            self._add(other)
        return self._add(job)

    # ---- Esser et al. 2021, Table 1

    def _table1(self) -> None:
        rows = self.experiment["rows"]
        cells = {label: self._cell(label, Cell) for label in rows}
        # Rows that others borrow the learning rates of come first.
        order = sorted(rows, key=lambda label: cells[label].tune_on is not None)
        compared = {label: self._row(label, cells[label]) for label in order}
        config = self.tree["figures"]
        figure = {"figures": config, "rows": list(rows)}
        inputs = {label: compared[label] for label in rows}
        self._add(new_job("figures.table1", "table1", self.tree, figure, inputs))
        tokenizers = {job.variant: job for job in self.jobs.values() if job.verb == "reconstruct"}
        self._add(new_job("figures.tokenizers", "tokenizers", self.tree, {"figures": config}, tokenizers))

    # ---- Esser et al. 2021, Sec. D and Fig. 34

    def _orderings(self) -> None:
        names = self._checked_orderings()
        if len(self.experiment["rows"]) != 1:
            raise TwostageError(f"experiment.rows of orderings must be one, got {', '.join(self.experiment['rows'])}")
        (label,) = self.experiment["rows"]
        cell = self._cell(label, Cell)
        latents = self._encoded(cell, cell.tokenizer, cell.tokenizer_data or cell.data)
        condition = self._condition(cell)
        # A controlled setting (Sec. D): the row-major sweep sets the rate of all, the seed initialisation and batches.
        tune = self._tune(label, cell, "gpt", latents, condition)
        tokenizer = self.jobs[latents.inputs["tokenizer"]]
        runs: dict[str, Job] = {}
        samples: dict[str, Job] = {}
        for seed in self.experiment["seeds"]:
            tree = self._tree_of(cell, priors="gpt", seed=seed)
            for name in names:
                ordered = tree | {"priors": tree["priors"] | {"ordering": name}}
                # Table 1's row-major runs go on to PixelSNAIL's time; these do not wait for its pace.
                job = prior_job(ordered, latents, condition, {"tune": tune}, spell_row_major=True)
                runs[f"{name}.seed{seed}"] = self._add(job)
                if seed == self.experiment["seeds"][0]:
                    samples[f"{name}.samples"] = self._add(sampling_job(tree, job, tokenizer, condition))
        config = {"data": cell.data, "tokenizer": cell.tokenizer, "condition": cell.condition}
        config |= {key: self.experiment[key] for key in ("orderings", "seeds", "paper_nll")}
        inputs = runs | samples | {"latents": latents}
        summary = self._add(new_job("evaluation.orderings", "orderings", self.tree, config, inputs))
        figure = {"figures": self.tree["figures"]}
        self._add(new_job("figures.orderings", "orderings", self.tree, figure, {"orderings": summary}))

    def _checked_orderings(self) -> list[str]:
        names = list(self.experiment["orderings"])
        if "row_major" not in names or len(set(names)) < len(names) or set(names) - set(schema.ORDERINGS):
            raise TwostageError(
                f"experiment.orderings is {', '.join(names)}; name row_major, to which all are compared, and others "
                f"once each, out of {', '.join(schema.ORDERINGS)}"
            )
        return names

    # ---- What the rows of every experiment share

    def _rfid(self, tree: Tree, tokenizer: Job) -> Job:
        data = data_job(tree)
        features = features_job(tree, data)
        self._add_with_upstream(features, weights_job(tree, "inception"))
        return self._add(rfid_job(tree, tokenizer, data, features))

    def _cell(self, label: str, kind: type[C]) -> C:
        column = self.tree["scale"]["sources"]
        try:
            return composition.parse(kind, self.experiment["rows"][label][column])
        except (KeyError, TwostageError) as error:
            raise TwostageError(f"experiment.rows.{label}.{column} of {self.experiment['name']}: {error}") from error

    @staticmethod
    def cell(data: str, tokenizer: str) -> Cell:
        """The cell of an experiment whose rows say no more than these two."""
        return Cell(data=data, tokenizer=tokenizer)

    def _row(self, label: str, cell: Cell) -> Job:
        latents = self._encoded(cell, cell.tokenizer, cell.tokenizer_data or cell.data)
        condition = self._condition(cell)
        tunes = {name: self._tune(label, cell, name, latents, condition) for name in ARCHITECTURES}
        own, rival = (
            prior_job(self._tree_of(cell, priors=name), latents, condition, {}) for name in ("gpt", "pixelsnail")
        )
        pace = self._add(pace_job(self.tree, own, rival))
        runs: dict[str, Job] = {}
        for seed in self.experiment["seeds"]:
            for name in ARCHITECTURES:
                more = {"tune": tunes[name]} | ({"pace": pace} if name == "gpt" else {})
                job = prior_job(self._tree_of(cell, priors=name, seed=seed), latents, condition, more)
                runs[f"{name}.seed{seed}"] = self._add(job)
        row = {
            "row": label,
            "data": cell.data,
            "condition": cell.condition,
            "tune_on": cell.tune_on or label,
            "seeds": self.experiment["seeds"],
            "paper_nll": self.experiment["rows"][label]["paper_nll"],
        }
        inputs = runs | {"latents": latents, "pace": pace}
        return self._add(new_job("evaluation.compare", f"table1.{label}", self.tree, row, inputs))

    def _tune(self, label: str, cell: Cell, architecture: str, latents: Job, condition: Job | None) -> Job:
        if cell.tune_on is not None:
            if (cell.tune_on, architecture) not in self._tunes:
                raise TwostageError(f"row {label} says tune_on={cell.tune_on}, which has no sweep of its own")
            return self._tunes[cell.tune_on, architecture]
        job = tune_job(self._tree_of(cell, priors=architecture), latents, condition)
        self._tunes[label, architecture] = self._add(job)
        return job

    def _condition(self, cell: Cell) -> Job | None:
        """Adds everything up to the codes of what conditions the cell's prior; None if nothing does."""
        match cell.condition:
            case None:
                return None
            case "class" | "coordinates" as kind:
                tree = self._tree_of(cell, tokenizers=cell.tokenizer)
                return self._add_with_upstream(plain_job(tree, kind), data_job(tree))
            case tokenizer:
                return self._encoded(cell, tokenizer, cell.data)

    def _maps(self, tree: Tree, name: str) -> Job:
        """Adds the dataset and, if it has no map `name`, what makes that."""
        return self._add_with_upstream(maps_job(tree, name), data_job(tree))

    def _encoded(self, cell: Cell, tokenizer_name: str, tokenizer_data: str) -> Job:
        """Adds everything up to the latents of one map of the cell's dataset."""
        tokenizer = self._trained(self._tree_of(replace(cell, data=tokenizer_data), tokenizers=tokenizer_name))
        tree = self._tree_of(cell)
        self._maps(tree, tokenizer.config["map"])
        return self._add(latents_job(tree, tokenizer))

    def _trained(self, tree: Tree) -> Job:
        """Adds the training of a tokenizer and, if it is one of images, how well it reconstructs."""
        tokenizer = tokenizer_job(tree)
        for name in BACKBONE_OF.values():
            if name in tokenizer.inputs:
                self._add(weights_job(tree, name))
        self._maps(tree, tokenizer.config["map"])
        self._add(tokenizer)
        if tokenizer.config["map"] == "image":
            evaluation = reconstruct_job(tree, tokenizer, data_job(tree))
            self._add_with_upstream(evaluation, weights_job(tree, "vgg16"))
        return tokenizer

    def _measured(self, tree: Tree, sampling: Job, num_images: int) -> Job:
        """Adds FID and its kin of a job's first samples against the data's real images."""
        settings = tree["evaluation"]["samples"]
        # Subsets of all samples would be one subset.
        subset = min(num_images // 2, settings["kid_subset_size"])
        samples = settings | {"images": num_images, "kid_subset_size": subset}
        asked = tree | {"evaluation": tree["evaluation"] | {"samples": samples}}
        features = self._add_with_upstream(features_job(asked, data_job(asked)), weights_job(asked, "inception"))
        return self._add(samples_evaluation_job(asked, sampling, features))

    def _tree_of(
        self,
        cell: Cell,
        tokenizers: str | None = None,
        priors: str | None = None,
        seed: int = 0,
        more: Mapping[str, Any] | None = None,
    ) -> Tree:
        overrides = [f"scale={self.scale}", f"data={cell.data}"]
        if tokenizers:
            overrides.append(f"tokenizers={tokenizers}")
        if priors:
            sizes = cell.prior_sizes.get(priors, {})
            overrides += [f"scale.priors.{priors}.{key}={value}" for key, value in sizes.items()]
            overrides += [f"priors={priors}", f"priors.loop.seed={seed}"]
            overrides += [f"priors.condition={json.dumps(cell.condition)}"] if cell.condition else []
        overrides += [f"{key}={json.dumps(value)}" for key, value in (more or {}).items()]
        return self._compose(tuple(overrides))


def _require_name(experiment: Any, name: str) -> None:
    """Jobs and results have the name of the file: of a copy, they would be those of the original."""
    said = experiment.get("name") if isinstance(experiment, dict) else None
    if said != name:
        raise TwostageError(f'conf/experiment/{name}.yaml says name: {said}; say name: "{name}", as its file is')


def experiments() -> list[str]:
    """The files of conf/experiment/: those that have a plan of their own, then tasks of conditional synthesis.

    Raises TwostageError for a name that no target or option could spell.
    """
    files = sorted(path.stem for path in (composition.CONF / "experiment").glob("[!.]*.yaml"))
    if odd := [name for name in files if not name.isidentifier()]:
        raise TwostageError(f"conf/experiment/{odd[0]}.yaml: no target can have this name; use letters, digits and _")
    return [*EXPERIMENTS, *(name for name in files if name not in EXPERIMENTS)]


def whole_plan(scale: str) -> Plan:
    """The jobs of every experiment at one scale, as one plan: what several of them want is one job.

    One job more sums up what all of them measured, but for those on data that nobody may have brought. An experiment
    that cannot be planned is left out and named in `broken`. Raises TwostageError if none can be.
    """
    trees = composition.trees()
    # What is wrong with the scale is the fault of no experiment.
    trees((f"scale={scale}",))
    plans: list[Plan] = []
    broken: dict[str, str] = {}
    for name in experiments():
        try:
            plans.append(Plan(name, scale, trees))
        except TwostageError as error:
            broken[name] = _of(name, error)
    usual = [each for each in plans if not each.on_request]
    if not usual:
        raise TwostageError(next(iter(broken.values()), "conf/experiment/ holds no experiment"))
    plan, *others = usual
    plan.broken = broken
    for other in others:
        _join(plan, other)
    measured = {job.variant: job for job in drawn(plan)}
    plan._add(new_job("figures.summary", "summary", plan.tree, {}, measured))
    for other in plans:
        if other.on_request:
            _join(plan, other)
    return plan


def _of(experiment: str, error: TwostageError) -> str:
    """The error's line, which says of which experiment it is."""
    return str(error) if experiment in str(error) else f"experiment {experiment}: {error}"


def _join(plan: Plan, other: Plan) -> None:
    """Adds all jobs of another plan, or none if one of them contradicts a job that is there."""
    name = other.experiment["name"]
    try:
        for folder in other.jobs.keys() & plan.jobs.keys():
            plan._add(other.jobs[folder])
    except TwostageError as error:
        plan.broken[name] = _of(name, error)
        return
    plan.jobs |= {folder: job for folder, job in other.jobs.items() if folder not in plan.jobs}


# Files in results/ whose names do not begin with that of their experiment.
_NAMED_OTHERWISE = {"tokenizers": "table1", "reconstructions": "table1"}


def refuse_broken(plan: Plan | Planned, targets: Iterable[str]) -> None:
    """Raises TwostageError, with the line that says why, if a target of snakemake's asks for an experiment that could
    not be planned: by its name, or with all others.
    """
    usual = [line for name, line in plan.broken.items() if not _is_on_request(name)]
    owners = {name: name for name in experiments()} | _NAMED_OTHERWISE
    for target in targets:
        of_all = re.fullmatch(r"all|figures|results/(\w+/)?(metrics|summary)\.json|.*/figures/summary/.*", target)
        if usual and of_all:
            raise TwostageError(usual[0])
        # The longest: f_sweep_conditional.csv is none of f_sweep's.
        named = [name for name in owners if re.search(rf"(^|/){name}([._/]|$)", target)]
        owner = owners[max(named, key=len)] if named else ""
        if owner in plan.broken:
            raise TwostageError(plan.broken[owner])


def _is_on_request(experiment: str) -> bool:
    """Whether the file of a broken experiment says so; one that cannot be read is asked for with all others."""
    try:
        text = (composition.CONF / "experiment" / f"{experiment}.yaml").read_text()
    except (OSError, ValueError):
        return False
    return re.search(r"^on_request: *true\b", text, re.MULTILINE) is not None


def drawn(plan: Plan | Planned) -> list[Job]:
    """The evaluations that tables and figures are drawn from: results/ keeps their files.

    Others are read by evaluations alone, such as the features of real images.
    """
    read = {folder for job in plan.jobs.values() if job.stage == "figures" for folder in job.inputs.values()}
    return [job for job in plan.jobs.values() if job.out in read]


def tables(plan: Plan | Planned) -> list[str]:
    """Names of the tables of a whole plan, results/*.csv, whose data nobody has to bring: those that it sums up."""
    figures = {job.variant: job for job in plan.jobs.values() if job.stage == "figures"}
    summed_up = set(figures.pop("summary").inputs.values())
    return [name for name, job in figures.items() if summed_up.issuperset(job.inputs.values())]
