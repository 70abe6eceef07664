"""The shell's line of a job, and what a job of several processes needs."""


def line(num_processes: int, in_storage: bool = False) -> str:
    """How Snakemake starts a job: as one process, or as several of torchrun, which talk over a port of their own.

    `in_storage`: a storage keeps the job's inputs, and the config is none of them (`PlannedRules.parameters`).
    """
    config = "{params.config}" if in_storage else "{input.config}"
    job = f"twostage {{params.verb}} --config {config} --log {{log}}"
    if num_processes > 1:
        # Without --, torchrun takes --log for one of its own options.
        return f"torchrun --standalone --nproc-per-node={num_processes} -m -- {job}"
    return f"python -m {job}"


def num_processes(spread: bool, gpus_per_job: int) -> int:
    """One for each GPU, if a verb can be spread over several."""
    return max(gpus_per_job, 1) if spread else 1


def num_gpus(gpu: bool, spread: bool, gpus_per_job: int) -> int:
    """GPUs of one job: none at a scale without them."""
    return min(num_processes(spread, gpus_per_job), gpus_per_job) if gpu else 0
