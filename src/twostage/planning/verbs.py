"""What every verb writes, and what it reads of what others write."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from twostage.config.schema import SPLITS
from twostage.planning.choices import Choices, choices_of, joined
from twostage.runtime.job import Job, Tree

FILES = {
    "weights.convert": ["model.safetensors"],
    # One file a map lies beside these; metadata.json, written last, vouches for them.
    "data.prepare": [f"{split}_{kind}.npy" for split in SPLITS for kind in ("image", "label")]
    + ["splits.json", "metadata.json"],
    # The maps themselves, {split}_{map}.npy, are as those of data.prepare.
    "data.annotate": ["metadata.json"],
    "tokenizers.train": ["model.safetensors", "config.json", "curve.csv", "metrics.json"],
    "tokenizers.cluster": ["model.safetensors", "config.json", "metrics.json"],
    "tokenizers.greys": ["model.safetensors", "config.json", "metrics.json"],
    "latents.encode": [f"{split}_index.npy" for split in SPLITS] + ["metadata.json"],
    "latents.plain": [f"{split}_index.npy" for split in SPLITS] + ["metadata.json"],
    "latents.crop": [f"{split}_index.npy" for split in SPLITS] + ["metadata.json"],
    "priors.tune": ["sweep.csv", "metrics.json"],
    "priors.pace": ["rounds.csv", "metrics.json"],
    "priors.train": ["model.safetensors", "config.json", "curve.csv", "metrics.json"],
    "priors.timed": ["model.safetensors", "config.json", "curve.csv", "metrics.json"],
    "sampling.generate": ["samples.npy", "index.npy", "grid.png", "metrics.json"],
    "sampling.denoise": ["samples.npy", "index.npy", "grid.png", "film.npy", "metrics.json"],
    "sampling.inpaint": [f"{name}.npy" for name in ("samples", "index", "originals", "mask", "code_mask")]
    + ["grid.png", "metrics.json"],
    "evaluation.reconstruct": ["metrics.json", "grid.npy"],
    "evaluation.compare": ["metrics.json"],
    "evaluation.orderings": ["metrics.json", "samples.npy"],
    "evaluation.classifier": ["model.safetensors", "config.json", "metrics.json"],
    "evaluation.features": ["features.npy", "metadata.json"],
    "evaluation.samples": ["metrics.json"],
    "evaluation.rfid": ["metrics.json"],
    "evaluation.likelihood": ["metrics.json"],
    "evaluation.pixels_vs_latents": ["metrics.json", "grid.npy"],
    "evaluation.f_sweep": ["metrics.json", "grid.npy"],
    "evaluation.conditional": ["metrics.json", "grid.npy"],
    "evaluation.rejection": ["metrics.json", "grid.npy"],
    "evaluation.overfitting": ["metrics.json", "grid.npy"],
    "evaluation.sample_sets": ["metrics.json", "grid.npy"],
    "evaluation.sundae_inpainting": ["metrics.json", "grid.npy"],
    "evaluation.sundae_pixels": ["metrics.json", "grid.npy"],
    "evaluation.measure": ["metrics.json"],
    "evaluation.collect": ["table.csv", "metrics.json"],
    "figures.study": [f"{{variant}}{end}" for end in (".csv", "_long.csv", ".md", ".tex")],
    "figures.tokenizers": ["tokenizers.csv", "reconstructions.pdf", "reconstructions.png"],
    "figures.table1": ["table1.csv", "table1.md", "table1.tex", "table1_curves.pdf", "table1_curves.png"],
    "figures.summary": ["summary.json", "metrics.json"]
    + [f"{name}.csv" for name in ("table1_curves", "orderings_curves", "rejection_curve")],
    "figures.orderings": ["orderings.csv", "orderings.md"]
    + [f"{name}.{kind}" for name in ("orderings", "orderings_grid", "orderings_samples") for kind in ("pdf", "png")],
    # One drawing for several experiments, told apart by their names.
    "figures.conditional": [f"{{variant}}.{kind}" for kind in ("csv", "md", "pdf", "png")],
    "figures.rejection": [f"rejection.{kind}" for kind in ("csv", "md", "pdf", "png")],
    "figures.overfitting": [f"overfitting.{kind}" for kind in ("csv", "md", "pdf", "png")],
    "figures.pixels_vs_latents": [f"pixels_vs_latents.{kind}" for kind in ("csv", "md", "pdf", "png")],
    "figures.f_sweep": ["{variant}.csv", "{variant}.md"]
    + [f"{{variant}}{name}.{kind}" for name in ("", "_samples") for kind in ("pdf", "png")],
    "figures.sundae_vs_autoregressive": [f"{{variant}}.{kind}" for kind in ("csv", "md", "pdf", "png")],
    "figures.sundae_inpainting": [f"{{variant}}.{kind}" for kind in ("csv", "md", "pdf", "png")],
    "figures.sundae_pixels": [f"{{variant}}.{kind}" for kind in ("csv", "md", "pdf", "png")],
}


MODEL = frozenset({"model.safetensors", "config.json"})
HELD_OUT = frozenset({"validation_index.npy", "metadata.json"})
SAMPLES = frozenset({"samples.npy", "metrics.json"})
LABELS = frozenset({"metadata.json", *(f"{split}_label.npy" for split in SPLITS)})
NUMBERS = frozenset({"metrics.json", "curve.csv", "metadata.json"})
MEASURED = frozenset({"metrics.json", "curve.csv"})

# Whose files (second) a verb (first) reads only in part, and which part; the first line that fits holds.
READ_IN_PART: tuple[tuple[str, str, frozenset[str]], ...] = (
    (
        r"evaluation\.(orderings|f_sweep|pixels_vs_latents|conditional|rejection|overfitting|sample_sets|sundae_pixels|collect)",
        r"sampling\..*",
        SAMPLES,
    ),
    (r"evaluation\.(conditional|overfitting|sundae_pixels|sundae_inpainting)", r"priors\..*", NUMBERS),
    (r"evaluation\.overfitting", r"latents\..*", NUMBERS),
    (r"evaluation\.(conditional|overfitting)", r"tokenizers\..*", MODEL),
    (r"evaluation\.f_sweep", r"evaluation\.reconstruct", frozenset({"metrics.json", "grid.npy"})),
    # A dataset's maps are no declared files: its metadata vouches for them.
    (r"evaluation\.f_sweep", r"data\..*", frozenset({"validation_image.npy", "metadata.json"})),
    (r"evaluation\.f_sweep", r"weights\.convert", MODEL),
    (r"evaluation\.(compare|orderings|f_sweep|pixels_vs_latents|sample_sets|collect)", r".*", NUMBERS),
    (r"evaluation\.sundae_pixels", r"latents\.plain", HELD_OUT),
    (r"evaluation\.collect", r"evaluation\.reconstruct", frozenset({"metrics.json", "grid.npy"})),
    (r"evaluation\.measure", r"tokenizers\..*", frozenset({"metrics.json", "config.json"})),
    (r"evaluation\.measure", r"sampling\..*", frozenset({"index.npy"})),
    (r"priors\.(train|timed)", r"priors\..*", frozenset({"metrics.json"})),
    (r"latents\.encode|sampling\..*", r"tokenizers\..*", MODEL),
    (r"sampling\..*|evaluation\.likelihood", r"priors\..*", MODEL),
    (r"sampling\..*|evaluation\.likelihood", r"latents\.(encode|plain)", HELD_OUT),
    (r"latents\.plain", r"data\.prepare", LABELS),
)


def files_read(job: Job, upstream: Job) -> list[str]:
    """Names of the files of `upstream` that `job` reads: what is not among them may change or be missing.

    So tables and figures can be made anew where only metrics and curves are at hand, and nothing is trained for them.
    """
    for reader, read, names in READ_IN_PART:
        if re.fullmatch(reader, f"{job.stage}.{job.verb}") and re.fullmatch(read, f"{upstream.stage}.{upstream.verb}"):
            return [name for name in upstream.files if name in names]
    return upstream.files


def new_job(
    name: str, variant: str, tree: Tree, config: Tree, inputs: Mapping[str, Job], files: Sequence[str] = ()
) -> Job:
    """A job of the verb `name` ("priors.train") at the scale of `tree`, asked for by its own slice `config`.

    `files`: what it writes, where that is not what every job of its verb does.
    """
    stage, verb = name.split(".")
    scale = tree["scale"]["name"]
    job = Job(
        stage=stage,
        verb=verb,
        variant=variant,
        scale=scale,
        config=config,
        inputs={key: job.out for key, job in inputs.items()},
        out=f"artifacts/{scale}/{stage}/{variant}",
        files=[file.format(variant=variant) for file in (files or FILES[name])],
        choices={},
    )
    # A drawing shows numbers, whatever made them: its code branches on no choice of theirs.
    return job if stage == "figures" else reading(job, inputs.values())


def reading(job: Job, upstream: Iterable[Job]) -> Job:
    """The job with the choices of its own config, of what it is known to read already, and of these jobs."""
    own = choices_of(job.config)
    return replace(job, choices=joined([own, job.choices, *(_inherited(job, own, each) for each in upstream)]))


def _inherited(job: Job, own: Choices, upstream: Job) -> Choices | None:
    """What decides the job's code too: a number that another model was measured by runs none of that model's code."""
    if upstream.choices is None or not set(files_read(job, upstream)) <= MEASURED:
        return upstream.choices
    return {key: values for key, values in upstream.choices.items() if key not in own}
