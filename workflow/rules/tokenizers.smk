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
    priority: 10
    threads: 1
    resources:
        mem_mb=4000,
        runtime=2880,
        gpu=GPUS_PER_JOB,
    shell:
        "python -m twostage.tokenizers.train --config {input.config} --log {log}"
