"""Clones in temporary folders, with edits allowed: of the working tree, and of what `dvc repro` made of it."""

import os
import re
import shutil
import tempfile
from pathlib import Path

import pytest
from filelock import FileLock

from tests.clone import Clone

# Studies that another one stands for here, as it takes the same verbs the same way: seven minutes of 25. All of them
# with `WHOLE=1 make test`; dry runs plan all of them at every scale.
LEFT_OUT = () if os.environ.get("WHOLE") else (
    "edges_sundae", "completion", "layouts", "f_sweep_conditional", "sundae_proportion", "sundae_temperature",
    "hourglass_rotary",
)  # fmt: skip

# Tests of one group run one after the other, in one worker, by `pytest --dist loadgroup`.
GROUP = pytest.mark.xdist_group("reproduced")


def made_studies(*names):
    """Parameters: studies, of which those that are left out are skipped."""
    return [
        pytest.param(*each, marks=pytest.mark.skipif(each[0] in LEFT_OUT, reason="with WHOLE=1"))
        for each in ((name,) if isinstance(name, str) else name for name in names)
    ]


def rules_of(plan):
    """Names of the rules in a plan or in the output of a run: one for a verb, which has several where files differ."""
    return {re.sub(r"_\d+$", "", name) for name in re.findall(r"^(?:local)?rule (\w+):", plan, flags=re.MULTILINE)}


def variants_of(plan):
    return set(re.findall(r"variant=([^\s,]+)", plan))


@pytest.fixture(scope="session")
def neighbours(tmp_path_factory):
    """The folder that the clones of all workers share, and with them the storage that lies beside a clone."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def new_clone(neighbours):
    return lambda: Clone.of_the_working_tree(Path(tempfile.mkdtemp(prefix="clone", dir=neighbours)))


def leave_out(clone):
    """Makes LEFT_OUT studies that only their own targets ask for."""
    for name in LEFT_OUT:
        with open(clone.folder / f"conf/study/{name}.yaml", "a") as file:
            file.write("on_request: true\n")
    clone.ask("git", "commit", "--quiet", "--all", "--amend", "--no-edit")


@pytest.fixture(scope="session")
def made(neighbours):
    """A clone in which `dvc repro` made all studies but LEFT_OUT, from nothing; committed, and pushed to the default
    remote.

    The first worker that asks makes it for all, who may copy it.
    """
    folder, finished = neighbours / "made", neighbours / "made.finished"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            folder.mkdir()
            clone = Clone.of_the_working_tree(folder)
            leave_out(clone)
            clone.ask("dvc", "repro")
            clone.commit("What dvc repro made")
            clone.ask("dvc", "push")
            shutil.copytree(folder, neighbours / "copied", symlinks=True)
            finished.touch()
    assert finished.exists(), "what `dvc repro` makes is not there: it failed in the other worker, which says why"
    return Clone(folder)


@pytest.fixture(scope="session")
def copied(made, neighbours):
    """A copy of that clone as it was made, for tests that run beside those of `reproduced`."""
    return Clone(neighbours / "copied")


@pytest.fixture
def reproduced(made):
    """That clone to work in: one test at a time, whoever runs it. With GROUP, no worker waits for another."""
    with FileLock(f"{made.folder}.busy"):
        yield made
