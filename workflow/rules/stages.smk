# One rule for every verb of every stage. The plan says what a job reads and writes, NEEDS what it takes of a machine.

# Verb -> memory in MB, minutes at most, GPUs. Whatever is not named here reads numbers and draws.
NEEDS = {
    "weights.convert": (3000, 30, 0),
    "data.prepare": (4000, 120, 0),
    "data.annotate": (4000, 1440, GPUS_PER_JOB),
    "tokenizers.train": (4000, 2880, GPUS_PER_JOB),
    "tokenizers.cluster": (4000, 120, GPUS_PER_JOB),
    "tokenizers.greys": (2000, 30, 0),
    "latents.encode": (3000, 240, GPUS_PER_JOB),
    "latents.crop": (3000, 240, 0),
    "latents.plain": (2000, 30, 0),
    "priors.tune": (3000, 720, GPUS_PER_JOB),
    "priors.pace": (3000, 720, GPUS_PER_JOB),
    "priors.train": (3000, 2880, GPUS_PER_JOB),
    "priors.timed": (3000, 2880, GPUS_PER_JOB),
    "sampling.generate": (4000, 720, GPUS_PER_JOB),
    "sampling.denoise": (4000, 720, GPUS_PER_JOB),
    "sampling.inpaint": (4000, 720, GPUS_PER_JOB),
    "evaluation.reconstruct": (4000, 120, GPUS_PER_JOB),
    "evaluation.features": (4000, 240, GPUS_PER_JOB),
    "evaluation.samples": (6000, 240, GPUS_PER_JOB),
    "evaluation.rfid": (4000, 240, GPUS_PER_JOB),
    "evaluation.likelihood": (4000, 720, GPUS_PER_JOB),
    "evaluation.classifier": (3000, 720, GPUS_PER_JOB),
    "evaluation.conditional": (4000, 120, GPUS_PER_JOB),
    "evaluation.rejection": (4000, 720, GPUS_PER_JOB),
    "evaluation.overfitting": (4000, 720, GPUS_PER_JOB),
    "evaluation.sundae_pixels": (4000, 30, 0),
}
LIGHT = (1000, 10, 0)
# Most jobs wait for these, so they go first.
PRIORITY = {"tokenizers.train": 10, "priors.tune": 5}

for verb, number, files, variants in (
    (verb, number, *kind) for verb in FILES for number, kind in enumerate(kinds(verb))
):
    stage = verb.split(".")[0]
    mem_mb, minutes, gpus = NEEDS.get(verb, LIGHT)

    rule:
        name:
            verb.replace(".", "_") + (f"_{number}" if number else "")
        input:
            unpack(job_inputs(verb)),
        output:
            outputs(verb, files),
        log:
            beside(stage, "log.txt"),
        benchmark:
            beside(stage, "benchmark.tsv")
        wildcard_constraints:
            variant=variants,
        priority: PRIORITY.get(verb, 0)
        threads: 1
        resources:
            mem_mb=mem_mb,
            runtime=minutes,
            gpu=gpus,
        # The shell's line is read when the job runs, and then `verb` is the last of the loop.
        params:
            verb=verb,
        shell:
            "python -m twostage {params.verb} --config {input.config} --log {log}"
