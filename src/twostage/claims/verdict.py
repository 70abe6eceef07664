"""From numbers to a verdict: computed, never typed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from twostage.claims.claim import NEEDED, Claim, Relation, Selector, at_least_as_large
from twostage.claims.evidence import Effect, NoSuchRow, Table, difference, itself
from twostage.errors import TwostageError

REPRODUCED = "reproduced"
DIRECTION_ONLY = "direction only"  # the numbers lie as claimed, and nothing says how sure that is
NOT_REPRODUCED = "not reproduced"
INCONCLUSIVE = "inconclusive"  # the interval holds both
NOT_MEASURED = "not measured at this scale"
NEEDS = {"data": "data not included", "weights": "weights not included"}
SETTING = "a setting, not a finding"
MEASURED = (REPRODUCED, DIRECTION_ONLY, NOT_REPRODUCED, INCONCLUSIVE)


@dataclass(frozen=True)
class Verdict:
    """What the tables say of a claim. The effect is of the comparison that speaks most against it."""

    verdict: str
    effect: Effect | None = None  # left minus right, next minus one before, or the number itself
    first_look: str = ""  # the verdict at a scale that is too small for one
    ours: tuple[float, ...] = ()  # the numbers that were compared
    num_intervals: int = 0  # how many comparisons have one


def verdict(claim: Claim, table: Table | None, scale: str, level: float) -> Verdict:
    """`table`: None if results/ has none of the claim's. `level`: of the intervals. Raises TwostageError, naming the
    claim, if the table lacks what decides it.
    """
    if claim.is_setting:
        return Verdict(SETTING)
    if table is None or claim.holds is None:
        return Verdict(NEEDS.get(claim.needs, NOT_MEASURED))
    try:
        found = [_by(claim.holds, table, claim.quantity, level)]
        found += [_by(also.of(claim.holds), table, also.quantity, level) for also in claim.also]
    except NoSuchRow as error:
        if scale == claim.rows_at and not (claim.missing or claim.commands):
            raise TwostageError(f"claim {claim.id}: {error}") from error
        return Verdict(NOT_MEASURED)
    except TwostageError as error:
        raise TwostageError(f"claim {claim.id}: {error}") from error
    judged = combined([each.verdict for each in found])
    # The quantity that decides is shown.
    shown = next(each for each in found if each.verdict == judged)
    shown = replace(shown, num_intervals=sum(each.num_intervals for each in found))
    if at_least_as_large(scale, claim.scale):
        return shown
    return replace(shown, verdict=NOT_MEASURED, first_look=judged)


def _by(holds: Relation, table: Table, quantity: str, level: float) -> Verdict:
    """The verdict by one quantity."""
    match holds.kind:
        case "about":
            return _about(holds, table, quantity)
        case "bound":
            return _bound(holds, table, quantity)
        case "lowest" | "highest":
            return _extreme(holds, table, quantity)
    effects, numbers = _effects(holds, table, quantity, level)
    # As claimed, effects are negative. A comparison that surely contradicts the claim decides.
    sure = [effect for effect in effects if effect.low is not None and effect.low > 0]
    worst = max(sure or effects, key=lambda effect: effect.value if effect.high is None else effect.high)
    # The effect as it is, without what a margin or a bound takes off.
    worst = worst.moved(-holds.margin)
    shown = worst.turned() if holds.kind in TURNED else worst
    shown = shown.moved(-holds.than)
    number = sum(effect.low is not None for effect in effects)
    return Verdict(judge(effects), shown, ours=numbers, num_intervals=number)


def judge(effects: Sequence[Effect]) -> str:
    """The verdict of effects all of which must be negative."""
    if any(effect.low is not None and effect.low > 0 for effect in effects):
        return NOT_REPRODUCED
    if all(effect.high is not None and effect.high < 0 for effect in effects):
        return REPRODUCED
    if any(effect.low is None and effect.value > 0 for effect in effects):
        return NOT_REPRODUCED
    if all(effect.value < 0 if effect.high is None else effect.high < 0 for effect in effects):
        return DIRECTION_ONLY
    # An interval that holds zero, or a tie.
    return INCONCLUSIVE


def combined(judged: Sequence[str]) -> str:
    """The verdict of several quantities that must all agree."""
    for worst in (NOT_REPRODUCED, INCONCLUSIVE, DIRECTION_ONLY):
        if worst in judged:
            return worst
    return REPRODUCED


# Where larger is as claimed.
TURNED = ("greater", "positive", "rises")


def _effects(holds: Relation, table: Table, quantity: str, level: float) -> tuple[list[Effect], tuple[float, ...]]:
    """Differences that are negative if the claim holds, and the numbers they are of."""
    match holds.kind:
        case "negative" | "positive":
            found = [_own(holds, table, left, quantity, level) for left in holds.left]
            numbers = [effect.value + holds.than for effect in found]
        case "less" | "greater":
            # What both sides share is said once, on the left.
            rows = [(left, left | right) for left in holds.left for right in holds.right]
            found = [difference(table.numbers(at, quantity), table.numbers(to, quantity), level) for at, to in rows]
            numbers = [table.numbers(row, quantity).mean for row in (*holds.left, *(right for _, right in rows))]
        case "falls" | "rises":
            along = [table.numbers(row, quantity) for row in holds.along]
            found = [difference(after, before, level) for before, after in pairwise(along)]
            numbers = [each.mean for each in along]
        case unknown:
            raise TwostageError(f"kind is {unknown}; choose one of {', '.join(NEEDED)}")
    if holds.kind in TURNED:
        found = [effect.turned() for effect in found]
    return [effect.moved(holds.margin) for effect in found], tuple(numbers)


def _own(holds: Relation, table: Table, left: Selector, quantity: str, level: float) -> Effect:
    """The number itself, or less another quantity of its row."""
    if holds.other:
        effect = difference(table.numbers(left, quantity), table.numbers(left, holds.other), level)
    else:
        effect = itself(table.numbers(left, quantity), level)
    return effect.moved(holds.than)


def _about(holds: Relation, table: Table, quantity: str) -> Verdict:
    """Near the expected number in every row, within the share of it that the claim allows. Without an interval that is
    a direction, as is a number beyond `no_effect` on the side of the expected one.
    """
    expected = holds.expected
    assert expected is not None
    found = [_ratio(holds, table, left, quantity) for left in holds.left]
    off = max(found, key=lambda number: abs(number - expected))
    is_near = abs(off - expected) <= holds.within * abs(expected)
    none = holds.no_effect
    is_towards = none is not None and all((number - none) * (expected - none) > 0 for number in found)
    return Verdict(DIRECTION_ONLY if is_near or is_towards else NOT_REPRODUCED, Effect(off), ours=tuple(found))


def _bound(holds: Relation, table: Table, quantity: str) -> Verdict:
    """Whether bounds from below leave room for the expected number. They say no more than that it is larger."""
    assert holds.expected is not None
    found = [_ratio(holds, table, left, quantity) for left in holds.left]
    highest = max(found)
    judged = INCONCLUSIVE if highest <= (1 + holds.within) * holds.expected else NOT_REPRODUCED
    return Verdict(judged, Effect(highest), ours=tuple(found))


def _ratio(holds: Relation, table: Table, left: Selector, quantity: str) -> float:
    number = table.numbers(left, quantity).mean
    if holds.over is not None:
        number /= _divisor(table, left | holds.over, quantity)
    return number / _divisor(table, left, holds.other) if holds.other else number


def _divisor(table: Table, selector: Selector, quantity: str) -> float:
    number = table.numbers(selector, quantity).mean
    if number == 0:
        raise TwostageError(
            f"{table.path}: {quantity} of {selector} is 0, so the ratio would divide by zero; name another row"
        )
    return number


def _extreme(holds: Relation, table: Table, quantity: str) -> Verdict:
    """Whether one of `left` is the lowest, or highest, of `along`: by means alone, so never more than a direction."""
    sign = 1 if holds.kind == "lowest" else -1
    numbers = [sign * table.numbers(each, quantity).mean for each in holds.along]
    claimed = [at for at, each in enumerate(holds.along) if each in holds.left]
    if not claimed:
        raise TwostageError(f"{holds.kind}: none of left is in along")
    others = [number for at, number in enumerate(numbers) if at not in claimed]
    best = min(numbers[at] for at in claimed)
    judged = DIRECTION_ONLY if best < min(others) else INCONCLUSIVE if best == min(others) else NOT_REPRODUCED
    return Verdict(judged, Effect(sign * (best - min(others))), ours=tuple(sign * number for number in numbers))
