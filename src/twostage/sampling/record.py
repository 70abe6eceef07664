"""The outputs of sampling jobs: code grids, their images, and the time for both."""

# N images, B batch, H W rows and columns in tokens, C channels

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from twostage import tokenizers
from twostage.errors import TwostageError
from twostage.runtime import training
from twostage.runtime.artifacts import new_array
from twostage.runtime.job import Job
from twostage.tokenizers import AnyTokenizer, as_bytes, tiles
from twostage.tokenizers.model import Tokenizer


@dataclass
class Seconds:
    """Time spent so far, measured with the clock of training."""

    drawing: float = 0.0
    decoding: float = 0.0

    def per_image(self, num_images: int, drawn_tokens: int) -> dict[str, Any]:
        """The time as metrics. `drawn_tokens`: drawn tokens per image, without the given ones."""
        return {
            "num_images": num_images,
            "seconds_per_image": (self.drawing + self.decoding) / num_images,
            "drawing_seconds_per_image": self.drawing / num_images,
            "decoding_seconds_per_image": self.decoding / num_images,
            "tokens_per_second": num_images * drawn_tokens / self.drawing,
            "threads": torch.get_num_threads(),
            "clock": "process CPU time" if training.device().type == "cpu" else "wall time on an own device",
        }


def open_image_tokenizer(job: Job) -> AnyTokenizer:
    """The job's tokenizer. Raises TwostageError if it does not decode pictures."""
    tokenizer = tokenizers.load(job.upstream("tokenizer"))
    if tokenizer.kind == "labels":
        raise TwostageError("the tokenizer decodes label maps, not pictures; sample with an image tokenizer")
    return tokenizer


def record(
    folder: Path,
    tokenizer: AnyTokenizer,
    draw_batch: Callable[[slice], torch.Tensor],
    amount: tuple[int, int],
    size: tuple[int, int],
) -> Seconds:
    """Writes samples.npy (uint8 NHWC) and index.npy (uint16 [N, H, W]), batch by batch.

    `draw_batch` returns index grids int64 [B, H, W] of some images. `amount`: number of images, images per batch.
    """
    (num_images, batch_size), (height, width), seconds = amount, size, Seconds()
    pixels = (height * tokenizer.factor, width * tokenizer.factor, tokenizer.num_channels)
    with (
        new_array(folder / "samples.npy", (num_images, *pixels), np.uint8) as image_NHWC,
        new_array(folder / "index.npy", (num_images, height, width), np.uint16) as index_NHW,
    ):
        for start in tqdm(range(0, num_images, batch_size), desc="sample", unit="batch", disable=None):
            batch = slice(start, min(start + batch_size, num_images))
            began = training.training_clock()
            index_BHW = draw_batch(batch)
            drawn = training.training_clock()
            image_NHWC[batch] = decoded(tokenizer, index_BHW)
            seconds.drawing += drawn - began
            seconds.decoding += training.training_clock() - drawn
            index_NHW[batch] = index_BHW.cpu().numpy()
    return seconds


@torch.inference_mode()
def decoded(tokenizer: AnyTokenizer, index_BHW: torch.Tensor) -> np.ndarray:
    """The images of code grids, uint8 [B, height, width, C]. Large ones are decoded one by one in tiles."""
    pixels = index_BHW[0].numel() * tokenizer.factor**2
    if not isinstance(tokenizer, Tokenizer) or pixels <= tiles.WHOLE_PIXELS**2:
        return as_bytes(tokenizer.decode(index_BHW))
    return np.concatenate([as_bytes(tiles.decode(tokenizer, index_1HW)) for index_1HW in index_BHW.split(1)])
