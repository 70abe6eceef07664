"""A function a verb: the job that asks it for what a config tree describes. Pure: reads and writes nothing."""

from collections.abc import Mapping
from dataclasses import replace

from twostage.config.schema import NUM_GREYS
from twostage.errors import TwostageError
from twostage.planning.unread import way_of
from twostage.planning.verbs import new_job, reading
from twostage.runtime.job import Job, Tree

BACKBONE_OF = {"vgg": "vgg16", "alex": "alexnet"}
# Maps that data.annotate makes of images.
ANNOTATED = ("low_resolution", "edges", "segmentation", "depth")


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


def grid_side(tree: Tree) -> int:
    """Rows, and columns, of the grid of codes that `tree["tokenizers"]` makes of its map of `tree["data"]`."""
    tokenizer, size = tree["tokenizers"], tree["data"]["size"]
    side: int = size // maps_job(tree, tokenizer["map"]).config.get("factor", 1) // 2 ** tokenizer["num_downsamplings"]
    return side


def num_codes(tokenizer: Tree) -> int:
    """Size of the codebook that the tree of a tokenizer asks for: learned, of colours or of greys."""
    if tokenizer["greys"]:
        return NUM_GREYS
    codes: int = (tokenizer["kmeans"] or tokenizer["quantizer"])["num_codes"]
    return codes


def plain_job(tree: Tree, kind: str) -> Job:
    """Class labels or coordinates of `tree["data"]` as the condition of priors over codes of `tree["tokenizers"]`."""
    config = {"map": kind} | {key: tree["latents"][key] for key in ("flips", "train_images", "validation_images")}
    data, variant = data_job(tree), f"{tree['data']['name']}.{kind}"
    if kind == "coordinates":
        tokenizer = tree["tokenizers"]
        config["factor"] = 2 ** tokenizer["num_downsamplings"]
        config["num_codes"] = num_codes(tokenizer)
        variant += f"_f{config['factor']}"
    return new_job("latents.plain", variant, tree, config, {"data": data})


def tokenizer_job(tree: Tree, start: Job | None = None) -> Job:
    """Training of `tree["tokenizers"]` on `tree["data"]`, or, of a palette, what makes that.

    `start`: the training of the tokenizer that it starts from, if it does.
    """
    config = tree["tokenizers"]
    if config["kmeans"] is not None:
        return _palette_job("tokenizers.cluster", tree, ("name", "map", "kmeans"))
    if config["greys"]:
        return _palette_job("tokenizers.greys", tree, ("name", "map"))
    # A learned tokenizer is asked for as it was before palettes were.
    config = {key: value for key, value in config.items() if key not in ("kmeans", "greys")}
    inputs = {"data": maps_job(tree, config["map"])} | ({"start": start} if start else {})
    for network in (config["loss"]["perceptual"], config["loss"]["early_perceptual"]):
        if network in BACKBONE_OF:
            inputs[BACKBONE_OF[network]] = weights_job(tree, BACKBONE_OF[network])
    variant = f"{tree['data']['name']}.{config['name']}"
    return new_job("tokenizers.train", variant, tree, config, inputs)


def _palette_job(verb: str, tree: Tree, keys: tuple[str, ...]) -> Job:
    config = {key: tree["tokenizers"][key] for key in keys}
    variant = f"{tree['data']['name']}.{config['name']}"
    return new_job(verb, variant, tree, config, {"data": maps_job(tree, config["map"])})


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


def _own_slice(priors: Tree) -> Tree:
    """The slice of one prior. An architecture that came later is left out of others', which are asked for as before."""
    return {key: value for key, value in priors.items() if key not in ("absorbing", "own") or value}


def _prior_inputs(latents: Job, condition: Job | None) -> dict[str, Job]:
    return {"latents": latents} | ({"condition": condition} if condition else {})


def _prior_name(tree: Tree, latents: Job, condition: Job | None, spell_row_major: bool = False, label: str = "") -> str:
    given = f".given_{condition.variant.partition('.')[2]}" if condition else ""
    ordering = tree["priors"]["ordering"]
    spelled = f".{ordering}" if spell_row_major or ordering != "row_major" else ""
    labelled = f".{label}" if label else ""
    return f"{latents.variant}{given}.{tree['priors']['architecture']}{spelled}{labelled}"


def tune_job(tree: Tree, latents: Job, condition: Job | None, label: str = "") -> Job:
    """The learning-rate sweep of one architecture; it does not depend on the budget of the final run.

    `label` tells sweeps of several sizes apart.
    """
    config = _own_slice(tree["priors"])
    steps = config["sweep"]["steps"]
    loop = config["loop"] | {"steps": steps, "evaluate_every": steps, "checkpoint_every": steps, "seed": 0}
    variant = f"{_prior_name(tree, latents, condition, label=label)}.tune"
    return new_job("priors.tune", variant, tree, config | {"loop": loop}, _prior_inputs(latents, condition))


def prior_job(
    tree: Tree,
    latents: Job,
    condition: Job | None,
    more_inputs: Mapping[str, Job],
    spell_row_major: bool = False,
    label: str = "",
) -> Job:
    """Training of one prior; `more_inputs` may hold `tune` and, to go on to a rival's time, `pace`.

    The variant names an ordering other than row-major; with `spell_row_major`, that one too. `label` tells several
    budgets apart.
    """
    config = _own_slice(tree["priors"]) | {"sweep": None}
    variant = f"{_prior_name(tree, latents, condition, spell_row_major, label)}.seed{config['loop']['seed']}"
    return new_job("priors.train", variant, tree, config, _prior_inputs(latents, condition) | dict(more_inputs))


def pace_job(tree: Tree, own: Job, rival: Job) -> Job:
    """How many steps of `own` take as long as one of `rival`, two trainings; seeds and learning rates do not matter."""
    config: Tree = dict(tree["scale"]["priors"]["pace"])
    inputs: dict[str, str] = {}
    for name, job in {"own": own, "rival": rival}.items():
        # How long the two will train is not asked.
        loop = job.config["loop"] | {"seed": 0, "steps": 1, "evaluate_every": 1, "checkpoint_every": 1}
        config[name] = job.config | {"learning_rate": None, "loop": loop}
        inputs |= {f"{name}.{kind}": job.inputs[kind] for kind in ("latents", "condition") if kind in job.inputs}
    ours, theirs = (job.variant.rpartition(".seed")[0] for job in (own, rival))
    # On the same latents the rival is told by what it is, else by its latents too.
    on_latents = ours.rpartition(f".{own.config['architecture']}")[0]
    theirs = theirs.removeprefix(f"{on_latents}.")
    job = new_job("priors.pace", f"{ours}.against_{theirs}", tree, config, {})
    return reading(replace(job, inputs=inputs), (own, rival))


def timed_prior_job(tree: Tree, latents: Job, rival: Job, pace: Job, tune: Job | None = None) -> Job:
    """Training of one unconditional prior for as long as `rival`, another prior, trained, by their `pace`.

    At the rival's learning rate, or that of a sweep of its own.
    """
    config = _own_slice(tree["priors"]) | {"sweep": None}
    variant = f"{_prior_name(tree, latents, None)}.timed.seed{config['loop']['seed']}"
    inputs = {"latents": latents, "rival": rival, "pace": pace} | ({"tune": tune} if tune else {})
    return new_job("priors.timed", variant, tree, config, inputs)


def sampling_job(
    tree: Tree, prior: Job, tokenizer: Job, condition: Job | None = None, latents: Job | None = None, label: str = ""
) -> Job:
    """Images drawn from a prior, whose variant it shares; `label` tells several sets of one prior apart.

    `condition`: latents that condition a conditional prior; in their place come coordinates of the canvas
    (`sampling.coordinates`) or a picture of the user's (`sampling.condition_file`), encoded by the tokenizer of those
    latents. `latents`: those of the real images whose beginnings are completed, needed if `sampling.given` is not 0.
    Raises TwostageError if a picture is given and the condition has no tokenizer.
    """
    # Its own slice: how denoisers are sampled does not concern it.
    config = {key: value for key, value in tree["sampling"].items() if key not in ("denoising", "inpainting")}
    inputs = {"prior": prior, "tokenizer": tokenizer} | ({"latents": latents} if latents else {})
    variant = f"{prior.variant}.{label}" if label else prior.variant
    return _conditioned(new_job("sampling.generate", variant, tree, config, inputs), condition)


def with_denoising(tree: Tree, num_images: int, changed: Tree | None = None) -> Tree:
    """The tree with another number of images that a denoiser draws and, in `changed`, another way to draw them."""
    denoising = tree["sampling"]["denoising"]
    amount = {"num_images": num_images, "batch_size": min(num_images, denoising["batch_size"])}
    return tree | {"sampling": tree["sampling"] | {"denoising": denoising | amount | (changed or {})}}


def chain_name(tree: Tree) -> str:
    """How the prior of `tree["priors"]` draws whole grids, in the name of its samples: its chain, or its unmasking."""
    if tree["priors"]["architecture"] == "absorbing":
        unmasking = tree["sampling"]["denoising"]["unmasking"]
        steps = "all_steps" if unmasking["steps"] is None else f"steps{unmasking['steps']}"
        return f"{steps}_temperature{unmasking['temperature']:g}"
    chain = tree["sampling"]["denoising"]["chain"]
    ends = [(chain[f"{key}_start"], chain[f"{key}_end"]) for key in ("proportion", "temperature")]
    proportion, temperature = (f"{start:g}" if start == end else f"{start:g}to{end:g}" for start, end in ends)
    return f"steps{chain['steps']}_proportion{proportion}_temperature{temperature}"


def _drawn_by(drawing: Tree, prior: Job) -> Tree:
    """The slice without what the prior does not do: SUNDAE runs a chain, which others do not."""
    way = way_of(prior.config["architecture"])
    unread = {"unmasking", "temperature"} - {way}
    read = {key: value for key, value in drawing.items() if key not in unread}
    return read if way == "chain" else read | {"chain": None}


def denoising_job(tree: Tree, prior: Job, tokenizer: Job, condition: Job | None = None, label: str = "") -> Job:
    """Images drawn from a denoiser of whole grids, whose variant it shares; `label` and `condition` as of
    `sampling_job`.
    """
    variant = f"{prior.variant}.{label}" if label else prior.variant
    inputs = {"prior": prior, "tokenizer": tokenizer}
    config = _drawn_by(tree["sampling"]["denoising"], prior)
    job = new_job("sampling.denoise", variant, tree, config, inputs)
    return _conditioned(job, condition)


def _conditioned(job: Job, condition: Job | None) -> Job:
    """The sampling job with what its conditions are read from: their latents, or the tokenizer of a picture's."""
    if job.config["condition_file"] is None:
        if condition is None or job.config["coordinates"]:
            return job
        return reading(replace(job, inputs=job.inputs | {"condition": condition.out}), (condition,))
    if condition is None or "tokenizer" not in condition.inputs:
        raise TwostageError(
            "sampling.condition_file needs a prior with a map as its condition; set priors.condition to the tokenizer "
            "of that map, such as segmentation_f4"
        )
    inputs = job.inputs | {"condition_tokenizer": condition.inputs["tokenizer"]}
    return reading(replace(job, inputs=inputs), (condition,))


def inpainting_job(
    tree: Tree, prior: Job, tokenizer: Job, latents: Job, condition: Job | None = None, label: str = ""
) -> Job:
    """Parts of the held-out images of `latents`, drawn anew; else as `denoising_job`.

    `condition`: the codes of the same images.
    """
    inputs = {"prior": prior, "tokenizer": tokenizer, "latents": latents}
    inputs |= {"condition": condition} if condition else {}
    variant = f"{prior.variant}.{label or 'inpainted'}"
    config = _drawn_by(tree["sampling"]["inpainting"], prior)
    return new_job("sampling.inpaint", variant, tree, config, inputs)


def reconstruct_job(tree: Tree, tokenizer: Job, data: Job) -> Job:
    """Reconstruction quality of an image tokenizer on the validation split."""
    inputs = {"data": data, "tokenizer": tokenizer, "vgg16": weights_job(tree, "vgg16")}
    # Its own slice: other metrics' settings do not concern it.
    others = ("features", "rfid_images", "samples", "samples_split", "classifier")
    config = {key: value for key, value in tree["evaluation"].items() if key not in others}
    return new_job("evaluation.reconstruct", tokenizer.variant, tree, config, inputs)


def features_job(tree: Tree, data: Job) -> Job:
    """Inception features of one split's real images, shared by all evaluations; needs `weights_job` of inception."""
    config = tree["evaluation"]["features"]
    variant = f"features.{data.variant}.{config['split']}"
    inputs = {"data": data, "inception": weights_job(tree, "inception")}
    return new_job("evaluation.features", variant, tree, config, inputs)


def real_features_job(tree: Tree, data: Job) -> Job:
    """Inception features of the real images that samples are compared with: those of `evaluation.samples_split`."""
    evaluation = tree["evaluation"]
    features = evaluation["features"] | {"split": evaluation["samples_split"]}
    return features_job(tree | {"evaluation": evaluation | {"features": features}}, data)


def classifier_job(tree: Tree, data: Job) -> Job:
    """Training of an independent classifier on a dataset's images, or taking over one of ImageNet."""
    config = tree["evaluation"]["classifier"]
    return new_job("evaluation.classifier", f"classifier.{data.variant}", tree, config, {"data": data})


def samples_evaluation_job(tree: Tree, sampling: Job, features: Job, label: str = "") -> Job:
    """FID, KID, precision and recall of a job's samples.npy against stored features; needs `weights_job` of inception.

    The `sampling` job may be any whose folder holds samples.npy.
    """
    inputs = {"samples": sampling, "real": features, "inception": weights_job(tree, "inception")}
    variant = ".".join(part for part in ("samples", sampling.variant, label) if part)
    return new_job("evaluation.samples", variant, tree, tree["evaluation"]["samples"], inputs)


def likelihood_job(tree: Tree, prior: Job, latents: Job, images: int, condition: Job | None = None) -> Job:
    """NLL of whole held-out images under a prior, by sliding window where its grid is smaller than theirs.

    `condition`: for a conditional prior, whole codes that lie as the images' do.
    """
    config = {"images": images, "batch_size": tree["evaluation"]["batch_size"]}
    inputs = {"prior": prior, "latents": latents} | ({"condition": condition} if condition else {})
    return new_job("evaluation.likelihood", f"likelihood.{prior.variant}", tree, config, inputs)


def rfid_job(tree: Tree, tokenizer: Job, data: Job, features: Job) -> Job:
    """FID and KID of reconstructions against the stored features of their originals; needs inception's weights."""
    inputs = {"data": data, "tokenizer": tokenizer, "real": features, "inception": weights_job(tree, "inception")}
    config = tree["evaluation"]["features"]
    config = config | {"images": tree["evaluation"]["rfid_images"] or config["images"]}
    config |= {key: tree["evaluation"]["samples"][key] for key in ("kid_subsets", "kid_subset_size", "seed")}
    return new_job("evaluation.rfid", f"rfid.{tokenizer.variant}", tree, config, inputs)
