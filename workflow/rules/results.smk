# What a reader wants, copied out of the artifacts into results/, or into results/<scale>/ where git does not keep it.

for drawn, caption in ((drawn, caption_of(drawn)) for drawn in PLAN.drawn):

    rule:
        name:
            f"results_{drawn.variant}"
        input:
            files=[f"{drawn.out}/{file}" for file in (*drawn.files, PROVENANCE)],
            evaluated=PLAN.evaluated(drawn),
        output:
            [
                reported(f"{RESULTS}/{place}", "result.rst", caption["title"])
                for place in places(drawn)
            ],
        log:
            f"build/logs/results_{drawn.variant}.txt",
        benchmark:
            f"build/logs/results_{drawn.variant}.tsv"
        localrule: True
        threads: 1
        resources:
            mem_mb=100,
            runtime=1,
            gpu=0,
        params:
            **caption,
        shell:
            "(set -- {output}; for file in {input.files}; do cp $file $1; shift; done) 2> {log}"


# What tables and figures are drawn from: small, so git keeps it and `make verify` needs nothing else.
rule results_evaluation:
    input:
        f"{PLAN.artifacts}/evaluation/{{variant}}/{{file}}",
    output:
        f"{RESULTS}/evaluation/{{variant}}/{{file}}",
    log:
        "build/logs/results_evaluation/{variant}.{file}.txt",
    benchmark:
        "build/logs/results_evaluation/{variant}.{file}.tsv"
    localrule: True
    threads: 1
    resources:
        mem_mb=100,
        runtime=1,
        gpu=0,
    shell:
        "cp {input} {output} 2> {log}"


# What the papers claim, held against all these tables.
rule results_claims:
    input:
        tables=lambda wildcards: PLAN.read_by_claims({*TABLES, *PLAN.tables_here()}),
        claims=local(sorted(map(str, Path("conf/claims").glob("*.yaml")))),
        code=local(sorted(map(str, Path("src/twostage/claims").glob("*.py")))),
    output:
        table=reported(f"{RESULTS}/claims.csv", "claims.rst", "Claims"),
        page=f"{RESULTS}/claims.md",
    log:
        "build/logs/results_claims.txt",
    benchmark:
        "build/logs/results_claims.tsv"
    localrule: True
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
        gpu=0,
    shell:
        "python -m twostage claims --results $(dirname {output.table}) > {log} 2>&1"


# The page that a person opens after a run. Its figures, and what they are drawn from, lie beside the tables.
rule results_index:
    input:
        rules.results_claims.output,
        lambda wildcards: PLAN.shown({*TABLES, *PLAN.tables_here()}),
        conf=local(sorted(map(str, Path("conf/study").glob("*.yaml")))),
        code=local(
            sorted(
                str(path)
                for path in Path("src/twostage/page").rglob("*.*")
                if path.suffix != ".pyc"
            )
        ),
    output:
        reported(f"{RESULTS}/index.html", "page.rst", "Page"),
    log:
        "build/logs/results_index.txt",
    benchmark:
        "build/logs/results_index.tsv"
    localrule: True
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
        gpu=0,
    shell:
        "python -m twostage page --results $(dirname {output}) > {log} 2>&1"


# The models that the papers print, counted.
rule results_models:
    input:
        conf=local(
            sorted(
                str(path)
                for group in ("models", "priors", "scale", "tokenizers")
                for path in Path("conf", group).glob("*.yaml")
            )
        ),
        code=local(
            sorted(
                str(path)
                for stage in ("estimate", "priors", "tokenizers")
                for path in Path("src/twostage", stage).glob("*.py")
            )
        ),
    output:
        table=reported("results/models.csv", "models.rst", "Models"),
        page="results/models.md",
    log:
        "build/logs/results_models.txt",
    benchmark:
        "build/logs/results_models.tsv"
    localrule: True
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
        gpu=0,
    shell:
        "python -m twostage models --results $(dirname {output.table}) > {log} 2>&1"


if RESULTS != "results":

    for place in (
        "claims.csv",
        "claims.md",
        "index.html",
        *(place for drawn in PLAN.drawn for place in places(drawn)),
    ):

        rule:
            name:
                f"results/{place}"
            input:
                f"{RESULTS}/{place}",
