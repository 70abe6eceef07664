"""The plans of conditional synthesis: one per task, all of one shape. Esser et al. 2021, Sec. 4.2."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from twostage import configs
from twostage.errors import TwostageError
from twostage.jobs import Job, Tree, new_job
from twostage.verbs import classifier_job, data_job, denoising_job, prior_job, sampling_job, weights_job

if TYPE_CHECKING:
    from twostage.plan import Cell, Plan

# Share of every image's tokens that a completion starts from; the paper completes half images (Fig. 4).
COMPLETED = 0.5


def conditional(plan: Plan) -> None:
    """Adds the jobs of one task: a conditional and an unconditional prior, several samples of each condition, and how
    well both agree with it.

    A task without a condition completes images: the samples of both kinds are then of the unconditional prior.
    """
    cell = the_cell(plan)
    latents = plan._encoded(cell, cell.tokenizer, cell.tokenizer_data or cell.data)
    runs = {"conditional": cell, "unconditional": replace(cell, condition=None)}
    inputs: dict[str, Job] = {}
    tune = tuned(plan, cell, latents)
    for model, run in runs.items():
        for seed, prior in priors(plan, run, latents, tune).items():
            completes = model == "conditional" and cell.condition is None
            sampling = _sampled(plan, run, prior, latents, completes)
            inputs |= {f"{model}.{seed}.prior": prior, f"{model}.{seed}.sampling": sampling}
            # The first seed's alone: passes through Inception are what a small machine waits for.
            if f"{model}.samples" not in inputs:
                number = sampling.config["num_images"]
                inputs[f"{model}.samples"] = plan._measured(plan._tree_of(cell), sampling, number)
    tree = plan._tree_of(cell)
    data = plan._add(data_job(tree))
    inputs |= {"data": data, "tokenizer": plan.jobs[latents.inputs["tokenizer"]]}
    inputs["vgg16"] = plan._add(weights_job(tree, "vgg16"))
    condition = plan._condition(cell)
    if condition is not None and cell.condition not in ("class", "coordinates"):
        inputs["maps"] = plan.jobs[condition.inputs["data"]]
    if "class" in _measures(plan):
        inputs["classifier"] = plan._add(classifier_job(tree, data))
    _drawn(plan, cell, tree, condition, inputs)


def the_cell(plan: Plan) -> Cell:
    """The one row of an experiment. Raises TwostageError if there are several."""
    rows = plan.experiment["rows"]
    if len(rows) != 1:
        raise TwostageError(f"experiment.rows of {plan.experiment['name']} must be one, got {', '.join(rows)}")
    (label,) = rows
    return plan._cell(label)


def priors(plan: Plan, cell: Cell, latents: Job, tune: Job) -> dict[str, Job]:
    """Adds the priors of a cell, one a seed ("seed0"): of the budget that all tasks share, at a sweep's rate."""
    condition = plan._condition(cell)
    found: dict[str, Job] = {}
    for seed in plan.tree["scale"]["experiment"]["seeds"]:
        tree = plan._tree_of(cell, priors=cell.prior, seed=seed)
        budget, usual = _budget(plan, tree["priors"]["architecture"]), tree["priors"]["loop"]["steps"]
        tree["priors"]["loop"] |= {key: budget[key] for key in ("steps", "evaluate_every")}
        # Of the usual budget it is the row-major run of the orderings, where they are run on the same latents.
        label = "" if budget["steps"] == usual else f"steps{budget['steps']}"
        # Of a transformer alone the order is a choice.
        spelled = cell.prior == "gpt"
        found[f"seed{seed}"] = plan._add(
            prior_job(tree, latents, condition, {"tune": tune}, spell_row_major=spelled, label=label)
        )
    return found


def _budget(plan: Plan, architecture: str) -> Tree:
    """Steps of a task's priors, and how many conditions have how many samples; SUNDAE has steps of its own."""
    experiment: Tree = plan.tree["scale"]["experiment"]
    own: Tree = experiment["sundae"]["conditional"] if architecture == "sundae" else {}
    return experiment["conditional"] | own


def tuned(plan: Plan, cell: Cell, latents: Job) -> Job:
    """Adds the sweep whose learning rate all of a task's priors use: that of the conditional one, or, with `tune_on`,
    of the unconditional one on another dataset.
    """
    own = replace(cell, tune_on=None)
    if cell.tune_on is None:
        return plan._tune(cell.data, own, cell.prior, latents, plan._condition(cell))
    other = replace(own, data=cell.tune_on, condition=None)
    return plan._tune(cell.tune_on, other, cell.prior, plan._encoded(other, cell.tokenizer, cell.tune_on), None)


def _sampled(plan: Plan, cell: Cell, prior: Job, latents: Job, completes: bool) -> Job:
    """Several samples of each of the first validation images' conditions."""
    architecture, tokenizer = prior.config["architecture"], plan.jobs[latents.inputs["tokenizer"]]
    sampling, budget = plan._tree_of(cell)["sampling"], _budget(plan, architecture)
    num_images = budget["conditions"] * budget["per_condition"]
    asked: Tree = {"num_images": num_images, "per_condition": budget["per_condition"]}
    asked["batch_size"] = min(num_images, sampling["batch_size"])
    if architecture == "sundae":
        if completes:
            raise TwostageError(
                f"experiment {plan.experiment['name']} completes images token by token, which prior={cell.prior} does "
                "not; name a condition, or choose prior: gpt"
            )
        tree = plan._tree_of(cell) | {"sampling": sampling | {"denoising": sampling["denoising"] | asked}}
        return plan._add(denoising_job(tree, prior, tokenizer, plan._condition(cell), "conditions"))
    tree = plan._tree_of(cell) | {"sampling": sampling | asked | {"given": COMPLETED if completes else 0.0}}
    label = "completed" if completes else "conditions"
    completed = latents if completes else None
    return plan._add(sampling_job(tree, prior, tokenizer, plan._condition(cell), completed, label))


def _measures(plan: Plan) -> list[str]:
    """In what the samples should agree with their condition, on the data of the scale."""
    return list(plan.experiment["measures"][plan.tree["scale"]["sources"]])


def _drawn(plan: Plan, cell: Cell, tree: Tree, condition: Job | None, inputs: dict[str, Job]) -> None:
    """The task's summary and figure, which share its name."""
    name, kind = plan.experiment["name"], None if condition is None else condition.config["map"]
    config = {key: plan.experiment[key] for key in ("name", "task", "paper_says")} | {"measures": _measures(plan)}
    config |= {"data": cell.data, "condition": kind, "seeds": plan.tree["scale"]["experiment"]["seeds"]}
    config |= {"num_labels": num_labels(tree, kind), "canny_sigma": tree["data"]["canny_sigma"]}
    config |= {key: plan.tree["evaluation"][key] for key in ("grid_images", "batch_size")}
    summary = plan._add(new_job("evaluation.conditional", name, plan.tree, config, inputs))
    figure = {"figures": plan.tree["figures"]}
    plan._add(new_job("figures.conditional", name, plan.tree, figure, {"summary": summary}))


def num_labels(tree: Tree, kind: str | None) -> int | None:
    """Label ids of a map of labels; None of every other map."""
    match kind:
        case "segmentation":
            return tree["data"]["num_labels"] or configs.VOC_LABELS
        case "pose":
            return configs.POSE_LABELS
        case _:
            return None
