"""A small run that is killed, finds its disk full, or lives under a clock that was set back."""

import os
import time

import pytest

from tests.chaos.full import into_a_full_disk, jobs_to_try
from tests.chaos.kills import Kill, Report, disturb, in_vain, snakemake
from tests.clone import Clone

# A tokenizer and its data.
VARIANTS = {"data": "cifar10_animals", "tokenizers": "cifar10_animals.edges_f4"}
TARGET = "artifacts/smoke/tokenizers/cifar10_animals.edges_f4/metrics.json"
DAY_SECONDS = 24 * 3600


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A clone in which the target was made, and the seconds that this took."""
    clone = Clone.of_the_working_tree(tmp_path_factory.mktemp("undisturbed"))
    start = time.monotonic()
    clone.ask(*snakemake([TARGET]))
    return clone, time.monotonic() - start


def test_what_is_killed_and_resumed_is_what_nobody_disturbed(made, tmp_path):
    """Of one commit, which every record names."""
    undisturbed, seconds = made
    report = Report([TARGET], seed=0, latest_share=0.7, seconds_undisturbed=seconds)
    # On a machine that has got faster since, a run may end before it was killed three times.
    *_, report = disturb(undisturbed, undisturbed.clone(tmp_path / "disturbed"), report, kills=3)
    assert len(report.kills) == 3
    # A run that outlives a kill meets the next one.
    assert 1 <= report.resumes - report.refusals <= 3
    assert report.compared_files > 12
    assert report.differing == []


@pytest.mark.parametrize(
    ("finished", "number"),
    [([], 0), ([(1, 3)], 0), ([(1, 3), (1, 4)], 0), ([(1, 4), (1, 4), (1, 4)], 2), ([(1, 4), (1, 4), (2, 4)], 0)],
)
def test_kills_in_vain_are_those_between_which_no_job_was_finished(finished, number):
    assert in_vain([Kill(1, run, "job", 0.0, "", jobs) for run, jobs in finished]) == number


@pytest.mark.parametrize("share", [0.0, 0.6])
@pytest.mark.parametrize("stage", VARIANTS)
def test_a_full_disk_is_one_line_and_the_next_run_is_whole(made, tmp_path, stage, share):
    clone, _ = made
    (job,) = (job for job in jobs_to_try(clone) if (job.stage, job.variant) == (stage, VARIANTS[stage]))
    into_a_full_disk(clone, job, tmp_path / "disk", share)


@pytest.mark.parametrize("days", [-400, 400])
def test_times_of_another_clock_make_nothing_again(made, days):
    """Outputs older than what they were made from, as after the clock was set back, or of a time to come."""
    clone, _ = made
    folder = clone.folder / "artifacts/smoke/tokenizers" / VARIANTS["tokenizers"]
    for path in folder.iterdir():
        os.utime(path, (time.time() + days * DAY_SECONDS,) * 2)
    assert "Nothing to be done" in clone.dry_run(TARGET)


def test_a_change_with_an_old_time_is_seen(made):
    """Under a clock that was set back, an edit is older than what was made before it."""
    clone, _ = made
    path = clone.folder / "src/twostage/tokenizers/train.py"
    before = path.read_text()
    try:
        clone.edit("conf/tokenizers/edges_f4.yaml", "warmup_steps:", "warmup_steps: 7  #")
        os.utime(clone.folder / "conf/tokenizers/edges_f4.yaml", (0, 0))
        assert "tokenizers_train" in clone.dry_run(TARGET)
        clone.edit("conf/tokenizers/edges_f4.yaml", "warmup_steps: 7  #", "warmup_steps:")
        path.write_text(before.replace('"steps": loop.step,', '"steps": loop.step + 0,'))
        os.utime(path, (0, 0))
        assert "tokenizers_train" in clone.dry_run(TARGET)
    finally:
        path.write_text(before)
    assert "Nothing to be done" in clone.dry_run(TARGET)
