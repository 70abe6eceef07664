"""What a clock decided is no difference, wherever it stands; everything else is one."""

import pytest

from tests.chaos.compare import differences
from twostage.runtime.artifacts import write_csv, write_json

SEED = {"transformer_steps": 3.78, "transformer_time": 3.9, "gpt_seconds_per_step": 0.1}


@pytest.fixture
def two(tmp_path):
    for name in ("one", "other"):
        write_json(tmp_path / name / "metrics.json", {"per_seed": [SEED], "fid": 30.5})
        write_csv(tmp_path / name / "table1.csv", [{"nll": 3.78, "difference_steps_p_holm": 0.29}])
    return tmp_path / "one", tmp_path / "other"


def test_equal_trees_have_no_difference(two):
    assert differences(*two) == []


@pytest.mark.parametrize("key", ["transformer_time", "gpt_seconds_per_step"])
def test_measured_time_is_left_out_in_lists_too(two, key):
    write_json(two[1] / "metrics.json", {"per_seed": [SEED | {key: 7.0}], "fid": 30.5})
    assert differences(*two) == []


def test_what_is_corrected_together_with_measured_time_is_left_out(two):
    write_csv(two[1] / "table1.csv", [{"nll": 3.78, "difference_steps_p_holm": 0.31}])
    assert differences(*two) == []


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"per_seed": [SEED | {"transformer_steps": 3.79}], "fid": 30.5},
         "metrics.json: .per_seed.0.transformer_steps: 3.78 and 3.79"),
        ({"per_seed": [SEED, SEED], "fid": 30.5}, "metrics.json: .per_seed: "),
        ({"per_seed": [SEED]}, "metrics.json: .fid: in one alone"),
    ],
)  # fmt: skip
def test_another_number_is_a_difference(two, changed, line):
    write_json(two[1] / "metrics.json", changed)
    (found,) = differences(*two)
    assert found.startswith(line)


def test_another_cell_and_another_file_are_differences(two):
    write_csv(two[1] / "table1.csv", [{"nll": 3.79, "difference_steps_p_holm": 0.29}])
    write_json(two[0] / "more.json", {})
    assert [line.partition(":")[0] for line in differences(*two)] == ["more.json", "table1.csv"]
