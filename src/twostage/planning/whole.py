"""Studies x scale -> the list of jobs: each study by its design, all of them as one plan."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from twostage.config import composition, plugins
from twostage.errors import TwostageError
from twostage.home import home
from twostage.planning.builder import Builder
from twostage.planning.designs import classes, denoisers, factors
from twostage.planning.designs.table1 import crossing, table1
from twostage.planning.study import plan_study
from twostage.planning.verbs import new_job
from twostage.runtime.job import Job, Tree

# Files of conf/study/ with a plan of their own; every other one is read by `add_study`.
DESIGNS: dict[str, Callable[[Builder], None]] = {
    "table1": table1,
    "crossing": crossing,
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
    """A whole plan: jobs by their folders, the tree of its scale, and why each study that it lacks is broken."""

    scale: str
    jobs: dict[str, Job]
    tree: Tree
    broken: dict[str, str]


def plan_of(study: str, scale: str, compose: Callable[[tuple[str, ...]], Tree] | None = None) -> Builder:
    """The jobs of one study at one scale. Raises TwostageError, one line, if it cannot be planned."""
    plan = Builder(study, scale, compose)
    _load_plugins(plan.study, composition.folder_of_study(study))
    is_own = study in composition.added_studies()
    add_jobs = plan_study if is_own or "measure" in plan.study else DESIGNS.get(study, plan_study)
    add_jobs(plan)
    # Nothing that git keeps, such as the summary of all studies, depends on a file outside of the clone.
    plan.on_request = is_own or plan.study.get("on_request") is True
    return plan


def _load_plugins(study: Tree, folder: Path) -> None:
    """Before anything of the study is read: it may name what they add."""
    named = study.get("plugins", [])
    if not isinstance(named, list) or not all(isinstance(path, str) for path in named):
        raise TwostageError(f"study {study['name']}: plugins is {named}; give a list of files such as [mine.py]")
    for path in named:
        try:
            plugins.load(folder / home(path))
        except TwostageError as error:
            raise TwostageError(f"study {study['name']}: {error}") from error


def studies() -> list[str]:
    """The files of conf/study/: those that have a plan of their own, then the others.

    Raises TwostageError for a name that no target or option could spell.
    """
    files = sorted(path.stem for path in (composition.CONF / "study").glob("[!._]*.yaml"))
    if odd := [name for name in files if not name.isidentifier()]:
        raise TwostageError(f"conf/study/{odd[0]}.yaml: no target can have this name; use letters, digits and _")
    return [*DESIGNS, *(name for name in files if name not in DESIGNS)]


def whole_plan(scale: str, only: Sequence[str] = ()) -> Builder:
    """The jobs of every study at one scale, or of `only` some, as one plan: what several of them want is one job.

    One job more sums up what all of them measured, but for those on data that nobody may have brought. A study
    that cannot be planned is left out and named in `broken`. Raises TwostageError if none can be. Of the user's
    studies (`composition.add_study`), which were asked for by their paths, every one must be a part of it.
    """
    trees = composition.trees()
    # What is wrong with the scale is the fault of no study.
    trees((f"scale={scale}",))
    plans: list[Builder] = []
    broken: dict[str, str] = {}
    for name in only or studies():
        try:
            plans.append(plan_of(name, scale, trees))
        except TwostageError as error:
            broken[name] = _of(name, error)
    usual = plans if only else [each for each in plans if not each.on_request]
    if not usual:
        raise TwostageError(next(iter(broken.values()), "conf/study/ holds no study"))
    plan, *others = usual
    plan.broken = broken
    for other in others:
        _join(plan, other)
    measured = {job.variant: job for job in drawn(plan)}
    plan.add(new_job("figures.summary", "summary", plan.tree, {}, measured))
    for other in plans:
        if other not in usual:
            _join(plan, other)
    for name in composition.added_studies():
        _join(plan, plan_of(name, scale, trees))
        if name in plan.broken:
            raise TwostageError(plan.broken[name])
    return plan


def _of(study: str, error: TwostageError) -> str:
    """The error's line, which says of which study it is."""
    return str(error) if study in str(error) else f"study {study}: {error}"


def _join(plan: Builder, other: Builder) -> None:
    """Adds all jobs of another plan, or none if one of them contradicts a job that is there or writes its files."""
    name = other.study["name"]
    new = {folder: job for folder, job in other.jobs.items() if folder not in plan.jobs}
    try:
        _require_own_files(name, new, plan)
        for folder in other.jobs.keys() & plan.jobs.keys():
            plan.add(other.jobs[folder])
    except TwostageError as error:
        plan.broken[name] = _of(name, error)
        return
    plan.jobs |= new


def _require_own_files(name: str, new: Mapping[str, Job], plan: Builder) -> None:
    """Raises TwostageError if a study would write another one's file, as X_samples.png is X's, or one of no study."""
    if name in _OF_NO_STUDY:
        raise TwostageError(f"study {name}: results/ has another {_OF_NO_STUDY[name]}; give the study another name")
    taken = {file for job in plan.jobs.values() if job.stage == "figures" for file in job.files}
    written = [file for job in new.values() if job.stage == "figures" for file in job.files]
    if clash := [file for file in written if file in taken]:
        raise TwostageError(f"study {name}: results/ has another {clash[0]}; give the study another name")


# What else results/ has: measurements, verdicts, models, what a scale costs, and the sum of all studies.
_OF_NO_STUDY = {
    "evaluation": "folder evaluation",
    "claims": "claims.csv",
    "models": "models.csv",
    "released": "released.csv",
    "plan": "plan.csv",
    "summary": "summary.json",
}
# Files in results/ whose names do not begin with that of their study.
_NAMED_OTHERWISE = {"tokenizers": "table1", "reconstructions": "table1"}


def refuse_broken(plan: Builder | Planned, targets: Iterable[str]) -> None:
    """Raises TwostageError, with the line that says why, if a target of snakemake's asks for a study that could
    not be planned: by its name, or with all others.
    """
    usual = [line for name, line in plan.broken.items() if not _is_on_request(name)]
    for target in targets:
        of_all = re.fullmatch(r"all|figures|results/(\w+/)?(metrics|summary)\.json|.*/figures/summary/.*", target)
        if usual and of_all:
            raise TwostageError(usual[0])
        if (owner := study_of(target)) in plan.broken:
            raise TwostageError(plan.broken[owner])


def study_of(target: str) -> str:
    """The study that a target of snakemake's is of, by its path; empty if it is of none, or of all."""
    owners = {name: name for name in (*studies(), *composition.added_studies())} | _NAMED_OTHERWISE
    named = [name for name in owners if re.search(rf"(^|/){name}([._/]|$)", target)]
    # The longest: f_sweep_conditional.csv is none of f_sweep's.
    return owners[max(named, key=len)] if named else ""


def _is_on_request(study: str) -> bool:
    """Whether the file of a broken study says so; one that cannot be read is asked for with all others."""
    try:
        text = (composition.CONF / "study" / f"{study}.yaml").read_text()
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
