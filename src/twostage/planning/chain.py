"""All jobs from a dataset to what a person asks for by overrides, in the order in which they can run.

Folders are those of the pipeline here; `twostage.planning.prompt` gives a job that differs from the plan one of its
own.
"""

from collections.abc import Mapping

from twostage.config import composition
from twostage.errors import TwostageError
from twostage.home import home
from twostage.planning.jobs import (
    BACKBONE_OF,
    data_job,
    denoising_job,
    features_job,
    inpainting_job,
    latents_job,
    maps_job,
    plain_job,
    prior_job,
    reconstruct_job,
    rfid_job,
    sampling_job,
    tokenizer_job,
    tune_job,
    weights_job,
)
from twostage.planning.unread import INSTEAD, refuse_unread
from twostage.runtime.artifacts import sha256_file, sha256_json
from twostage.runtime.job import Job, Tree


def chain(
    overrides: tuple[str, ...],
    verb: str = "sampling.generate",
    given: Mapping[str, Job] | None = None,
    label: bool = True,
) -> list[Job]:
    """Data, maps that they lack, tokenizers, latents, the learning-rate sweep unless the rate is given, the prior, and
    samples of it, as far as the last, the job of `verb`, rests on them.

    `priors.condition` names what conditions the prior; `sampling.condition_file` takes the place of held-out maps.
    `given`: an image tokenizer of the user's takes the place of the chain's. `label`: samples are named by what is
    asked of them. Raises TwostageError if what is asked does not go together, the data have no such map and none can be
    made, or only a study can ask for the verb.
    """
    tree = composition.compose(overrides)
    if verb in INSTEAD:
        usual = composition.compose((f"scale={tree['scale']['name']}",))
        refuse_unread(verb, tree["priors"]["architecture"], tree["sampling"], usual["sampling"])
    data = data_job(tree)
    if verb == "data.annotate":
        return [data, _annotation(tree)]
    chosen = (given or {}).get("tokenizer")
    tokenizers = [chosen] if chosen else _tokenizer_jobs(tree)
    tokenizer = tokenizers[-1]
    if verb.startswith("evaluation."):
        return _evaluation(verb, tree, data, tokenizers)
    if verb == "latents.plain":
        return [data, plain_job(tree, tree["latents"]["map"])]
    latents, of_condition = latents_job(tree, tokenizer), condition_jobs(tree, overrides)
    maps = maps_job(tree, tokenizer.config["map"])
    condition = of_condition[-1] if of_condition else None
    tune = tune_job(tree, latents, condition)
    tunes = [tune] if tree["priors"]["learning_rate"] is None else []
    prior = prior_job(tree, latents, condition, {"tune": tune} if tunes else {})
    read = {name for job in (*tokenizers, *of_condition) for name in job.inputs}
    networks = [weights_job(tree, name) for name in BACKBONE_OF.values() if name in read]
    made = {"data": data, "tokenizer": tokenizer, "latents": latents, "tune": tune, "prior": prior}
    target = _target(verb, tree, made, condition, label)
    # What the data may lack for the condition is noticed before the image's tokenizer trains.
    jobs = [data, *networks, *of_condition, maps, *tokenizers, latents, *tunes, prior]
    return _ending_in(target, list({job.out: job for job in jobs}.values()))


def _target(verb: str, tree: Tree, jobs: Mapping[str, Job], condition: Job | None, label: bool) -> Job:
    prior, tokenizer, latents = jobs["prior"], jobs["tokenizer"], jobs["latents"]
    match verb:
        case "data.prepare":
            return jobs["data"]
        case "tokenizers.train" | "tokenizers.cluster" | "tokenizers.greys":
            return _made_by(verb, tokenizer)
        case "latents.encode":
            return latents
        case "priors.tune":
            return jobs["tune"]
        case "priors.train":
            return prior
        case "sampling.generate":
            return _samples(tree, prior, tokenizer, condition, latents, label)
        case "sampling.denoise":
            return denoising_job(tree, prior, tokenizer, condition)
        case "sampling.inpaint":
            return inpainting_job(tree, prior, tokenizer, latents, condition)
        case other:
            raise TwostageError(f"{other} needs --config with a resolved job; snakemake writes it to build/configs/")


def _annotation(tree: Tree) -> Job:
    """What makes the map of `tree["tokenizers"]`. Raises TwostageError if there is nothing to make."""
    name, data = tree["tokenizers"]["map"], tree["data"]
    if name == "image":
        raise TwostageError("data.annotate makes a map of images; name a tokenizer of that map: tokenizers=edges_f4")
    maps = maps_job(tree, name)
    if maps.verb != "annotate":
        raise TwostageError(f"dataset {data['name']} brings its own map {name}; data.prepare reads it")
    return maps


def _ending_in(target: Job, jobs: list[Job]) -> list[Job]:
    """Those of the jobs, in their order, that the target rests on, and the target."""
    needed = set(target.inputs.values())
    for job in reversed(jobs):
        if job.out in needed:
            needed |= set(job.inputs.values())
    return [*(job for job in jobs if job.out in needed and job.out != target.out), target]


def _tokenizer_jobs(tree: Tree) -> list[Job]:
    """The tokenizer's training, after that of the one it starts from."""
    name = tree["tokenizers"].get("starts_from")
    if name is None:
        return [tokenizer_job(tree)]
    of_start = composition.compose((f"scale={tree['scale']['name']}", f"tokenizers={name}"))
    before = _tokenizer_jobs(tree | {"tokenizers": of_start["tokenizers"]})
    return [*before, tokenizer_job(tree, before[-1])]


def _evaluation(verb: str, tree: Tree, data: Job, tokenizers: list[Job]) -> list[Job]:
    features, tokenizer = features_job(tree, data), tokenizers[-1]
    networks = [weights_job(tree, name) for name in ("vgg16", "alexnet", "inception")]
    match verb:
        case "evaluation.reconstruct":
            target = reconstruct_job(tree, tokenizer, data)
        case "evaluation.features":
            target = features
        case "evaluation.rfid":
            target = rfid_job(tree, tokenizer, data, features)
        case other:
            raise TwostageError(f"{other} needs --config with a resolved job; snakemake writes it to build/configs/")
    return _ending_in(target, [data, maps_job(tree, tokenizer.config["map"]), *networks, *tokenizers, features])


def _made_by(verb: str, tokenizer: Job) -> Job:
    """The tokenizer's job, if its verb is the one that was called."""
    if verb != f"tokenizers.{tokenizer.verb}":
        palettes = {"tokenizers.cluster": "tokenizers=kmeans_f1", "tokenizers.greys": "tokenizers=greys_f1"}
        raise TwostageError(
            f"{verb} does not make tokenizers={tokenizer.config['name']}; call tokenizers.{tokenizer.verb}, or choose "
            f"{palettes.get(verb, 'a tokenizer with networks')}"
        )
    return tokenizer


def condition_jobs(tree: Tree, overrides: tuple[str, ...]) -> list[Job]:
    """What makes the codes that `priors.condition` names, besides the dataset: the codes come last, none without any.

    A map's tokenizer has the name of a file in conf/tokenizers/, which is composed with `overrides`. Raises
    TwostageError if there is no such file, or the data have no such map and none can be made.
    """
    match tree["priors"]["condition"]:
        case None:
            return []
        case "class" | "coordinates" as kind:
            return [plain_job(tree, kind)]
        case name:
            # What is chosen of the image's tokenizer does not concern that of the map.
            kept = [each for each in overrides if not each.lstrip("+~").startswith(("tokenizers=", "tokenizers."))]
            of_map = tree | {"tokenizers": composition.compose((*kept, f"tokenizers={name}"))["tokenizers"]}
            tokenizer = tokenizer_job(of_map)
            maps = maps_job(tree, tokenizer.config["map"])
            made = [maps] if maps.verb == "annotate" else []
            return [*made, tokenizer, latents_job(of_map, tokenizer)]


def _samples(tree: Tree, prior: Job, tokenizer: Job, condition: Job | None, latents: Job, with_label: bool) -> Job:
    file = tree["sampling"]["condition_file"]
    completed = latents if tree["sampling"]["given"] else None
    if not with_label:
        return sampling_job(tree, prior, tokenizer, condition, completed)
    # One canvas must not overwrite another, nor pass for it where only the file's content changed.
    content = None if file is None else sha256_file(home(file))
    label = f"drawn_{sha256_json([_naming(tree['sampling']), content])[:6]}"
    return sampling_job(tree, prior, tokenizer, condition, completed, label)


def _naming(sampling: Tree) -> Tree:
    """What is hashed into the names of samples: without keys that came later and that sampling.generate does not read,
    so that stored samples keep their names.
    """
    later = ("unmasking", "temperature")
    return {
        name: {k: v for k, v in block.items() if k not in later} if isinstance(block, dict) else block
        for name, block in sampling.items()
    }
