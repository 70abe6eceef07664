# Index grids of a dataset under a tokenizer.


rule latents_encode:
    input:
        unpack(job_inputs("latents.encode")),
    output:
        job_outputs("latents.encode"),
    log:
        beside("latents", "log.txt"),
    benchmark:
        beside("latents", "benchmark.tsv")
    wildcard_constraints:
        variant=variants("latents.encode"),
    threads: 1
    resources:
        mem_mb=3000,
        runtime=240,
        gpu=GPUS_PER_JOB,
    shell:
        "python -m twostage.latents.encode --config {input.config} --log {log}"


# Windows out of whole index grids, for priors that see no more.


rule latents_crop:
    input:
        unpack(job_inputs("latents.crop")),
    output:
        job_outputs("latents.crop"),
    log:
        beside("latents", "log.txt"),
    benchmark:
        beside("latents", "benchmark.tsv")
    wildcard_constraints:
        variant=variants("latents.crop"),
    threads: 1
    resources:
        mem_mb=3000,
        runtime=240,
        gpu=0,
    shell:
        "python -m twostage.latents.crop --config {input.config} --log {log}"


# The classes of images, for priors that are given one.


rule latents_classes:
    input:
        unpack(job_inputs("latents.classes")),
    output:
        job_outputs("latents.classes"),
    log:
        beside("latents", "log.txt"),
    benchmark:
        beside("latents", "benchmark.tsv")
    wildcard_constraints:
        variant=variants("latents.classes"),
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
        gpu=0,
    shell:
        "python -m twostage.latents.classes --config {input.config} --log {log}"
