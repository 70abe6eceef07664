"""Experiments x scale -> the list of jobs. Pure: reads `conf/` through `compose`, writes nothing.

Rows of an experiment share every job they can: jobs are keyed by their folder, and two different jobs for one folder
are an error.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from twostage import conditions, configs, denoisers, factors, studies, tokenizer_plans
from twostage.cells import Cell
from twostage.chain import condition_jobs
from twostage.errors import TwostageError
from twostage.jobs import Job, Tree, new_job
from twostage.unread import INSTEAD, refuse_unread
from twostage.verbs import (
    BACKBONE_OF,
    data_job,
    denoising_job,
    features_job,
    inpainting_job,
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


class Plan:
    """The jobs of one experiment at one scale, in an order in which they can run. `jobs` is keyed by their folders."""

    def __init__(
        self, experiment: str, scale: str, compose: Callable[[tuple[str, ...]], Tree] = configs.compose
    ) -> None:
        self.scale = scale
        self.jobs: dict[str, Job] = {}
        # Whether the user brings the data at every scale, so that nothing but its own target asks for it.
        self.on_request = False
        self._compose = compose
        self.tree = compose((f"scale={scale}", f"experiment={experiment}"))
        self.experiment = self.tree["experiment"]
        _require_name(self.experiment, experiment)
        self._tunes: dict[tuple[str, str], Job] = {}
        match experiment:
            case "table1":
                self._table1()
            case "orderings":
                self._orderings()
            case "vqgan_vs_vqvae" | "codebook_size" | "warmup":
                tokenizer_plans.tokenizer_ablation(self)
            case "pixels_vs_latents":
                factors.pixels_vs_latents(self)
            case "f_sweep" | "f_sweep_conditional":
                factors.f_sweep(self)
            case "rejection":
                studies.rejection(self)
            case "overfitting":
                studies.overfitting(self)
            case name if name in denoisers.EXPERIMENTS:
                denoisers.add_jobs(self)
            case _:
                conditions.conditional(self)

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
        if "row_major" not in names or len(set(names)) < len(names) or set(names) - set(configs.ORDERINGS):
            raise TwostageError(
                f"experiment.orderings is {', '.join(names)}; name row_major, to which all are compared, and others "
                f"once each, out of {', '.join(configs.ORDERINGS)}"
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
            return configs.parse(kind, self.experiment["rows"][label][column])
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
            overrides += [f"priors.condition={cell.condition}"] if cell.condition else []
        # JSON is what Hydra reads too, null and strings included.
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
    files = sorted(path.stem for path in (configs.CONF / "experiment").glob("[!.]*.yaml"))
    if odd := [name for name in files if not name.isidentifier()]:
        raise TwostageError(f"conf/experiment/{odd[0]}.yaml: no target can have this name; use letters, digits and _")
    return [*EXPERIMENTS, *(name for name in files if name not in EXPERIMENTS)]


def whole_plan(scale: str) -> Plan:
    """The jobs of every experiment at one scale, as one plan: what several of them want is one job.

    One job more sums up what all of them measured, but for those on data that nobody may have brought.
    """
    plans = [Plan(experiment, scale) for experiment in experiments()]
    plan, *others = (each for each in plans if not each.on_request)
    for other in others:
        for job in other.jobs.values():
            plan._add(job)
    measured = {job.variant: job for job in drawn(plan)}
    plan._add(new_job("figures.summary", "summary", plan.tree, {}, measured))
    for asked in (each for each in plans if each.on_request):
        for job in asked.jobs.values():
            plan._add(job)
    return plan


def drawn(plan: Plan) -> list[Job]:
    """The evaluations that tables and figures are drawn from: results/ keeps their files.

    Others are read by evaluations alone, such as the features of real images.
    """
    read = {folder for job in plan.jobs.values() if job.stage == "figures" for folder in job.inputs.values()}
    return [job for job in plan.jobs.values() if job.out in read]


def tables(plan: Plan) -> list[str]:
    """Names of the tables of a whole plan, results/*.csv, whose data nobody has to bring: those that it sums up."""
    figures = {job.variant: job for job in plan.jobs.values() if job.stage == "figures"}
    summed_up = set(figures.pop("summary").inputs.values())
    return [name for name, job in figures.items() if summed_up.issuperset(job.inputs.values())]


_NO_PROMPT = "{} needs --config with a resolved job; snakemake writes it to build/configs/"


def job_at_prompt(name: str, tree: Tree) -> Job:
    """The job of the verb `name` that a person asks for by overrides.

    Its variant ends in `by_hand_` and a hash of its config, so it never overwrites what the pipeline made; what is made
    of a user's own dataset (`data.name=mine`) is in no pipeline and keeps its plain name.
    Raises TwostageError if the verb only makes sense inside an experiment, or does not read what is asked of it.
    """
    if name in INSTEAD:
        refuse_unread(name, tree["sampling"], configs.compose((f"scale={tree['scale']['name']}",))["sampling"])
    job = _evaluation_at_prompt(name, tree) if name.startswith("evaluation.") else _model_at_prompt(name, tree)
    if not (configs.CONF / "data" / f"{tree['data']['name']}.yaml").exists():
        return job
    variant = f"{job.variant}.by_hand_{job.sha12[:6]}"
    return replace(job, variant=variant, out=f"artifacts/{job.scale}/{job.stage}/{variant}")


def _model_at_prompt(name: str, tree: Tree) -> Job:
    tokenizer = tokenizer_job(tree)
    latents, condition = latents_job(tree, tokenizer), _condition_at_prompt(tree)
    match name:
        case "data.prepare":
            return data_job(tree)
        case "tokenizers.train" | "tokenizers.cluster" | "tokenizers.greys":
            return _made_by(name, tokenizer)
        case "latents.encode":
            return latents
        case "latents.plain":
            return plain_job(tree, tree["latents"]["map"])
        case "priors.tune":
            return tune_job(tree, latents, condition)
        case "priors.train":
            return prior_job(tree, latents, condition, {})
        case "sampling.generate":
            completed = latents if tree["sampling"]["given"] else None
            return sampling_job(tree, prior_job(tree, latents, condition, {}), tokenizer, condition, completed)
        case "sampling.denoise":
            return denoising_job(tree, prior_job(tree, latents, condition, {}), tokenizer, condition)
        case "sampling.inpaint":
            return inpainting_job(tree, prior_job(tree, latents, condition, {}), tokenizer, latents, condition)
        case other:
            raise TwostageError(_NO_PROMPT.format(other))


def _condition_at_prompt(tree: Tree) -> Job | None:
    """The codes that `priors.condition` names."""
    made = condition_jobs(tree, (f"scale={tree['scale']['name']}",))
    return made[-1] if made else None


def _made_by(name: str, tokenizer: Job) -> Job:
    """The tokenizer's job, if its verb is the one that was called."""
    if name != f"tokenizers.{tokenizer.verb}":
        palettes = {"tokenizers.cluster": "tokenizers=kmeans_f1", "tokenizers.greys": "tokenizers=greys_f1"}
        raise TwostageError(
            f"{name} does not make tokenizers={tokenizer.config['name']}; call tokenizers.{tokenizer.verb}, or choose "
            f"{palettes.get(name, 'a tokenizer with networks')}"
        )
    return tokenizer


def _evaluation_at_prompt(name: str, tree: Tree) -> Job:
    data, tokenizer = data_job(tree), tokenizer_job(tree)
    match name:
        case "evaluation.reconstruct":
            return reconstruct_job(tree, tokenizer, data)
        case "evaluation.features":
            return features_job(tree, data)
        case "evaluation.rfid":
            return rfid_job(tree, tokenizer, data, features_job(tree, data))
        case other:
            raise TwostageError(_NO_PROMPT.format(other))
