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
    threads: 1
    resources:
        mem_mb=4000,
        runtime=120,
        gpu=0,
    shell:
        "python -m twostage.data.prepare --config {input.config} --log {log}"
