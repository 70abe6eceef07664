"""Orders of a grid: every token once, undone exactly, and those of the paper's figure."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twostage.config.schema import ORDERINGS
from twostage.errors import TwostageError
from twostage.latents.orderings import ORDERS, inverse, ordering

REFERENCE = json.loads((Path(__file__).parents[2] / "reference/orderings_4x4.json").read_text())["orderings"]
EVERY_GRID = [name for name in ORDERINGS if name != "z_curve"]
SIDE = st.integers(1, 13)
POWER = st.sampled_from([1, 2, 4, 8, 16])


@pytest.mark.parametrize("name", REFERENCE)
def test_on_a_4x4_grid_it_is_that_of_the_paper(name):
    assert ordering(name, 4, 4).tolist() == REFERENCE[name]


def test_every_name_of_the_configs_is_an_order():
    assert {*REFERENCE, "random"} == set(ORDERINGS)
    for name in ORDERINGS:
        assert ordering(name, 8, 8).dtype == np.int64


def assert_an_order(name, height, width):
    order = ordering(name, height, width)
    tokens = np.random.default_rng(0).integers(0, 99, (2, height * width))
    assert sorted(order) == list(range(height * width))
    assert (tokens[:, order][:, inverse(order)] == tokens).all()
    assert (order[inverse(order)] == np.arange(len(order))).all()
    assert order.dtype == inverse(order).dtype == np.int64


@given(st.sampled_from(EVERY_GRID), SIDE, SIDE)
def test_every_token_comes_once_and_finds_its_way_back(name, height, width):
    assert_an_order(name, height, width)


@given(POWER, POWER)
def test_the_z_curve_fills_blocks_one_after_the_other(height, width):
    assert_an_order("z_curve", height, width)
    if min(height, width) >= 2:
        row, column = np.divmod(ordering("z_curve", height, width).reshape(-1, 4), width)
        assert (np.ptp(row, axis=1) == 1).all()
        assert (np.ptp(column, axis=1) == 1).all()


@pytest.mark.parametrize(("height", "width"), [(12, 12), (3, 4), (8, 6)])
def test_a_grid_without_a_z_curve_is_refused_in_one_line(height, width):
    words = rf"orderings\.z_curve needs sides that are powers of two, got {height}x{width}; .*ordering=row_major"
    with pytest.raises(TwostageError, match=words):
        ordering("z_curve", height, width)


@given(st.sampled_from(["spiral_out", "spiral_in", "alternate"]), SIDE, SIDE)
def test_paths_never_leave_for_a_token_that_is_no_neighbour(name, height, width):
    row, column = np.divmod(ordering(name, height, width), width)
    assert (abs(np.diff(row)) + abs(np.diff(column)) == 1).all()


@given(SIDE, SIDE)
def test_spirals_are_each_others_reverse_and_end_at_a_corner(height, width):
    inward = ordering("spiral_in", height, width)
    assert inward[0] == height * width - 1
    assert (inward[::-1] == ordering("spiral_out", height, width)).all()


@given(SIDE, SIDE)
def test_a_prefix_of_subsample_is_the_grid_at_half_the_resolution(height, width):
    order = ordering("subsample", height, width)
    half = np.arange(height * width).reshape(height, width)[::2, ::2]
    assert (order[: half.size] == half.ravel()[ordering("subsample", *half.shape)]).all()


def test_random_is_always_the_same():
    assert (ordering("random", 8, 8) == np.random.default_rng(0).permutation(64)).all()


def test_every_ordering_has_its_word():
    assert set(ORDERS) == set(ORDERINGS)


def test_unknown_names_and_empty_grids_are_refused():
    with pytest.raises(TwostageError, match="ordering spiral is unknown; choose one of"):
        ordering("spiral", 4, 4)
    with pytest.raises(TwostageError, match="at least 1x1, got 0x4"):
        ordering("row_major", 0, 4)
