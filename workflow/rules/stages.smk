# One rule for every verb of every stage, from the table of verbs. The plan says what a job reads and writes.
from twostage.planning.verbs import VERBS
from twostage.rules.line import line, num_gpus, num_processes

for name, row, number, paths, variants in (
    (name, row, number, *kind)
    for name, row in VERBS.items()
    for number, kind in enumerate(PLAN.kinds(name))
):

    rule:
        name:
            name.replace(".", "_") + (f"_{number}" if number else "")
        input:
            unpack(PLAN.inputs(name)),
        output:
            paths,
        log:
            PLAN.beside(name, "log.txt"),
        benchmark:
            PLAN.beside(name, "benchmark.tsv")
        wildcard_constraints:
            variant=variants,
        priority: row.priority
        threads: num_processes(row.spread, GPUS_PER_JOB)
        resources:
            mem_mb=REQUESTS.memory_mb(name, num_processes(row.spread, GPUS_PER_JOB)),
            runtime=REQUESTS.minutes(name),
            gpu=num_gpus(row.gpu, row.spread, GPUS_PER_JOB),
        # The shell's line is read when the job runs, and then `name` is the last of the loop.
        params:
            **PLAN.parameters(name),
            verb=name,
        shell:
            line(num_processes(row.spread, GPUS_PER_JOB), PLAN.in_storage)
