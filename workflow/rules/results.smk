# What a reader wants, copied out of the artifacts into results/, or into results/<scale>/ where git does not keep it.
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
        f"{RESULTS}/table1.csv",
        f"{RESULTS}/table1.md",
        f"{RESULTS}/table1.tex",
        f"{RESULTS}/figures/table1_curves.pdf",
        f"{RESULTS}/figures/table1_curves.png",
        record=f"{RESULTS}/table1.provenance.json",
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
        "(to=$(dirname {output.record}) && cp {input.tables} $to && cp {input.figures} $to/figures "
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
        f"{RESULTS}/tokenizers.csv",
        f"{RESULTS}/figures/reconstructions.pdf",
        f"{RESULTS}/figures/reconstructions.png",
        record=f"{RESULTS}/tokenizers.provenance.json",
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
        "(to=$(dirname {output.record}) && cp {input.table} $to && cp {input.figures} $to/figures "
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
        f"{RESULTS}/orderings.csv",
        f"{RESULTS}/orderings.md",
        f"{RESULTS}/figures/orderings.pdf",
        f"{RESULTS}/figures/orderings.png",
        f"{RESULTS}/figures/orderings_grid.pdf",
        f"{RESULTS}/figures/orderings_grid.png",
        f"{RESULTS}/figures/orderings_samples.pdf",
        f"{RESULTS}/figures/orderings_samples.png",
        record=f"{RESULTS}/orderings.provenance.json",
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
        "(to=$(dirname {output.record}) && cp {input.tables} $to && cp {input.figures} $to/figures "
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
        f"{RESULTS}/{{figure}}.csv",
        f"{RESULTS}/{{figure}}.md",
        f"{RESULTS}/figures/{{figure}}.pdf",
        f"{RESULTS}/figures/{{figure}}.png",
        record=f"{RESULTS}/{{figure}}.provenance.json",
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
        "(to=$(dirname {output.record}) && cp {input.tables} $to && cp {input.figures} $to/figures "
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
        f"{RESULTS}/{{figure}}.csv",
        f"{RESULTS}/{{figure}}.md",
        f"{RESULTS}/figures/{{figure}}.pdf",
        f"{RESULTS}/figures/{{figure}}.png",
        record=f"{RESULTS}/{{figure}}.provenance.json",
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
        "(to=$(dirname {output.record}) && cp {input.tables} $to && cp {input.figures} $to/figures "
        "&& cp {input.record} {output.record}) 2> {log}"


rule results_summary:
    input:
        f"{ARTIFACTS}/figures/summary/summary.json",
        f"{ARTIFACTS}/figures/summary/metrics.json",
        f"{ARTIFACTS}/figures/summary/table1_curves.csv",
        f"{ARTIFACTS}/figures/summary/orderings_curves.csv",
        f"{ARTIFACTS}/figures/summary/rejection_curve.csv",
        record=f"{ARTIFACTS}/figures/summary/provenance.json",
    output:
        f"{RESULTS}/summary.json",
        f"{RESULTS}/metrics.json",
        f"{RESULTS}/table1_curves.csv",
        f"{RESULTS}/orderings_curves.csv",
        f"{RESULTS}/rejection_curve.csv",
        record=f"{RESULTS}/summary.provenance.json",
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
        "(to=$(dirname {output.record}) && cp {input} $to && mv $to/provenance.json {output.record}) 2> {log}"


# What tables and figures are drawn from: small, so git keeps it and `make verify` needs nothing else.
rule results_evaluation:
    input:
        f"{ARTIFACTS}/evaluation/{{variant}}/{{file}}",
    output:
        f"{RESULTS}/evaluation/{{variant}}/{{file}}",
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
        f"{RESULTS}/pixels_vs_latents.csv",
        f"{RESULTS}/pixels_vs_latents.md",
        f"{RESULTS}/figures/pixels_vs_latents.pdf",
        f"{RESULTS}/figures/pixels_vs_latents.png",
        record=f"{RESULTS}/pixels_vs_latents.provenance.json",
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
        "(to=$(dirname {output.record}) && cp {input.tables} $to && cp {input.figures} $to/figures "
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
        f"{RESULTS}/{{figure}}.csv",
        f"{RESULTS}/{{figure}}.md",
        f"{RESULTS}/figures/{{figure}}.pdf",
        f"{RESULTS}/figures/{{figure}}.png",
        f"{RESULTS}/figures/{{figure}}_samples.pdf",
        f"{RESULTS}/figures/{{figure}}_samples.png",
        record=f"{RESULTS}/{{figure}}.provenance.json",
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
        "(to=$(dirname {output.record}) && cp {input.tables} $to && cp {input.figures} $to/figures "
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
        f"{RESULTS}/{{figure}}.csv",
        f"{RESULTS}/{{figure}}.md",
        f"{RESULTS}/figures/{{figure}}.pdf",
        f"{RESULTS}/figures/{{figure}}.png",
        record=f"{RESULTS}/{{figure}}.provenance.json",
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
        "(to=$(dirname {output.record}) && cp {input.tables} $to && cp {input.figures} $to/figures "
        "&& cp {input.record} {output.record}) 2> {log}"
