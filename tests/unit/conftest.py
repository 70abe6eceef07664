import pathlib
import shutil

import pytest

from twostage.config import composition

ROOT = pathlib.Path(__file__).parents[2]
SCALES = ["smoke", "laptop", "workstation", "paper"]
EXPERIMENTS = sorted(path.stem for path in (ROOT / "conf/experiment").glob("*.yaml"))
# On data that the user brings at every scale.
ON_REQUEST = {"depth", "pose", "layouts_ade20k", "layouts_coco_stuff"}


def stage(plan, name):
    """The jobs of one verb in a plan, by their variants."""
    return {job.variant: job for job in plan.jobs.values() if f"{job.stage}.{job.verb}" == name}


def with_upstream(jobs, folders):
    """The jobs of these folders and all that they rest on, out of `jobs` by their folders."""
    waiting, found = list(folders), {}
    while waiting:
        folder = waiting.pop()
        if folder not in found:
            found[folder] = jobs[folder]
            waiting += jobs[folder].inputs.values()
    return list(found.values())


@pytest.fixture
def repository_conf(monkeypatch):
    """Configs are read from the repository, wherever the tests run."""
    monkeypatch.setattr(composition, "CONF", ROOT / "conf")


@pytest.fixture
def edited_conf(tmp_path, monkeypatch):
    """A copy of conf/ that a test may edit."""
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    monkeypatch.setattr(composition, "CONF", tmp_path / "conf")
    return tmp_path / "conf"
