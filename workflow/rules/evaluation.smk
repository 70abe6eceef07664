# Reconstruction quality of tokenizers.


rule evaluation_reconstruct:
    input:
        unpack(job_inputs("evaluation.reconstruct")),
    output:
        job_outputs("evaluation.reconstruct"),
    log:
        beside("evaluation", "log.txt"),
    benchmark:
        beside("evaluation", "benchmark.tsv")
    wildcard_constraints:
        variant=variants("evaluation.reconstruct"),
    threads: 1
    resources:
        mem_mb=4000,
        runtime=120,
        gpu=GPUS_PER_JOB,
    shell:
        "python -m twostage.evaluation.reconstruct --config {input.config} --log {log}"


# Rows of Table 1 out of the priors' learning curves.


rule evaluation_compare:
    input:
        unpack(job_inputs("evaluation.compare")),
    output:
        job_outputs("evaluation.compare"),
    log:
        beside("evaluation", "log.txt"),
    benchmark:
        beside("evaluation", "benchmark.tsv")
    wildcard_constraints:
        variant=variants("evaluation.compare"),
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
        gpu=0,
    shell:
        "python -m twostage.evaluation.compare --config {input.config} --log {log}"


# The ordering ablation out of the priors' learning curves.


rule evaluation_orderings:
    input:
        unpack(job_inputs("evaluation.orderings")),
    output:
        job_outputs("evaluation.orderings"),
    log:
        beside("evaluation", "log.txt"),
    benchmark:
        beside("evaluation", "benchmark.tsv")
    wildcard_constraints:
        variant=variants("evaluation.orderings"),
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
        gpu=0,
    shell:
        "python -m twostage.evaluation.orderings --config {input.config} --log {log}"
