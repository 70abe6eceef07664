"""Experiments x scale -> the list of jobs: each experiment by its design, all of them as one plan."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from twostage.config import composition
from twostage.errors import TwostageError
from twostage.planning.builder import Builder
from twostage.planning.designs import classes, denoisers, factors
from twostage.planning.designs.conditional import conditional
from twostage.planning.designs.orderings import orderings
from twostage.planning.designs.table1 import table1
from twostage.planning.study import add_study
from twostage.planning.verbs import new_job
from twostage.runtime.job import Job, Tree

# Files of conf/experiment/ with a plan of their own; every other one is a study or a task of conditional synthesis.
DESIGNS: dict[str, Callable[[Builder], None]] = {
    "table1": table1,
    "orderings": orderings,
    "pixels_vs_latents": factors.pixels_vs_latents,
    "f_sweep": factors.f_sweep,
    "f_sweep_conditional": factors.f_sweep,
    "rejection": classes.rejection,
    "overfitting": classes.overfitting,
    "sundae_vs_autoregressive": denoisers.sundae_vs_autoregressive,
    "sundae_inpainting": denoisers.sundae_inpainting,
    "sundae_pixels": denoisers.sundae_pixels,
}


@dataclass(frozen=True)
class Planned:
    """A whole plan: jobs by their folders, the tree of its scale, and why each experiment that it lacks is broken."""

    scale: str
    jobs: dict[str, Job]
    tree: Tree
    broken: dict[str, str]


def plan_of(experiment: str, scale: str, compose: Callable[[tuple[str, ...]], Tree] | None = None) -> Builder:
    """The jobs of one experiment at one scale. Raises TwostageError, one line, if it cannot be planned."""
    plan = Builder(experiment, scale, compose)
    add_jobs = add_study if "measure" in plan.experiment else DESIGNS.get(experiment, conditional)
    add_jobs(plan)
    return plan


def experiments() -> list[str]:
    """The files of conf/experiment/: those that have a plan of their own, then studies and tasks.

    Raises TwostageError for a name that no target or option could spell.
    """
    files = sorted(path.stem for path in (composition.CONF / "experiment").glob("[!.]*.yaml"))
    if odd := [name for name in files if not name.isidentifier()]:
        raise TwostageError(f"conf/experiment/{odd[0]}.yaml: no target can have this name; use letters, digits and _")
    return [*DESIGNS, *(name for name in files if name not in DESIGNS)]


def whole_plan(scale: str) -> Builder:
    """The jobs of every experiment at one scale, as one plan: what several of them want is one job.

    One job more sums up what all of them measured, but for those on data that nobody may have brought. An experiment
    that cannot be planned is left out and named in `broken`. Raises TwostageError if none can be.
    """
    trees = composition.trees()
    # What is wrong with the scale is the fault of no experiment.
    trees((f"scale={scale}",))
    plans: list[Builder] = []
    broken: dict[str, str] = {}
    for name in experiments():
        try:
            plans.append(plan_of(name, scale, trees))
        except TwostageError as error:
            broken[name] = _of(name, error)
    usual = [each for each in plans if not each.on_request]
    if not usual:
        raise TwostageError(next(iter(broken.values()), "conf/experiment/ holds no experiment"))
    plan, *others = usual
    plan.broken = broken
    for other in others:
        _join(plan, other)
    measured = {job.variant: job for job in drawn(plan)}
    plan.add(new_job("figures.summary", "summary", plan.tree, {}, measured))
    for other in plans:
        if other.on_request:
            _join(plan, other)
    return plan


def _of(experiment: str, error: TwostageError) -> str:
    """The error's line, which says of which experiment it is."""
    return str(error) if experiment in str(error) else f"experiment {experiment}: {error}"


def _join(plan: Builder, other: Builder) -> None:
    """Adds all jobs of another plan, or none if one of them contradicts a job that is there."""
    name = other.experiment["name"]
    try:
        for folder in other.jobs.keys() & plan.jobs.keys():
            plan.add(other.jobs[folder])
    except TwostageError as error:
        plan.broken[name] = _of(name, error)
        return
    plan.jobs |= {folder: job for folder, job in other.jobs.items() if folder not in plan.jobs}


# Files in results/ whose names do not begin with that of their experiment.
_NAMED_OTHERWISE = {"tokenizers": "table1", "reconstructions": "table1"}


def refuse_broken(plan: Builder | Planned, targets: Iterable[str]) -> None:
    """Raises TwostageError, with the line that says why, if a target of snakemake's asks for an experiment that could
    not be planned: by its name, or with all others.
    """
    usual = [line for name, line in plan.broken.items() if not _is_on_request(name)]
    owners = {name: name for name in experiments()} | _NAMED_OTHERWISE
    for target in targets:
        of_all = re.fullmatch(r"all|figures|results/(\w+/)?(metrics|summary)\.json|.*/figures/summary/.*", target)
        if usual and of_all:
            raise TwostageError(usual[0])
        # The longest: f_sweep_conditional.csv is none of f_sweep's.
        named = [name for name in owners if re.search(rf"(^|/){name}([._/]|$)", target)]
        owner = owners[max(named, key=len)] if named else ""
        if owner in plan.broken:
            raise TwostageError(plan.broken[owner])


def _is_on_request(experiment: str) -> bool:
    """Whether the file of a broken experiment says so; one that cannot be read is asked for with all others."""
    try:
        text = (composition.CONF / "experiment" / f"{experiment}.yaml").read_text()
    except (OSError, ValueError):
        return False
    return re.search(r"^on_request: *true\b", text, re.MULTILINE) is not None


def drawn(plan: Builder | Planned) -> list[Job]:
    """The evaluations that tables and figures are drawn from: results/ keeps their files.

    Others are read by evaluations alone, such as the features of real images.
    """
    read = {folder for job in plan.jobs.values() if job.stage == "figures" for folder in job.inputs.values()}
    return [job for job in plan.jobs.values() if job.out in read]


def tables(plan: Builder | Planned) -> list[str]:
    """Names of the tables of a whole plan, results/*.csv, whose data nobody has to bring: those that it sums up."""
    figures = {job.variant: job for job in plan.jobs.values() if job.stage == "figures"}
    summed_up = set(figures.pop("summary").inputs.values())
    return [name for name, job in figures.items() if summed_up.issuperset(job.inputs.values())]
