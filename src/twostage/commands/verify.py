"""Do the committed results hold? Redraws tables and figures from the stored metrics; compares a fresh run with them.

Before that, every artifact at hand is held against the checksum in its job's record: a damaged one is named.

`python -m twostage verify`, from the root of a clone. The reference is what git's last commit holds in `results/`, as a
fresh run writes over the files themselves.
"""

import argparse
import json
import math
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twostage.claims.board import Board, changed
from twostage.commands.console import one_line_errors
from twostage.commands.drawings import EVALUATIONS, RESULTS, draw, drawing_jobs, place
from twostage.errors import TwostageError
from twostage.evaluation.words import word
from twostage.planning import made
from twostage.planning.builder import Builder
from twostage.planning.results import require_record
from twostage.planning.whole import drawn, whole_plan
from twostage.runtime.job import Job


@dataclass(frozen=True)
class Tolerance:
    """How far a number whose name matches may lie from the reference: absolute, or relative to the larger one."""

    name: str  # regular expression, searched in the dotted name
    absolute: float = 0.0
    relative: float = 0.0

    def allows(self, reference: float, fresh: float) -> bool:
        """Whether `fresh` lies within the tolerance of `reference`."""
        return math.isclose(reference, fresh, abs_tol=self.absolute, rel_tol=self.relative)


# The first that matches holds. Kernels of another CPU round differently, and short trainings carry that about as far as
# another seed does: by up to 0.02 nats per token at scale laptop.
TOLERANCES = (
    Tolerance(r"seconds|speedup", relative=0.8),  # another machine, up to five times as fast or slow
    Tolerance(r"latents\.steps|SUNDAE's time\.steps|prior_steps", relative=0.8),  # as many as another run's time allows
    Tolerance(r"gflops", relative=1e-6),
    Tolerance(r"_time", absolute=0.3),  # nats per token at a rival's time: how fast the two are, differs by machine
    Tolerance(r"(^|\.)paper_|^images$|^steps$|num_|^seeds|learning_rate|picture_side", relative=1e-12),
    Tolerance(r"percent", absolute=10.0),  # a difference of two FIDs
    Tolerance(r"fid|kid", relative=0.1, absolute=0.01),
    Tolerance(r"nats_per_image", relative=0.02),
    Tolerance(r"^drawn\..*(redrawn|kept)", absolute=3.0),  # grey levels
    Tolerance(r"classified", absolute=0.1),  # a share of few samples a class; their sum moves less
    Tolerance(r"density|coverage|precision|recall", absolute=0.05),
    Tolerance(r"perplexity", relative=0.1),
    Tolerance(r"codes_used", relative=0.02),
    Tolerance(r"lpips", absolute=0.01),
    Tolerance(r"class_recovered|accuracy|_f1|_iou", absolute=0.06),  # shares of a thousand samples
    Tolerance(r"psnr", absolute=0.3),  # decibels
    Tolerance(r"", absolute=0.03),  # nats per token
)
# Curves end in the numbers that are compared; intervals over two seeds say nothing of a run.
NOT_COMPARED = re.compile(r"(^|\.)(curves|grid_order)\.|ci95|std")


def committed(path: Path) -> bytes | None:
    """What the last commit holds at `path`, or None; outside a git clone, what lies there."""
    inside = subprocess.run(["git", "rev-parse", "--git-dir"], capture_output=True, check=False)
    if inside.returncode != 0:
        return path.read_bytes() if path.exists() else None
    shown = subprocess.run(["git", "show", f"HEAD:./{path.as_posix()}"], capture_output=True, check=False)
    return shown.stdout if shown.returncode == 0 else None


def redraw(plan: Builder, folder: Path) -> Iterator[tuple[Path, bool | None]]:
    """Draws every result from the committed metrics into `folder`; yields its path in results/ and if it is equal.

    None stands for a study whose metrics are not committed yet, beside the path of its first file.
    """
    stored = folder / "evaluation"
    here = {job.out: _restore(job, stored / job.variant) for job in drawn(plan)}
    for job in drawing_jobs(plan.jobs).values():
        if not all(here[source] for source in job.inputs.values()):
            yield place(job.files[0]), None
            continue
        try:
            draw(job, plan.jobs, stored, folder)
        except TwostageError as error:
            print(f"  not drawn: {error}")
        for name in job.files:
            again = folder / job.variant / name
            yield place(name), again.exists() and committed(place(name)) == again.read_bytes()


def _restore(job: Job, folder: Path) -> bool:
    """Writes the committed files of an evaluation; False if they are not all committed."""
    contents = {name: committed(EVALUATIONS / job.variant / name) for name in job.files}
    folder.mkdir(parents=True)
    for name, content in contents.items():
        if content is not None:
            (folder / name).write_bytes(content)
    return None not in contents.values()


def damaged(job: Job) -> list[Path]:
    """The files of the job that are here and are not what its record says; without a record, none."""
    record = made.read_record(job.folder)
    return [] if record is None else [job.folder / name for name in made.changed_files(job.folder, record)]


def moved(job: Job) -> tuple[int, list[str]]:
    """A fresh run's metrics beside the committed ones: how many numbers were compared, a line for each that moved.

    Those of a study that is not committed, as one on request, are compared with nothing.
    """
    reference = committed(EVALUATIONS / job.variant / "metrics.json")
    if reference is None:
        return 0, []
    ours = dict(numbers(json.loads((job.folder / "metrics.json").read_bytes())))
    theirs = dict(numbers(json.loads(reference)))
    lines = [f"{job.variant} {name}: only in one of the two" for name in sorted(set(ours) ^ set(theirs))]
    both = [name for name in theirs if name in ours]
    for name in both:
        tolerance = tolerance_of(name)
        if not tolerance.allows(theirs[name], ours[name]):
            allowed = f"{tolerance.relative:g} relative" if tolerance.relative else f"{tolerance.absolute:g}"
            lines.append(f"{job.variant} {name}: {theirs[name]:g} -> {ours[name]:g} (tolerance {allowed})")
    return len(both), lines


def tolerance_of(name: str) -> Tolerance:
    """That of a number with this dotted name."""
    return next(rule for rule in TOLERANCES if re.search(rule.name, name))


def numbers(tree: Any, name: str = "") -> Iterator[tuple[str, float]]:
    """Every number that is compared, by its dotted name."""
    if NOT_COMPARED.search(name):
        return
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from numbers(value, f"{name}.{key}" if name else key)
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield from numbers(value, f"{name}.{_label(value, index)}")
    elif isinstance(tree, int | float) and not isinstance(tree, bool):
        yield name, float(tree)


def _label(value: Any, index: int) -> str:
    """An item of a list by its place; a number of a study by what it is of, and its quantity, which has a tolerance."""
    if not isinstance(value, dict) or "quantity" not in value:
        return str(index)
    return " ".join([value["row"], *map(word, value["values"].values())]) + f".{value['quantity']}"


def committed_record() -> dict[str, Any]:
    """The record of the committed Table 1. Raises TwostageError if there is none."""
    content = committed(RESULTS / "table1.provenance.json")
    if content is None:
        raise TwostageError(f"{RESULTS}/table1.provenance.json is not committed; run make table1 and commit results/")
    said = f"{RESULTS}/table1.provenance.json of the last commit"
    try:
        record: dict[str, Any] = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise TwostageError(f"{said} is not JSON ({error}); run make table1 and commit results/") from error
    require_record(record, ("scale", "commit", "rests_on"), said)
    for name, one in record["rests_on"].items():
        require_record(one, ("code_sha256",), f"{said}, rests_on {name}")
    return record


def made_by_other_code(record: dict[str, Any], jobs: Iterable[Job]) -> list[str]:
    """Verbs of the jobs behind a result whose code is no longer that of the record: the same mathematics or not.

    A job that is planned no longer has no code.
    """
    now = {made.job_id(job): job.code_sha256 for job in jobs if made.job_id(job) in record["rests_on"]}
    changed = {name for name, one in record["rests_on"].items() if one["code_sha256"] != now.get(name)}
    return sorted({name.split()[0] for name in changed})


def verify() -> bool:
    """Prints what is damaged, what equals and what moved; True if all holds."""
    record = committed_record()
    plan = whole_plan(record["scale"])
    others = made_by_other_code(record, plan.jobs.values())
    if others:
        print(f"Table 1 was made at commit {record['commit']}; since then the code changed of {', '.join(others)}.")
    broken = [path for job in plan.jobs.values() for path in damaged(job)]
    for path in broken:
        print(f"{path}: DAMAGED, its record has another checksum; delete it, then dvc pull or snakemake brings it back")
    print(f"Tables and figures, drawn again from the metrics of the last commit (scale {plan.scale}):")
    with tempfile.TemporaryDirectory() as folder:
        equal = [_say(path, same) for path, same in redraw(plan, Path(folder))]
    moved_verdicts = changed(Board.of(RESULTS), RESULTS)
    print(f"Claims, judged again by the tables of {RESULTS}/: " + ("CHANGED" if moved_verdicts else "as in claims.csv"))
    for line in moved_verdicts:
        print(f"  {line}")
    damaged_folders = {path.parent for path in broken}
    whole = [job for job in drawn(plan) if job.folder not in damaged_folders]
    fresh = [job for job in whole if (job.folder / "metrics.json").exists()]
    if not fresh:
        print(f"No run of scale {plan.scale} in artifacts/ to compare; make table1 or dvc pull brings one.")
    compared = [moved(job) for job in fresh]
    lines = [line for _, found in compared for line in found]
    if fresh:
        total = sum(count for count, _ in compared)
        print(f"The run in artifacts/{plan.scale} beside the committed one: {total} numbers, {len(lines)} moved.")
    for line in lines:
        print(f"  {line}")
    return all(equal) and not lines and not broken and not moved_verdicts


def _say(path: Path, same: bool | None) -> bool:
    """Prints one result's line; False if it differs."""
    print(f"  {path}: {'of a study that is not committed yet' if same is None else 'equal' if same else 'DIFFERS'}")
    return same is not False


def main() -> None:
    """Command line: exit status 0 if everything holds, 1 if not."""
    argparse.ArgumentParser(prog="twostage verify", description=__doc__).parse_args()
    with one_line_errors():
        holds = verify()
    raise SystemExit(0 if holds else 1)


if __name__ == "__main__":
    main()
