# What a reader wants, copied out of the artifacts into results/.
rule results_table1:
    input:
        [f"{ARTIFACTS}/figures/table1/{file}" for file in FILES["figures.table1"]],
    output:
        "results/table1.csv",
        "results/table1.md",
        "results/table1.tex",
        "results/figures/table1_curves.pdf",
        "results/figures/table1_curves.png",
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
        "for pair in $(paste -d: <(printf '%s\\n' {input}) <(printf '%s\\n' {output})); "
        "do cp ${{pair%%:*}} ${{pair##*:}}; done 2> {log}"


rule results_tokenizers:
    input:
        [
            f"{ARTIFACTS}/figures/tokenizers/{file}"
            for file in FILES["figures.tokenizers"]
        ],
    output:
        "results/tokenizers.csv",
        "results/figures/reconstructions.pdf",
        "results/figures/reconstructions.png",
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
        "for pair in $(paste -d: <(printf '%s\\n' {input}) <(printf '%s\\n' {output})); "
        "do cp ${{pair%%:*}} ${{pair##*:}}; done 2> {log}"
