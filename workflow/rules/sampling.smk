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
    wildcard_constraints:
        variant=variants("sampling.generate"),
    threads: 1
    resources:
        mem_mb=4000,
        runtime=720,
        gpu=GPUS_PER_JOB,
    shell:
        "python -m twostage.sampling.generate --config {input.config} --log {log}"


# Images drawn from SUNDAE priors, all tokens at once.


rule sampling_denoise:
    input:
        unpack(job_inputs("sampling.denoise")),
    output:
        job_outputs("sampling.denoise"),
    log:
        beside("sampling", "log.txt"),
    benchmark:
        beside("sampling", "benchmark.tsv")
    wildcard_constraints:
        variant=variants("sampling.denoise"),
    threads: 1
    resources:
        mem_mb=4000,
        runtime=720,
        gpu=GPUS_PER_JOB,
    shell:
        "python -m twostage.sampling.denoise --config {input.config} --log {log}"


# Parts of held-out images drawn anew by SUNDAE priors.


rule sampling_inpaint:
    input:
        unpack(job_inputs("sampling.inpaint")),
    output:
        job_outputs("sampling.inpaint"),
    log:
        beside("sampling", "log.txt"),
    benchmark:
        beside("sampling", "benchmark.tsv")
    wildcard_constraints:
        variant=variants("sampling.inpaint"),
    threads: 1
    resources:
        mem_mb=4000,
        runtime=720,
        gpu=GPUS_PER_JOB,
    shell:
        "python -m twostage.sampling.inpaint --config {input.config} --log {log}"
