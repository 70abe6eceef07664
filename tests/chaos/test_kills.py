"""SIGKILL at random moments: what is resumed is what nobody disturbed."""

import os
import subprocess

import pytest

from tests.chaos.kills import Report, disturb
from tests.clone import ROOT, Clone

# Every stage: Table 1, and samples that a classifier judges.
LONG = "results/table1.csv results/rejection.csv"


@pytest.fixture
def clones(tmp_path):
    """Of one commit, which every record names."""
    (tmp_path / "undisturbed").mkdir()
    undisturbed = Clone.of_the_working_tree(tmp_path / "undisturbed")
    return undisturbed, undisturbed.clone(tmp_path / "disturbed")


@pytest.mark.chaos
def test_two_hundred_kills(clones):
    """`make chaos`, which says how many, from which seed and of what; results/chaos/ keeps what they did."""
    kills, seed = int(os.environ.get("KILLS", 200)), int(os.environ.get("SEED", 0))
    targets = os.environ.get("TARGETS", LONG).split()
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for report in disturb(*clones, Report(targets, seed, latest_share=1 / 12), kills):
        report.write(ROOT / "results/chaos", commit.strip())
    assert len(report.kills) == kills
    assert report.differing == []
