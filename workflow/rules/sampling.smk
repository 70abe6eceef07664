# Images drawn from priors.


rule sampling_generate:
    input:
        unpack(job_inputs("sampling.generate")),
    output:
        job_outputs("sampling.generate"),
    log:
        beside("sampling", "log.txt"),
    benchmark:
        beside("sampling", "benchmark.tsv")
    threads: 1
    resources:
        mem_mb=4000,
        runtime=720,
        gpu=GPUS_PER_JOB,
    shell:
        "python -m twostage.sampling.generate --config {input.config} --log {log}"
