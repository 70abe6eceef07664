# Tables and figures, drawn from stored numbers alone.


rule figures_tokenizers:
    input:
        unpack(job_inputs("figures.tokenizers")),
    output:
        job_outputs("figures.tokenizers"),
    log:
        beside("figures", "log.txt"),
    benchmark:
        beside("figures", "benchmark.tsv")
    wildcard_constraints:
        variant=r"tokenizers",
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
        gpu=0,
    shell:
        "python -m twostage.figures.tokenizers --config {input.config} --log {log}"


rule figures_table1:
    input:
        unpack(job_inputs("figures.table1")),
    output:
        job_outputs("figures.table1"),
    log:
        beside("figures", "log.txt"),
    benchmark:
        beside("figures", "benchmark.tsv")
    wildcard_constraints:
        variant=r"table1",
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
        gpu=0,
    shell:
        "python -m twostage.figures.table1 --config {input.config} --log {log}"


rule figures_summary:
    input:
        unpack(job_inputs("figures.summary")),
    output:
        job_outputs("figures.summary"),
    log:
        beside("figures", "log.txt"),
    benchmark:
        beside("figures", "benchmark.tsv")
    wildcard_constraints:
        variant=r"summary",
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
        gpu=0,
    shell:
        "python -m twostage.figures.summary --config {input.config} --log {log}"


rule figures_provenance:
    input:
        unpack(job_inputs("figures.provenance")),
    output:
        job_outputs("figures.provenance"),
    log:
        beside("figures", "log.txt"),
    benchmark:
        beside("figures", "benchmark.tsv")
    wildcard_constraints:
        variant=r".+\.provenance",
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
        gpu=0,
    shell:
        "python -m twostage.figures.provenance --config {input.config} --log {log}"
