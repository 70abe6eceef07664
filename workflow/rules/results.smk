# What a reader wants, copied out of the artifacts into results/.
rule results_table1:
    input:
        tables=[
            f"{ARTIFACTS}/figures/table1/table1.{kind}"
            for kind in ("csv", "md", "tex")
        ],
        figures=[
            f"{ARTIFACTS}/figures/table1/table1_curves.{kind}"
            for kind in ("pdf", "png")
        ],
        record=f"{ARTIFACTS}/figures/table1/provenance.json",
        evaluated=evaluated("table1"),
    output:
        "results/table1.csv",
        "results/table1.md",
        "results/table1.tex",
        "results/figures/table1_curves.pdf",
        "results/figures/table1_curves.png",
        record="results/table1.provenance.json",
    log:
        "build/logs/results_table1.txt",
    benchmark:
        "build/logs/results_table1.tsv"
    threads: 1
    resources:
        mem_mb=100,
        runtime=1,
        gpu=0,
    shell:
        "(cp {input.tables} results/ && cp {input.figures} results/figures/ "
        "&& cp {input.record} {output.record}) 2> {log}"


rule results_tokenizers:
    input:
        table=f"{ARTIFACTS}/figures/tokenizers/tokenizers.csv",
        figures=[
            f"{ARTIFACTS}/figures/tokenizers/reconstructions.{kind}"
            for kind in ("pdf", "png")
        ],
        record=f"{ARTIFACTS}/figures/tokenizers/provenance.json",
        evaluated=evaluated("tokenizers"),
    output:
        "results/tokenizers.csv",
        "results/figures/reconstructions.pdf",
        "results/figures/reconstructions.png",
        record="results/tokenizers.provenance.json",
    log:
        "build/logs/results_tokenizers.txt",
    benchmark:
        "build/logs/results_tokenizers.tsv"
    threads: 1
    resources:
        mem_mb=100,
        runtime=1,
        gpu=0,
    shell:
        "(cp {input.table} results/ && cp {input.figures} results/figures/ "
        "&& cp {input.record} {output.record}) 2> {log}"


rule results_orderings:
    input:
        tables=[
            f"{ARTIFACTS}/figures/orderings/orderings.{kind}" for kind in ("csv", "md")
        ],
        figures=[
            f"{ARTIFACTS}/figures/orderings/{name}.{kind}"
            for name in ("orderings", "orderings_grid", "orderings_samples")
            for kind in ("pdf", "png")
        ],
        record=f"{ARTIFACTS}/figures/orderings/provenance.json",
        evaluated=evaluated("orderings"),
    output:
        "results/orderings.csv",
        "results/orderings.md",
        "results/figures/orderings.pdf",
        "results/figures/orderings.png",
        "results/figures/orderings_grid.pdf",
        "results/figures/orderings_grid.png",
        "results/figures/orderings_samples.pdf",
        "results/figures/orderings_samples.png",
        record="results/orderings.provenance.json",
    log:
        "build/logs/results_orderings.txt",
    benchmark:
        "build/logs/results_orderings.tsv"
    threads: 1
    resources:
        mem_mb=100,
        runtime=1,
        gpu=0,
    shell:
        "(cp {input.tables} results/ && cp {input.figures} results/figures/ "
        "&& cp {input.record} {output.record}) 2> {log}"


# One rule for several experiments: {figure} is the experiment's name.
rule results_conditional:
    input:
        tables=[
            f"{ARTIFACTS}/figures/{{figure}}/{{figure}}.{kind}"
            for kind in ("csv", "md")
        ],
        figures=[
            f"{ARTIFACTS}/figures/{{figure}}/{{figure}}.{kind}"
            for kind in ("pdf", "png")
        ],
        record=f"{ARTIFACTS}/figures/{{figure}}/provenance.json",
        evaluated=lambda wildcards: evaluated(wildcards.figure),
    output:
        "results/{figure}.csv",
        "results/{figure}.md",
        "results/figures/{figure}.pdf",
        "results/figures/{figure}.png",
        record="results/{figure}.provenance.json",
    log:
        "build/logs/results_{figure}.txt",
    benchmark:
        "build/logs/results_{figure}.tsv"
    wildcard_constraints:
        figure="|".join(
            variants(f"figures.{verb}")
            for verb in ("conditional", "rejection", "overfitting")
        ),
    threads: 1
    resources:
        mem_mb=100,
        runtime=1,
        gpu=0,
    shell:
        "(cp {input.tables} results/ && cp {input.figures} results/figures/ "
        "&& cp {input.record} {output.record}) 2> {log}"


# One rule for several experiments: {figure} is the experiment's name.
rule results_tokenizer_ablation:
    input:
        tables=[
            f"{ARTIFACTS}/figures/{{figure}}/{{figure}}.{kind}"
            for kind in ("csv", "md")
        ],
        figures=[
            f"{ARTIFACTS}/figures/{{figure}}/{{figure}}.{kind}"
            for kind in ("pdf", "png")
        ],
        record=f"{ARTIFACTS}/figures/{{figure}}/provenance.json",
        evaluated=lambda wildcards: evaluated(wildcards.figure),
    output:
        "results/{figure}.csv",
        "results/{figure}.md",
        "results/figures/{figure}.pdf",
        "results/figures/{figure}.png",
        record="results/{figure}.provenance.json",
    log:
        "build/logs/results_{figure}.txt",
    benchmark:
        "build/logs/results_{figure}.tsv"
    wildcard_constraints:
        figure=variants("figures.tokenizer_ablation"),
    threads: 1
    resources:
        mem_mb=100,
        runtime=1,
        gpu=0,
    shell:
        "(cp {input.tables} results/ && cp {input.figures} results/figures/ "
        "&& cp {input.record} {output.record}) 2> {log}"


rule results_summary:
    input:
        f"{ARTIFACTS}/figures/summary/metrics.json",
        f"{ARTIFACTS}/figures/summary/table1_curves.csv",
        f"{ARTIFACTS}/figures/summary/orderings_curves.csv",
        record=f"{ARTIFACTS}/figures/summary/provenance.json",
    output:
        "results/metrics.json",
        "results/table1_curves.csv",
        "results/orderings_curves.csv",
        record="results/summary.provenance.json",
    log:
        "build/logs/results_summary.txt",
    benchmark:
        "build/logs/results_summary.tsv"
    threads: 1
    resources:
        mem_mb=100,
        runtime=1,
        gpu=0,
    shell:
        "(cp {input} results/ && mv results/provenance.json {output.record}) 2> {log}"


# What tables and figures are drawn from: small, so git keeps it and `make verify` needs nothing else.
rule results_evaluation:
    input:
        f"{ARTIFACTS}/evaluation/{{variant}}/{{file}}",
    output:
        "results/evaluation/{variant}/{file}",
    log:
        "build/logs/results_evaluation/{variant}.{file}.txt",
    benchmark:
        "build/logs/results_evaluation/{variant}.{file}.tsv"
    threads: 1
    resources:
        mem_mb=100,
        runtime=1,
        gpu=0,
    shell:
        "cp {input} {output} 2> {log}"


rule results_pixels_vs_latents:
    input:
        tables=[
            f"{ARTIFACTS}/figures/pixels_vs_latents/pixels_vs_latents.{kind}"
            for kind in ("csv", "md")
        ],
        figures=[
            f"{ARTIFACTS}/figures/pixels_vs_latents/pixels_vs_latents.{kind}"
            for kind in ("pdf", "png")
        ],
        record=f"{ARTIFACTS}/figures/pixels_vs_latents/provenance.json",
        evaluated=evaluated("pixels_vs_latents"),
    output:
        "results/pixels_vs_latents.csv",
        "results/pixels_vs_latents.md",
        "results/figures/pixels_vs_latents.pdf",
        "results/figures/pixels_vs_latents.png",
        record="results/pixels_vs_latents.provenance.json",
    log:
        "build/logs/results_pixels_vs_latents.txt",
    benchmark:
        "build/logs/results_pixels_vs_latents.tsv"
    threads: 1
    resources:
        mem_mb=100,
        runtime=1,
        gpu=0,
    shell:
        "(cp {input.tables} results/ && cp {input.figures} results/figures/ "
        "&& cp {input.record} {output.record}) 2> {log}"


# One rule for both sweeps over f: {figure} is the experiment's name.
rule results_f_sweep:
    input:
        tables=[
            f"{ARTIFACTS}/figures/{{figure}}/{{figure}}.{kind}"
            for kind in ("csv", "md")
        ],
        figures=[
            f"{ARTIFACTS}/figures/{{figure}}/{{figure}}{name}.{kind}"
            for name in ("", "_samples")
            for kind in ("pdf", "png")
        ],
        record=f"{ARTIFACTS}/figures/{{figure}}/provenance.json",
        evaluated=lambda wildcards: evaluated(wildcards.figure),
    output:
        "results/{figure}.csv",
        "results/{figure}.md",
        "results/figures/{figure}.pdf",
        "results/figures/{figure}.png",
        "results/figures/{figure}_samples.pdf",
        "results/figures/{figure}_samples.png",
        record="results/{figure}.provenance.json",
    log:
        "build/logs/results_{figure}.txt",
    benchmark:
        "build/logs/results_{figure}.tsv"
    wildcard_constraints:
        figure=variants("figures.f_sweep"),
    threads: 1
    resources:
        mem_mb=100,
        runtime=1,
        gpu=0,
    shell:
        "(cp {input.tables} results/ && cp {input.figures} results/figures/ "
        "&& cp {input.record} {output.record}) 2> {log}"


# One rule for the experiments on SUNDAE: {figure} is the experiment's name.
rule results_sundae:
    input:
        tables=[
            f"{ARTIFACTS}/figures/{{figure}}/{{figure}}.{kind}"
            for kind in ("csv", "md")
        ],
        figures=[
            f"{ARTIFACTS}/figures/{{figure}}/{{figure}}.{kind}"
            for kind in ("pdf", "png")
        ],
        record=f"{ARTIFACTS}/figures/{{figure}}/provenance.json",
        evaluated=lambda wildcards: evaluated(wildcards.figure),
    output:
        "results/{figure}.csv",
        "results/{figure}.md",
        "results/figures/{figure}.pdf",
        "results/figures/{figure}.png",
        record="results/{figure}.provenance.json",
    log:
        "build/logs/results_{figure}.txt",
    benchmark:
        "build/logs/results_{figure}.tsv"
    wildcard_constraints:
        figure=variants(
            "figures.sundae_vs_autoregressive",
            "figures.sundae_chains",
            "figures.hourglass",
            "figures.sundae_inpainting",
            "figures.sundae_pixels",
        ),
    threads: 1
    resources:
        mem_mb=100,
        runtime=1,
        gpu=0,
    shell:
        "(cp {input.tables} results/ && cp {input.figures} results/figures/ "
        "&& cp {input.record} {output.record}) 2> {log}"
