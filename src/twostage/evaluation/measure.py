"""Verb `evaluation.measure`: one quantity that has a function of its own."""

from dataclasses import dataclass

from twostage.evaluation.quantities import QUANTITIES
from twostage.runtime.artifacts import write_json
from twostage.runtime.job import Job


@dataclass
class MeasureConfig:
    """The quantity, a key of `evaluation.quantities.QUANTITIES`."""

    quantity: str


def measure(config: MeasureConfig, job: Job) -> None:
    """Writes metrics.json: the quantity's value, under its name."""
    function = QUANTITIES[config.quantity].measure
    assert function is not None, f"{config.quantity} is read from a job's metrics"
    write_json(
        job.folder / "metrics.json", {config.quantity: function({name: job.upstream(name) for name in job.inputs})}
    )
