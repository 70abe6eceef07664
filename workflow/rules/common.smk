# What the rules share: the plan, each job's resolved config and code fingerprint as files, and look-ups. No rules.
import functools
import os
import platform
import re
import sys
from dataclasses import asdict
from pathlib import Path

import psutil
from snakemake.cli import get_argument_parser
from snakemake.io import IOFile

from twostage.planning import made
from twostage.runtime.artifacts import sha256_json, write_json
from twostage.errors import TwostageError
from twostage.runtime.fingerprint import fingerprint
from twostage.runtime.job import PROVENANCE
from twostage.planning.verbs import FILES, files_read
from twostage.planning.kept import kept_plan
from twostage.planning.whole import refuse_broken, tables

unknown = sorted(set(config) - {"scale", "committed"})
if unknown:
    print(
        f"error: --config {unknown[0]} is unknown; the keys are scale and committed",
        file=sys.stderr,
    )
    sys.exit(1)

SCALE = config["scale"]

# Empty files named by the host, process and start of the runs that may hold Snakemake's lock.
HOLDERS = Path(".snakemake/holders")

# A plan of the work, as people spell it.
DRY = {"-n", "-np", "--dry-run", "--dryrun"}


@functools.cache
def command_line():
    """What Snakemake was asked on its command line. Its own parser knows every spelling, but takes a quarter of a second."""
    return get_argument_parser().parse_known_args(sys.argv[1:])[0]


def only_looks():
    """Whether Snakemake was asked about the work, and not for it. Jobs on other nodes parse this file too (--nolock)."""
    if {"--nolock", "--lint", *DRY} & set(sys.argv):
        return True
    looks = (
        "nolock dryrun lint summary detailed_summary list_rules list_target_rules dag rulegraph filegraph d3dag "
        "list_input_changes list_params_changes list_code_changes list_untracked unlock report"
    )
    return any(getattr(command_line(), name, None) for name in looks.split())


def targets():
    """What Snakemake is asked to make; files by their paths from here."""
    return [
        os.path.relpath(name) if "/" in name else name
        for name in command_line().targets
    ]


try:
    PLAN = kept_plan(SCALE)
    # Snakemake knows its targets only after this file; a job's own process names them otherwise.
    if PLAN.broken and "--target-jobs" not in sys.argv:
        for line in PLAN.broken.values():
            print(f"warning: left out of the plan: {line}", file=sys.stderr)
        if DRY & set(sys.argv) or not only_looks():
            refuse_broken(PLAN, targets() or ["all"])
except TwostageError as error:
    # A traceback of the workflow's own lines would hide the one line that matters.
    print(f"error: {error}", file=sys.stderr)
    sys.exit(1)

ARTIFACTS = f"artifacts/{SCALE}"
# Git keeps the results of one scale; a run of another one must not write over them.
RESULTS = "results" if SCALE == config["committed"] else f"results/{SCALE}"
# A scale without GPUs runs on the CPU even where there is one: many jobs would share it, and their clocks with it.
if PLAN.tree["scale"]["gpus_per_job"] == 0:
    os.environ.update(TWOSTAGE_DEVICE="cpu")

# glibc gives large blocks back to the kernel at every free; kept, encoding takes a third less CPU time.
os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(2**30))
os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(2**32))

GPUS_PER_JOB = PLAN.tree["scale"]["gpus_per_job"]


def drop_the_lock_of_a_killed_run():
    """A killed snakemake leaves its lock behind. It goes if no process that could hold it is left: a job that outlived
    its run holds its own folder, for which the same job of this run waits. Every run names itself in HOLDERS before it
    asks for the lock; while one of another host is named there, or nobody is, the lock stays until `--unlock`. Beside
    a living run, exits with one line; who only looks goes on.
    """
    if "--unlock" in sys.argv:
        for holder in HOLDERS.glob("*"):
            holder.unlink(missing_ok=True)
    locks = list(Path(".snakemake/locks").glob("*.lock"))
    holders, dead, alive = list(HOLDERS.glob("*")), [], []
    for holder in holders:
        host, pid, start = holder.name.rsplit(".", 2)
        if host == platform.node():
            (alive if lives(int(pid), int(start)) else dead).append(holder)
    if locks and dead and len(dead) == len(holders):
        for lock in locks:
            lock.unlink(missing_ok=True)
    if only_looks():
        return
    if locks and alive:
        # Snakemake looks at its lock only after the whole plan, for which the other run pulls files away.
        pid = alive[0].name.rsplit(".", 2)[1]
        print(
            f"error: snakemake (process {pid}) is at work in this clone; wait for it, or stop it",
            file=sys.stderr,
        )
        sys.exit(1)
    for holder in dead:
        holder.unlink(missing_ok=True)
    HOLDERS.mkdir(parents=True, exist_ok=True)
    own = psutil.Process()
    (HOLDERS / f"{platform.node()}.{own.pid}.{seconds_since_boot(own)}").touch()


def lives(pid, start):
    """Whether the process that began `start` seconds after the machine is still there, and not another one of its number.
    A killed process stays in the table until its parent, such as a container's first process, asks for its status.
    """
    try:
        process = psutil.Process(pid)
        is_it = abs(seconds_since_boot(process) - start) <= 1
        return is_it and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def seconds_since_boot(process):
    """When the process began, by a clock that nobody sets; up to a second off, as the machine's start is rounded anew."""
    return round(process.create_time() - psutil.boot_time())


drop_the_lock_of_a_killed_run()


def stored(folder, value):
    """Writes `value` under a name that is its content's hash, if it is not there yet."""
    path = Path("build") / folder / f"{sha256_json(value)[:12]}.json"
    if not path.exists():
        write_json(path, value)
    return str(path)


def distrust(job):
    """Has a job run whose folder holds what it did not make, whatever the times say: a swapped or damaged model, one made
    by hand, or one of which Snakemake has no record, as its times are those of the last checkout.
    """
    outputs = [f"{job.out}/{file}" for file in (*job.files, PROVENANCE)]
    present = [path for path in outputs if os.path.exists(path)]
    if not present:
        if made.unfinished(job).exists():
            workflow.dag.forcefiles.update(outputs)
        return
    unknown = any(not workflow.persistence.metadata(IOFile(path)) for path in present)
    if unknown or made.fault(job, PLAN.jobs):
        workflow.dag.forcefiles.update(outputs)


def asked_of(job):
    """Files whose names are hashes of what they hold: the job's config, and its code."""
    verb = f"{job.stage}.{job.verb}"
    return {
        "config": stored(f"configs/{job.stage}/{job.variant}", asdict(job)),
        "code": stored(
            f"code/{verb}", fingerprint(verb, job.choices) | made.brought(job)
        ),
    }


def left_behind():
    """Prepared data that are missing and would come out as they were: DVC does not store them."""
    return [
        path
        for job in PLAN.jobs.values()
        if job.stage == "data"
        for path in (f"{job.out}/{file}" for file in job.files)
        if not os.path.exists(path) and as_it_was(path, job)
    ]


def as_it_was(path, job):
    """Whether Snakemake's record of the file names the config and the code that are asked for now."""
    record = workflow.persistence.metadata(IOFile(path)) or {}
    return set(record.get("input", ())) >= set(asked_of(job).values())


@functools.cache
def say_what_was_left_behind():
    """To make data again for one job would run every other one that reads them: on their own, nothing else runs."""
    if left_behind():
        print(
            "note: prepared data are not here, as DVC does not store them; before you change anything, make them as "
            "they were: snakemake --cores all data",
            file=sys.stderr,
        )


def job_inputs(verb):
    """Input function of a rule: the job's resolved config, its code's fingerprint and the files of its upstream."""

    def look_up(wildcards):
        folder = f"{ARTIFACTS}/{verb.split('.')[0]}/{wildcards.variant}"
        if folder not in PLAN.jobs:
            raise TwostageError(
                f"{folder} is in no experiment at scale {SCALE}; known: conf/experiment/*.yaml"
            )
        job = PLAN.jobs[folder]
        asked = asked_of(job)
        distrust(job)
        if job.stage == "data":
            say_what_was_left_behind()
        return asked | {
            "upstream": [
                f"{folder}/{file}"
                for folder in job.inputs.values()
                for file in files_read(job, PLAN.jobs[folder])
            ],
        }

    return look_up


def kinds(verb):
    """The planned jobs of a verb that write alike: their files, with the wildcard {variant}, and their variants as a
    pattern. What a study writes depends on its file, so two of one verb may differ.
    """
    found = {}
    for job in PLAN.jobs.values():
        if f"{job.stage}.{job.verb}" == verb:
            files = [
                re.sub(f"^{re.escape(job.variant)}", "{variant}", name)
                for name in job.files
            ]
            found.setdefault(tuple(files), []).append(re.escape(job.variant))
    # An empty pattern would constrain nothing: a verb that no experiment asks for matches no path.
    found = found or {tuple(FILES[verb]): ["(?!)"]}
    return [(files, "|".join(names)) for files, names in found.items()]


def outputs(verb, files):
    """Paths of a job's files and of its record, with the wildcard {variant}."""
    return [
        f"{ARTIFACTS}/{verb.split('.')[0]}/{{variant}}/{file}"
        for file in (*files, PROVENANCE)
    ]


def evaluated(drawn):
    """Copies in results/ of the metrics that a figure is drawn from, so that git alone can redraw it."""
    if drawn.variant == "summary":
        # It reads what the figures read, and their rules copy that.
        return []
    sources = drawn.inputs.values()
    return [
        f"{RESULTS}/evaluation/{PLAN.jobs[folder].variant}/{file}"
        for folder in sources
        for file in PLAN.jobs[folder].files
    ]


def beside(stage, name):
    """A path in the job's own folder, with the wildcard {variant}."""
    return f"{ARTIFACTS}/{stage}/{{variant}}/{name}"


def places(drawn):
    """Paths in RESULTS of what a job of figures makes, drawings in a folder of their own, and of its record."""
    return [
        f"figures/{file}" if file.endswith((".pdf", ".png")) else file
        for file in drawn.files
    ] + [f"{drawn.variant}.provenance.json"]


def make_the_folders_that_dvc_stores():
    """All outputs of dvc.yaml's stage, so that a part of the workflow can be committed and pushed as well."""
    for folder in ("weights", "tokenizers", "latents", "priors", "sampling"):
        Path(ARTIFACTS, folder).mkdir(parents=True, exist_ok=True)
    for folder in (f"{ARTIFACTS}/evaluation", f"{ARTIFACTS}/figures"):
        Path(folder).mkdir(exist_ok=True)
    Path("results", SCALE).mkdir(parents=True, exist_ok=True)


def failures(logs):
    """A line for every failed job of a run that kept these logs: where the job's own log lies."""
    text = "".join(Path(log).read_text() for log in logs)
    found = re.findall(r"^Error in \w+ (\w+):$.*?^ +log: (\S+)", text, re.M | re.S)
    for name, path in dict.fromkeys(found):
        job = PLAN.jobs.get(str(Path(path).parent))
        if job is not None:
            # It may have failed before it could say that it began.
            made.unfinished(job).parent.mkdir(parents=True, exist_ok=True)
            made.unfinished(job).touch()
        yield f"error: {name}{f' {job.variant}' if job else ''} failed; its log: {path}"
