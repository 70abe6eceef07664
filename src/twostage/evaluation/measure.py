"""Verb `evaluation.measure`: one quantity that has a function of its own."""

import math
from dataclasses import dataclass
from numbers import Real

from twostage.config import plugins
from twostage.errors import TwostageError
from twostage.evaluation.quantities import QUANTITIES
from twostage.runtime.artifacts import write_json
from twostage.runtime.job import Job


@dataclass
class MeasureConfig:
    """The quantity, a key of `evaluation.quantities.QUANTITIES`."""

    quantity: str


def measure(config: MeasureConfig, job: Job) -> None:
    """Writes metrics.json: the quantity's value, under its name.

    Raises TwostageError if a plugin's function fails, or gives no finite number.
    """
    function = QUANTITIES[config.quantity].measure
    assert function is not None, f"{config.quantity} is read from a job's metrics"
    with plugins.running("quantity", config.quantity):
        value = function({name: job.upstream(name) for name in job.inputs})
    if not isinstance(value, Real) or isinstance(value, bool) or not math.isfinite(value):
        raise TwostageError(f"quantity {config.quantity} is {value!r:.60}; its function must return a finite number")
    write_json(job.folder / "metrics.json", {config.quantity: value if isinstance(value, int) else float(value)})
