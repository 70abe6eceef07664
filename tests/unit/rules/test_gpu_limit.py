"""GPU jobs of one machine wait for one another, as Snakemake itself schedules them."""

import subprocess
import sys

import pytest

SNAKEFILE = """
import time
from twostage.rules import gpu_limit

onstart:
    gpu_limit.one_job_at_a_time(workflow, {gpus})

rule all:
    input: "a", "b"

rule job:
    output: "{{name}}"
    wildcard_constraints: name="[ab]"
    resources: gpu={gpus}
    shell: "touch {{output}}.begun; sleep 1; printf '%s ' *.begun | wc -w > {{output}}; rm {{output}}.begun"
"""


@pytest.mark.parametrize(
    ("gpus", "arguments", "at_a_time"),
    [(1, [], 1), (2, [], 1), (0, [], 2), (1, ["--resources", "gpu=2"], 2), (2, ["--resources", "gpu=4"], 2)],
)
def test_as_many_jobs_run_as_have_gpus(tmp_path, gpus, arguments, at_a_time):
    (tmp_path / "Snakefile").write_text(SNAKEFILE.format(gpus=gpus))
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert max(int((tmp_path / name).read_text()) for name in "ab") == at_a_time
