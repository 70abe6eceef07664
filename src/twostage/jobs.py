"""A job is one run of one verb: what it is called, what it is asked, what it reads and what it must write."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from twostage.artifacts import sha256_file, sha256_json
from twostage.errors import TwostageError
from twostage.fingerprint import fingerprint

Tree = dict[str, Any]

BACKBONE_OF = {"vgg": "vgg16", "alex": "alexnet"}
# Maps that data.annotate makes of images.
ANNOTATED = ("low_resolution", "edges", "segmentation", "depth")


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
    # The maps themselves, {split}_{map}.npy, are as those of data.prepare.
    "data.annotate": ["metadata.json"],
    "tokenizers.train": ["model.safetensors", "config.json", "curve.csv", "metrics.json"],
    "tokenizers.cluster": ["model.safetensors", "config.json", "metrics.json"],
    "latents.encode": [f"{split}_index.npy" for split in SPLITS] + ["metadata.json"],
    "latents.plain": [f"{split}_index.npy" for split in SPLITS] + ["metadata.json"],
    "latents.crop": [f"{split}_index.npy" for split in SPLITS] + ["metadata.json"],
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
    "evaluation.classifier": ["model.safetensors", "config.json", "metrics.json"],
    "evaluation.features": ["features.npy", "metadata.json"],
    "evaluation.samples": ["metrics.json"],
    "evaluation.rfid": ["metrics.json"],
    "evaluation.tokenizer_ablation": ["metrics.json"],
    "evaluation.likelihood": ["metrics.json"],
    "evaluation.pixels_vs_latents": ["metrics.json", "grid.npy"],
    "evaluation.f_sweep": ["metrics.json", "grid.npy"],
    "evaluation.conditional": ["metrics.json", "grid.npy"],
    "evaluation.rejection": ["metrics.json", "grid.npy"],
    "evaluation.overfitting": ["metrics.json", "grid.npy"],
    "figures.tokenizers": ["tokenizers.csv", "reconstructions.pdf", "reconstructions.png"],
    "figures.table1": ["table1.csv", "table1.md", "table1.tex", "table1_curves.pdf", "table1_curves.png"],
    "figures.summary": ["metrics.json", "table1_curves.csv", "orderings_curves.csv"],
    "figures.orderings": ["orderings.csv", "orderings.md"]
    + [f"{name}.{kind}" for name in ("orderings", "orderings_grid", "orderings_samples") for kind in ("pdf", "png")],
    # One drawing for several experiments, told apart by their names.
    "figures.tokenizer_ablation": [f"{{variant}}.{kind}" for kind in ("csv", "md", "pdf", "png")],
    "figures.conditional": [f"{{variant}}.{kind}" for kind in ("csv", "md", "pdf", "png")],
    "figures.rejection": [f"rejection.{kind}" for kind in ("csv", "md", "pdf", "png")],
    "figures.overfitting": [f"overfitting.{kind}" for kind in ("csv", "md", "pdf", "png")],
    "figures.pixels_vs_latents": [f"pixels_vs_latents.{kind}" for kind in ("csv", "md", "pdf", "png")],
    "figures.f_sweep": ["f_sweep.csv", "f_sweep.md"]
    + [f"{name}.{kind}" for name in ("f_sweep", "f_sweep_samples") for kind in ("pdf", "png")],
}


MODEL = frozenset({"model.safetensors", "config.json"})
HELD_OUT = frozenset({"validation_index.npy", "metadata.json"})
SAMPLES = frozenset({"samples.npy", "metrics.json"})
LABELS = frozenset({"metadata.json", *(f"{split}_label.npy" for split in SPLITS)})
NUMBERS = frozenset({"metrics.json", "curve.csv", "metadata.json"})

# Whose files (second) a verb (first) reads only in part, and which part; the first line that fits holds.
READ_IN_PART: tuple[tuple[str, str, frozenset[str]], ...] = (
    (r"evaluation\.(orderings|f_sweep|pixels_vs_latents)", r"sampling\.(generate|denoise)", SAMPLES),
    (r"evaluation\.(conditional|rejection|overfitting)", r"sampling\.generate", SAMPLES),
    (r"evaluation\.(conditional|overfitting)", r"priors\..*", NUMBERS),
    (r"evaluation\.overfitting", r"latents\..*", NUMBERS),
    (r"evaluation\.conditional", r"tokenizers\..*", MODEL),
    (r"evaluation\.(compare|orderings|f_sweep|pixels_vs_latents)", r".*", NUMBERS),
    (r"evaluation\.tokenizer_ablation", r".*", frozenset({"metrics.json", "config.json", "metadata.json"})),
    (r"figures\.tokenizer_ablation", r"evaluation\.reconstruct", frozenset({"grid.npy"})),
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


def maps_job(tree: Tree, name: str) -> Job:
    """Where the map `name` of `tree["data"]` lies: in the dataset, or, where it has none, with its annotator."""
    data = data_job(tree)
    if name == "image" or name in data.config["maps"]:
        return data
    config: Tree = {"map": name}
    variant = f"{data.variant}.{name}"
    match name:
        case "low_resolution":
            config["factor"] = tree["scale"]["data"]["low_resolution_factor"]
            variant += f"_x{config['factor']}"
        case "edges":
            config["canny_sigma"] = data.config["canny_sigma"]
        case "segmentation" | "depth":
            pass
        case other:
            raise TwostageError(
                f"dataset {data.variant} has no map {other} and none can be made of its images; name one of "
                f"{', '.join(dict.fromkeys((*data.config['maps'], *ANNOTATED)))}"
            )
    return new_job("data.annotate", variant, tree, config, {"data": data})


def plain_job(tree: Tree, kind: str) -> Job:
    """Class labels or coordinates of `tree["data"]` as the condition of priors over codes of `tree["tokenizers"]`."""
    config = {"map": kind} | {key: tree["latents"][key] for key in ("flips", "train_images", "validation_images")}
    data, variant = data_job(tree), f"{tree['data']['name']}.{kind}"
    if kind == "coordinates":
        tokenizer = tree["tokenizers"]
        config["factor"] = 2 ** tokenizer["num_downsamplings"]
        config["num_codes"] = (tokenizer["kmeans"] or tokenizer["quantizer"])["num_codes"]
        variant += f"_f{config['factor']}"
    return new_job("latents.plain", variant, tree, config, {"data": data})


def tokenizer_job(tree: Tree) -> Job:
    """Training of `tree["tokenizers"]` on `tree["data"]`, or, for k-means, its clustering."""
    config = tree["tokenizers"]
    if config["kmeans"] is not None:
        return _cluster_job(tree)
    # A learned tokenizer is asked for as it was before palettes were.
    config = {key: value for key, value in config.items() if key != "kmeans"}
    inputs = {"data": maps_job(tree, config["map"])}
    for network in (config["loss"]["perceptual"], config["loss"]["early_perceptual"]):
        if network in BACKBONE_OF:
            inputs[BACKBONE_OF[network]] = weights_job(tree, BACKBONE_OF[network])
    variant = f"{tree['data']['name']}.{config['name']}"
    return new_job("tokenizers.train", variant, tree, config, inputs)


def _cluster_job(tree: Tree) -> Job:
    config = {key: tree["tokenizers"][key] for key in ("name", "map", "kmeans")}
    variant = f"{tree['data']['name']}.{config['name']}"
    return new_job("tokenizers.cluster", variant, tree, config, {"data": maps_job(tree, config["map"])})


def latents_job(tree: Tree, tokenizer: Job) -> Job:
    """Encoding of one map of `tree["data"]` by a tokenizer, which may come from another dataset."""
    name_of_data, data = tree["data"]["name"], maps_job(tree, tokenizer.config["map"])
    config = tree["latents"] | {"map": tokenizer.config["map"]}
    trained_on, _, name = tokenizer.variant.partition(".")
    variant = f"{name_of_data}.{name}" if trained_on == name_of_data else f"{name_of_data}.by_{tokenizer.variant}"
    return new_job("latents.encode", variant, tree, config, {"data": data, "tokenizer": tokenizer})


def classes_job(tree: Tree, latents: Job) -> Job:
    """The classes of the images of some latents, to condition a prior."""
    return plain_job(tree | {"latents": latents.config}, "class")


def windows_job(tree: Tree, latents: Job, side: int, per_image: int) -> Job:
    """Windows of `side` x `side` tokens out of whole latents: what a prior of a shorter sequence trains on."""
    config = {"side": side, "per_image": per_image, "seed": 0}
    return new_job("latents.crop", f"{latents.variant}.windows_{side}", tree, config, {"latents": latents})


def _prior_inputs(latents: Job, condition: Job | None) -> dict[str, Job]:
    return {"latents": latents} | ({"condition": condition} if condition else {})


def _prior_name(tree: Tree, latents: Job, condition: Job | None, spell_row_major: bool = False) -> str:
    given = f".given_{condition.variant.partition('.')[2]}" if condition else ""
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
    tree: Tree,
    latents: Job,
    condition: Job | None,
    more_inputs: Mapping[str, Job],
    spell_row_major: bool = False,
    label: str = "",
) -> Job:
    """Training of one prior; `more_inputs` may hold `tune` and, to be matched in time, `pixelsnail`.

    The variant names an ordering other than row-major; with `spell_row_major`, that one too. `label` tells several
    budgets apart.
    """
    config = tree["priors"] | {"sweep": None}
    name = ".".join(part for part in (_prior_name(tree, latents, condition, spell_row_major), label) if part)
    variant = f"{name}.seed{config['loop']['seed']}"
    return new_job("priors.train", variant, tree, config, _prior_inputs(latents, condition) | dict(more_inputs))


def timed_prior_job(tree: Tree, latents: Job, rival: Job) -> Job:
    """Training of one unconditional prior for as long, and at the learning rate, as `rival`, another prior, trained."""
    config = tree["priors"] | {"sweep": None}
    variant = f"{_prior_name(tree, latents, None)}.timed.seed{config['loop']['seed']}"
    return new_job("priors.timed", variant, tree, config, {"latents": latents, "rival": rival})


def sampling_job(
    tree: Tree, prior: Job, tokenizer: Job, condition: Job | None = None, latents: Job | None = None, label: str = ""
) -> Job:
    """Images drawn from a prior, whose variant it shares; `label` tells several sets of one prior apart.

    `condition`: latents that condition a conditional prior; in their place come coordinates of the canvas
    (`sampling.coordinates`) or a picture of the user's (`sampling.condition_file`), encoded by the tokenizer of those
    latents. `latents`: those of the real images whose beginnings are completed, needed if `sampling.given` is not 0.
    Raises TwostageError if a picture is given and the condition has no tokenizer.
    """
    # Its own slice: how SUNDAE priors are sampled does not concern it.
    config = {key: value for key, value in tree["sampling"].items() if key not in ("denoising", "inpainting")}
    inputs = {"prior": prior, "tokenizer": tokenizer}
    inputs |= {"latents": latents} if latents else {}
    if condition and not config["coordinates"] and config["condition_file"] is None:
        inputs["condition"] = condition
    variant = f"{prior.variant}.{label}" if label else prior.variant
    job = new_job("sampling.generate", variant, tree, config, inputs)
    if config["condition_file"] is None:
        return job
    if condition is None or "tokenizer" not in condition.inputs:
        raise TwostageError(
            "sampling.condition_file needs a prior with a map as its condition; set priors.condition to the tokenizer "
            "of that map, such as segmentation_f4"
        )
    return replace(job, inputs=job.inputs | {"condition_tokenizer": condition.inputs["tokenizer"]})


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
    others = ("features", "rfid_images", "samples", "classifier")
    config = {key: value for key, value in tree["evaluation"].items() if key not in others}
    return new_job("evaluation.reconstruct", tokenizer.variant, tree, config, inputs)


def features_job(tree: Tree, data: Job) -> Job:
    """Inception features of one split's real images, shared by all evaluations; needs `weights_job` of inception."""
    config = tree["evaluation"]["features"]
    variant = f"features.{data.variant}.{config['split']}"
    inputs = {"data": data, "inception": weights_job(tree, "inception")}
    return new_job("evaluation.features", variant, tree, config, inputs)


def classifier_job(tree: Tree, data: Job) -> Job:
    """Training of an independent classifier on a dataset's images, or taking over one of ImageNet."""
    config = tree["evaluation"]["classifier"]
    return new_job("evaluation.classifier", f"classifier.{data.variant}", tree, config, {"data": data})


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
