import pathlib

import pytest

from twostage import configs

SCALES = ["smoke", "laptop", "workstation", "paper"]


def stage(plan, name):
    """The jobs of one verb in a plan, by their variants."""
    return {job.variant: job for job in plan.jobs.values() if f"{job.stage}.{job.verb}" == name}


@pytest.fixture
def repository_conf(monkeypatch):
    """Configs are read from the repository, wherever the tests run."""
    monkeypatch.setattr(configs, "CONF", pathlib.Path(__file__).parents[2] / "conf")
