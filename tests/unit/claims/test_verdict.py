"""Every relation on made-up tables: as claimed, the other way round, unsure, and tied."""

from dataclasses import replace

import pytest

from twostage.claims.claim import Also, Claim, Relation
from twostage.claims.evidence import Effect
from twostage.claims.verdict import (
    DIRECTION_ONLY,
    INCONCLUSIVE,
    NOT_MEASURED,
    NOT_REPRODUCED,
    REPRODUCED,
    SETTING,
    combined,
    judge,
    verdict,
)
from twostage.errors import TwostageError

LOW, HIGH = {"kind": "low"}, {"kind": "high"}


def claim_of(kind, scale="laptop", quantity="nll", **relation):
    return Claim("X1", "Sec. 1", "so it is", scale, "orderings_long", quantity, Relation(kind, **relation))


def judged(claim, table, scale="laptop"):
    return verdict(claim, table, scale, 0.95)


def over_seeds(low, high):
    """Numbers of two kinds by seed."""
    return {("low", seed): value for seed, value in enumerate(low)} | {
        ("high", seed): value for seed, value in enumerate(high)
    }


SURE = over_seeds([1.0, 1.1, 0.9], [3.0, 3.2, 2.9])
UNSURE = over_seeds([1.0, 4.0, 0.9], [3.0, 3.2, 2.9])
ONE_SEED = over_seeds([1.0], [3.0])
TIED = over_seeds([2.0], [2.0])


@pytest.mark.parametrize(
    ("numbers", "right", "wrong"),
    [
        (SURE, REPRODUCED, NOT_REPRODUCED),
        (UNSURE, INCONCLUSIVE, INCONCLUSIVE),
        (ONE_SEED, DIRECTION_ONLY, NOT_REPRODUCED),
        (TIED, INCONCLUSIVE, INCONCLUSIVE),
    ],
    ids=["sure", "unsure", "one seed", "a tie"],
)
class TestComparisons:
    def test_less(self, numbers, right, wrong, long):
        table = long(numbers)
        assert judged(claim_of("less", left=[LOW], right=[HIGH]), table).verdict == right
        assert judged(claim_of("less", left=[HIGH], right=[LOW]), table).verdict == wrong

    def test_greater(self, numbers, right, wrong, long):
        table = long(numbers)
        assert judged(claim_of("greater", left=[HIGH], right=[LOW]), table).verdict == right
        assert judged(claim_of("greater", left=[LOW], right=[HIGH]), table).verdict == wrong

    def test_rises_and_falls(self, numbers, right, wrong, long):
        table = long(numbers)
        assert judged(claim_of("rises", along=[LOW, HIGH]), table).verdict == right
        assert judged(claim_of("falls", along=[HIGH, LOW]), table).verdict == right
        assert judged(claim_of("rises", along=[HIGH, LOW]), table).verdict == wrong
        assert judged(claim_of("falls", along=[LOW, HIGH]), table).verdict == wrong


def test_the_effect_is_left_minus_right_and_its_interval_is_on_its_side(long):
    found = judged(claim_of("greater", left=[HIGH], right=[LOW]), long(SURE))
    assert found.effect.value == pytest.approx(2.0333, abs=1e-3)
    assert 0 < found.effect.low < found.effect.value < found.effect.high
    assert found.ours == pytest.approx((3.0333, 1.0), abs=1e-3)


def test_every_comparison_must_hold_and_the_weakest_is_shown(long):
    table = long({("a", 0): 1.0, ("b", 0): 3.0, ("c", 0): 2.0})
    a, b, c = ({"kind": kind} for kind in "abc")
    found = judged(claim_of("less", left=[a], right=[b, c]), table)
    assert (found.verdict, found.effect) == (DIRECTION_ONLY, Effect(-1.0))
    assert judged(claim_of("rises", along=[a, b, c]), table).verdict == NOT_REPRODUCED
    assert judged(claim_of("rises", along=[a, c, b]), table).ours == (1.0, 2.0, 3.0)


def test_what_is_surely_otherwise_is_shown_and_not_what_may_be_worse(long):
    table = long(
        {("a", seed): 1.0 for seed in range(3)}
        | {("sure", seed): 0.5 for seed in range(3)}
        | {("unsure", seed): value for seed, value in enumerate([-9.0, 9.0, -9.0])}
    )
    claim = claim_of("less", left=[{"kind": "a"}], right=[{"kind": "sure"}, {"kind": "unsure"}])
    found = judged(claim, table)
    assert (found.verdict, found.effect.value, found.num_intervals) == (NOT_REPRODUCED, 0.5, 2)


def test_no_worse_allows_a_margin(long):
    table = long(over_seeds([2.5], [2.0]))
    within, beyond = (claim_of("less", left=[LOW], right=[HIGH], margin=margin) for margin in (1.0, 0.2))
    assert (judged(within, table).verdict, judged(within, table).effect) == (DIRECTION_ONLY, Effect(0.5))
    assert judged(beyond, table).verdict == NOT_REPRODUCED


@pytest.mark.parametrize(
    ("value", "std", "negative", "positive"),
    [
        (-1.0, 0.1, REPRODUCED, NOT_REPRODUCED),
        (1.0, 0.1, NOT_REPRODUCED, REPRODUCED),
        (-1.0, 9.0, INCONCLUSIVE, INCONCLUSIVE),
        (-1.0, "", DIRECTION_ONLY, NOT_REPRODUCED),
        (0.0, "", INCONCLUSIVE, INCONCLUSIVE),
    ],
)
def test_a_column_that_is_a_difference(value, std, negative, positive, wide):
    table = wide({"row": "IN", "difference": value, "difference_std": std, "num_seeds": 4})
    for kind, expected in (("negative", negative), ("positive", positive)):
        found = judged(claim_of(kind, quantity="difference", left=[{"row": "IN"}]), table)
        assert (found.verdict, found.effect.value) == (expected, value)


@pytest.mark.parametrize(
    ("ratio", "no_effect", "expected"),
    [
        (2.0, None, DIRECTION_ONLY),
        (1.6, None, DIRECTION_ONLY),
        (4.0, None, NOT_REPRODUCED),
        (4.0, 1.0, DIRECTION_ONLY),
        (1.2, 1.0, DIRECTION_ONLY),
        (1.0, 1.0, NOT_REPRODUCED),
        (0.5, 1.0, NOT_REPRODUCED),
    ],
)
def test_about_a_ratio_of_rows_or_of_columns(ratio, no_effect, expected, long, wide):
    about = {"expected": 2.0, "within": 0.25, "no_effect": no_effect}
    claim = claim_of("about", left=[HIGH], over=LOW, **about)
    assert judged(claim, long(over_seeds([1.0], [ratio]))).verdict == expected
    claim = claim_of("about", quantity="ours", other="theirs", left=[{"row": "IN"}], **about)
    found = judged(claim, wide({"row": "IN", "ours": 3 * ratio, "theirs": 3}))
    assert (found.verdict, found.effect.value) == (expected, pytest.approx(ratio))


@pytest.mark.parametrize(("bound", "expected"), [(0.1, INCONCLUSIVE), (2.5, INCONCLUSIVE), (2.6, NOT_REPRODUCED)])
def test_a_bound_from_below_refutes_and_never_bears_out(bound, expected, wide):
    claim = claim_of("bound", quantity="ours", left=[{"row": "IN"}], expected=2.0, within=0.25)
    found = judged(claim, wide({"row": "IN", "ours": bound}))
    assert (found.verdict, found.effect.value, found.ours) == (expected, bound, (bound,))


def test_a_number_against_chance_or_against_another_column(wide, long):
    table = wide({"row": "IN", "right": 0.3, "other": 0.5})
    for kind, than, expected in (
        ("positive", 0.1, DIRECTION_ONLY), ("positive", 0.4, NOT_REPRODUCED), ("negative", 0.4, DIRECTION_ONLY),
    ):  # fmt: skip
        found = judged(claim_of(kind, quantity="right", left=[{"row": "IN"}], than=than), table)
        assert (found.verdict, found.effect.value) == (expected, pytest.approx(0.3))
    found = judged(claim_of("negative", quantity="right", other="other", left=[{"row": "IN"}]), table)
    assert (found.verdict, found.effect.value) == (DIRECTION_ONLY, pytest.approx(-0.2))
    # Seeds are a spread as well.
    found = judged(claim_of("positive", left=[LOW]), long(SURE))
    assert (found.verdict, found.num_intervals) == (REPRODUCED, 1)


@pytest.mark.parametrize(
    ("numbers", "lowest"),
    [([1.0, 2.0, 3.0], DIRECTION_ONLY), ([2.0, 1.0, 3.0], NOT_REPRODUCED), ([1.0, 1.0, 3.0], INCONCLUSIVE)],
)
@pytest.mark.parametrize(("kind", "sign"), [("lowest", 1), ("highest", -1)])
def test_which_is_the_lowest_or_highest(kind, sign, numbers, lowest, long):
    table = long({(name, 0): sign * value for name, value in zip("abc", numbers, strict=True)})
    along = [{"kind": name} for name in "abc"]
    assert judged(claim_of(kind, left=along[:1], along=along), table).verdict == lowest
    with pytest.raises(TwostageError, match=f"claim X1: {kind}: none of left is in along"):
        judged(claim_of(kind, left=[{"kind": "d"}], along=along), table)


def test_several_quantities_must_all_agree(long):
    table = long(ONE_SEED, fid=over_seeds([5.0], [4.0]))
    claim = claim_of("less", left=[LOW], right=[HIGH])
    assert judged(claim, table).verdict == DIRECTION_ONLY
    claim.also = [Also("fid")]
    found = judged(claim, table)
    assert (found.verdict, found.effect) == (NOT_REPRODUCED, Effect(1.0))
    claim.also = [Also("fid", "greater")]
    assert judged(claim, table).verdict == DIRECTION_ONLY


@pytest.mark.parametrize("kind", ["Rises", "increases", ""])
def test_an_unknown_kind_is_none_of_the_others(kind, long):
    with pytest.raises(TwostageError, match=f"claim X1: kind is {kind}; choose one of less, greater"):
        judged(claim_of(kind, along=[LOW, HIGH]), long(SURE))


@pytest.mark.parametrize(
    ("relation", "quantity"), [({"over": LOW}, "nll of {'kind': 'low'}"), ({"other": "fid"}, "fid of {'kind': 'high'}")]
)
def test_a_ratio_to_zero_is_one_line(relation, quantity, long):
    claim = claim_of("about", left=[HIGH], expected=2.0, **relation)
    with pytest.raises(TwostageError, match=f"orderings_long.csv: {quantity} is 0, so the ratio would divide by zero"):
        judged(claim, long(over_seeds([0.0], [1.0]), fid=over_seeds([0.0], [0.0])))


def test_a_scale_that_is_too_small_gives_a_first_look(long):
    claim = claim_of("less", scale="workstation", left=[LOW], right=[HIGH])
    found = judged(claim, long(SURE))
    assert (found.verdict, found.first_look) == (NOT_MEASURED, REPRODUCED)
    assert found.effect is not None
    assert judged(claim, long(SURE), "paper").verdict == REPRODUCED


def test_without_a_table_it_is_not_measured_or_the_user_must_bring_something():
    claim = claim_of("less", left=[LOW], right=[HIGH])
    assert judged(claim, None).verdict == NOT_MEASURED
    claim.needs = "weights"
    assert judged(claim, None).verdict == "weights not included"
    claim.is_setting = True
    assert judged(claim, None).verdict == SETTING


def test_a_scale_of_no_known_size_is_one_line(long):
    with pytest.raises(
        TwostageError, match="scale decade has no place among smoke, laptop, night, workstation, paper; add it"
    ):
        judged(claim_of("less", left=[LOW], right=[HIGH]), long(SURE), "decade")


def test_rows_of_another_scale_are_no_mistake_and_those_of_this_one_are(long):
    claim = claim_of("less", left=[{"kind": "mistyped"}], right=[HIGH])
    assert judged(claim, long(SURE), "smoke").verdict == NOT_MEASURED
    with pytest.raises(TwostageError, match=r"claim X1: .*/orderings_long\.csv has no nll of kind=mistyped"):
        judged(claim, long(SURE))
    assert judged(replace(claim, missing="a new run"), long(SURE)).verdict == NOT_MEASURED


def test_a_mixed_set_of_effects():
    sure, unsure, against = Effect(-1.0, -2.0, -0.5), Effect(-1.0, -2.0, 0.5), Effect(1.0, 0.5, 2.0)
    assert judge([sure, unsure]) == INCONCLUSIVE
    assert judge([sure, against]) == NOT_REPRODUCED
    assert judge([sure, Effect(-1.0)]) == DIRECTION_ONLY
    assert judge([sure, Effect(0.0)]) == INCONCLUSIVE
    assert judge([sure, Effect(1.0)]) == NOT_REPRODUCED
    assert combined([REPRODUCED, DIRECTION_ONLY]) == DIRECTION_ONLY
    assert combined([INCONCLUSIVE, DIRECTION_ONLY]) == INCONCLUSIVE
    assert combined([REPRODUCED]) == REPRODUCED
