"""Verb `tokenizers.train`: trains one tokenizer on one map of one dataset."""

import logging

import torch

from twostage.config.schema import TokenizerConfig
from twostage.errors import TwostageError
from twostage.runtime import launch, training
from twostage.runtime.artifacts import write_csv, write_json
from twostage.runtime.job import Job
from twostage.runtime.tensors import write_tensors
from twostage.tokenizers import model
from twostage.tokenizers.step import Perceptual
from twostage.tokenizers.task import MapData, TokenizerTask, build_models
from twostage.weights.lpips import PerceptualDistance

log = logging.getLogger(__name__)


def train(config: TokenizerConfig, job: Job) -> None:
    """Writes model.safetensors, config.json, curve.csv, metrics.json and, if there is one, discriminator.safetensors.

    Raises TwostageError if the config does not match the data or the tokenizer it starts from, a loss is not finite or
    the codebook collapsed.
    """
    training.seed_everything(config.loop.seed)
    data = MapData.open(job.upstream("data"), config.map)
    models = build_models(config, data, _perceptual("perceptual", config.loss.perceptual, job))
    early = _perceptual("early_perceptual", config.loss.early_perceptual, job)
    task = TokenizerTask(config, models, data, early)
    if config.starts_from is not None:
        task.start_from(model.load(job.upstream("start")))
    loop = training.Loop(task, config.loop, job.scratch, job.variant)
    loop.run(until=lambda loop: loop.step >= config.loop.steps)
    metrics = _metrics(config, task, loop)
    if launch.is_first():
        log.info("%s: %s", job.variant, metrics)
        _write(job, task, loop, metrics)
    loop.discard()


def _perceptual(key: str, name: str, job: Job) -> Perceptual | None:
    match name:
        case "none":
            return None
        case "vgg":
            weights = job.upstream("vgg16")
        case "alex":
            weights = job.upstream("alexnet")
        case other:
            raise TwostageError(f"loss.{key}={other} is unknown; expected vgg, alex or none")
    return PerceptualDistance.load(weights).to(memory_format=torch.channels_last).to(training.device())


def _metrics(config: TokenizerConfig, task: TokenizerTask, loop: training.Loop) -> dict[str, float]:
    """The run's metrics: `tune_*` of the last evaluation point, and codebook use on the whole tune split."""
    last = {name: value for name, value in loop.curve[-1].items() if name.startswith("tune_")}
    use = task.codebook_use()
    return {
        "num_codes": config.quantizer.num_codes,
        **use,
        "num_revived": int(task.keeper.num_revived),
        "num_parameters": sum(parameter.numel() for parameter in task.models.tokenizer.parameters()),
        "steps": loop.step,
        "train_seconds": loop.train_seconds,
        "seconds_per_step": loop.train_seconds / loop.step,
        **{name: value for name, value in last.items() if name.removeprefix("tune_") not in use},
    }


def _write(job: Job, task: TokenizerTask, loop: training.Loop, metrics: dict[str, float]) -> None:
    model.save(task.models.tokenizer, job.folder)
    # An earlier run with another loss may have left a discriminator.
    (job.folder / "discriminator.safetensors").unlink(missing_ok=True)
    if task.models.discriminator is not None:
        write_tensors(job.folder / "discriminator.safetensors", task.models.discriminator.state_dict())
    write_csv(job.folder / "curve.csv", loop.curve)
    write_json(job.folder / "metrics.json", metrics)
