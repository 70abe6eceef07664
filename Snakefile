# Contents: the rules in the order of the stages, then what a reader asks for.
#   snakemake --cores all results/table1.csv                        at scale laptop
#   snakemake --cores all results/table1.csv --config scale=smoke   smoke | laptop | workstation | paper


container: "docker://python:3.11-slim"


include: "workflow/rules/common.smk"
include: "workflow/rules/weights.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/tokenizers.smk"
include: "workflow/rules/latents.smk"
include: "workflow/rules/priors.smk"
include: "workflow/rules/sampling.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/results.smk"


localrules:
    all,
    results_table1,
    results_tokenizers,


rule all:
    default_target: True
    input:
        "results/table1.csv",
        "results/tokenizers.csv",
