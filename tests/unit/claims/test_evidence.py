"""What tables say of a row, and differences with their intervals."""

import math

import pytest
from scipy import stats

from twostage.claims.evidence import Effect, NoSuchRow, Numbers, Table, difference, interval, itself
from twostage.errors import TwostageError
from twostage.runtime.artifacts import write_csv, write_json


def test_a_long_table_gives_our_final_numbers_by_seed(long):
    table = long({("a", 0): 1.0, ("a", 1): 2.0, ("b", 0): 5.0})
    found = table.numbers({"kind": "a"}, "nll")
    assert found == Numbers({"0": 1.0, "1": 2.0})
    assert found.mean == 1.5


def test_a_spread_over_images_is_one_of_conditions(long):
    spread = {("a", 0): 3.0, ("a", 1): 4.0}
    table = long(
        {("a", 0): 1.0, ("a", 1): 2.0},
        conditions={"num_conditions": 25, "per_condition": 4},
        nll_std_over_images=spread,
    )
    found = table.numbers({"kind": "a"}, "nll")
    # The mean of two seeds, each of 25 conditions.
    assert found.standard_error == pytest.approx(math.hypot(3, 4) / 2 / 5)
    assert math.isinf(found.freedom)


def test_a_wide_table_gives_a_column_and_its_spread(wide):
    table = wide(
        {"setting": "k 5", "fid": 2.0, "fid_std": 0.6, "num_seeds": 9, "kid": ""},
        {"setting": "k 7", "fid": 3.0, "fid_std": "", "num_seeds": 9, "kid": 1},
    )
    assert table.numbers({"setting": "k 5"}, "fid") == Numbers({"all": 2.0}, pytest.approx(0.2), 8)
    assert table.numbers({"setting": "k 7"}, "fid") == Numbers({"all": 3.0})
    with pytest.raises(NoSuchRow, match="has no kid of setting=k 5"):
        table.numbers({"setting": "k 5"}, "kid")


def test_a_spread_over_images_of_a_wide_table(wide):
    table = wide({"images": "all", "nearest": 2.0, "nearest_std": 0.6, "num_images": 9})
    assert table.numbers({}, "nearest") == Numbers({"all": 2.0}, pytest.approx(0.2), math.inf)


@pytest.mark.parametrize(
    ("cell", "value"),
    [("0.20", 0.2), ("2", 2), ("", None), ("k 5", "k 5"), ("True", True), ("1, 4, 1", [1, 4, 1])],
)
def test_a_selector_compares_numbers_as_numbers(cell, value, wide):
    table = wide({"key": cell, "fid": 1}, {"key": "other", "fid": 2})
    assert table.numbers({"key": value}, "fid").mean == 1


@pytest.mark.parametrize(
    ("selector", "quantity", "message"),
    [
        ({"kind": "c"}, "nll", "has no nll of kind=c; name rows that it has"),
        ({"kind": "a"}, "fid", "has no fid of kind=a"),
        ({"sort": "a"}, "nll", "has no column sort; its columns are study, row, source, kind"),
        ({}, "nll", "has several rows of one seed; name one of them by its columns"),
    ],
)
def test_what_a_table_lacks_is_one_line(selector, quantity, message, long):
    table = long({("a", 0): 1.0, ("b", 0): 5.0})
    with pytest.raises(TwostageError, match=message) as caught:
        table.numbers(selector, quantity)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("column", ["source", "seed", "step", "quantity", "value"])
def test_a_long_table_without_one_of_its_columns_is_one_line(column, long, tmp_path):
    table = long({("a", 0): 1.0, ("b", 0): 5.0})
    write_csv(table.path, [{name: cell for name, cell in row.items() if name != column} for row in table.rows])
    with pytest.raises(TwostageError, match=f"{table.path} has no column {column}; its columns are study, row"):
        Table(tmp_path, table.name)


CELLS = ["abc", "", "nan", "inf", "-inf", "1,5"]


@pytest.mark.parametrize("cell", CELLS)
def test_a_cell_of_a_long_table_that_is_no_number_is_one_line(cell, long):
    expected = f"orderings_long.csv, row 2 below the header, column value: {cell!r} is not a finite number; make the"
    table = long({("a", 0): 1.0, ("a", 1): cell})
    with pytest.raises(TwostageError, match=expected) as caught:
        table.numbers({"kind": "a"}, "nll")
    assert "\n" not in str(caught.value)
    assert table.numbers({"kind": "a", "seed": 0}, "nll") == Numbers({"0": 1.0})
    table = long({("a", 0): 1.0}, nll_std_over_images={("a", 0): cell})
    with pytest.raises(TwostageError, match=expected):
        table.numbers({"kind": "a"}, "nll")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        *(({"fid": cell}, "fid: .* is not a finite number") for cell in CELLS if cell),
        *(({"fid_std": cell}, "fid_std: .* is not a finite number") for cell in CELLS if cell),
        ({"fid_std": -1}, "fid_std: '-1' is not a number of at least 0"),
        *(({"num_seeds": cell}, "num_seeds: .* is not a finite number") for cell in CELLS if cell),
        ({"num_seeds": 1.5}, "num_seeds: '1.5' is not a whole number of at least 0"),
        ({"num_seeds": -3}, "num_seeds: '-3' is not a whole number of at least 0"),
        ({"num_seeds": "", "num_images": "many"}, "num_images: 'many' is not a finite number"),
    ],
)
def test_a_cell_of_a_wide_table_that_is_no_number_is_one_line(change, expected, wide):
    table = wide({"row": "x", "fid": 9}, {"row": "a", "fid": 2.0, "fid_std": 0.6, "num_seeds": 9} | change)
    with pytest.raises(TwostageError, match=f"rejection.csv, row 2 below the header, column {expected}") as caught:
        table.numbers({"row": "a"}, "fid")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "metrics",
    [
        [],
        None,
        5,
        {"conditions": []},
        {"conditions": 5},
        *({"conditions": {"num_conditions": n}} for n in (0, "a", 1.5)),
    ],
)
def test_metrics_without_a_number_of_conditions_are_one_line(metrics, long, tmp_path):
    table = long({("a", 0): 1.0}, nll_std_over_images={("a", 0): 3.0})
    path = tmp_path / "evaluation/orderings/metrics.json"
    write_json(path, metrics)
    with pytest.raises(TwostageError, match=f"^{path} (holds|has the conditions)"):
        table.numbers({"kind": "a"}, "nll")


def test_seeds_are_paired():
    found = difference(Numbers({"0": 1.0, "1": 5.0, "2": 3.0}), Numbers({"0": 2.0, "1": 7.0, "9": 0.0}), 0.9)
    half = stats.t.ppf(0.95, 1) * 0.5
    assert found == Effect(-1.5, pytest.approx(-1.5 - half), pytest.approx(-1.5 + half))


def test_one_shared_seed_has_no_interval_and_none_compares_the_means():
    assert difference(Numbers({"0": 1.0}), Numbers({"0": 3.0}), 0.95) == Effect(-2.0)
    assert difference(Numbers({"0": 1.0}), Numbers({"all": 3.0, "b": 5.0}), 0.95) == Effect(-3.0)


def test_over_images_the_errors_add_up():
    found = difference(Numbers({"0": 1.0}, 0.3), Numbers({"0": 2.0}, 0.4), 0.95)
    assert found == Effect(-1.0, pytest.approx(-1 - 1.959964 * 0.5), pytest.approx(-1 + 1.959964 * 0.5))


def test_a_number_has_its_own_interval_over_seeds_or_images():
    assert itself(Numbers({"0": 1.0}), 0.95) == Effect(1.0)
    assert itself(Numbers({"0": 1.0}, 0.5), 0.95).high == pytest.approx(1 + 1.959964 * 0.5)
    half = stats.t.ppf(0.975, 1) * 1.0
    assert itself(Numbers({"0": 1.0, "1": 3.0}), 0.95) == Effect(2.0, pytest.approx(2 - half), pytest.approx(2 + half))


def test_a_higher_level_is_a_wider_interval():
    narrow, wide = (interval(0.0, 1.0, 4, level) for level in (0.9, 0.99))
    assert wide.low < narrow.low < 0 < narrow.high < wide.high
    assert interval(1.0, None, 4, 0.9) == Effect(1.0)


def test_effects_turn_and_move():
    assert Effect(1.0, 0.5, 2.0).turned() == Effect(-1.0, -2.0, -0.5)
    assert Effect(1.0).turned() == Effect(-1.0)
    assert Effect(1.0, 0.5, 2.0).moved(0.5) == Effect(0.5, 0.0, 1.5)
