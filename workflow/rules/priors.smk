# Stage 2: the learning-rate sweep of an architecture, on a held-out part of the training split.


rule priors_tune:
    input:
        unpack(job_inputs("priors.tune")),
    output:
        job_outputs("priors.tune"),
    log:
        beside("priors", "log.txt"),
    benchmark:
        beside("priors", "benchmark.tsv")
    wildcard_constraints:
        variant=variants("priors.tune"),
    priority: 5
    threads: 1
    resources:
        mem_mb=3000,
        runtime=720,
        gpu=GPUS_PER_JOB,
    shell:
        "python -m twostage.priors.tune --config {input.config} --log {log}"


# Stage 2: what a step of one prior costs in steps of another.


rule priors_pace:
    input:
        unpack(job_inputs("priors.pace")),
    output:
        job_outputs("priors.pace"),
    log:
        beside("priors", "log.txt"),
    benchmark:
        beside("priors", "benchmark.tsv")
    wildcard_constraints:
        variant=variants("priors.pace"),
    threads: 1
    resources:
        mem_mb=3000,
        runtime=720,
        gpu=GPUS_PER_JOB,
    shell:
        "python -m twostage.priors.pace --config {input.config} --log {log}"


# Stage 2: GPT and PixelSNAIL.


rule priors_train:
    input:
        unpack(job_inputs("priors.train")),
    output:
        job_outputs("priors.train"),
    log:
        beside("priors", "log.txt"),
    benchmark:
        beside("priors", "benchmark.tsv")
    wildcard_constraints:
        variant=variants("priors.train"),
    threads: 1
    resources:
        mem_mb=3000,
        runtime=2880,
        gpu=GPUS_PER_JOB,
    shell:
        "python -m twostage.priors.train --config {input.config} --log {log}"


# Stage 2: a prior that trains for as long as another one.


rule priors_timed:
    input:
        unpack(job_inputs("priors.timed")),
    output:
        job_outputs("priors.timed"),
    log:
        beside("priors", "log.txt"),
    benchmark:
        beside("priors", "benchmark.tsv")
    wildcard_constraints:
        variant=variants("priors.timed"),
    threads: 1
    resources:
        mem_mb=3000,
        runtime=2880,
        gpu=GPUS_PER_JOB,
    shell:
        "python -m twostage.priors.timed --config {input.config} --log {log}"
