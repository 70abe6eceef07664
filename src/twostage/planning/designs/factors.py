"""The plans of the studies over the factor f of the first stage: Esser et al. 2021, Sec. 4.3, Fig. 7 and 8."""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from twostage.errors import TwostageError
from twostage.planning.builder import Builder
from twostage.planning.cells import Cell
from twostage.planning.conditions import num_labels, require_measurable
from twostage.planning.jobs import (
    data_job,
    grid_side,
    latents_job,
    likelihood_job,
    maps_job,
    pace_job,
    prior_job,
    sampling_job,
    timed_prior_job,
    weights_job,
    windows_job,
)
from twostage.planning.verbs import new_job
from twostage.runtime.job import Job, Tree


@dataclass
class PixelsCell:
    """Two tokenizers of one dataset, and the tokenizer whose sweep sets both priors' learning rate."""

    data: str = MISSING
    pixels: str = MISSING
    latents: str = MISSING
    tune_on: str = MISSING


@dataclass
class SweepCell:
    """Tokenizers of one dataset, in the order of f, and the side of the window that every prior sees, tokens."""

    data: str = MISSING
    window: int = MISSING
    tokenizers: list[str] = MISSING
    tune_on: str = MISSING
    conditions: list[str] = field(default_factory=list)  # the map's tokenizer beside each of the image; empty: none

    def condition_of(self, tokenizer: str) -> str | None:
        """The tokenizer of the map that goes with one of the images'."""
        return self.conditions[self.tokenizers.index(tokenizer)] if self.conditions else None


def pixels_vs_latents(plan: Builder) -> None:
    """Adds the jobs of Sec. 4.3's comparison on CIFAR-10: the second prior trains for as long as the first one did."""
    _, cell = plan.only_row(PixelsCell)
    budget = plan.tree["scale"]["study"]["pixels_vs_latents"]
    names = {"pixels": cell.pixels, "latents": cell.latents}
    encoded = {kind: plan.encoded(Cell(cell.data, name), name, cell.data) for kind, name in names.items()}
    tree = _prior_tree(plan, cell.data, cell.pixels)
    rhythm = {key: budget[key] for key in ("steps", "batch_size", "evaluate_every", "checkpoint_every")}
    tree["priors"]["loop"] |= rhythm
    tune = _sweep_on(plan, cell.data, cell.tune_on)
    pixels = plan.add(prior_job(tree, encoded["pixels"], None, {"tune": tune}))
    pace = plan.add(pace_job(tree, prior_job(tree, encoded["latents"], None, {}), pixels))
    priors = {"pixels": pixels, "latents": plan.add(timed_prior_job(tree, encoded["latents"], pixels, pace))}
    inputs: dict[str, Job] = {"pace": pace}
    for kind, prior in priors.items():
        tokenizer = plan.jobs[encoded[kind].inputs["tokenizer"]]
        found = {"prior": prior, "latents": encoded[kind], "tokenizer": tokenizer}
        found |= _sampled(plan, tree, prior, tokenizer, budget["num_images"])
        inputs |= {f"{kind}.{name}": job for name, job in found.items()}
    config = {"data": cell.data, "tokenizers": names, "size": tree["data"]["size"]}
    _drawn(plan, "pixels_vs_latents", config, inputs)


def f_sweep(plan: Builder) -> None:
    """Adds the jobs of Fig. 7 and 8: one transformer over windows of a fixed number of tokens, f from 1 up.

    Where the row names conditions it is Fig. 10: every image token comes with that of a map at its place.
    """
    cell = _sweep_cell(plan)
    tune = _tuned(plan, cell)
    inputs: dict[str, Job] = {}
    factors: dict[str, str] = {}
    for name in cell.tokenizers:
        tree = _swept_tree(plan, cell, name)
        factor = f"f{2 ** tree['tokenizers']['num_downsamplings']}"
        if factor in factors:
            raise TwostageError(
                f"study.rows of {plan.study['name']}: {factors[factor]} and {name} have the same f; name one "
                "tokenizer for each"
            )
        factors[factor] = name
        jobs = _factor(plan, cell, name, tree, tune)
        inputs |= {f"{factor}.{kind}": job for kind, job in jobs.items()}
    size = _swept_tree(plan, cell, cell.tune_on)["data"]["size"]
    config = {"data": cell.data, "tokenizers": factors, "size": size, "window": cell.window}
    if cell.conditions:
        given, of_condition = _condition_shown(plan, cell)
        config |= given
        inputs |= of_condition
    _drawn(plan, "f_sweep", config, inputs)


def _sweep_cell(plan: Builder) -> SweepCell:
    _, cell = plan.only_row(SweepCell)
    if cell.conditions and (len(cell.conditions) != len(cell.tokenizers) or cell.tune_on not in cell.tokenizers):
        raise TwostageError(
            f"study.rows of {plan.study['name']}: conditions must be one for each of "
            f"{', '.join(cell.tokenizers)}, and tune_on one of these; got {', '.join(cell.conditions)} and "
            f"{cell.tune_on}"
        )
    return cell


def _tuned(plan: Builder, cell: SweepCell) -> Job:
    """The sweep of `tune_on` with its condition, of the tokenizers as every study trains them."""
    run = _run(cell, cell.tune_on)
    latents = plan.encoded(run, cell.tune_on, cell.data)
    return plan.tuned(cell.tune_on, run, "gpt", latents, plan.condition(run))


def _run(cell: SweepCell, tokenizer: str) -> Cell:
    return Cell(cell.data, tokenizer, condition=cell.condition_of(tokenizer))


def _swept_tree(plan: Builder, cell: SweepCell, name: str) -> Tree:
    """The config tree of one f, under the budgets that the scale gives this study."""
    budget = plan.tree["scale"]["study"][plan.study["name"]]
    more = {f"scale.tokenizers.image.{key}": value for key, value in budget["image"].items()}
    run = _run(cell, name)
    tree = plan.tree_of(run, tokenizers=name, priors="gpt", more=more)
    # What differs in nothing keeps its name, and so the job of other studies.
    same = tree["tokenizers"] == plan.tree_of(run, tokenizers=name)["tokenizers"]
    return tree if same else tree | {"tokenizers": tree["tokenizers"] | {"name": f"{name}_short"}}


def _factor(plan: Builder, cell: SweepCell, name: str, tree: Tree, tune: Job) -> dict[str, Job]:
    """All that is measured at one f."""
    budget = plan.tree["scale"]["study"][plan.study["name"]]
    tokenizer = plan.trained(tree)
    latents = plan.add(latents_job(tree, tokenizer))
    condition = _condition_of_factor(plan, cell, name, tree)
    side = grid_side(tree)
    # A grid that is no larger than the window is one window.
    whole = side <= cell.window

    def seen(of: Job) -> Job:
        # Windows of image and condition are cut by one seed, so they lie at the same places.
        return of if whole else plan.add(windows_job(tree, of, cell.window, budget["windows_per_image"]))

    given = None if condition is None else seen(condition)
    # Of a whole grid this is the row-major run of the orderings, where they are run on the same latents.
    prior = plan.add(prior_job(tree, seen(latents), given, {"tune": tune}, spell_row_major=True))
    canvas = None if whole else [side, side]
    return {
        "reconstruct": plan.jobs[f"artifacts/{plan.scale}/evaluation/{tokenizer.variant}"],
        "latents": latents,
        "prior": prior,
        "likelihood": plan.add(likelihood_job(tree, prior, latents, budget["likelihood_images"], condition)),
        **_sampled(plan, tree, prior, tokenizer, budget["num_images"], canvas, condition, label="f_sweep"),
    }


def _condition_of_factor(plan: Builder, cell: SweepCell, name: str, tree: Tree) -> Job | None:
    """The whole codes of the map. Raises TwostageError if its tokenizer is of another f than the image's."""
    run = _run(cell, name)
    if run.condition is None:
        return None
    of_map = plan.tree_of(run, tokenizers=run.condition)["tokenizers"]
    if of_map["num_downsamplings"] != tree["tokenizers"]["num_downsamplings"]:
        raise TwostageError(
            f"study.rows of {plan.study['name']}: {name} and its condition {run.condition} must have the "
            "same f; put the conditions in the order of the tokenizers"
        )
    return plan.condition(run)


def _condition_shown(plan: Builder, cell: SweepCell) -> tuple[Tree, dict[str, Job]]:
    """What the summary is told of the condition, and the jobs whose pictures it shows and holds samples against."""
    tree = plan.tree_of(_run(cell, cell.tune_on), tokenizers=cell.condition_of(cell.tune_on))
    kind = tree["tokenizers"]["map"]
    measures = plan.study["measures"][plan.tree["scale"]["sources"]]
    require_measurable(measures, kind)
    config = {"condition": kind, "measures": measures, "num_labels": num_labels(tree, kind)}
    config |= {"canny_sigma": tree["data"]["canny_sigma"]}
    jobs = {"data": data_job(tree), "maps": maps_job(tree, kind), "vgg16": weights_job(tree, "vgg16")}
    return config, {name: plan.add(job) for name, job in jobs.items()}


def _prior_tree(plan: Builder, data: str, tokenizer: str) -> Tree:
    return plan.tree_of(Cell(data, tokenizer), tokenizers=tokenizer, priors="gpt", seed=0)


def _sweep_on(plan: Builder, data: str, tokenizer: str) -> Job:
    """The learning rate of one transformer for every f is that of one sweep: the transformer is kept as it is."""
    cell = Cell(data, tokenizer)
    return plan.tuned(tokenizer, cell, "gpt", plan.encoded(cell, tokenizer, data), None)


def _sampled(
    plan: Builder,
    tree: Tree,
    prior: Job,
    tokenizer: Job,
    num_images: int,
    canvas: list[int] | None = None,
    condition: Job | None = None,
    label: str = "",
) -> dict[str, Job]:
    """Samples of a prior, and their FID and kin."""
    images = {"num_images": num_images, "batch_size": min(num_images, tree["sampling"]["batch_size"])}
    asked = tree | {"sampling": tree["sampling"] | images | {"canvas": canvas}}
    sampling = plan.add(sampling_job(asked, prior, tokenizer, condition, label=label))
    return {"sampling": sampling, "samples": plan.measured(asked, sampling, num_images)}


def _drawn(plan: Builder, verb: str, config: dict[str, Any], inputs: dict[str, Job]) -> None:
    """The study's summary and figure, which share its name."""
    name, grid_images = plan.study["name"], plan.tree["evaluation"]["grid_images"]
    summary = plan.add(new_job(f"evaluation.{verb}", name, plan.tree, config | {"grid_images": grid_images}, inputs))
    figure = {"figures": plan.tree["figures"]} | plan.of_paper()
    plan.add(new_job(f"figures.{verb}", name, plan.tree, figure, {name: summary}))
