import pathlib
import shutil
import sys

import pytest

from twostage.config import composition
from twostage.planning import whole
from twostage.runtime.fingerprint import NOT_COUNTED

ROOT = pathlib.Path(__file__).parents[2]
SCALES = ["smoke", "laptop", "night", "workstation", "paper"]
STUDIES = sorted(path.stem for path in (ROOT / "conf/study").glob("[!_]*.yaml"))
# On data that the user brings at every scale, or more than `all` has time for.
ON_REQUEST = {
    "adversarial_phase",
    "depth",
    "pose",
    "layouts_ade20k",
    "layouts_coco_stuff",
    "codebook_size_priors",
    "class_conditional_sundae",
    "completion_pixels",
    "crossing",
    "gpt_dropout",
    "discriminator",
    "f_sweep_coordinates",
    "discriminator_search",
    "first_stage",
    "hourglass_capacity",
    "orderings_quality",
    "sundae_annealing",
    "sundae_freezing",
    "sundae_steps_celeba",
    "sundae_unrolls",
    "tokenizers_1024",
    "warmup",
}


def rows_of_table1(scale):
    """How many rows Table 1 has: at scale night those that one night can make."""
    return 2 if scale == "night" else 5


def stage(plan, name):
    """The jobs of one verb in a plan, by their variants."""
    return {job.variant: job for job in plan.jobs.values() if job.name == name}


def with_upstream(jobs, folders):
    """The jobs of these folders and all that they rest on, out of `jobs` by their folders."""
    waiting, found = list(folders), {}
    while waiting:
        folder = waiting.pop()
        if folder not in found:
            found[folder] = jobs[folder]
            waiting += jobs[folder].inputs.values()
    return list(found.values())


def executed(work, *arguments):
    """Symbols of the package whose functions run while `work` does, as fingerprints name them: "priors.gpt:GPT".

    Without what runs inside of code that is never counted, such as a job's own paths.
    """
    found, hidden = set(), []

    def watch(frame, event, _):
        module, code = frame.f_globals.get("__name__", ""), frame.f_code
        if event == "return" and hidden and hidden[-1] is frame:
            hidden.pop()
        if event != "call" or hidden or not module.startswith("twostage."):
            return
        if NOT_COUNTED.fullmatch(module):
            hidden.append(frame)
        # What dataclasses write by themselves, and the tops of modules, have no symbol.
        elif code.co_filename.endswith(".py") and not code.co_qualname.startswith("<"):
            found.add(f"{module.removeprefix('twostage.')}:{code.co_qualname.partition('.')[0]}")

    sys.setprofile(watch)
    try:
        work(*arguments)
    finally:
        sys.setprofile(None)
    return found


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


@pytest.fixture
def few_studies(edited_conf, monkeypatch):
    """That copy with five studies, as to plan all of them takes seconds."""
    monkeypatch.setattr(whole, "DESIGNS", {"table1": whole.DESIGNS["table1"]})
    for path in (edited_conf / "study").glob("[!_]*.yaml"):
        if path.stem not in ("edges", "edges_sundae", "gpt_dropout", "orderings", "table1"):
            path.unlink()
    return edited_conf
