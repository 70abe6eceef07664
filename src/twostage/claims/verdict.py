"""From numbers to a verdict: computed, never typed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from twostage.claims.claim import SCALES, Claim, Relation
from twostage.claims.evidence import Effect, NoSuchRow, Numbers, Table, difference, interval
from twostage.errors import TwostageError

REPRODUCED = "reproduced"
DIRECTION_ONLY = "direction only"  # the numbers lie as claimed, and nothing says how sure that is
NOT_REPRODUCED = "not reproduced"
INCONCLUSIVE = "inconclusive"  # the interval holds both
NOT_MEASURED = "not measured at this scale"
NEEDS = {"data": "needs data that you must bring", "weights": "needs weights that you must bring"}
SETTING = "a setting, not a finding"
MEASURED = (REPRODUCED, DIRECTION_ONLY, NOT_REPRODUCED, INCONCLUSIVE)


@dataclass(frozen=True)
class Verdict:
    """What the tables say of a claim. The effect is of the comparison that speaks most against it."""

    verdict: str
    effect: Effect | None = None  # left minus right, next minus one before, or the number itself
    first_look: str = ""  # the verdict at a scale that is too small for one
    ours: tuple[float, ...] = ()  # the numbers that were compared


def verdict(claim: Claim, table: Table | None, scale: str, level: float) -> Verdict:
    """`table`: None if results/ has none of the claim's. `level`: of the intervals. Raises TwostageError, naming the
    claim, if the table lacks what decides it.
    """
    if claim.is_setting:
        return Verdict(SETTING)
    if table is None or claim.holds is None:
        return Verdict(NEEDS.get(claim.needs, NOT_MEASURED))
    try:
        judged, effect, ours = _judged(claim, claim.holds, table, level)
    except NoSuchRow as error:
        if scale == claim.rows_at:
            raise TwostageError(f"claim {claim.id}: {error}") from error
        return Verdict(NOT_MEASURED)
    except TwostageError as error:
        raise TwostageError(f"claim {claim.id}: {error}") from error
    if SCALES.index(scale) < SCALES.index(claim.scale):
        return Verdict(NOT_MEASURED, effect, judged, ours)
    return Verdict(judged, effect, "", ours)


def _judged(claim: Claim, holds: Relation, table: Table, level: float) -> tuple[str, Effect | None, tuple[float, ...]]:
    found = [_of_quantity(holds, table, quantity, level) for quantity in (claim.quantity, *claim.also)]
    judged = combined([each[0] for each in found])
    return judged, *next(each[1:] for each in found if each[0] == judged or judged == DIRECTION_ONLY)


def _of_quantity(
    holds: Relation, table: Table, quantity: str, level: float
) -> tuple[str, Effect | None, tuple[float, ...]]:
    if holds.kind == "about":
        return _about(holds, table, quantity)
    if holds.kind in ("lowest", "highest"):
        return _extreme(holds, table, quantity)
    effects, numbers = _effects(holds, table, quantity, level)
    judged = judge(effects)
    # As claimed, effects are negative. What is sure to be otherwise decides.
    sure = [effect for effect in effects if effect.low is not None and effect.low > 0]
    worst = max(sure or effects, key=lambda effect: effect.value).moved(-holds.margin)
    is_turned = holds.kind in ("greater", "positive", "rises")
    return judged, worst.turned() if is_turned else worst, numbers


def judge(effects: Sequence[Effect]) -> str:
    """The verdict of effects all of which must be negative."""
    if any(effect.low is not None and effect.low > 0 for effect in effects):
        return NOT_REPRODUCED
    if all(effect.high is not None and effect.high < 0 for effect in effects):
        return REPRODUCED
    if any(effect.low is None and effect.value > 0 for effect in effects):
        return NOT_REPRODUCED
    if all(effect.low is None and effect.value < 0 for effect in effects):
        return DIRECTION_ONLY
    # An interval that holds zero, or a tie.
    return INCONCLUSIVE


def combined(judged: Sequence[str]) -> str:
    """The verdict of several quantities that must all agree."""
    for worst in (NOT_REPRODUCED, INCONCLUSIVE, DIRECTION_ONLY):
        if worst in judged:
            return worst
    return REPRODUCED


def _effects(holds: Relation, table: Table, quantity: str, level: float) -> tuple[list[Effect], tuple[float, ...]]:
    """Differences that are negative if the claim holds, and the numbers they are of."""
    pairs = list(_pairs(holds, table, quantity))
    asked = holds.along or [*holds.left, *(left | right for left in holds.left for right in holds.right)]
    numbers = tuple(table.numbers(each, quantity).mean for each in asked)
    effects = [
        interval(left.mean, left.standard_error, left.freedom, level)
        if right is None
        else difference(left, right, level)
        for left, right in pairs
    ]
    if holds.kind in ("greater", "positive", "rises"):
        effects = [effect.turned() for effect in effects]
    return [effect.moved(holds.margin) for effect in effects], numbers


def _pairs(holds: Relation, table: Table, quantity: str) -> Iterator[tuple[Numbers, Numbers | None]]:
    match holds.kind:
        case "less" | "greater":
            for left in holds.left:
                for right in holds.right:
                    # What both sides share is said once, on the left.
                    yield table.numbers(left, quantity), table.numbers(left | right, quantity)
        case "negative" | "positive":
            for left in holds.left:
                yield table.numbers(left, quantity), None
        case _:
            for before, after in pairwise(holds.along):
                yield table.numbers(after, quantity), table.numbers(before, quantity)


def _about(holds: Relation, table: Table, quantity: str) -> tuple[str, Effect, tuple[float, ...]]:
    """Near the expected number: within the share of it that the claim allows, in every row."""
    assert holds.expected is not None
    found = []
    for left in holds.left:
        number = table.numbers(left, quantity).mean
        found.append(number if holds.over is None else number / table.numbers(left | holds.over, quantity).mean)
    off = max(found, key=lambda number: abs(number - holds.expected))  # type: ignore[operator]
    # A ratio of 1, or a difference of 0, is no effect at all.
    none = 1.0 if holds.over is not None else 0.0
    if abs(off - holds.expected) <= holds.within * abs(holds.expected):
        return REPRODUCED, Effect(off), tuple(found)
    is_towards = all((number - none) * (holds.expected - none) > 0 for number in found)
    return DIRECTION_ONLY if is_towards else NOT_REPRODUCED, Effect(off), tuple(found)


def _extreme(holds: Relation, table: Table, quantity: str) -> tuple[str, Effect, tuple[float, ...]]:
    """Whether one of `left` is the lowest, or highest, of `along`; by means alone, so never more than a direction
    where seeds are few.
    """
    sign = 1 if holds.kind == "lowest" else -1
    numbers = [sign * table.numbers(each, quantity).mean for each in holds.along]
    claimed = [at for at, each in enumerate(holds.along) if each in holds.left]
    if not claimed:
        raise TwostageError(f"{holds.kind}: none of left is in along")
    others = [number for at, number in enumerate(numbers) if at not in claimed]
    best = min(numbers[at] for at in claimed)
    effect = Effect(sign * (best - min(others)))
    judged = DIRECTION_ONLY if best < min(others) else INCONCLUSIVE if best == min(others) else NOT_REPRODUCED
    return judged, effect, tuple(sign * number for number in numbers)
