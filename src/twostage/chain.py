"""All jobs from a dataset to samples, in the order in which they can run, for a person who asks for them at once."""

from dataclasses import replace
from pathlib import Path

from twostage import configs
from twostage.artifacts import sha256_file, sha256_json
from twostage.errors import TwostageError
from twostage.jobs import (
    BACKBONE_OF,
    Job,
    Tree,
    data_job,
    latents_job,
    prior_job,
    sampling_job,
    tokenizer_job,
    tune_job,
    weights_job,
)


def chain(overrides: tuple[str, ...]) -> list[Job]:
    """Data, tokenizers, latents, the learning-rate sweep unless the rate is given, the prior, and samples of it.

    `priors.condition` names the tokenizer of a map that conditions the prior; `sampling.condition_file` takes the place
    of held-out maps. Raises TwostageError if the two do not go together, or the data have no such map.
    """
    tree = configs.compose(overrides)
    data, tokenizer = data_job(tree), tokenizer_job(tree)
    of_map = _condition_tokenizer(tree, overrides)
    tokenizers = [tokenizer] if of_map is None else [tokenizer, of_map]
    latents = [latents_job(tree, each) for each in tokenizers]
    condition = None if of_map is None else latents[1]
    tunes = [tune_job(tree, latents[0], condition)] if tree["priors"]["learning_rate"] is None else []
    prior = prior_job(tree, latents[0], condition, {"tune": tunes[0]} if tunes else {})
    samples = _samples(tree, prior, tokenizers, latents)
    networks = [name for name in BACKBONE_OF.values() if name in tokenizer.inputs]
    return [data, *(weights_job(tree, name) for name in networks), *tokenizers, *latents, *tunes, prior, samples]


def _condition_tokenizer(tree: Tree, overrides: tuple[str, ...]) -> Job | None:
    name = tree["priors"]["condition"]
    if name is None:
        if tree["sampling"]["condition_file"] is not None:
            raise TwostageError(
                "sampling.condition_file needs a prior with a condition; set priors.condition to the tokenizer of its "
                "map, such as segmentation_f4"
            )
        return None
    # What is chosen of the image's tokenizer does not concern that of the map.
    kept = [each for each in overrides if not each.lstrip("+~").startswith(("tokenizers=", "tokenizers."))]
    of_map = tokenizer_job(configs.compose((*kept, f"tokenizers={name}")))
    if of_map.config["map"] not in tree["data"]["maps"]:
        raise TwostageError(
            f"priors.condition={name} is a tokenizer of {of_map.config['map']}, data.maps has "
            f"{', '.join(tree['data']['maps']) or 'none'}; add {of_map.config['map']} to data.maps"
        )
    return of_map


def _samples(tree: Tree, prior: Job, tokenizers: list[Job], latents: list[Job]) -> Job:
    config = tree["sampling"]
    file = config["condition_file"]
    condition = latents[1] if len(latents) > 1 and file is None else None
    completed = latents[0] if config["given"] else None
    # One canvas must not overwrite another, nor pass for it where only the file's content changed.
    content = None if file is None else sha256_file(Path(file).expanduser())
    label = f"drawn_{sha256_json([config, content])[:6]}"
    job = sampling_job(tree, prior, tokenizers[0], condition, completed, label)
    return job if file is None else replace(job, inputs=job.inputs | {"condition_tokenizer": tokenizers[1].out})
