# Datasets as memory maps of uint8, split without leaks; sources come from the user's cache.


rule data_prepare:
    input:
        unpack(job_inputs("data.prepare")),
    output:
        job_outputs("data.prepare"),
    log:
        beside("data", "log.txt"),
    benchmark:
        beside("data", "benchmark.tsv")
    wildcard_constraints:
        variant=variants("data.prepare"),
    threads: 1
    resources:
        mem_mb=4000,
        runtime=120,
        gpu=0,
    shell:
        "python -m twostage.data.prepare --config {input.config} --log {log}"


# Maps made from the images of a dataset that has none of their kind.


rule data_annotate:
    input:
        unpack(job_inputs("data.annotate")),
    output:
        job_outputs("data.annotate"),
    log:
        beside("data", "log.txt"),
    benchmark:
        beside("data", "benchmark.tsv")
    wildcard_constraints:
        variant=variants("data.annotate"),
    threads: 1
    resources:
        mem_mb=4000,
        runtime=1440,
        gpu=GPUS_PER_JOB,
    shell:
        "python -m twostage.data.annotate --config {input.config} --log {log}"
