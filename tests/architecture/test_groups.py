"""What `make test` relies on: tests of one group run in one worker, whichever files they stand in."""

import os
import subprocess
import sys

SUITE = """
import os, pytest

pytestmark = pytest.mark.xdist_group("one")


@pytest.mark.parametrize("number", range(4))
def test_worker(number):
    with open("workers", "a") as file:
        print(os.environ["PYTEST_XDIST_WORKER"], file=file)
"""


def test_the_locked_versions_keep_a_group_in_one_worker(tmp_path):
    for name in ("test_a.py", "test_b.py"):
        (tmp_path / name).write_text(SUITE)
    command = [sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadgroup", "-p", "no:cacheprovider"]
    # Its lines are none of those that this run counts.
    own = {name: value for name, value in os.environ.items() if not name.startswith("SLIPCOVER_")}
    subprocess.run(command, cwd=tmp_path, env=own, check=True, capture_output=True)
    workers = (tmp_path / "workers").read_text().split()
    assert len(workers) == 8
    assert len(set(workers)) == 1
