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
from twostage.planning.results import read_mapping
from twostage.runtime.artifacts import read_csv

# Stands for the seed in tables that have no such column.
WHOLE = "all"
# What every long table has.
LONG = ("source", "seed", "step", "quantity", "value")
Row = dict[str, str]


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
        self.name, self.folder, self.path = name, folder, folder / f"{name}.csv"
        self.rows = read_csv(self.path)
        self.is_long = name.endswith("_long")
        if self.is_long:
            self._require_columns(LONG)

    def numbers(self, selector: Selector, quantity: str) -> Numbers:
        """What the rows that the selector names say of a quantity.

        Raises NoSuchRow if there are none, and TwostageError, one line, for a column that is missing or a cell that is
        no number.
        """
        self._require_columns(selector)
        found = self._long(selector, quantity) if self.is_long else self._wide(selector, quantity)
        if not found.by_seed:
            said = ", ".join(f"{key}={word(value)}" for key, value in selector.items()) or "any row"
            raise NoSuchRow(f"{self.path} has no {quantity} of {said}; name rows that it has")
        return found

    def _require_columns(self, names: Iterable[str]) -> None:
        known = self.rows[0]
        if absent := [name for name in names if name not in known]:
            raise TwostageError(f"{self.path} has no column {absent[0]}; its columns are {', '.join(known)}")

    def _matching(self, selector: Selector) -> dict[int, Row]:
        """The rows that the selector names, by their places below the header, from 1."""
        places = enumerate(self.rows, 1)
        return {at: row for at, row in places if all(_equal(row[key], value) for key, value in selector.items())}

    def _long(self, selector: Selector, quantity: str) -> Numbers:
        rows = self._matching(selector).items()
        ours = {at: row for at, row in rows if row["source"] == "ours" and row["step"] == ""}
        measured = {at: row for at, row in ours.items() if row["quantity"] == quantity}
        by_seed = self._once({}, "value", measured, "seed")
        spread = spread_over_images(quantity)
        over_images = [self._spread(at, row, "value") for at, row in ours.items() if row["quantity"] == spread]
        if not over_images:
            return Numbers(by_seed)
        # Samples of one condition are alike, so conditions are what is counted.
        number = self._num_conditions()
        error = None if number is None else math.hypot(*over_images) / len(over_images) / math.sqrt(number)
        return Numbers(by_seed, error)

    def _num_conditions(self) -> int | None:
        path = self.folder / "evaluation" / study_of(self.name) / "metrics.json"
        conditions = read_mapping(path).get("conditions", {})
        number = conditions.get("num_conditions") if isinstance(conditions, dict) else 0
        if number is not None and (type(number) is not int or number < 1):
            raise TwostageError(
                f"{path} has the conditions {conditions!r:.60}; num_conditions must be a whole number above 0: make "
                "the file again"
            )
        return number

    def _wide(self, selector: Selector, quantity: str) -> Numbers:
        rows = {at: row for at, row in self._matching(selector).items() if row.get("source", "ours") == "ours"}
        if rows:
            self._require_columns([quantity])
        filled = {at: row for at, row in rows.items() if row[quantity] != ""}
        by_seed = self._once(selector, quantity, filled)
        if not by_seed:
            return Numbers(by_seed)
        at, row = next(iter(filled.items()))
        if not row.get(f"{quantity}_std"):
            return Numbers(by_seed)
        spread = self._spread(at, row, f"{quantity}_std")
        # The spread is over seeds, or else over images.
        counted = next((name for name in ("num_seeds", "num_images") if row.get(name)), None)
        count = 0 if counted is None else self._count(at, row, counted)
        if count < 2:
            return Numbers(by_seed)
        freedom = count - 1 if "num_seeds" in row else math.inf
        return Numbers(by_seed, spread / math.sqrt(count), freedom)

    def _once(self, selector: Selector, column: str, rows: Mapping[int, Row], seed: str = "") -> dict[str, float]:
        """The column's numbers by the column `seed`, of which no two rows may have the same."""
        found: dict[str, float] = {}
        for at, row in rows.items():
            name = row[seed] if seed else WHOLE
            if name in found:
                raise TwostageError(
                    f"{self.path} has several rows of {selector or 'one seed'}; name one of them by its columns"
                )
            found[name] = self._number(at, row, column)
        return found

    def _number(self, at: int, row: Row, column: str) -> float:
        if not is_number(row[column]) or not math.isfinite(number := float(row[column])):
            raise self._wrong(at, row, column, "a finite number")
        return number

    def _spread(self, at: int, row: Row, column: str) -> float:
        number = self._number(at, row, column)
        if number < 0:
            raise self._wrong(at, row, column, "a number of at least 0")
        return number

    def _count(self, at: int, row: Row, column: str) -> int:
        number = self._number(at, row, column)
        if number < 0 or not number.is_integer():
            raise self._wrong(at, row, column, "a whole number of at least 0")
        return int(number)

    def _wrong(self, at: int, row: Row, column: str, expected: str) -> TwostageError:
        return TwostageError(
            f"{self.path}, row {at} below the header, column {column}: {row[column]!r:.60} is not {expected}; "
            "make the table again, or take it from git"
        )


def is_number(cell: str) -> bool:
    """Whether a cell holds a number, which may be infinite."""
    try:
        return not math.isnan(float(cell))
    except ValueError:
        return False


def _equal(cell: str, value: object) -> bool:
    """Whether a cell holds a value; numbers by what they are."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return is_number(cell) and float(cell) == float(value)
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
