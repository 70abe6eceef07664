"""The plans of two studies of class-conditional and of overfitting priors: Esser et al. 2021, Table 4 and Sec. E."""

from dataclasses import replace
from typing import Any

from twostage.errors import TwostageError
from twostage.planning.builder import Builder
from twostage.planning.cells import Cell
from twostage.planning.jobs import (
    classifier_job,
    data_job,
    latents_job,
    prior_job,
    real_features_job,
    sampling_job,
    weights_job,
)
from twostage.planning.verbs import new_job
from twostage.runtime.job import Job, Tree

# Seeds of the classifier that rejects samples and of the one that judges what is left.
REJECTOR, JUDGE = 0, 1


def rejection(plan: Builder) -> None:
    """Adds the jobs of Table 4: pools of class-conditional samples under several top-k and top-p, out of which a
    classifier accepts the best.
    """
    _, cell = plan.only_row(Cell)
    budget = plan.tree["scale"]["study"]["rejection"]
    latents = plan.encoded(cell, cell.tokenizer, cell.tokenizer_data or cell.data)
    prior = _of_the_task(plan, cell, latents)
    inputs: dict[str, Job] = {}

    def drawn(name: str, num_images: int, top_k: int | None, top_p: float | None) -> None:
        asked: Tree = {"num_images": num_images, "top_k": top_k, "top_p": top_p, "classes": []}
        # A seed for each: equal random numbers would draw nearly equal images, and the pool would hold them in pairs.
        asked["seed"] = len(inputs)
        tree = plan.tree_of(cell)
        tree["sampling"] |= asked | {"batch_size": min(num_images, tree["sampling"]["batch_size"])}
        tokenizer = plan.jobs[latents.inputs["tokenizer"]]
        inputs[name] = plan.add(sampling_job(tree, prior, tokenizer, plan.condition(cell), label=f"classes_{name}"))

    for top_k in budget["mixed_k"]:
        drawn(f"k{top_k}", budget["pool"] // len(budget["mixed_k"]), top_k, None)
    for top_p in budget["top_p"]:
        drawn(f"p{top_p}", budget["accepted"], None, top_p)
    tree = plan.tree_of(cell)
    data = plan.add(data_job(tree))
    inputs |= {"rejector": plan.add(classifier_job(tree, data)), "judge": plan.add(_judge(tree, data))}
    inputs["inception"] = plan.add(weights_job(tree, "inception"))
    inputs["real"] = plan.add(real_features_job(tree, data))
    config = {"data": cell.data, "accepted": budget["accepted"], "settings": _settings(budget), "seed": 0}
    config |= {"samples": tree["evaluation"]["samples"], "grid_images": tree["evaluation"]["grid_images"] + 4}
    _drawn(plan, "rejection", config, inputs)


def _of_the_task(plan: Builder, cell: Cell, latents: Job) -> Job:
    """The first prior of the class-conditional task (conf/study/class_conditional.yaml)."""
    study = plan.tree["scale"]["study"]
    tree = plan.tree_of(cell, priors="gpt", seed=study["seeds"][0])
    budget, usual = study["conditional"], tree["priors"]["loop"]["steps"]
    tree["priors"]["loop"] |= {key: budget[key] for key in ("steps", "evaluate_every")}
    label = "" if budget["steps"] == usual else f"steps{budget['steps']}"
    inputs = {"tune": _tuned(plan, cell, latents)}
    return plan.add(prior_job(tree, latents, plan.condition(cell), inputs, spell_row_major=True, label=label))


def _tuned(plan: Builder, cell: Cell, latents: Job) -> Job:
    """The sweep of the prior, or, with `tune_on`, of the one without a condition on another dataset."""
    own = replace(cell, tune_on=None)
    if cell.tune_on is None:
        return plan.tuned(cell.data, own, "gpt", latents, plan.condition(cell))
    other = replace(own, data=cell.tune_on, condition=None)
    return plan.tuned(cell.tune_on, other, "gpt", plan.encoded(other, cell.tokenizer, cell.tune_on), None)


def _judge(tree: Tree, data: Job) -> Job:
    """A second classifier: the first one's own samples would flatter it. Of ImageNet there is but the one."""
    classifier = tree["evaluation"]["classifier"]
    loop = classifier["loop"] | {"seed": JUDGE}
    other = tree | {"evaluation": tree["evaluation"] | {"classifier": classifier | {"loop": loop}}}
    job = classifier_job(other, data)
    return new_job("evaluation.classifier", f"{job.variant}.seed{JUDGE}", tree, job.config, {"data": data})


def _settings(budget: Tree) -> list[dict[str, Any]]:
    """Rows: every top-k and top-p by itself, then the pool of all top-k at every acceptance rate."""
    if not set(budget["top_k"]) <= set(budget["mixed_k"]):
        raise TwostageError(
            f"scale.study.rejection.top_k is {budget['top_k']}; its rows are drawn from the pool, so name some of "
            f"mixed_k, {budget['mixed_k']}"
        )
    rows = [
        {"label": f"k {k}", "top_k": str(k), "top_p": 1.0, "acceptance": 1.0, "samplers": [f"k{k}"]}
        for k in budget["top_k"]
    ]
    rows += [
        {"label": f"p {p}", "top_k": "all", "top_p": p, "acceptance": 1.0, "samplers": [f"p{p}"]}
        for p in budget["top_p"]
    ]
    mixed = {"top_k": "mixed", "top_p": 1.0, "samplers": [f"k{k}" for k in budget["mixed_k"]]}
    return rows + [mixed | {"label": f"mixed k, {rate:g}", "acceptance": rate} for rate in budget["acceptance"]]


def overfitting(plan: Builder) -> None:
    """Adds the jobs of Sec. E: one prior on few images, to the end and with early stopping, samples of both and their
    FID.
    """
    _, cell = plan.only_row(Cell)
    budget = plan.tree["scale"]["study"]["overfitting"]
    whole = plan.encoded(cell, cell.tokenizer, cell.tokenizer_data or cell.data)
    tune, tokenizer = _tuned(plan, cell, whole), plan.jobs[whole.inputs["tokenizer"]]
    latents = _fewer(plan.tree_of(cell), whole, tokenizer, budget["train_images"])
    plan.add(latents)
    data = plan.add(data_job(plan.tree_of(cell)))
    inputs = {"data": data, "latents": latents, "tokenizer": tokenizer}
    inputs["vgg16"] = plan.add(weights_job(plan.tree, "vgg16"))
    for run, patience in (("early_stopping", budget["patience"]), ("to_the_end", None)):
        tree = plan.tree_of(cell, priors="gpt", seed=0)
        tree["priors"]["loop"] |= {key: budget[key] for key in ("steps", "evaluate_every")}
        tree["priors"]["early_stopping"] = patience
        prior = plan.add(prior_job(tree, latents, None, {"tune": tune}, label=run))
        # Of many samples a FID; of the first of them, the images that they are nearest to.
        of_fid = tree["evaluation"]["samples"]["images"]
        drawn = max(of_fid, budget["images"])
        tree["sampling"] |= {"num_images": drawn, "batch_size": min(drawn, tree["sampling"]["batch_size"])}
        sampling = plan.add(sampling_job(tree, prior, tokenizer))
        inputs |= {f"{run}.prior": prior, f"{run}.sampling": sampling}
        inputs[f"{run}.samples"] = plan.measured(tree, sampling, of_fid)
    config = {key: budget[key] for key in ("train_images", "images", "neighbours")}
    config |= {"data": cell.data, "grid_images": plan.tree["evaluation"]["grid_images"]}
    _drawn(plan, "overfitting", config, inputs)


def _fewer(tree: Tree, whole: Job, tokenizer: Job, train_images: int | None) -> Job:
    """Latents of the first training images alone; of all of them, those that are there anyway."""
    if train_images is None:
        return whole
    job = latents_job(tree | {"latents": tree["latents"] | {"train_images": train_images}}, tokenizer)
    variant = f"{job.variant}.first_{train_images}"
    return replace(job, variant=variant, out=f"artifacts/{job.scale}/{job.stage}/{variant}")


def _drawn(plan: Builder, name: str, config: dict[str, Any], inputs: dict[str, Job]) -> None:
    """The study's summary and figure, which share its name."""
    summary = plan.add(new_job(f"evaluation.{name}", name, plan.tree, config, inputs))
    figure = {"figures": plan.tree["figures"]} | plan.of_paper()
    plan.add(new_job(f"figures.{name}", name, plan.tree, figure, {"summary": summary}))
