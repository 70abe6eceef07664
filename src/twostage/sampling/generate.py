"""Verb `sampling.generate`: draws images with a prior and a tokenizer, and measures the time."""

# N images, H W rows and columns of the canvas in tokens, C channels

import logging
from typing import Any

from twostage.config.schema import SamplingConfig
from twostage.runtime import launch, training
from twostage.runtime.artifacts import read_array, write_json
from twostage.runtime.job import Job
from twostage.sampling.pictures import tiled, write_png
from twostage.sampling.record import Seconds, open_image_tokenizer, record
from twostage.sampling.request import Request, class_names, open_request

log = logging.getLogger(__name__)


def generate(config: SamplingConfig, job: Job) -> None:
    """Writes samples.npy (uint8 NHWC), index.npy (uint16 [N, H, W]), grid.png and metrics.json.

    Seconds are those of all processes together.
    Raises TwostageError if prior, tokenizer, condition and config do not match.
    """
    training.seed_everything(config.seed)
    tokenizer = open_image_tokenizer(job)
    request = open_request(config, job, tokenizer)
    seconds = record(job.folder, tokenizer, request.draw_batch, (config.num_images, config.batch_size), request.size)
    if not launch.is_first():
        return
    write_png(job.folder / "grid.png", tiled(read_array(job.folder / "samples.npy")[: config.grid_images]))
    metrics = _metrics(config, job, request, seconds)
    write_json(job.folder / "metrics.json", metrics)
    log.info("%s: %.4f s an image, %.0f tokens a second", job.variant, *_speeds(metrics))


def _metrics(config: SamplingConfig, job: Job, request: Request, seconds: Seconds) -> dict[str, Any]:
    num_tokens = request.size[0] * request.size[1]
    return {
        "variant": job.variant,
        "scale": job.scale,
        **seconds.per_image(config.num_images, num_tokens - request.num_given),
        "tokens_per_image": num_tokens,
        "given_tokens_per_image": request.num_given,
        "batch_size": config.batch_size,
        "temperature": config.temperature,
        "top_k": config.top_k,
        "top_p": config.top_p,
        "seed": config.seed,
        "canvas": list(request.size),
        "window": list(request.model.tokens.grid),
        "coordinates": config.coordinates,
        "conditional": request.condition is not None,
        "per_condition": config.per_condition,
        "classes": config.classes,
        "class_names": class_names(job),
        "num_codes": request.model.tokens.num_codes,
    }


def _speeds(metrics: dict[str, Any]) -> tuple[float, float]:
    return metrics["seconds_per_image"], metrics["tokens_per_second"]
