"""The plans of conditional synthesis: one per task, all of one shape. Esser et al. 2021, Sec. 4.2."""

from dataclasses import dataclass, field, replace
from typing import Any

from omegaconf import MISSING

from twostage.config import composition, schema
from twostage.errors import TwostageError
from twostage.planning.builder import Builder
from twostage.planning.cells import Cell, TaskCell
from twostage.planning.jobs import (
    classifier_job,
    data_job,
    denoising_job,
    grid_side,
    prior_job,
    sampling_job,
    weights_job,
)
from twostage.planning.verbs import new_job
from twostage.runtime.job import Job, Tree

# Share of every image's tokens that a completion starts from; the paper completes half images (Fig. 4).
COMPLETED = 0.5
# In what samples may agree with their condition (twostage.evaluation.agreement) -> the map that tells, null: a label.
MEASURES = {"class": None, "edges": "edges", "silhouette": "segmentation", "low_resolution": "low_resolution"}


@dataclass
class Measures:
    """In what samples should agree with their condition, out of MEASURES; the likeness to a real image always is."""

    stand_in: list[str] = MISSING
    paper: list[str] = MISSING


@dataclass
class Task:
    """A file of conf/experiment/ on a task of conditional synthesis."""

    name: str = MISSING  # of the file
    task: str = MISSING  # what becomes what
    measures: Measures = field(default_factory=Measures)
    paper_says: str = MISSING
    rows: dict[str, dict[str, dict[str, Any]]] = MISSING  # one: label -> stand_in | paper -> a TaskCell
    on_request: bool = False  # the user brings the data at every scale, so that only its own target asks for it


def conditional(plan: Builder) -> None:
    """Adds the jobs of one task: a conditional and an unconditional prior, several samples of each condition, and how
    well both agree with it.

    A task without a condition completes images: the samples of both kinds are then of the unconditional prior.
    Raises TwostageError if its file lacks something, or asks for what would fail once the priors are trained.
    """
    plan.on_request = _task(plan).on_request
    _, cell = plan.only_row(TaskCell)
    latents = plan.encoded(cell, cell.tokenizer, cell.tokenizer_data or cell.data)
    runs = {"conditional": cell, "unconditional": replace(cell, condition=None)}
    inputs: dict[str, Job] = {}
    tune = tuned(plan, cell, latents, cell.prior)
    for model, run in runs.items():
        for seed, prior in priors(plan, run, latents, tune, cell.prior).items():
            completes = model == "conditional" and cell.condition is None
            sampling = _sampled(plan, run, prior, latents, completes)
            inputs |= {f"{model}.{seed}.prior": prior, f"{model}.{seed}.sampling": sampling}
            # The first seed's alone: passes through Inception are what a small machine waits for.
            if f"{model}.samples" not in inputs:
                number = sampling.config["num_images"]
                inputs[f"{model}.samples"] = plan.measured(plan.tree_of(cell), sampling, number)
    tree = plan.tree_of(cell)
    data = plan.add(data_job(tree))
    inputs |= {"data": data, "tokenizer": plan.jobs[latents.inputs["tokenizer"]]}
    inputs["vgg16"] = plan.add(weights_job(tree, "vgg16"))
    condition = plan.condition(cell)
    if condition is not None and cell.condition not in ("class", "coordinates"):
        inputs["maps"] = plan.jobs[condition.inputs["data"]]
    kind = None if condition is None else condition.config["map"]
    if "class" in measures(plan, kind):
        inputs["classifier"] = plan.add(classifier_job(tree, data))
    _drawn(plan, cell, tree, kind, inputs)


def _task(plan: Builder) -> Task:
    try:
        return composition.parse(Task, plan.experiment)
    except TwostageError as error:
        raise TwostageError(
            f"conf/experiment/{plan.experiment['name']}.yaml, read as a task of conditional synthesis: {error}"
        ) from error


def priors(plan: Builder, cell: Cell, latents: Job, tune: Job, prior: str = "gpt") -> dict[str, Job]:
    """Adds the priors of a cell, one a seed ("seed0"): of the budget that all tasks share, at a sweep's rate.

    Raises TwostageError if the prior cannot read the codes of the cell's condition.
    """
    condition = plan.condition(cell)
    _require_alike_grids(plan, cell, prior)
    found: dict[str, Job] = {}
    for seed in plan.tree["scale"]["experiment"]["seeds"]:
        tree = plan.tree_of(cell, priors=prior, seed=seed)
        budget, usual = _budget(plan, tree["priors"]["architecture"]), tree["priors"]["loop"]["steps"]
        tree["priors"]["loop"] |= {key: budget[key] for key in ("steps", "evaluate_every")}
        # Of the usual budget it is the row-major run of the orderings, where they are run on the same latents.
        label = "" if budget["steps"] == usual else f"steps{budget['steps']}"
        # Of a transformer alone the order is a choice.
        spelled = prior == "gpt"
        found[f"seed{seed}"] = plan.add(
            prior_job(tree, latents, condition, {"tune": tune}, spell_row_major=spelled, label=label)
        )
    return found


def _require_alike_grids(plan: Builder, cell: Cell, prior: str) -> None:
    """All but the transformer read a map's code at the very place of the image's."""
    if cell.condition in (None, "class", "coordinates"):
        return
    if plan.tree_of(cell, priors=prior)["priors"]["architecture"] == "gpt":
        return
    image, condition = (grid_side(plan.tree_of(cell, tokenizers=name)) for name in (cell.tokenizer, cell.condition))
    if condition not in (image, 1):
        raise TwostageError(
            f"experiment.rows of {plan.experiment['name']}: prior={prior} takes a condition on the grid of the image, "
            f"and {cell.condition} makes {condition}x{condition} codes where {cell.tokenizer} makes {image}x{image}; "
            "name tokenizers of one grid, or prior: gpt"
        )


def _budget(plan: Builder, architecture: str) -> Tree:
    """Steps of a task's priors, and how many conditions have how many samples; SUNDAE has steps of its own."""
    experiment: Tree = plan.tree["scale"]["experiment"]
    own: Tree = experiment["sundae"]["conditional"] if architecture == "sundae" else {}
    return experiment["conditional"] | own


def tuned(plan: Builder, cell: Cell, latents: Job, prior: str = "gpt") -> Job:
    """Adds the sweep whose learning rate all of a task's priors use: that of the conditional one, or, with `tune_on`,
    of the unconditional one on another dataset.
    """
    own = replace(cell, tune_on=None)
    if cell.tune_on is None:
        return plan.tuned(cell.data, own, prior, latents, plan.condition(cell))
    other = replace(own, data=cell.tune_on, condition=None)
    return plan.tuned(cell.tune_on, other, prior, plan.encoded(other, cell.tokenizer, cell.tune_on), None)


def _sampled(plan: Builder, cell: TaskCell, prior: Job, latents: Job, completes: bool) -> Job:
    """Several samples of each of the first validation images' conditions."""
    architecture, tokenizer = prior.config["architecture"], plan.jobs[latents.inputs["tokenizer"]]
    sampling, budget = plan.tree_of(cell)["sampling"], _budget(plan, architecture)
    num_images = budget["conditions"] * budget["per_condition"]
    asked: Tree = {"num_images": num_images, "per_condition": budget["per_condition"]}
    asked["batch_size"] = min(num_images, sampling["batch_size"])
    if architecture in schema.DENOISERS:
        if completes:
            raise TwostageError(
                f"experiment {plan.experiment['name']} completes images token by token, which prior={cell.prior} does "
                "not; name a condition, or choose prior: gpt"
            )
        tree = plan.tree_of(cell) | {"sampling": sampling | {"denoising": sampling["denoising"] | asked}}
        return plan.add(denoising_job(tree, prior, tokenizer, plan.condition(cell), "conditions"))
    tree = plan.tree_of(cell) | {"sampling": sampling | asked | {"given": COMPLETED if completes else 0.0}}
    label = "completed" if completes else "conditions"
    completed = latents if completes else None
    return plan.add(sampling_job(tree, prior, tokenizer, plan.condition(cell), completed, label))


def measures(plan: Builder, kind: str | None) -> list[str]:
    """In what the samples should agree with their condition, on the data of the scale.

    `kind`: class, coordinates or the map that conditions them; None: nothing does. Raises TwostageError for a measure
    that there is not, or that needs another map.
    """
    column = plan.tree["scale"]["sources"]
    asked = list(plan.experiment["measures"][column])
    allowed = [name for name, map_needed in MEASURES.items() if map_needed in (None, kind)]
    wrong = [name for name in asked if name not in allowed]
    if wrong:
        raise TwostageError(
            f"experiment.measures.{column} of {plan.experiment['name']} names {wrong[0]}; samples given "
            f"{kind or 'no map'} are held against {' or '.join(allowed)}; name some of these, or []"
        )
    return asked


def _drawn(plan: Builder, cell: TaskCell, tree: Tree, kind: str | None, inputs: dict[str, Job]) -> None:
    """The task's summary and figure, which share its name."""
    name = plan.experiment["name"]
    config = {key: plan.experiment[key] for key in ("name", "task", "paper_says")}
    config["measures"] = measures(plan, kind)
    config |= {"data": cell.data, "condition": kind, "seeds": plan.tree["scale"]["experiment"]["seeds"]}
    config |= {"num_labels": num_labels(tree, kind), "canny_sigma": tree["data"]["canny_sigma"]}
    config |= {key: plan.tree["evaluation"][key] for key in ("grid_images", "batch_size")}
    summary = plan.add(new_job("evaluation.conditional", name, plan.tree, config, inputs))
    figure = {"figures": plan.tree["figures"]}
    plan.add(new_job("figures.conditional", name, plan.tree, figure, {"summary": summary}))


def num_labels(tree: Tree, kind: str | None) -> int | None:
    """Label ids of a map of labels; None of every other map."""
    match kind:
        case "segmentation":
            return tree["data"]["num_labels"] or schema.VOC_LABELS
        case "pose":
            return schema.POSE_LABELS
        case _:
            return None
