"""A disk that is full while a job writes: every stage, on what `dvc repro` made."""

import pytest

from tests.chaos.disks import require_mounts
from tests.chaos.full import first_of_each, into_a_full_disk, jobs_to_try

from .conftest import GROUP


@pytest.mark.chaos
@GROUP
def test_every_stage_ends_in_one_line_and_runs_whole_once_there_is_space(reproduced, tmp_path):
    require_mounts()
    jobs = first_of_each(jobs_to_try(reproduced), lambda job: job.stage)
    assert len(jobs) == 8
    for job in jobs:
        into_a_full_disk(reproduced, job, tmp_path / job.stage, share=0.5)


@pytest.mark.chaos
@GROUP
def test_every_verb_ends_in_one_line_and_runs_whole_once_there_is_space(reproduced, tmp_path):
    # What priors.timed trains is as long as its clock says: made twice, it differs.
    jobs = [job for job in jobs_to_try(reproduced) if job.verb != "timed"]
    for job in first_of_each(jobs, lambda job: job.name):
        for share in (0.0, 0.5):
            into_a_full_disk(reproduced, job, tmp_path / job.name, share)
