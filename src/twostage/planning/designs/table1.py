"""The plans of GPT against PixelSNAIL (Esser et al. 2021, Sec. 4.1): Table 1, at one budget, and over budgets."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from twostage.errors import TwostageError
from twostage.planning.builder import Builder
from twostage.planning.cells import Cell
from twostage.planning.jobs import pace_job, prior_job, tune_job
from twostage.planning.verbs import new_job
from twostage.runtime.job import Job

# The rival, and the transformer that is matched to it in steps and in time.
ARCHITECTURES = ("pixelsnail", "gpt")


@dataclass
class CrossingCell(Cell):
    """A row over budgets: data, tokenizer, and sizes unlike the scale's. It has sweeps of its own."""

    label: str = ""  # of its priors' names, where other priors have the same latents
    batch_size: int | None = None  # images a step; null: the scale's
    steps: int | None = None  # of each prior; null: the scale's
    sweep_steps: int | None = None  # of each rate of a sweep; null: the scale's


def table1(plan: Builder) -> None:
    """Adds both rivals of every row, one a seed, their pace, the row's summary, and both tables."""
    cells = plan.rows(Cell)
    # Rows that others borrow the learning rates of come first.
    order = sorted(cells, key=lambda label: cells[label].tune_on is not None)
    compared: dict[str, Job] = {}
    for label in order:
        cell = cells[label]
        latents, condition = _encoded(plan, cell)
        tunes = {name: plan.tuned(label, cell, name, latents, condition) for name in ARCHITECTURES}
        compared[label] = _row(plan, label, cell, latents, condition, tunes)
    config = plan.tree["figures"]
    printed = {label: plan.study["rows"][label]["paper_nll"] for label in cells}
    figure = {"figures": config, "rows": list(cells), "paper_nll": printed}
    inputs = {label: compared[label] for label in cells}
    plan.add(new_job("figures.table1", "table1", plan.tree, figure, inputs))
    tokenizers = {job.variant: job for job in plan.jobs.values() if job.verb == "reconstruct"}
    plan.add(new_job("figures.tokenizers", "tokenizers", plan.tree, {"figures": config}, tokenizers))


def crossing(plan: Builder) -> None:
    """Adds the jobs of Table 1 for every row, and what becomes of the gap over budgets.

    Raises TwostageError for a row that would take another one's learning rates.
    """
    inputs: dict[str, Job] = {}
    batch_sizes: dict[str, int] = {}
    for label, cell in plan.rows(CrossingCell).items():
        if cell.tune_on is not None:
            raise TwostageError(f"study.rows.{label} of crossing: tune_on={cell.tune_on}; every row has its own sweeps")
        latents, condition = _encoded(plan, cell)
        budget = {
            "priors.loop.batch_size": cell.batch_size,
            "priors.loop.steps": cell.steps,
            "priors.sweep.steps": cell.sweep_steps,
        }
        more = {key: value for key, value in budget.items() if value is not None}
        trees = {name: plan.tree_of(cell, priors=name, more=more) for name in ARCHITECTURES}
        tunes = {name: plan.add(tune_job(tree, latents, condition, cell.label)) for name, tree in trees.items()}
        compared = _row(plan, label, cell, latents, condition, tunes, more, cell.label)
        inputs |= {label: compared, f"{label}.latents": latents}
        batch_sizes[label] = trees["gpt"]["priors"]["loop"]["batch_size"]
    found = plan.add(new_job("evaluation.crossing", "crossing", plan.tree, {"batch_sizes": batch_sizes}, inputs))
    figure = {"figures": plan.tree["figures"], "paper_says": plan.study["paper_says"]}
    plan.add(new_job("figures.crossing", "crossing", plan.tree, figure, {"crossing": found}))


def _encoded(plan: Builder, cell: Cell) -> tuple[Job, Job | None]:
    """Adds everything up to the latents that the priors of a row learn, and up to those of their condition."""
    return plan.encoded(cell, cell.tokenizer, cell.tokenizer_data or cell.data), plan.condition(cell)


def _row(
    plan: Builder,
    label: str,
    cell: Cell,
    latents: Job,
    condition: Job | None,
    tunes: Mapping[str, Job],
    more: Mapping[str, Any] | None = None,
    size: str = "",
) -> Job:
    """Adds both rivals of a row, one a seed, their pace, and the row's summary.

    `more`: keys and values of both. `size`: tells their names apart from those of other sizes.
    """

    def prior(name: str, seed: int, inputs: Mapping[str, Job]) -> Job:
        tree = plan.tree_of(cell, priors=name, seed=seed, more=more)
        return prior_job(tree, latents, condition, inputs, label=size)

    rival, own = ARCHITECTURES
    pace = plan.add(pace_job(plan.tree, prior(own, 0, {}), prior(rival, 0, {})))
    runs: dict[str, Job] = {}
    for seed in plan.study["seeds"]:
        for name in ARCHITECTURES:
            inputs = {"tune": tunes[name]} | ({"pace": pace} if name == own else {})
            runs[f"{name}.seed{seed}"] = plan.add(prior(name, seed, inputs))
    row = {
        "row": label,
        "data": cell.data,
        "condition": cell.condition,
        "tune_on": cell.tune_on or label,
        "seeds": plan.study["seeds"],
    }
    inputs = runs | {"latents": latents, "pace": pace}
    return plan.add(new_job("evaluation.compare", f"{plan.study['name']}.{label}", plan.tree, row, inputs))
