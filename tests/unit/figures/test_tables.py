"""Tables: whole numbers stay whole, and settings of a chain read alike in tables and sentences."""

import pandas as pd
import pytest

from twostage.figures.tables import plain, words, write_tables
from twostage.runtime.artifacts import read_csv
from twostage.runtime.job import Job


def test_whole_numbers_stay_whole_where_a_line_lacks_one(tmp_path):
    job = Job("figures", "study", "edges", "smoke", {}, {}, str(tmp_path), ["edges.csv", "edges.md"])
    ours = {"model": "ours", "num_parameters": 609922, "top_k": 50, "fid": 90.12345678, "at_edge": True}
    lines = [ours, {"model": "paper", "top_k": "mixed", "fid": 1e-7}]
    write_tables(job, pd.DataFrame(lines), ([{"": "ours", "FID": "90"}, {"": "paper"}], "Caption."))
    first, second = read_csv(tmp_path / "edges.csv")
    assert first == {"model": "ours", "num_parameters": "609922", "top_k": "50", "fid": "90.123", "at_edge": "True"}
    assert second == {"model": "paper", "num_parameters": "", "top_k": "mixed", "fid": "1e-07", "at_edge": ""}
    assert (tmp_path / "edges.md").read_text().endswith("Caption.\n")


@pytest.mark.parametrize(
    ("value", "cell", "said"),
    [(0.5, 0.5, "0.5"), (1.0, 1.0, "1"), ([0.5, 0.5], 0.5, "0.5"), ([1.0, 0.5], "1.0 to 0.5", "1.0 to 0.5")],
)
def test_a_setting_that_changes_along_the_chain_is_told_by_its_ends(value, cell, said):
    assert (plain(value), words(value)) == (cell, said)
