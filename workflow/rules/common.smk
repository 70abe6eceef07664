# What the rules share: the plan, each job's resolved config and code fingerprint as files, and look-ups. No rules.
import functools
import os
import platform
import re
import sys
from dataclasses import asdict
from pathlib import Path

import psutil
from snakemake.io import IOFile

from twostage.artifacts import sha256_json, write_json
from twostage.errors import TwostageError
from twostage.fingerprint import fingerprint
from twostage.jobs import FILES, PROVENANCE, files_read
from twostage.plan import tables, whole_plan

unknown = sorted(set(config) - {"scale", "committed"})
if unknown:
    print(
        f"error: --config {unknown[0]} is unknown; the keys are scale and committed",
        file=sys.stderr,
    )
    sys.exit(1)

SCALE = config["scale"]

try:
    PLAN = whole_plan(SCALE)
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


# Host and process of the last run that could take the lock.
HOLDER = Path(".snakemake/holder")


def drop_the_lock_of_a_killed_run():
    """A killed snakemake leaves its lock behind. It goes if its process, on this host, is gone, and with it every job
    that outlived it; a lock of another host, or of nobody known, stays. Beside a living one, exits with one line.
    """
    locks = list(Path(".snakemake/locks").glob("*.lock"))
    host, pid = HOLDER.read_text().split() if HOLDER.exists() else ("", "0")
    if locks and host == platform.node() and psutil.pid_exists(int(pid)):
        # Snakemake looks at its lock only after the whole plan, for which the other run pulls files away.
        print(
            f"error: snakemake (process {pid}) is at work in this clone; wait for it, or stop it",
            file=sys.stderr,
        )
        sys.exit(1)
    if locks and not killed(host):
        return
    for lock in locks:
        lock.unlink(missing_ok=True)
    HOLDER.parent.mkdir(exist_ok=True)
    HOLDER.write_text(f"{platform.node()} {os.getpid()}")


def killed(host):
    """Whether the run was this host's, and no job of this folder goes on without it."""
    if host != platform.node():
        return False
    for process in psutil.process_iter(["cmdline", "cwd"]):
        words = (process.info["cmdline"] or [])[:3]
        if process.info["cwd"] == os.getcwd() and any(
            word.startswith("twostage.") for word in words
        ):
            return False
    return True


# Jobs on other nodes parse this file too, and dry runs beside a run: neither takes the lock.
if not {"--nolock", "-n", "--dry-run", "--dryrun", "--lint"} & set(sys.argv):
    drop_the_lock_of_a_killed_run()


def stored(folder, value):
    """Writes `value` under a name that is its content's hash, if it is not there yet."""
    path = Path("build") / folder / f"{sha256_json(value)[:12]}.json"
    if not path.exists():
        write_json(path, value)
    return str(path)


def pictures(job_config):
    """What lies in a user's own folder of images, and the indices that name some of them, by name, size and time: a new
    picture makes the dataset anew.
    """
    if job_config.get("source") != "folder" or not job_config["root"]:
        return {}
    root = Path(job_config["root"]).expanduser()
    files = [path for path in root.rglob("*") if path.is_file()]
    for key in ("index", "validation_index"):
        index = root / Path(job_config[key] or "").expanduser()
        files += [index] if index.is_file() else []
    return {
        "pictures": sha256_json(
            sorted([str(p), p.stat().st_size, p.stat().st_mtime_ns] for p in files)
        )
    }


def distrust_without_metadata(job, asked):
    """Outputs of which Snakemake holds no record are made again: only their times would speak for them, and times are
    those of the last checkout. An input that is newer says so in Snakemake's own words.
    """
    outputs = [f"{job.out}/{file}" for file in job.files]
    if any(
        os.path.exists(path) and not workflow.persistence.metadata(IOFile(path))
        for path in outputs
    ):
        Path(asked).touch()


def asked_of(job):
    """Files whose names are hashes of what they hold: the job's config, and its code."""
    verb = f"{job.stage}.{job.verb}"
    return {
        "config": stored(f"configs/{job.stage}/{job.variant}", asdict(job)),
        "code": stored(f"code/{verb}", fingerprint(verb) | pictures(job.config)),
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
        distrust_without_metadata(job, asked["config"])
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


def job_outputs(verb):
    """The files that every job of the verb writes, with the wildcard {variant}."""
    return [
        f"{ARTIFACTS}/{verb.split('.')[0]}/{{variant}}/{file}"
        for file in (*FILES[verb], PROVENANCE)
    ]


def variants(*verbs):
    """The planned variants of verbs, as a pattern: two verbs of one stage share the shape of their paths."""
    jobs = [job for job in PLAN.jobs.values() if f"{job.stage}.{job.verb}" in verbs]
    # An empty pattern would constrain nothing: a verb that no experiment asks for matches no path.
    return "|".join(re.escape(job.variant) for job in jobs) or "(?!)"


def evaluated(figure):
    """Copies in results/ of the metrics that a figure is drawn from, so that git alone can redraw it."""
    sources = PLAN.jobs[f"{ARTIFACTS}/figures/{figure}"].inputs.values()
    return [
        f"{RESULTS}/evaluation/{PLAN.jobs[folder].variant}/{file}"
        for folder in sources
        for file in PLAN.jobs[folder].files
    ]


def beside(stage, name):
    """A path in the job's own folder, with the wildcard {variant}."""
    return f"{ARTIFACTS}/{stage}/{{variant}}/{name}"


def placed():
    """Paths in RESULTS of all that figures jobs make, and of their records."""
    drawn = [job for job in PLAN.jobs.values() if job.stage == "figures"]
    files = [file for job in drawn for file in job.files]
    return [
        f"figures/{file}" if file.endswith((".pdf", ".png")) else file for file in files
    ] + [f"{job.variant}.provenance.json" for job in drawn]


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
        variant = Path(path).parent.name if path.startswith("artifacts/") else ""
        yield f"error: {f'{name} {variant}'.strip()} failed; its log: {path}"
