"""The plan of the ordering ablation: one transformer per order of the image tokens. Esser et al. 2021, Sec. D."""

from twostage.config import schema
from twostage.errors import TwostageError
from twostage.planning.builder import Builder
from twostage.planning.cells import Cell
from twostage.planning.jobs import prior_job, sampling_job
from twostage.planning.verbs import new_job
from twostage.runtime.job import Job


def orderings(plan: Builder) -> None:
    """Adds one prior for each ordering and seed, samples of the first seed's, summary and figure."""
    names = _checked_orderings(plan)
    label, cell = plan.only_row(Cell)
    latents = plan.encoded(cell, cell.tokenizer, cell.tokenizer_data or cell.data)
    condition = plan.condition(cell)
    # A controlled setting (Sec. D): the row-major sweep sets the rate of all, the seed initialisation and batches.
    tune = plan.tuned(label, cell, "gpt", latents, condition)
    tokenizer = plan.jobs[latents.inputs["tokenizer"]]
    runs: dict[str, Job] = {}
    samples: dict[str, Job] = {}
    for seed in plan.experiment["seeds"]:
        tree = plan.tree_of(cell, priors="gpt", seed=seed)
        for name in names:
            ordered = tree | {"priors": tree["priors"] | {"ordering": name}}
            # Table 1's row-major runs go on to PixelSNAIL's time; these do not wait for its pace.
            job = prior_job(ordered, latents, condition, {"tune": tune}, spell_row_major=True)
            runs[f"{name}.seed{seed}"] = plan.add(job)
            if seed == plan.experiment["seeds"][0]:
                samples[f"{name}.samples"] = plan.add(sampling_job(tree, job, tokenizer, condition))
    config = {"data": cell.data, "tokenizer": cell.tokenizer, "condition": cell.condition}
    config |= {key: plan.experiment[key] for key in ("orderings", "seeds", "paper_nll")}
    inputs = runs | samples | {"latents": latents}
    summary = plan.add(new_job("evaluation.orderings", "orderings", plan.tree, config, inputs))
    figure = {"figures": plan.tree["figures"]}
    plan.add(new_job("figures.orderings", "orderings", plan.tree, figure, {"orderings": summary}))


def _checked_orderings(plan: Builder) -> list[str]:
    names = list(plan.experiment["orderings"])
    if "row_major" not in names or len(set(names)) < len(names) or set(names) - set(schema.ORDERINGS):
        raise TwostageError(
            f"experiment.orderings is {', '.join(names)}; name row_major, to which all are compared, and others "
            f"once each, out of {', '.join(schema.ORDERINGS)}"
        )
    # Noticed now, not when all priors have trained and the figure is drawn.
    colourless = [name for name in names if name not in plan.tree["figures"]["palette"]]
    if colourless:
        raise TwostageError(
            f"figures.palette has no colour for the ordering {', '.join(colourless)}; add one in conf/figures/"
        )
    return names
