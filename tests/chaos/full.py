"""Runs one job of a finished clone again into a disk that is too small, and then into one that is not."""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from tests.chaos.compare import differences, files
from tests.chaos.disks import enlarge, small_disk
from tests.clone import Clone
from twostage.runtime.job import Job

PAGE_BYTES = 4096
# As Snakemake gives a job one thread: more add in another order.
ONE_THREAD = [f"{library}_NUM_THREADS=1" for library in ("OMP", "MKL", "OPENBLAS", "NUMEXPR", "GOTO")]


def jobs_to_try(clone: Clone) -> list[Job]:
    """All jobs whose files and whose inputs' files lie in the clone."""
    plan = clone.ask(
        "python", "-c",
        "import json; from dataclasses import asdict; from twostage.planning.whole import whole_plan; "
        "print(json.dumps([asdict(job) for job in whole_plan('smoke').jobs.values()]))",
    )  # fmt: skip
    jobs = {job.out: job for job in (Job(**values) for values in json.loads(plan.splitlines()[-1]))}
    return [
        job
        for job in jobs.values()
        if all(
            (clone.folder / one.out / file).exists()
            for one in [job, *(jobs[out] for out in job.inputs.values())]
            for file in one.files
        )
    ]


def first_of_each(jobs: list[Job], name: Callable[[Job], str]) -> list[Job]:
    """The first job of every stage, or whatever the name says."""
    return list({name(job): job for job in reversed(jobs)}.values())


def into_a_full_disk(clone: Clone, job: Job, disk: Path, share: float) -> None:
    """Asserts that a job ends in one line where the disk holds only a share of what it writes, that nothing lies
    there half-written, and that with more room it makes what was made before.
    """
    made = clone.folder / job.out
    num_bytes = sum(path.stat().st_size for path in made.iterdir())
    with small_disk(disk, max(PAGE_BYTES, math.floor(share * num_bytes))):
        moved = replace(job, out=str(disk / job.variant))
        config = clone.folder / "build/full.json"
        config.write_text(json.dumps(asdict(moved)))
        command = ("env", *ONE_THREAD, "python", "-m", "twostage", job.name, "--config", str(config))
        result = clone.run(*command, "--log", f"{moved.out}/log.txt")
        errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
        assert (result.returncode, len(errors)) == (1, 1), f"{job.out}: {result.stderr}"
        assert "full" in errors[0], errors
        assert "Traceback" not in result.stderr, f"{job.out}: {result.stderr}"
        left = files(Path(moved.out))
        assert not [line for line in differences(made, Path(moved.out)) if line.split(":")[0] in left], job.out
        enlarge(disk, 2 * num_bytes + 1_000_000)
        clone.ask(*command, "--log", f"{moved.out}/log.txt")
        # Its record tells of another run, maybe of another commit.
        changed = [line for line in differences(made, Path(moved.out)) if not line.startswith("provenance.json:")]
        assert not changed, changed
