"""How many GPU jobs run beside one another on this machine."""

from typing import Any


def one_job_at_a_time(workflow: Any, gpus_per_job: int) -> None:
    """Keeps other GPU jobs of this machine waiting, unless --resources gpu=N says how many GPUs they share.

    Call it before the first job. In a profile the limit would hold for clusters too: Snakemake then submits one GPU job
    at a time, and cuts what a job of several GPUs asks for down to one.
    """
    if workflow.local_exec:
        for resources in (workflow.scheduler.global_resources, workflow.scheduler.resources):
            resources.setdefault("gpu", max(1, gpus_per_job))
