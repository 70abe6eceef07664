"""How Snakemake starts a job at a scale with several GPUs for each."""

import pytest

from twostage.planning.verbs import VERBS
from twostage.rules.line import line, num_gpus, num_processes

ALONE = "python -m twostage {params.verb} --config {input.config} --log {log}"


@pytest.mark.parametrize(
    ("verb", "gpus_per_job", "begins", "gpus"),
    [
        ("priors.train", 0, "python -m", 0),
        ("priors.train", 1, "python -m", 1),
        ("priors.train", 4, "torchrun --standalone --nproc-per-node=4 -m --", 4),
        ("tokenizers.train", 2, "torchrun --standalone --nproc-per-node=2 -m --", 2),
        # Times of steps are compared, so both priors step on one device.
        ("priors.pace", 4, "python -m", 1),
        ("data.prepare", 4, "python -m", 0),
    ],
)
def test_a_job_of_several_gpus_is_started_by_torchrun(verb, gpus_per_job, begins, gpus):
    row = VERBS[verb]
    number = num_processes(row.spread, gpus_per_job)
    assert line(number).startswith(begins)
    assert line(number).endswith(ALONE.removeprefix("python -m"))
    assert num_gpus(row.gpu, row.spread, gpus_per_job) == gpus


def test_the_line_of_one_process_is_what_finished_jobs_were_started_by():
    """Another text would run every job again."""
    assert line(1) == ALONE


@pytest.mark.parametrize("number", [1, 2])
def test_under_a_storage_the_config_is_no_input(number):
    assert line(number, in_storage=True) == line(number).replace("{input.config}", "{params.config}")
