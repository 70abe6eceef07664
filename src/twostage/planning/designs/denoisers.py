"""The plans of three studies on SUNDAE priors: McKinney & Willcocks 2022, Tables 1 and 2, Fig. 10 and 11."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from omegaconf import MISSING

from twostage.planning.builder import Builder
from twostage.planning.cells import Cell
from twostage.planning.jobs import (
    chain_name,
    classes_job,
    data_job,
    denoising_job,
    grid_side,
    inpainting_job,
    latents_job,
    pace_job,
    prior_job,
    sampling_job,
    timed_prior_job,
    tokenizer_job,
    with_denoising,
)
from twostage.planning.verbs import new_job
from twostage.runtime.job import Job, Tree


@dataclass
class LatentsCell:
    """A dataset, its tokenizer and the file of conf/priors/ with the sizes of the SUNDAE prior."""

    data: str = MISSING
    tokenizer: str = MISSING
    tokenizer_data: str | None = None  # the dataset that the tokenizer is trained on; null: the row's own
    prior: str = "sundae"
    prior_sizes: dict[str, dict[str, int]] = field(default_factory=dict)  # of the rivals, unlike the scale's
    rivals: bool = True  # whether a transformer, and in Tables 1 and 2 absorbing diffusion, stand beside SUNDAE


@dataclass
class PixelsCell:
    """A dataset of grey images, and the latents whose sweep sets the learning rate; null: a sweep of its own."""

    data: str = MISSING
    tokenizer: str = MISSING
    prior: str = "sundae"
    tune_on: LatentsCell | None = None


class Encoded(NamedTuple):
    """What a row's priors rest on."""

    cell: Cell
    latents: Job
    tokenizer: Job


def sundae_vs_autoregressive(plan: Builder) -> None:
    """Adds the jobs of Tables 1 and 2: a transformer as other studies have it, one that trains for as long as
    SUNDAE, absorbing diffusion that trains for as long, and SUNDAE's chains.
    """
    found: dict[str, Job] = {}
    for row, cell in plan.rows(LatentsCell).items():
        encoded = _encoded(plan, cell)
        sundae = _prior(plan, cell, encoded, 0, plan.tree["scale"]["study"]["sundae"]["steps"])
        sets, more = _rivals(plan, encoded, sundae) if cell.rivals else ({}, {})
        for steps in plan.tree["scale"]["study"]["sundae"]["table_steps"]:
            sets[f"SUNDAE, {steps} steps"] = _drawn(plan, cell, encoded, sundae, steps)
        found[row] = _compared(plan, row, encoded, sets, more)
    _figure(plan, "sundae_vs_autoregressive", found, {row: plan.study["rows"][row]["paper_rows"] for row in found})


def sundae_inpainting(plan: Builder) -> None:
    """Adds the jobs of Fig. 11: several results of an image under every mask, by SUNDAE at the usual temperature and
    at the study's `another_temperature`, and by a transformer.
    """
    found: dict[str, Job] = {}
    another = plan.study["another_temperature"]
    for row, cell in plan.rows(LatentsCell).items():
        encoded = _encoded(plan, cell)
        sundae = _prior(plan, cell, encoded, 0, plan.tree["scale"]["study"]["sundae"]["steps"])
        priors = {"SUNDAE": sundae}
        if cell.rivals:
            transformer = plan.tree_of(encoded.cell, priors="gpt", seed=0)
            priors["transformer"], _ = _timed(plan, transformer, encoded, sundae)
        warmer = f"SUNDAE at temperature {another:g}"
        inputs: dict[str, Job] = {}
        for mask, share in plan.study["masks"].items():
            tree = plan.tree_of(encoded.cell)
            inpainting = tree["sampling"]["inpainting"]
            inpainting |= {"mask": mask, "mask_share": share, "num_images": plan.study["images"]}
            for name, prior in priors.items():
                job = inpainting_job(tree, prior, encoded.tokenizer, encoded.latents, label=f"inpainted_{mask}")
                inputs[f"{mask}.{name}"] = plan.add(job)
            held = {"temperature_start": another, "temperature_end": another}
            inpainting |= {"chain": inpainting["chain"] | held}
            label = f"inpainted_{mask}_temperature{another:g}"
            job = inpainting_job(tree, sundae, encoded.tokenizer, encoded.latents, label=label)
            inputs[f"{mask}.{warmer}"] = plan.add(job)
        inputs |= {f"prior.{name}": prior for name, prior in (priors | {warmer: sundae}).items()}
        inputs["data"] = plan.jobs[encoded.latents.inputs["data"]]
        config = {"label": row, "data": cell.data, "masks": list(plan.study["masks"]), "priors": [*priors, warmer]}
        config |= {"grid_images": plan.tree["evaluation"]["grid_images"]}
        variant = f"sundae_inpainting.{row}"
        found[row] = plan.add(new_job("evaluation.sundae_inpainting", variant, plan.tree, config, inputs))
    _figure(plan, "sundae_inpainting", found)


def sundae_pixels(plan: Builder) -> None:
    """Adds the jobs of Fig. 10: grey pixels as codes, their classes as a condition, and samples of every class."""
    found: dict[str, Job] = {}
    budget = plan.tree["scale"]["study"]["sundae"]["pixels"]
    for row, cell in plan.rows(PixelsCell).items():
        tree = plan.tree_of(Cell(cell.data, cell.tokenizer), tokenizers=cell.tokenizer, priors=cell.prior)
        # Garments and digits have a side.
        tree["latents"] |= {"flips": False, "validation_images": budget["validation_images"]}
        tree["priors"]["loop"] |= {key: budget[key] for key in ("steps", "batch_size", "evaluate_every")}
        tree["priors"]["loop"]["checkpoint_every"] = budget["checkpoint_every"]
        data = plan.add(data_job(tree))
        tokenizer = plan.add(tokenizer_job(tree))
        latents = plan.add(latents_job(tree, tokenizer))
        classes = plan.add(classes_job(tree, latents))
        tune = _pixels_sweep(plan, cell, latents, classes)
        prior = plan.add(prior_job(tree, latents, classes, {"tune": tune}))
        asked = _asked(tree, budget["images"], **plan.study["chain"])
        sampling = plan.add(denoising_job(asked, prior, tokenizer, classes, label=chain_name(asked)))
        config = {"label": row, "data": cell.data, "tokenizer": cell.tokenizer, "images": budget["images"]}
        config |= {"grid_images": tree["evaluation"]["grid_images"]}
        inputs = {"data": data, "classes": classes, "prior": prior, "sampling": sampling}
        variant = f"sundae_pixels.{row}"
        found[row] = plan.add(new_job("evaluation.sundae_pixels", variant, plan.tree, config, inputs))
    _figure(plan, "sundae_pixels", found)


def _pixels_sweep(plan: Builder, cell: PixelsCell, latents: Job, classes: Job) -> Job:
    if cell.tune_on is None:
        return plan.tuned(cell.data, Cell(cell.data, cell.tokenizer), cell.prior, latents, classes)
    return _sweep(plan, cell.tune_on, _encoded(plan, cell.tune_on))


def _encoded(plan: Builder, cell: LatentsCell) -> Encoded:
    """Adds everything up to the latents of a row."""
    known = Cell(cell.data, cell.tokenizer, cell.tokenizer_data, prior_sizes=cell.prior_sizes)
    latents = plan.encoded(known, cell.tokenizer, cell.tokenizer_data or cell.data)
    return Encoded(known, latents, plan.jobs[latents.inputs["tokenizer"]])


def _sweep(plan: Builder, cell: LatentsCell, encoded: Encoded) -> Job:
    """One sweep sets the learning rate of a dataset's denoisers: that of the paper's hourglass."""
    return plan.tuned(cell.data, encoded.cell, cell.prior, encoded.latents, None)


def _prior(plan: Builder, cell: LatentsCell, encoded: Encoded, seed: int, steps: int) -> Job:
    """A SUNDAE prior; its steps are in its name where they are not the usual ones."""
    tree = plan.tree_of(encoded.cell, priors=cell.prior, seed=seed)
    label = "" if steps == tree["priors"]["loop"]["steps"] else f"steps{steps}"
    tree["priors"]["loop"]["steps"] = steps
    tune = _sweep(plan, cell, encoded)
    return plan.add(prior_job(tree, encoded.latents, None, {"tune": tune}, label=label))


def _rivals(plan: Builder, encoded: Encoded, sundae: Job) -> tuple[dict[str, dict[str, Job]], dict[str, Job]]:
    """Samples of SUNDAE's rivals; as `pace` and `pace_absorbing`, what a step of each costs in steps of SUNDAE."""
    transformers, pace = _transformers(plan, encoded, sundae)
    diffusion, pace_absorbing = _absorbing(plan, encoded, sundae)
    return transformers | diffusion, {"pace": pace, "pace_absorbing": pace_absorbing}


def _transformers(plan: Builder, encoded: Encoded, sundae: Job) -> tuple[dict[str, dict[str, Job]], Job]:
    """Samples of two transformers: one of the steps that it has elsewhere, one that trains for as long as SUNDAE."""
    tune = plan.tuned(encoded.cell.data, encoded.cell, "gpt", encoded.latents, None)
    tree = plan.tree_of(encoded.cell, priors="gpt", seed=0)
    # The row-major run of the orderings, and its samples, where they are run on the same latents.
    usual = plan.add(prior_job(tree, encoded.latents, None, {"tune": tune}, spell_row_major=True))
    timed, pace = _timed(plan, tree, encoded, sundae)
    sets: dict[str, dict[str, Job]] = {}
    for label, prior in {"transformer": usual, "transformer, SUNDAE's time": timed}.items():
        sampling = plan.add(sampling_job(tree, prior, encoded.tokenizer))
        sets[label] = _measured(plan, tree, encoded, prior, sampling)
    return sets, pace


def _absorbing(plan: Builder, encoded: Encoded, sundae: Job) -> tuple[dict[str, dict[str, Job]], Job]:
    """Samples of absorbing diffusion that trains for as long as SUNDAE, drawn in as many steps as SUNDAE's."""
    tree = plan.tree_of(encoded.cell, tokenizers=encoded.cell.tokenizer, priors="absorbing", seed=0)
    timed, pace = _timed(plan, tree, encoded, sundae)
    study, usual = plan.tree["scale"]["study"]["sundae"], tree["sampling"]["denoising"]["unmasking"]
    sets: dict[str, dict[str, Job]] = {}
    for steps in study["table_steps"]:
        # A token is drawn once, so there are no more steps than tokens.
        unmasking = usual | {"steps": min(steps, grid_side(tree) ** 2)}
        asked = with_denoising(tree, study["images"], {"unmasking": unmasking})
        sampling = plan.add(denoising_job(asked, timed, encoded.tokenizer, label=chain_name(asked)))
        label = f"absorbing diffusion, {unmasking['steps']} steps, SUNDAE's time"
        sets[label] = _measured(plan, tree, encoded, timed, sampling)
    return sets, pace


def _timed(plan: Builder, tree: Tree, encoded: Encoded, sundae: Job) -> tuple[Job, Job]:
    """A prior that trains for as long as SUNDAE, at the rate of its own sweep, and the pace of the two."""
    tune = plan.tuned(encoded.cell.data, encoded.cell, tree["priors"]["architecture"], encoded.latents, None)
    pace = plan.add(pace_job(tree, prior_job(tree, encoded.latents, None, {}), sundae))
    return plan.add(timed_prior_job(tree, encoded.latents, sundae, pace, tune)), pace


def _drawn(plan: Builder, cell: LatentsCell, encoded: Encoded, prior: Job, steps: int) -> dict[str, Job]:
    """Samples by one chain, and what is measured of them; equal chains are one job, whoever asks for them."""
    tree = plan.tree_of(encoded.cell, priors=cell.prior)
    asked = _asked(tree, plan.tree["scale"]["study"]["sundae"]["images"], steps)
    sampling = plan.add(denoising_job(asked, prior, encoded.tokenizer, label=chain_name(asked)))
    return _measured(plan, tree, encoded, prior, sampling)


def _asked(tree: Tree, num_images: int, steps: int, **changed: float) -> Tree:
    """The tree with another number of images and of steps of the chain; `changed`: more of its settings."""
    usual = tree["sampling"]["denoising"]["chain"]
    chain = usual | {"steps": steps, "min_steps": min(usual["min_steps"], steps)} | changed
    return with_denoising(tree, num_images, {"chain": chain})


def _measured(plan: Builder, tree: Tree, encoded: Encoded, prior: Job, sampling: Job) -> dict[str, Job]:
    """FID, KID, precision and recall of some of a job's samples; the same number for every set of a study."""
    samples = plan.measured(tree, sampling, plan.tree["scale"]["study"]["sundae"]["images"])
    return {"prior": prior, "latents": encoded.latents, "sampling": sampling, "samples": samples}


def _compared(
    plan: Builder,
    row: str,
    encoded: Encoded,
    sets: dict[str, dict[str, Job]],
    more_inputs: Mapping[str, Job] | None = None,
) -> Job:
    """Adds the summary of one row: its sets of samples side by side. `more_inputs` may hold their priors' `pace`."""
    name = plan.study["name"]
    inputs = {f"set{at}.{kind}": job for at, jobs in enumerate(sets.values()) for kind, job in jobs.items()}
    inputs |= more_inputs or {}
    config = {
        "study": name,
        "label": row,
        "data": encoded.cell.data,
        "tokenizer": encoded.cell.tokenizer,
        "size": plan.tree_of(encoded.cell)["data"]["size"],
        "sets": list(sets),
        "grid_images": plan.tree["evaluation"]["grid_images"],
    }
    return plan.add(new_job("evaluation.sample_sets", f"{name}.{row}", plan.tree, config, inputs))


def _figure(plan: Builder, verb: str, rows: dict[str, Job], printed: Mapping[str, Any] | None = None) -> None:
    """Adds the drawing of all rows, with what the paper says, and `printed` of each row."""
    config = {"figures": plan.tree["figures"], "paper_says": plan.study["paper_says"]}
    config |= {} if printed is None else {"paper_rows": dict(printed)}
    plan.add(new_job(f"figures.{verb}", plan.study["name"], plan.tree, config, rows))
