"""The plan of Table 1: GPT against PixelSNAIL, at equal steps and at equal time. Esser et al. 2021, Sec. 4.1."""

from twostage.planning.builder import Builder
from twostage.planning.cells import Cell
from twostage.planning.jobs import pace_job, prior_job
from twostage.planning.verbs import new_job
from twostage.runtime.job import Job

# Of Table 1: the rival, and the transformer that is matched to it in steps and in time.
ARCHITECTURES = ("pixelsnail", "gpt")


def table1(plan: Builder) -> None:
    """Adds both rivals of every row, one a seed, their pace, the row's summary, and both tables."""
    rows = plan.study["rows"]
    cells = plan.rows(Cell)
    # Rows that others borrow the learning rates of come first.
    order = sorted(rows, key=lambda label: cells[label].tune_on is not None)
    compared = {label: _row(plan, label, cells[label]) for label in order}
    config = plan.tree["figures"]
    printed = {label: row["paper_nll"] for label, row in rows.items()}
    figure = {"figures": config, "rows": list(rows), "paper_nll": printed}
    inputs = {label: compared[label] for label in rows}
    plan.add(new_job("figures.table1", "table1", plan.tree, figure, inputs))
    tokenizers = {job.variant: job for job in plan.jobs.values() if job.verb == "reconstruct"}
    plan.add(new_job("figures.tokenizers", "tokenizers", plan.tree, {"figures": config}, tokenizers))


def _row(plan: Builder, label: str, cell: Cell) -> Job:
    latents = plan.encoded(cell, cell.tokenizer, cell.tokenizer_data or cell.data)
    condition = plan.condition(cell)
    tunes = {name: plan.tuned(label, cell, name, latents, condition) for name in ARCHITECTURES}
    own, rival = (prior_job(plan.tree_of(cell, priors=name), latents, condition, {}) for name in ("gpt", "pixelsnail"))
    pace = plan.add(pace_job(plan.tree, own, rival))
    runs: dict[str, Job] = {}
    for seed in plan.study["seeds"]:
        for name in ARCHITECTURES:
            more = {"tune": tunes[name]} | ({"pace": pace} if name == "gpt" else {})
            job = prior_job(plan.tree_of(cell, priors=name, seed=seed), latents, condition, more)
            runs[f"{name}.seed{seed}"] = plan.add(job)
    row = {
        "row": label,
        "data": cell.data,
        "condition": cell.condition,
        "tune_on": cell.tune_on or label,
        "seeds": plan.study["seeds"],
    }
    inputs = runs | {"latents": latents, "pace": pace}
    return plan.add(new_job("evaluation.compare", f"table1.{label}", plan.tree, row, inputs))
