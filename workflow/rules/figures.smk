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
        variant=variants("figures.tokenizers"),
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
        variant=variants("figures.table1"),
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
        variant=variants("figures.summary"),
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
        gpu=0,
    shell:
        "python -m twostage.figures.summary --config {input.config} --log {log}"


rule figures_orderings:
    input:
        unpack(job_inputs("figures.orderings")),
    output:
        job_outputs("figures.orderings"),
    log:
        beside("figures", "log.txt"),
    benchmark:
        beside("figures", "benchmark.tsv")
    wildcard_constraints:
        variant=variants("figures.orderings"),
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
        gpu=0,
    shell:
        "python -m twostage.figures.orderings --config {input.config} --log {log}"


rule figures_tokenizer_ablation:
    input:
        unpack(job_inputs("figures.tokenizer_ablation")),
    output:
        job_outputs("figures.tokenizer_ablation"),
    log:
        beside("figures", "log.txt"),
    benchmark:
        beside("figures", "benchmark.tsv")
    wildcard_constraints:
        variant=variants("figures.tokenizer_ablation"),
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
        gpu=0,
    shell:
        "python -m twostage.figures.tokenizer_ablation --config {input.config} --log {log}"


rule figures_pixels_vs_latents:
    input:
        unpack(job_inputs("figures.pixels_vs_latents")),
    output:
        job_outputs("figures.pixels_vs_latents"),
    log:
        beside("figures", "log.txt"),
    benchmark:
        beside("figures", "benchmark.tsv")
    wildcard_constraints:
        variant=variants("figures.pixels_vs_latents"),
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
        gpu=0,
    shell:
        "python -m twostage.figures.pixels_vs_latents --config {input.config} --log {log}"


rule figures_f_sweep:
    input:
        unpack(job_inputs("figures.f_sweep")),
    output:
        job_outputs("figures.f_sweep"),
    log:
        beside("figures", "log.txt"),
    benchmark:
        beside("figures", "benchmark.tsv")
    wildcard_constraints:
        variant=variants("figures.f_sweep"),
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
        gpu=0,
    shell:
        "python -m twostage.figures.f_sweep --config {input.config} --log {log}"


# One drawing for all tasks of conditional synthesis.


rule figures_conditional:
    input:
        unpack(job_inputs("figures.conditional")),
    output:
        job_outputs("figures.conditional"),
    log:
        beside("figures", "log.txt"),
    benchmark:
        beside("figures", "benchmark.tsv")
    wildcard_constraints:
        variant=variants("figures.conditional"),
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
        gpu=0,
    shell:
        "python -m twostage.figures.conditional --config {input.config} --log {log}"


# Table 4 and the study of overfitting.


rule figures_rejection:
    input:
        unpack(job_inputs("figures.rejection")),
    output:
        job_outputs("figures.rejection"),
    log:
        beside("figures", "log.txt"),
    benchmark:
        beside("figures", "benchmark.tsv")
    wildcard_constraints:
        variant=variants("figures.rejection"),
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
        gpu=0,
    shell:
        "python -m twostage.figures.rejection --config {input.config} --log {log}"


rule figures_overfitting:
    input:
        unpack(job_inputs("figures.overfitting")),
    output:
        job_outputs("figures.overfitting"),
    log:
        beside("figures", "log.txt"),
    benchmark:
        beside("figures", "benchmark.tsv")
    wildcard_constraints:
        variant=variants("figures.overfitting"),
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
        gpu=0,
    shell:
        "python -m twostage.figures.overfitting --config {input.config} --log {log}"


rule figures_sundae_vs_autoregressive:
    input:
        unpack(job_inputs("figures.sundae_vs_autoregressive")),
    output:
        job_outputs("figures.sundae_vs_autoregressive"),
    log:
        beside("figures", "log.txt"),
    benchmark:
        beside("figures", "benchmark.tsv")
    wildcard_constraints:
        variant=variants("figures.sundae_vs_autoregressive"),
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
        gpu=0,
    shell:
        "python -m twostage.figures.sundae_vs_autoregressive --config {input.config} --log {log}"


rule figures_sundae_chains:
    input:
        unpack(job_inputs("figures.sundae_chains")),
    output:
        job_outputs("figures.sundae_chains"),
    log:
        beside("figures", "log.txt"),
    benchmark:
        beside("figures", "benchmark.tsv")
    wildcard_constraints:
        variant=variants("figures.sundae_chains"),
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
        gpu=0,
    shell:
        "python -m twostage.figures.sundae_chains --config {input.config} --log {log}"


rule figures_hourglass:
    input:
        unpack(job_inputs("figures.hourglass")),
    output:
        job_outputs("figures.hourglass"),
    log:
        beside("figures", "log.txt"),
    benchmark:
        beside("figures", "benchmark.tsv")
    wildcard_constraints:
        variant=variants("figures.hourglass"),
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
        gpu=0,
    shell:
        "python -m twostage.figures.hourglass --config {input.config} --log {log}"


rule figures_sundae_inpainting:
    input:
        unpack(job_inputs("figures.sundae_inpainting")),
    output:
        job_outputs("figures.sundae_inpainting"),
    log:
        beside("figures", "log.txt"),
    benchmark:
        beside("figures", "benchmark.tsv")
    wildcard_constraints:
        variant=variants("figures.sundae_inpainting"),
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
        gpu=0,
    shell:
        "python -m twostage.figures.sundae_inpainting --config {input.config} --log {log}"


rule figures_sundae_pixels:
    input:
        unpack(job_inputs("figures.sundae_pixels")),
    output:
        job_outputs("figures.sundae_pixels"),
    log:
        beside("figures", "log.txt"),
    benchmark:
        beside("figures", "benchmark.tsv")
    wildcard_constraints:
        variant=variants("figures.sundae_pixels"),
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
        gpu=0,
    shell:
        "python -m twostage.figures.sundae_pixels --config {input.config} --log {log}"
