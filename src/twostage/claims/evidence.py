"""The numbers of the tables in results/: by seed, or with their spread over images."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from twostage.claims.claim import Selector, study_of
from twostage.errors import TwostageError
from twostage.evaluation.quantities import spread_over_images
from twostage.evaluation.words import word
from twostage.runtime.artifacts import read_csv, read_json

# Stands for the seed in tables that have no such column.
WHOLE = "all"


@dataclass(frozen=True)
class Numbers:
    """What was measured of one row: a number for each seed, or one with its standard error."""

    by_seed: Mapping[str, float]
    standard_error: float | None = None  # of the mean, over images or over seeds
    freedom: float = math.inf  # degrees of freedom of the standard error

    @property
    def mean(self) -> float:
        """The mean over the seeds."""
        return sum(self.by_seed.values()) / len(self.by_seed)


@dataclass(frozen=True)
class Effect:
    """A difference with its interval, None where nothing says how sure it is."""

    value: float
    low: float | None = None
    high: float | None = None

    def turned(self) -> "Effect":
        """The difference the other way round."""
        return Effect(-self.value, _minus(self.high), _minus(self.low))

    def moved(self, by: float) -> "Effect":
        """The difference to a bound that lies so much higher."""
        return Effect(self.value - by, *(None if end is None else end - by for end in (self.low, self.high)))


def _minus(value: float | None) -> float | None:
    return None if value is None else -value


class NoSuchRow(TwostageError):
    """A table has no such row: of its scale, or at all."""


class Table:
    """A table of results/, long (a line for each number) or wide (a column for each quantity)."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name, self.folder = name, folder
        self.rows = read_csv(folder / f"{name}.csv")
        self.is_long = name.endswith("_long")

    def numbers(self, selector: Selector, quantity: str) -> Numbers:
        """What the rows that the selector names say of a quantity. Raises NoSuchRow if there are none."""
        found = self._long(selector, quantity) if self.is_long else self._wide(selector, quantity)
        if not found.by_seed:
            said = ", ".join(f"{key}={word(value)}" for key, value in selector.items()) or "any row"
            raise NoSuchRow(f"results/{self.name}.csv has no {quantity} of {said}; name rows that it has")
        return found

    def _matching(self, selector: Selector) -> list[dict[str, str]]:
        for key in selector:
            if self.rows and key not in self.rows[0]:
                known = ", ".join(self.rows[0])
                raise TwostageError(f"results/{self.name}.csv has no column {key}; its columns are {known}")
        return [row for row in self.rows if all(_equal(row[key], value) for key, value in selector.items())]

    def _long(self, selector: Selector, quantity: str) -> Numbers:
        ours = [row for row in self._matching(selector) if row["source"] == "ours" and row["step"] == ""]
        by_seed = _once(self.name, {}, ((row["seed"], row["value"]) for row in ours if row["quantity"] == quantity))
        over_images = [float(row["value"]) for row in ours if row["quantity"] == spread_over_images(quantity)]
        if not over_images:
            return Numbers(by_seed)
        # Samples of one condition are alike, so conditions are what is counted.
        conditions = read_json(self.folder / "evaluation" / study_of(self.name) / "metrics.json")
        number = conditions.get("conditions", {}).get("num_conditions")
        error = None if number is None else math.hypot(*over_images) / len(over_images) / math.sqrt(number)
        return Numbers(by_seed, error)

    def _wide(self, selector: Selector, quantity: str) -> Numbers:
        rows = [row for row in self._matching(selector) if row.get("source", "ours") == "ours"]
        if rows and quantity not in rows[0]:
            raise TwostageError(f"results/{self.name}.csv has no column {quantity}; name one that it has")
        filled = [row for row in rows if row[quantity] != ""]
        by_seed = _once(self.name, selector, ((WHOLE, row[quantity]) for row in filled))
        if not by_seed or not filled[0].get(f"{quantity}_std"):
            return Numbers(by_seed)
        # The spread is over seeds, or else over images.
        count = int(filled[0].get("num_seeds") or filled[0].get("num_images") or 0)
        if count < 2:
            return Numbers(by_seed)
        freedom = count - 1 if "num_seeds" in filled[0] else math.inf
        return Numbers(by_seed, float(filled[0][f"{quantity}_std"]) / math.sqrt(count), freedom)


def _once(name: str, selector: Selector, pairs: Iterable[tuple[str, str]]) -> dict[str, float]:
    found: dict[str, float] = {}
    for seed, value in pairs:
        if seed in found:
            raise TwostageError(
                f"results/{name}.csv has several rows of {selector or 'one seed'}; name one of them by its columns"
            )
        found[seed] = float(value)
    return found


def _equal(cell: str, value: object) -> bool:
    """Whether a cell holds a value; numbers by what they are."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(cell) == float(value)
        except ValueError:
            return False
    return cell == ("" if value is None else word(value))


def interval(value: float, error: float | None, freedom: float, level: float) -> Effect:
    """A number with its two-sided interval of this level: Student's t, or normal with infinite freedom."""
    if error is None or freedom < 1:
        return Effect(value)
    half = float(stats.t.ppf((1 + level) / 2, freedom)) * error
    return Effect(value, value - half, value + half)


def itself(numbers: Numbers, level: float) -> Effect:
    """A number with its interval, over images or seeds."""
    if numbers.standard_error is not None:
        return interval(numbers.mean, numbers.standard_error, numbers.freedom, level)
    values = list(numbers.by_seed.values())
    error = None if len(values) < 2 else float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return interval(numbers.mean, error, len(values) - 1, level)


def difference(left: Numbers, right: Numbers, level: float) -> Effect:
    """Left minus right: by the spreads of both where tables have them, otherwise paired over the seeds of both."""
    if left.standard_error is not None and right.standard_error is not None:
        error = math.hypot(left.standard_error, right.standard_error)
        return interval(left.mean - right.mean, error, min(left.freedom, right.freedom), level)
    shared = [seed for seed in left.by_seed if seed in right.by_seed]
    if not shared:
        return Effect(left.mean - right.mean)
    return itself(Numbers({seed: left.by_seed[seed] - right.by_seed[seed] for seed in shared}), level)
