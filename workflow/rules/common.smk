# What the rules share: the plan of the scale, and where its results go. No rules.
import os
import sys
from pathlib import Path

from twostage.commands import tracking
from twostage.config.composition import added_studies
from twostage.errors import TwostageError
from twostage.planning.kept import kept_plan
from twostage.planning.outside import add_studies
from twostage.planning.whole import refuse_broken, tables
from twostage.rules import asked, bucket, gpu_limit, lock, own_time, progress
from twostage.rules.captions import SHOWN, caption_of, labels
from twostage.rules.planned import PlannedRules, places
from twostage.rules.requests import Requests
from twostage.runtime.job import PROVENANCE

try:
    SCALE = asked.scale(config)
    # Git keeps the results of one scale; a run of another one must not write over them.
    RESULTS = "results" if SCALE == config["committed"] else f"results/{SCALE}"
    unknown = sorted(set(config) - {"scale", "committed", "study", "tracker"})
    if unknown:
        raise TwostageError(
            f"--config {unknown[0]} is unknown; the keys are scale, study, tracker and committed"
        )
    tracking.choose(config.get("tracker", os.environ.get(tracking.VARIABLE, "none")))
    # Of the user's, outside of the clone.
    if "study" in config:
        add_studies(config["study"])
    kept = kept_plan(SCALE, of_run=asked.is_job(), only=asked.studies)
    PLAN = PlannedRules(kept, RESULTS, workflow)
    if PLAN.plan.broken and not asked.is_job():
        for line in PLAN.plan.broken.values():
            print(f"warning: left out of the plan: {line}", file=sys.stderr)
        if asked.needs_whole_plan():
            refuse_broken(PLAN.plan, asked.targets() or ["all"])
    lock.take_over()
    if asked.is_job() or not asked.only_looks():
        bucket.link_artifacts(workflow)
    own_time.look_checksums_up()
    progress.take_the_terminal(PLAN)
except TwostageError as error:
    # A traceback of the workflow's own lines would hide the one line that matters.
    print(f"error: {error}", file=sys.stderr)
    sys.exit(1)

GPUS_PER_JOB = PLAN.plan.tree["scale"]["gpus_per_job"]
REQUESTS = Requests(PLAN.plan, GPUS_PER_JOB)
# A scale without GPUs runs on the CPU even where there is one: many jobs would share it, and their clocks with it.
if GPUS_PER_JOB == 0:
    os.environ.update(TWOSTAGE_DEVICE="cpu")

# glibc gives large blocks back to the kernel at every free; kept, encoding takes a third less CPU time.
os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(2**30))
os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(2**32))


def reported(path, caption, category):
    """The path, marked for the report of a run if readers open such files there."""
    if Path(path).suffix not in SHOWN:
        return path
    return report(
        path, caption=f"../report/{caption}", category=category, labels=labels(path)
    )
