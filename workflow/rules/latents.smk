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
    threads: 1
    resources:
        mem_mb=3000,
        runtime=240,
        gpu=GPUS_PER_JOB,
    shell:
        "python -m twostage.latents.encode --config {input.config} --log {log}"
