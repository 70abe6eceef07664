"""The table of verbs: what each writes, which part it reads of what others write, and what it needs of a machine."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from omegaconf import MISSING

from twostage.config import plugins
from twostage.config.schema import SPLITS
from twostage.errors import TwostageError
from twostage.planning.choices import Choices, choices_of, joined
from twostage.runtime.job import Job, Tree

MODEL = ("model.safetensors", "config.json")
TRAINED = [*MODEL, "curve.csv", "metrics.json"]
INDICES = [f"{split}_index.npy" for split in SPLITS] + ["metadata.json"]
DRAWN = [f"{{variant}}.{kind}" for kind in ("csv", "md", "pdf", "png")]

HELD_OUT = ("validation_index.npy", "metadata.json")
SAMPLES = ("samples.npy", "metrics.json")
LABELS = ("metadata.json", *(f"{split}_label.npy" for split in SPLITS))
MEASURED = ("metrics.json", "curve.csv")
NUMBERS = (*MEASURED, "metadata.json")
GRID = ("metrics.json", "grid.npy")


@dataclass(frozen=True)
class Verb:
    """One verb of one stage.

    files: what it writes; {variant} stands for the job's.
    reads: pattern of another verb -> the part of its files that this one reads. The first pattern that fits holds, and
        of a verb that none fits all is read.
    minutes: at most. gpu: whether it runs on one where the scale has some. priority: most jobs wait for a high one.
    spread: whether several processes can do it together, each with a GPU and memory of its own.
    """

    files: list[str]
    reads: Mapping[str, Sequence[str]] = field(default_factory=dict)
    memory_mb: int = 1000
    minutes: int = 10
    gpu: bool = False
    priority: int = 0
    spread: bool = False


_DRAWS = {r"tokenizers\..*": MODEL, r"priors\..*": MODEL, r"latents\.(encode|plain)": HELD_OUT}

VERBS = {
    "weights.convert": Verb(["model.safetensors"], memory_mb=3000, minutes=30),
    # One file a map lies beside these; metadata.json, written last, vouches for them.
    "data.prepare": Verb(
        [f"{split}_{kind}.npy" for split in SPLITS for kind in ("image", "label")] + ["splits.json", "metadata.json"],
        memory_mb=4000,
        minutes=120,
    ),
    # The maps themselves, {split}_{map}.npy, are as those of data.prepare.
    "data.annotate": Verb(["metadata.json"], memory_mb=4000, minutes=1440, gpu=True),
    "tokenizers.train": Verb(
        TRAINED, {r"tokenizers\..*": MODEL}, memory_mb=4000, minutes=2880, gpu=True, spread=True, priority=10
    ),
    "tokenizers.cluster": Verb([*MODEL, "metrics.json"], memory_mb=4000, minutes=120, gpu=True),
    "tokenizers.greys": Verb([*MODEL, "metrics.json"], memory_mb=2000, minutes=30),
    "latents.encode": Verb(INDICES, {r"tokenizers\..*": MODEL}, memory_mb=3000, minutes=240, gpu=True),
    "latents.plain": Verb(INDICES, {r"data\.prepare": LABELS}, memory_mb=2000, minutes=30),
    "latents.crop": Verb(INDICES, memory_mb=3000, minutes=240),
    "priors.tune": Verb(["sweep.csv", "metrics.json"], memory_mb=3000, minutes=720, gpu=True, spread=True, priority=5),
    "priors.pace": Verb(["rounds.csv", "metrics.json"], memory_mb=3000, minutes=720, gpu=True),
    "priors.train": Verb(
        TRAINED, {r"priors\..*": ["metrics.json"]}, memory_mb=3000, minutes=2880, gpu=True, spread=True
    ),
    "priors.timed": Verb(
        TRAINED, {r"priors\..*": ["metrics.json"]}, memory_mb=3000, minutes=2880, gpu=True, spread=True
    ),
    "sampling.generate": Verb(
        ["samples.npy", "index.npy", "grid.png", "metrics.json"],
        _DRAWS,
        memory_mb=4000,
        minutes=720,
        gpu=True,
        spread=True,
    ),
    "sampling.denoise": Verb(
        ["samples.npy", "index.npy", "grid.png", "film.npy", "metrics.json"],
        _DRAWS,
        memory_mb=4000,
        minutes=720,
        gpu=True,
    ),
    "sampling.inpaint": Verb(
        [f"{name}.npy" for name in ("samples", "index", "originals", "mask", "code_mask")]
        + ["grid.png", "metrics.json"],
        _DRAWS,
        memory_mb=4000,
        minutes=720,
        gpu=True,
    ),
    "evaluation.reconstruct": Verb(["metrics.json", "grid.npy"], memory_mb=4000, minutes=120, gpu=True),
    "evaluation.compare": Verb(["metrics.json"], {r".*": NUMBERS}),
    "evaluation.crossing": Verb(["metrics.json"], {r".*": NUMBERS}),
    "evaluation.classifier": Verb([*MODEL, "metrics.json"], memory_mb=3000, minutes=720, gpu=True),
    "evaluation.features": Verb(["features.npy", "metadata.json"], memory_mb=4000, minutes=240, gpu=True, spread=True),
    "evaluation.samples": Verb(["metrics.json"], memory_mb=6000, minutes=240, gpu=True, spread=True),
    "evaluation.rfid": Verb(["metrics.json"], memory_mb=4000, minutes=240, gpu=True),
    "evaluation.likelihood": Verb(
        ["metrics.json"],
        {r"priors\..*": MODEL, r"latents\.(encode|plain)": HELD_OUT},
        memory_mb=4000,
        minutes=720,
        gpu=True,
    ),
    "evaluation.pixels_vs_latents": Verb(["metrics.json", "grid.npy"], {r"sampling\..*": SAMPLES, r".*": NUMBERS}),
    "evaluation.f_sweep": Verb(
        ["metrics.json", "grid.npy"],
        {
            r"sampling\..*": SAMPLES,
            r"evaluation\.reconstruct": GRID,
            # A dataset's maps are no declared files: its metadata vouches for them.
            r"data\..*": ["validation_image.npy", "metadata.json"],
            r"weights\.convert": MODEL,
            r".*": NUMBERS,
        },
    ),
    "evaluation.agree": Verb(
        ["metrics.json"], {r"sampling\..*": SAMPLES, r"tokenizers\..*": MODEL}, memory_mb=4000, minutes=120, gpu=True
    ),
    "evaluation.rejection": Verb(
        ["metrics.json", "grid.npy"], {r"sampling\..*": SAMPLES}, memory_mb=4000, minutes=720, gpu=True
    ),
    "evaluation.overfitting": Verb(
        ["metrics.json", "grid.npy"],
        {r"sampling\..*": SAMPLES, r"(priors|latents)\..*": NUMBERS, r"tokenizers\..*": MODEL},
        memory_mb=4000,
        minutes=720,
        gpu=True,
    ),
    "evaluation.sample_sets": Verb(["metrics.json", "grid.npy"], {r"sampling\..*": SAMPLES, r".*": NUMBERS}),
    "evaluation.sundae_inpainting": Verb(
        ["metrics.json", "grid.npy"], {r"priors\..*": NUMBERS, r"data\..*": ["validation_image.npy"]}
    ),
    "evaluation.sundae_pixels": Verb(
        ["metrics.json", "grid.npy"],
        {r"sampling\..*": SAMPLES, r"priors\..*": NUMBERS, r"latents\.plain": HELD_OUT},
        memory_mb=4000,
        minutes=30,
    ),
    "evaluation.measure": Verb(
        ["metrics.json"], {r"tokenizers\..*": ["metrics.json", "config.json"], r"sampling\..*": ["index.npy"]}
    ),
    "evaluation.collect": Verb(
        ["table.csv", "metrics.json"],
        {r"sampling\..*": SAMPLES, r"evaluation\.(reconstruct|agree)": GRID, r".*": NUMBERS},
    ),
    "figures.study": Verb([f"{{variant}}{end}" for end in (".csv", "_long.csv", ".md", ".tex")]),
    "figures.tokenizers": Verb(["tokenizers.csv", "reconstructions.pdf", "reconstructions.png"]),
    "figures.table1": Verb(["table1.csv", "table1.md", "table1.tex", "table1_curves.pdf", "table1_curves.png"]),
    "figures.crossing": Verb(DRAWN),
    "figures.summary": Verb(
        ["summary.json", "metrics.json"]
        + [f"{name}.csv" for name in ("table1_curves", "orderings_curves", "rejection_curve")]
    ),
    "figures.rejection": Verb(DRAWN),
    "figures.overfitting": Verb(DRAWN),
    "figures.pixels_vs_latents": Verb(DRAWN),
    # One drawing for several studies, told apart by their names.
    "figures.f_sweep": Verb(
        ["{variant}.csv", "{variant}.md"]
        + [f"{{variant}}{name}.{kind}" for name in ("", "_samples") for kind in ("pdf", "png")]
    ),
    "figures.sundae_vs_autoregressive": Verb(DRAWN),
    "figures.sundae_inpainting": Verb(DRAWN),
    "figures.sundae_pixels": Verb(DRAWN),
}


def files_read(job: Job, upstream: Job) -> list[str]:
    """Names of the files of `upstream` that `job` reads: what is not among them may change or be missing.

    So tables and figures can be made anew where only metrics and curves are at hand, and nothing is trained for them.
    """
    if job.verb == "measure" and job.config.get("quantity") in plugins.words("quantity"):
        # Of a user's function nothing is known.
        return upstream.files
    films = ["film.npy"] if job.config.get("films") else []
    for pattern, names in VERBS[job.name].reads.items():
        if re.fullmatch(pattern, upstream.name):
            return [name for name in upstream.files if name in (*names, *films)]
    return upstream.files


def new_job(
    name: str, variant: str, tree: Tree, config: Tree, inputs: Mapping[str, Job], files: Sequence[str] = ()
) -> Job:
    """A job of the verb `name` ("priors.train") at the scale of `tree`, asked for by its own slice `config`.

    `files`: what it writes, where that is not what every job of its verb does.
    """
    stage, verb = name.split(".")
    scale = tree["scale"]["name"]
    if (key := _unset(config)) is not None:
        raise TwostageError(f"{name} of {variant}: nothing gives {key} a value; its config group does not set it")
    job = Job(
        stage=stage,
        verb=verb,
        variant=variant,
        scale=scale,
        config=config,
        inputs={key: job.out for key, job in inputs.items()},
        out=f"artifacts/{scale}/{stage}/{variant}",
        files=[file.format(variant=variant) for file in (files or VERBS[name].files)],
        choices={},
    )
    if stage == "figures":
        # A drawing shows numbers, whatever made them: its code branches on no choice of theirs, but knows their labels.
        shown = joined({"quantity": (each.choices or {}).get("quantity", [])} for each in inputs.values())
        return replace(job, plugins=plugins.files_of(shown or {}))
    return reading(job, inputs.values())


def _unset(value: Any) -> str | None:
    """The dotted key of the first leaf that has no value (???); None if all have one."""
    if value == MISSING:
        return ""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in items:
        if (rest := _unset(each)) is not None:
            return f"{key}.{rest}" if rest else str(key)
    return None


def reading(job: Job, upstream: Iterable[Job]) -> Job:
    """The job with the choices of its own config, of what it is known to read already, and of these jobs."""
    own = choices_of(job.config)
    choices = joined([own, job.choices, *(_inherited(job, own, each) for each in upstream)])
    return replace(job, choices=choices, plugins=plugins.files_of(choices))


def _inherited(job: Job, own: Choices, upstream: Job) -> Choices | None:
    """What decides the job's code too: a number that another model was measured by runs none of that model's code."""
    if upstream.choices is None or not set(files_read(job, upstream)) <= set(MEASURED):
        return upstream.choices
    return {key: values for key, values in upstream.choices.items() if key not in own}
