"""A job is one run of one verb: what it is called, what it is asked, what it reads and what it must write."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from twostage.artifacts import sha256_file, sha256_json
from twostage.fingerprint import fingerprint

Tree = dict[str, Any]

BACKBONE_OF = {"vgg": "vgg16", "alex": "alexnet"}


@dataclass(frozen=True)
class Job:
    """One run of one verb: what it reads, what it must write, and its own slice of the config.

    `inputs` maps a name to the folder of an upstream variant, `out` is the job's own folder and `files` the names of
    the files that it must write there.
    """

    stage: str
    verb: str
    variant: str
    scale: str
    config: Tree
    inputs: dict[str, str]
    out: str
    files: list[str]

    @property
    def folder(self) -> Path:
        """The job's own artifact folder."""
        return Path(self.out)

    @property
    def sha12(self) -> str:
        """Twelve hex digits that change with anything the job was asked to do."""
        return sha256_json(asdict(self))[:12]

    @property
    def scratch(self) -> Path:
        """Undeclared folder for checkpoints: Snakemake deletes a failed job's outputs, but not this.

        Keyed by what was asked, by the code that answers and by the content of what it reads, so that no checkpoint
        of another model is taken up.
        """
        code = fingerprint(f"{self.stage}.{self.verb}")
        read = {
            f"{folder}/{name}": sha256_file(Path(folder) / name)
            for folder in self.inputs.values()
            for name in ("metadata.json", "metrics.json", "model.safetensors")
            if (Path(folder) / name).exists()
        }
        return Path("build/scratch") / self.stage / self.variant / f"{self.sha12}.{sha256_json([code, read])[:12]}"

    def upstream(self, name: str) -> Path:
        """Folder of the upstream variant that this job knows as `name`."""
        return Path(self.inputs[name])


SPLITS = ("train", "tune", "validation")

# Beside every job's files: its record, and those of the jobs that it rests on (`twostage.provenance`).
PROVENANCE = "provenance.json"

FILES = {
    "weights.convert": ["model.safetensors"],
    # One file a map lies beside these; metadata.json, written last, vouches for them.
    "data.prepare": [f"{split}_{kind}.npy" for split in SPLITS for kind in ("image", "label")]
    + ["splits.json", "metadata.json"],
    "tokenizers.train": ["model.safetensors", "config.json", "curve.csv", "metrics.json"],
    "tokenizers.cluster": ["model.safetensors", "config.json", "metrics.json"],
    "tokenizers.greys": ["model.safetensors", "config.json", "metrics.json"],
    "latents.encode": [f"{split}_index.npy" for split in SPLITS] + ["metadata.json"],
    "latents.crop": [f"{split}_index.npy" for split in SPLITS] + ["metadata.json"],
    "latents.classes": [f"{split}_index.npy" for split in SPLITS] + ["metadata.json"],
    "priors.tune": ["sweep.csv", "metrics.json"],
    "priors.train": ["model.safetensors", "config.json", "curve.csv", "metrics.json"],
    "priors.timed": ["model.safetensors", "config.json", "curve.csv", "metrics.json"],
    "sampling.generate": ["samples.npy", "index.npy", "grid.png", "metrics.json"],
    "sampling.denoise": ["samples.npy", "index.npy", "grid.png", "film.npy", "metrics.json"],
    "sampling.inpaint": [f"{name}.npy" for name in ("samples", "index", "originals", "mask", "code_mask")]
    + ["grid.png", "metrics.json"],
    "evaluation.reconstruct": ["metrics.json", "grid.npy"],
    "evaluation.compare": ["metrics.json"],
    "evaluation.orderings": ["metrics.json", "samples.npy"],
    "evaluation.features": ["features.npy", "metadata.json"],
    "evaluation.samples": ["metrics.json"],
    "evaluation.rfid": ["metrics.json"],
    "evaluation.tokenizer_ablation": ["metrics.json"],
    "evaluation.likelihood": ["metrics.json"],
    "evaluation.pixels_vs_latents": ["metrics.json", "grid.npy"],
    "evaluation.f_sweep": ["metrics.json", "grid.npy"],
    "evaluation.sample_sets": ["metrics.json", "grid.npy"],
    "evaluation.hourglass": ["metrics.json"],
    "evaluation.sundae_inpainting": ["metrics.json", "grid.npy"],
    "evaluation.sundae_pixels": ["metrics.json", "grid.npy"],
    "figures.tokenizers": ["tokenizers.csv", "reconstructions.pdf", "reconstructions.png"],
    "figures.table1": ["table1.csv", "table1.md", "table1.tex", "table1_curves.pdf", "table1_curves.png"],
    "figures.summary": ["metrics.json", "table1_curves.csv", "orderings_curves.csv"],
    "figures.orderings": ["orderings.csv", "orderings.md"]
    + [f"{name}.{kind}" for name in ("orderings", "orderings_grid", "orderings_samples") for kind in ("pdf", "png")],
    # One drawing for several experiments, told apart by their names.
    "figures.tokenizer_ablation": [f"{{variant}}.{kind}" for kind in ("csv", "md", "pdf", "png")],
    "figures.pixels_vs_latents": [f"pixels_vs_latents.{kind}" for kind in ("csv", "md", "pdf", "png")],
    "figures.f_sweep": ["f_sweep.csv", "f_sweep.md"]
    + [f"{name}.{kind}" for name in ("f_sweep", "f_sweep_samples") for kind in ("pdf", "png")],
    "figures.sundae_vs_autoregressive": [f"{{variant}}.{kind}" for kind in ("csv", "md", "pdf", "png")],
    "figures.sundae_chains": [f"{{variant}}.{kind}" for kind in ("csv", "md", "pdf", "png")],
    "figures.hourglass": [f"{{variant}}.{kind}" for kind in ("csv", "md", "pdf", "png")],
    "figures.sundae_inpainting": [f"{{variant}}.{kind}" for kind in ("csv", "md", "pdf", "png")],
    "figures.sundae_pixels": [f"{{variant}}.{kind}" for kind in ("csv", "md", "pdf", "png")],
}


MODEL = frozenset({"model.safetensors", "config.json"})
HELD_OUT = frozenset({"validation_index.npy", "metadata.json"})
SAMPLES = frozenset({"samples.npy", "metrics.json"})
LABELS = frozenset({"metadata.json", *(f"{split}_label.npy" for split in SPLITS)})
NUMBERS = frozenset({"metrics.json", "curve.csv", "metadata.json"})

# Whose files (second) a verb (first) reads only in part, and which part; the first line that fits holds.
READ_IN_PART: tuple[tuple[str, str, frozenset[str]], ...] = (
    (r"evaluation\.(orderings|f_sweep|pixels_vs_latents|sample_sets|sundae_pixels)", r"sampling\..*", SAMPLES),
    (r"evaluation\.(compare|orderings|f_sweep|pixels_vs_latents|sample_sets|hourglass)", r".*", NUMBERS),
    (r"evaluation\.sundae_(pixels|inpainting)", r"priors\..*", NUMBERS),
    (r"evaluation\.sundae_pixels", r"latents\.classes", HELD_OUT),
    (r"evaluation\.tokenizer_ablation", r".*", frozenset({"metrics.json", "config.json", "metadata.json"})),
    (r"figures\.tokenizer_ablation", r"evaluation\.reconstruct", frozenset({"grid.npy"})),
    (r"priors\.(train|timed)", r"priors\..*", frozenset({"metrics.json"})),
    (r"latents\.encode|sampling\..*", r"tokenizers\..*", MODEL),
    (r"sampling\..*|evaluation\.likelihood", r"priors\..*", MODEL),
    (r"sampling\..*|evaluation\.likelihood", r"latents\.(encode|classes)", HELD_OUT),
    (r"latents\.classes", r"latents\.encode", frozenset({"metadata.json"})),
    (r"latents\.classes", r"data\.prepare", LABELS),
)


def files_read(job: Job, upstream: Job) -> list[str]:
    """Names of the files of `upstream` that `job` reads: what is not among them may change or be missing.

    So tables and figures can be made anew where only metrics and curves are at hand, and nothing is trained for them.
    """
    for reader, read, names in READ_IN_PART:
        if re.fullmatch(reader, f"{job.stage}.{job.verb}") and re.fullmatch(read, f"{upstream.stage}.{upstream.verb}"):
            return [name for name in upstream.files if name in names]
    return upstream.files


def new_job(name: str, variant: str, tree: Tree, config: Tree, inputs: Mapping[str, Job]) -> Job:
    """A job of the verb `name` ("priors.train") at the scale of `tree`, asked for by its own slice `config`."""
    stage, verb = name.split(".")
    scale = tree["scale"]["name"]
    return Job(
        stage=stage,
        verb=verb,
        variant=variant,
        scale=scale,
        config=config,
        inputs={key: job.out for key, job in inputs.items()},
        out=f"artifacts/{scale}/{stage}/{variant}",
        files=[file.format(variant=variant) for file in FILES[name]],
    )


def weights_job(tree: Tree, name: str) -> Job:
    """Conversion of one metric network's weights: vgg16, alexnet or inception."""
    return new_job("weights.convert", name, tree, {"name": name}, {})


def data_job(tree: Tree) -> Job:
    """Preparation of the dataset `tree["data"]`."""
    return new_job("data.prepare", tree["data"]["name"], tree, tree["data"], {})


def tokenizer_job(tree: Tree) -> Job:
    """Training of `tree["tokenizers"]` on `tree["data"]`, or, of a palette, what makes that."""
    config = tree["tokenizers"]
    if config["kmeans"] is not None:
        return _palette_job("tokenizers.cluster", tree, ("name", "map", "kmeans"))
    if config["greys"]:
        return _palette_job("tokenizers.greys", tree, ("name", "map"))
    # A learned tokenizer is asked for as it was before palettes were.
    config = {key: value for key, value in config.items() if key not in ("kmeans", "greys")}
    inputs = {"data": data_job(tree)}
    for network in (config["loss"]["perceptual"], config["loss"]["early_perceptual"]):
        if network in BACKBONE_OF:
            inputs[BACKBONE_OF[network]] = weights_job(tree, BACKBONE_OF[network])
    variant = f"{tree['data']['name']}.{config['name']}"
    return new_job("tokenizers.train", variant, tree, config, inputs)


def _palette_job(verb: str, tree: Tree, keys: tuple[str, ...]) -> Job:
    config = {key: tree["tokenizers"][key] for key in keys}
    variant = f"{tree['data']['name']}.{config['name']}"
    return new_job(verb, variant, tree, config, {"data": data_job(tree)})


def latents_job(tree: Tree, tokenizer: Job) -> Job:
    """Encoding of one map of `tree["data"]` by a tokenizer, which may come from another dataset."""
    data = data_job(tree)
    config = tree["latents"] | {"map": tokenizer.config["map"]}
    trained_on, _, name = tokenizer.variant.partition(".")
    variant = f"{data.variant}.{name}" if trained_on == data.variant else f"{data.variant}.by_{tokenizer.variant}"
    return new_job("latents.encode", variant, tree, config, {"data": data, "tokenizer": tokenizer})


def classes_job(tree: Tree, latents: Job) -> Job:
    """The classes of the images of some latents, to condition a prior."""
    inputs = {"data": data_job(tree), "latents": latents}
    return new_job("latents.classes", f"{latents.variant}.classes", tree, {}, inputs)


def windows_job(tree: Tree, latents: Job, side: int, per_image: int) -> Job:
    """Windows of `side` x `side` tokens out of whole latents: what a prior of a shorter sequence trains on."""
    config = {"side": side, "per_image": per_image, "seed": 0}
    return new_job("latents.crop", f"{latents.variant}.windows_{side}", tree, config, {"latents": latents})


def _prior_inputs(latents: Job, condition: Job | None) -> dict[str, Job]:
    return {"latents": latents} | ({"condition": condition} if condition else {})


def _prior_name(tree: Tree, latents: Job, condition: Job | None, spell_row_major: bool = False) -> str:
    given = ""
    if condition:
        given = ".given_classes" if condition.verb == "classes" else f".given_{condition.variant.partition('.')[2]}"
    ordering = tree["priors"]["ordering"]
    spelled = f".{ordering}" if spell_row_major or ordering != "row_major" else ""
    return f"{latents.variant}{given}.{tree['priors']['architecture']}{spelled}"


def tune_job(tree: Tree, latents: Job, condition: Job | None) -> Job:
    """The learning-rate sweep of one architecture; it does not depend on the budget of the final run."""
    config = tree["priors"]
    steps = config["sweep"]["steps"]
    loop = config["loop"] | {"steps": steps, "evaluate_every": steps, "checkpoint_every": steps, "seed": 0}
    variant = f"{_prior_name(tree, latents, condition)}.tune"
    return new_job("priors.tune", variant, tree, config | {"loop": loop}, _prior_inputs(latents, condition))


def prior_job(
    tree: Tree, latents: Job, condition: Job | None, more_inputs: Mapping[str, Job], spell_row_major: bool = False
) -> Job:
    """Training of one prior; `more_inputs` may hold `tune` and, to be matched in time, `pixelsnail`.

    The variant names an ordering other than row-major; with `spell_row_major`, that one too.
    """
    config = tree["priors"] | {"sweep": None}
    variant = f"{_prior_name(tree, latents, condition, spell_row_major)}.seed{config['loop']['seed']}"
    return new_job("priors.train", variant, tree, config, _prior_inputs(latents, condition) | dict(more_inputs))


def timed_prior_job(tree: Tree, latents: Job, rival: Job, tune: Job | None = None) -> Job:
    """Training of one unconditional prior for as long as `rival`, another prior, trained.

    At the rival's learning rate, or that of a sweep of its own.
    """
    config = tree["priors"] | {"sweep": None}
    variant = f"{_prior_name(tree, latents, None)}.timed.seed{config['loop']['seed']}"
    inputs = {"latents": latents, "rival": rival} | ({"tune": tune} if tune else {})
    return new_job("priors.timed", variant, tree, config, inputs)


def sampling_job(
    tree: Tree, prior: Job, tokenizer: Job, condition: Job | None = None, latents: Job | None = None, label: str = ""
) -> Job:
    """Images drawn from a prior, whose variant it shares; `label` tells several sets of one prior apart.

    `condition`: latents that condition a conditional prior. `latents`: those of the real images whose beginnings are
    completed, needed if `sampling.given` is not 0.
    """
    inputs = {"prior": prior, "tokenizer": tokenizer}
    inputs |= {"condition": condition} if condition else {}
    inputs |= {"latents": latents} if latents else {}
    variant = f"{prior.variant}.{label}" if label else prior.variant
    # Its own slice: how SUNDAE priors are sampled does not concern it.
    config = {key: value for key, value in tree["sampling"].items() if key not in ("denoising", "inpainting")}
    return new_job("sampling.generate", variant, tree, config, inputs)


def denoising_job(tree: Tree, prior: Job, tokenizer: Job, condition: Job | None = None, label: str = "") -> Job:
    """Images drawn from a SUNDAE prior, whose variant it shares; `label` tells several sets of one prior apart.

    `condition`: classes, for a conditional prior.
    """
    inputs = {"prior": prior, "tokenizer": tokenizer} | ({"condition": condition} if condition else {})
    variant = f"{prior.variant}.{label}" if label else prior.variant
    return new_job("sampling.denoise", variant, tree, tree["sampling"]["denoising"], inputs)


def inpainting_job(
    tree: Tree, prior: Job, tokenizer: Job, latents: Job, condition: Job | None = None, label: str = ""
) -> Job:
    """Parts of the held-out images of `latents`, drawn anew by a SUNDAE prior; else as `denoising_job`."""
    inputs = {"prior": prior, "tokenizer": tokenizer, "latents": latents}
    inputs |= {"condition": condition} if condition else {}
    variant = f"{prior.variant}.{label or 'inpainted'}"
    return new_job("sampling.inpaint", variant, tree, tree["sampling"]["inpainting"], inputs)


def reconstruct_job(tree: Tree, tokenizer: Job, data: Job) -> Job:
    """Reconstruction quality of an image tokenizer on the validation split."""
    inputs = {"data": data, "tokenizer": tokenizer, "vgg16": weights_job(tree, "vgg16")}
    # Its own slice: other metrics' settings do not concern it.
    others = ("features", "rfid_images", "samples")
    config = {key: value for key, value in tree["evaluation"].items() if key not in others}
    return new_job("evaluation.reconstruct", tokenizer.variant, tree, config, inputs)


def features_job(tree: Tree, data: Job) -> Job:
    """Inception features of one split's real images, shared by all evaluations; needs `weights_job` of inception."""
    config = tree["evaluation"]["features"]
    variant = f"features.{data.variant}.{config['split']}"
    inputs = {"data": data, "inception": weights_job(tree, "inception")}
    return new_job("evaluation.features", variant, tree, config, inputs)


def samples_evaluation_job(tree: Tree, sampling: Job, features: Job) -> Job:
    """FID and its kin of the images in a job's samples.npy against stored features; needs `weights_job` of inception.

    The `sampling` job may be any whose folder holds samples.npy.
    """
    inputs = {"samples": sampling, "real": features, "inception": weights_job(tree, "inception")}
    return new_job("evaluation.samples", f"samples.{sampling.variant}", tree, tree["evaluation"]["samples"], inputs)


def likelihood_job(tree: Tree, prior: Job, latents: Job, images: int) -> Job:
    """NLL of whole held-out images under a prior, by sliding window where its grid is smaller than theirs."""
    config = {"images": images, "batch_size": tree["evaluation"]["batch_size"]}
    inputs = {"prior": prior, "latents": latents}
    return new_job("evaluation.likelihood", f"likelihood.{prior.variant}", tree, config, inputs)


def rfid_job(tree: Tree, tokenizer: Job, data: Job, features: Job) -> Job:
    """FID of reconstructions against the stored features of the same images; needs `weights_job` of inception."""
    inputs = {"data": data, "tokenizer": tokenizer, "real": features, "inception": weights_job(tree, "inception")}
    config = tree["evaluation"]["features"]
    config = config | {"images": tree["evaluation"]["rfid_images"] or config["images"]}
    return new_job("evaluation.rfid", f"rfid.{tokenizer.variant}", tree, config, inputs)
