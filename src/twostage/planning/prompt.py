"""What a person asks for by overrides: the job, all that it rests on, and where each lies.

A job that the plan has, lies in the plan's folder. Any other has a folder of its own, `*.by_hand_` and a hash of what
makes it another, so nothing that is asked for by hand takes the place of what a table is drawn from.
"""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from twostage.config import composition, schema
from twostage.config.schema import DENOISERS
from twostage.errors import TwostageError
from twostage.home import home
from twostage.planning.chain import chain
from twostage.planning.kept import kept_plan
from twostage.planning.made import asked_sha256, brought, read_record
from twostage.runtime.artifacts import read_json, sha256_json
from twostage.runtime.job import Job
from twostage.runtime.released import require_as_released

# What a verb's jobs are made of, by its stage.
READS = {
    "data": ("data",),
    "tokenizers": ("data", "tokenizers"),
    "latents": ("data", "tokenizers", "latents"),
    "priors": ("data", "tokenizers", "latents", "priors"),
    "sampling": ("data", "tokenizers", "latents", "priors", "sampling"),
    "evaluation": ("data", "tokenizers", "evaluation"),
}
# Keys that stand in the names of variants, or say of which data they are.
CONDITION = "priors.condition="
NAMED = ("data.", "latents.map=", CONDITION, "priors.ordering=", "priors.loop.seed=")
# Folders of the user's in place of what the chain would make, and the verbs that read them.
GIVEN = {
    "prior": ("sampling.generate", "sampling.denoise", "sampling.inpaint"),
    "tokenizer": (
        "latents.encode",
        "priors.tune",
        "priors.train",
        "sampling.generate",
        "sampling.denoise",
        "sampling.inpaint",
        "evaluation.reconstruct",
        "evaluation.rfid",
    ),
}
# Inputs that decide for how long a prior trains and at which rate, not which prior it is.
TUNED_BY = {"tune", "pace", "rival"}


@dataclass(frozen=True)
class Asked:
    """A job, and by their folders all that it rests on, in an order in which they can run."""

    job: Job
    jobs: dict[str, Job]
    overrides: tuple[str, ...] = ()
    folders: Mapping[str, str] = field(default_factory=dict)  # of GIVEN, as typed

    def how(self, job: Job) -> str:
        """How to make one of the jobs, as the end of a sentence."""
        if job.stage == "weights":
            return f"ask for it: snakemake --cores all --config scale={job.scale} -- {job.out}/{job.files[0]}"
        verb = job.name
        kept = [each for each in self.overrides if group_of(each) in (*READS.get(job.stage, ()), "scale")]
        folders = [f"{name}={folder}" for name, folder in self.folders.items() if verb in GIVEN[name]]
        if verb == "latents.plain":
            kept.append(f"latents.map={job.config['map']}")
        if verb == "data.annotate":
            kept.append(f"tokenizers={self._tokenizer_of(job.config['map'])}")
        of_map = self._map_tokenizer(job)
        if of_map is not None:
            kept = [*(each for each in kept if group_of(each) != "tokenizers"), f"tokenizers={of_map}"]
            folders = []
        configs = [f"--config-dir={folder}" for folder in composition.added_folders()]
        return f"make it: python -m twostage {verb} {shlex.join([*kept, *folders, *configs])}".rstrip()

    def _tokenizer_of(self, name: str) -> str:
        """A tokenizer of this map, which begins its name: the one that is asked for, or the first."""
        named = [each.partition("=")[2] for each in self.overrides if each.startswith(("tokenizers=", CONDITION))]
        return next(each for each in (*named, *composition.options("tokenizers")) if each.startswith(f"{name}_"))

    def _map_tokenizer(self, job: Job) -> str | None:
        """The name of the tokenizer that the job makes or reads, if it is that of the condition."""
        tokenizer = job if job.stage == "tokenizers" else self.jobs.get(job.inputs.get("tokenizer", ""))
        if tokenizer is None or job.stage not in ("tokenizers", "latents"):
            return None
        name = str(tokenizer.config["name"])
        return None if name == composition.compose(self.overrides)["tokenizers"]["name"] else name


def asked(verb: str, overrides: tuple[str, ...], out: Path | None = None, label: bool = False) -> Asked:
    """The job of `verb` ("priors.train") under Hydra overrides; `prior=DIR` and `tokenizer=DIR` name folders to use.

    `out`: a folder outside of artifacts/ that the job shall write. `label` as in `chain`. Raises TwostageError, one
    line, if an override is a choice of a stage that the verb does not read, or what is asked does not go together.
    """
    folders = folders_given(verb, overrides)
    overrides = remembered(verb, without_folders(overrides))
    refuse_unread_stages(verb, overrides)
    given = {name: _given(name, folder, overrides) for name, folder in folders.items()}
    jobs = _drawn_from(verb, overrides, given) if "prior" in given else chain(overrides, verb, given, label)
    placed = _placed(jobs, verb, overrides)
    # What the user names, no job asks for: it is taken as it is.
    job, before = placed[-1], {each.out: each for each in placed[:-1] if each.verb != "given"}
    return Asked(job if out is None else _into(job, out), before, overrides, folders)


def folders_given(verb: str, overrides: Iterable[str]) -> dict[str, str]:
    """The folders of `prior=DIR` and `tokenizer=DIR`. Raises TwostageError for one that the verb does not read."""
    folders = dict(each.split("=", 1) for each in overrides if each.split("=")[0] in GIVEN)
    for name in folders:
        if verb not in GIVEN[name]:
            raise TwostageError(f"{verb} reads no {name}; {name}=DIR is for {', '.join(GIVEN[name])}")
    return folders


def without_folders(overrides: Iterable[str]) -> tuple[str, ...]:
    """The overrides of configs: without prior=DIR and tokenizer=DIR."""
    return tuple(each for each in overrides if each.split("=")[0] not in GIVEN)


def group_of(override: str) -> str:
    """The config group of an override: "priors" of priors.loop.seed=1."""
    return override.lstrip("+~").split("=")[0].split(".")[0]


def refuse_unread_stages(verb: str, overrides: Iterable[str]) -> None:
    """Raises TwostageError for a value of a stage that the verb does not read."""
    stage = verb.split(".")[0]
    reads = READS.get(stage, ())
    for override in overrides:
        group, dot, _ = override.lstrip("+~").split("=")[0].partition(".")
        if dot and group in schema.Config.__dataclass_fields__ and group not in (*reads, "scale"):
            raise TwostageError(
                f"{override} is a choice of the stage {group}, which {verb} does not read; it reads {', '.join(reads)}"
            )


def remembered(verb: str, overrides: tuple[str, ...]) -> tuple[str, ...]:
    """With what data.prepare was told about a folder of the user's: later verbs need not be told it again.

    Raises TwostageError, one line, for what the overrides cannot be, and for a damaged record of the data.
    """
    tree = composition.compose(overrides)
    data, scale = tree["data"], tree["scale"]["name"]
    if verb == "data.prepare" or data["source"] != "folder" or _has_file(data["name"]):
        return overrides
    record = read_record(Path(f"artifacts/{scale}/data/{data['name']}"))
    told: dict[str, Any] = record["config"] if record is not None else {}
    said = {each.lstrip("+~").split("=")[0] for each in overrides}
    keys = [key for key in told if f"data.{key}" not in said and told[key] != data.get(key)]
    # Hydra's parser takes a third of a second to import.
    from twostage.config.overrides import override_of

    return (*overrides, *(override_of(f"data.{key}", told[key]) for key in keys))


def _has_file(name: str) -> bool:
    return name in composition.options("data")


def _placed(jobs: list[Job], verb: str, overrides: tuple[str, ...]) -> list[Job]:
    """The jobs in the folders where they belong, and before them what the plan's ones rest on."""
    scale = jobs[-1].scale
    plan = kept_plan(scale).jobs
    kept = tuple(each for each in overrides if "." not in each.split("=")[0] or each.lstrip("+~").startswith(NAMED))
    usual = {job.out: job for job in chain(kept, verb, label=False)}
    moved: dict[str, str] = {}
    placed: dict[str, Job] = {}
    for job in jobs:
        asked_for = replace(job, inputs={name: moved.get(folder, folder) for name, folder in job.inputs.items()})
        # A sweep of one's own finds another rate.
        swept_alike = asked_for.inputs.get("tune") == job.inputs.get("tune")
        planned = plan.get(job.out) if swept_alike else None
        here = _with_its_folder(asked_for, planned, usual.get(job.out), asked_for == job)
        moved[job.out] = here.out
        for each in _upstream(here, plan) if here is plan.get(job.out) else ():
            placed.setdefault(each.out, each)
        placed[here.out] = here
    target = placed.pop(moved[jobs[-1].out])
    return [*placed.values(), target]


def _with_its_folder(job: Job, planned: Job | None, usual: Job | None, in_place: bool) -> Job:
    """`usual`: the job of the same choices without any value; `in_place`: all that it reads has its usual folder."""
    if job.verb == "given":
        return job
    if planned is not None and _is_the_same(job, planned):
        return planned
    # The names of these say all that makes them, beside what they read.
    is_named_whole = ".drawn_" in job.variant or job.name == "data.annotate"
    if planned is None and in_place and (job == usual or is_named_whole):
        return job
    digest = sha256_json([job.verb, asked_sha256(job), job.inputs, brought(job) if job.stage != "data" else {}])
    variant = f"{job.variant}.by_hand_{digest[:6]}"
    return replace(job, variant=variant, out=f"artifacts/{job.scale}/{job.stage}/{variant}")


def _is_the_same(job: Job, planned: Job) -> bool:
    """Whether the plan's job makes what is asked for; how a rate was found and when training ends may differ."""
    inputs = [{name: each.inputs[name] for name in each.inputs.keys() - TUNED_BY} for each in (job, planned)]
    return job.verb == planned.verb and asked_sha256(job) == asked_sha256(planned) and inputs[0] == inputs[1]


def _upstream(job: Job, plan: Mapping[str, Job]) -> list[Job]:
    """All planned jobs that a planned one rests on, in an order in which they can run."""
    found: dict[str, Job] = {}
    for folder in job.inputs.values():
        for each in (*_upstream(plan[folder], plan), plan[folder]):
            found.setdefault(each.out, each)
    return list(found.values())


# ---- Folders of the user's


def _given(name: str, folder: str, overrides: tuple[str, ...]) -> Job:
    """A stand-in for the job that made a folder which the user names."""
    # A whole path: by it `made.brought` knows what is the user's.
    path = home(folder).resolve()
    if not (path / "config.json").is_file():
        raise TwostageError(f"{name}={folder} has no config.json; name the folder of a trained {name}")
    require_as_released(path)
    stored = read_json(path / "config.json")
    if not isinstance(stored, dict):
        raise TwostageError(f"{path}/config.json describes no {name}; bring the folder again")
    # A palette names no map: its colours are those of images.
    trained = stored.get("config")
    of = trained.get("map", "image") if name == "tokenizer" and isinstance(trained, dict) else "image"
    tree = composition.compose(overrides)
    variant = f"{tree['data']['name']}.{path.name}"
    config = {"map": of, "name": path.name}
    return Job(
        f"{name}s", "given", variant, tree["scale"]["name"], config, {}, str(path), ["model.safetensors", "config.json"]
    )


def _drawn_from(verb: str, overrides: tuple[str, ...], given: Mapping[str, Job]) -> list[Job]:
    """A sampling verb's job for a prior of the user's; tokenizer, condition and latents are those of its record."""
    prior = given["prior"]
    (job,) = chain(_of_its_kind(prior.folder, overrides), verb, label=False)[-1:]
    recorded = _recorded_inputs(prior.folder)
    inputs = {"prior": prior.out}
    for name in ("tokenizer", "condition", "latents"):
        wanted = name == "tokenizer" or (name == "condition" and _needs_codes(job)) or name in job.inputs
        folder = given[name].out if name in given else recorded.get(name)
        if wanted and folder is not None:
            inputs[name] = folder
    if "tokenizer" not in inputs:
        raise TwostageError(f"{prior.out} has no record of its tokenizer; name it: tokenizer=DIR")
    if job.config.get("condition_file") and "condition_tokenizer" in recorded:
        inputs["condition_tokenizer"] = recorded["condition_tokenizer"]
    out = f"artifacts/{job.scale}/sampling/{prior.variant}"
    return [*given.values(), replace(job, variant=prior.variant, inputs=inputs, out=out, choices=None)]


def _of_its_kind(folder: Path, overrides: tuple[str, ...]) -> tuple[str, ...]:
    """With the architecture of a prior that draws whole grids, as each of them is asked in its own way how to draw."""
    architecture = read_json(folder / "config.json").get("architecture")
    chosen = any(each.split("=")[0] == "priors" for each in overrides)
    return overrides if chosen or architecture not in DENOISERS else (f"priors={architecture}", *overrides)


def _needs_codes(job: Job) -> bool:
    return not job.config.get("coordinates") and not job.config.get("condition_file")


def _recorded_inputs(folder: Path) -> dict[str, str]:
    """Folders of the tokenizer, the latents and the condition of a prior, as far as its record names them."""
    record = read_record(folder)
    if record is None:
        return {}
    behind: dict[str, Any] = record["rests_on"]

    def inputs_of(name: str) -> dict[str, str]:
        return dict(behind.get(name, {}).get("inputs", {}))

    own = record["inputs"]
    ids = {name: own[name] for name in ("latents", "condition") if name in own}
    ids |= {"tokenizer": inputs_of(own.get("latents", "")).get("tokenizer", "")}
    ids |= {"condition_tokenizer": inputs_of(own.get("condition", "")).get("tokenizer", "")}
    return {name: behind[each]["folder"] for name, each in ids.items() if "folder" in behind.get(each, {})}


def _into(job: Job, out: Path) -> Job:
    """The job with another folder. Raises TwostageError for one of the pipeline's, or one that holds something else."""
    folder = home(out)
    if folder.resolve().is_relative_to(Path("artifacts").resolve()):
        raise TwostageError(f"--out {out} lies in artifacts/, whose folders the plan names; name one outside of it")
    if folder.exists() and not (folder.is_dir() and _may_hold(folder, job)):
        raise TwostageError(f"--out {out} holds something that {job.name} did not write; name an empty or a new folder")
    return replace(job, out=str(folder))


def _may_hold(folder: Path, job: Job) -> bool:
    """Whether nothing is lost if the job is made in the folder: it is empty, or holds what the verb wrote, or began."""
    record = read_record(folder)
    if record is not None:
        return bool(record["job"].startswith(f"{job.name} "))
    own = {*job.files, "log.txt"}
    return all(path.name in own or path.name.endswith(".partial") for path in folder.iterdir())
