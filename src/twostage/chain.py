"""All jobs from a dataset to samples, in the order in which they can run, for a person who asks for them at once."""

from pathlib import Path

from twostage import configs
from twostage.artifacts import sha256_file, sha256_json
from twostage.jobs import Job, Tree
from twostage.verbs import (
    BACKBONE_OF,
    data_job,
    latents_job,
    maps_job,
    plain_job,
    prior_job,
    sampling_job,
    tokenizer_job,
    tune_job,
    weights_job,
)


def chain(overrides: tuple[str, ...]) -> list[Job]:
    """Data, maps that they lack, tokenizers, latents, the learning-rate sweep unless the rate is given, the prior, and
    samples of it.

    `priors.condition` names what conditions the prior; `sampling.condition_file` takes the place of held-out maps.
    Raises TwostageError if the two do not go together, or the data have no such map and none can be made.
    """
    tree = configs.compose(overrides)
    data, tokenizer = data_job(tree), tokenizer_job(tree)
    latents, of_condition = latents_job(tree, tokenizer), condition_jobs(tree, overrides)
    condition = of_condition[-1] if of_condition else None
    tunes = [tune_job(tree, latents, condition)] if tree["priors"]["learning_rate"] is None else []
    prior = prior_job(tree, latents, condition, {"tune": tunes[0]} if tunes else {})
    samples = _samples(tree, prior, tokenizer, condition, latents)
    read = {name for job in (tokenizer, *of_condition) for name in job.inputs}
    networks = [weights_job(tree, name) for name in BACKBONE_OF.values() if name in read]
    # What the data may lack for the condition is noticed before the image's tokenizer trains.
    return [data, *networks, *of_condition, tokenizer, latents, *tunes, prior, samples]


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
            of_map = tree | {"tokenizers": configs.compose((*kept, f"tokenizers={name}"))["tokenizers"]}
            tokenizer = tokenizer_job(of_map)
            maps = maps_job(tree, tokenizer.config["map"])
            made = [maps] if maps.verb == "annotate" else []
            return [*made, tokenizer, latents_job(of_map, tokenizer)]


def _samples(tree: Tree, prior: Job, tokenizer: Job, condition: Job | None, latents: Job) -> Job:
    file = tree["sampling"]["condition_file"]
    # One canvas must not overwrite another, nor pass for it where only the file's content changed.
    content = None if file is None else sha256_file(Path(file).expanduser())
    label = f"drawn_{sha256_json([tree['sampling'], content])[:6]}"
    completed = latents if tree["sampling"]["given"] else None
    return sampling_job(tree, prior, tokenizer, condition, completed, label)
