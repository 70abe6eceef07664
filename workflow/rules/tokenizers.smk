# Stage 1: VQGAN and the tokenizers of condition maps.


rule tokenizers_train:
    input:
        unpack(job_inputs("tokenizers.train")),
    output:
        job_outputs("tokenizers.train"),
    log:
        beside("tokenizers", "log.txt"),
    benchmark:
        beside("tokenizers", "benchmark.tsv")
    wildcard_constraints:
        variant=variants("tokenizers.train"),
    priority: 10
    threads: 1
    resources:
        mem_mb=4000,
        runtime=2880,
        gpu=GPUS_PER_JOB,
    shell:
        "python -m twostage.tokenizers.train --config {input.config} --log {log}"


# Pixels as tokens: a palette by k-means.


rule tokenizers_cluster:
    input:
        unpack(job_inputs("tokenizers.cluster")),
    output:
        job_outputs("tokenizers.cluster"),
    log:
        beside("tokenizers", "log.txt"),
    benchmark:
        beside("tokenizers", "benchmark.tsv")
    wildcard_constraints:
        variant=variants("tokenizers.cluster"),
    threads: 1
    resources:
        mem_mb=4000,
        runtime=120,
        gpu=GPUS_PER_JOB,
    shell:
        "python -m twostage.tokenizers.cluster --config {input.config} --log {log}"


# Grey pixels as tokens: nothing is learned.


rule tokenizers_greys:
    input:
        unpack(job_inputs("tokenizers.greys")),
    output:
        job_outputs("tokenizers.greys"),
    log:
        beside("tokenizers", "log.txt"),
    benchmark:
        beside("tokenizers", "benchmark.tsv")
    wildcard_constraints:
        variant=variants("tokenizers.greys"),
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
        gpu=0,
    shell:
        "python -m twostage.tokenizers.greys --config {input.config} --log {log}"
