"""Verb `sampling.generate`: images out of a prior and a tokenizer, with the time that they took."""

# N images, B batch, H W rows and columns of the canvas in tokens, C channels

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from twostage import cli, tokenizers, training
from twostage.artifacts import new_array, write_json
from twostage.configs import SamplingConfig
from twostage.errors import TwostageError
from twostage.jobs import Job
from twostage.sampling.pictures import as_bytes, tiled, write_png
from twostage.sampling.request import Request, open_request
from twostage.tokenizers import AnyTokenizer, tiles
from twostage.tokenizers.model import Tokenizer

log = logging.getLogger(__name__)


@dataclass
class Seconds:
    """Time spent so far, on the clock of training."""

    drawing: float = 0.0
    decoding: float = 0.0


def generate(config: SamplingConfig, job: Job) -> None:
    """Writes samples.npy (uint8 NHWC), index.npy (uint16 [N, H, W]), grid.png and metrics.json.

    Raises TwostageError if prior, tokenizer, condition and what is asked for do not fit together.
    """
    training.seed_everything(config.seed)
    tokenizer = tokenizers.load(job.upstream("tokenizer"))
    if tokenizer.kind == "labels":
        raise TwostageError("the tokenizer decodes maps of labels, not pictures; sample with an image tokenizer")
    request = open_request(config, job, tokenizer)
    seconds = Seconds()
    height, width = request.size
    pixels = (height * tokenizer.factor, width * tokenizer.factor, tokenizer.num_channels)
    with (
        new_array(job.folder / "samples.npy", (config.num_images, *pixels), np.uint8) as image_NHWC,
        new_array(job.folder / "index.npy", (config.num_images, height, width), np.uint16) as index_NHW,
    ):
        for start in tqdm(range(0, config.num_images, config.batch_size), desc="sample", unit="batch", disable=None):
            batch = slice(start, start + config.batch_size)
            index_NHW[batch], image_NHWC[batch] = _batch(request, tokenizer, batch, seconds)
        write_png(job.folder / "grid.png", tiled(image_NHWC[: config.grid_images]))
    metrics = _metrics(config, job, request, seconds)
    write_json(job.folder / "metrics.json", metrics)
    log.info("%s: %.4f s an image, %.0f tokens a second", job.variant, *_speeds(metrics))


def _batch(request: Request, tokenizer: AnyTokenizer, batch: slice, seconds: Seconds) -> tuple[np.ndarray, np.ndarray]:
    """Index grids [B, H, W] and images uint8 of one batch; adds to `seconds`."""
    start = training.training_clock()
    index_BHW = request.draw_batch(batch)
    drawn = training.training_clock()
    with torch.inference_mode():
        image_BHWC = _decoded(tokenizer, index_BHW)
    seconds.drawing += drawn - start
    seconds.decoding += training.training_clock() - drawn
    return index_BHW.cpu().numpy(), image_BHWC


def _decoded(tokenizer: AnyTokenizer, index_BHW: torch.Tensor) -> np.ndarray:
    """uint8 [B, H, W, C]; large canvases one by one and in tiles, which bounds the memory."""
    pixels = index_BHW[0].numel() * tokenizer.factor**2
    if not isinstance(tokenizer, Tokenizer) or pixels <= tiles.WHOLE_PIXELS**2:
        return as_bytes(tokenizer.decode(index_BHW))
    return np.concatenate([as_bytes(tiles.decode(tokenizer, index_1HW)) for index_1HW in index_BHW.split(1)])


def _metrics(config: SamplingConfig, job: Job, request: Request, seconds: Seconds) -> dict[str, Any]:
    num_tokens = request.size[0] * request.size[1]
    drawn_tokens = config.num_images * (num_tokens - request.num_given)
    return {
        "variant": job.variant,
        "scale": job.scale,
        "num_images": config.num_images,
        "seconds_per_image": (seconds.drawing + seconds.decoding) / config.num_images,
        "drawing_seconds_per_image": seconds.drawing / config.num_images,
        "decoding_seconds_per_image": seconds.decoding / config.num_images,
        "tokens_per_second": drawn_tokens / seconds.drawing,
        "tokens_per_image": num_tokens,
        "given_tokens_per_image": request.num_given,
        "batch_size": config.batch_size,
        "threads": torch.get_num_threads(),
        "clock": "process CPU time" if training.device().type == "cpu" else "wall time on an own device",
        "temperature": config.temperature,
        "top_k": config.top_k,
        "top_p": config.top_p,
        "seed": config.seed,
        "canvas": list(request.size),
        "window": list(request.model.tokens.grid),
        "coordinates": config.coordinates,
        "conditional": request.condition is not None,
        "num_codes": request.model.tokens.num_codes,
    }


def _speeds(metrics: dict[str, Any]) -> tuple[float, float]:
    return metrics["seconds_per_image"], metrics["tokens_per_second"]


def main() -> None:
    """Command line of the verb."""
    cli.run("sampling.generate", SamplingConfig, generate)


if __name__ == "__main__":
    main()
