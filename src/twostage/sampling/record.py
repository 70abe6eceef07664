"""The outputs of sampling jobs: code grids, their images, and the time for both."""

# N images, B batch, H W rows and columns in tokens, C channels

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from twostage import tokenizers
from twostage.errors import TwostageError
from twostage.runtime import launch, processes, training
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
    Several processes draw whole batches in turn; the first one writes them, and knows the seconds of all.
    """
    (num_images, batch_size), (height, width), seconds = amount, size, Seconds()
    pixels = (height * tokenizer.factor, width * tokenizer.factor, tokenizer.num_channels)

    def drawn(batch: slice) -> tuple[np.ndarray, np.ndarray, Seconds]:
        began = training.training_clock()
        index_BHW = draw_batch(batch)
        middle = training.training_clock()
        image_BHWC = decoded(tokenizer, index_BHW)
        took = Seconds(middle - began, training.training_clock() - middle)
        return image_BHWC, index_BHW.cpu().numpy(), took

    starts = tqdm(range(0, num_images, batch_size), desc="sample", unit="batch", disable=launch.hides_bars())
    found = processes.in_turn((slice(start, min(start + batch_size, num_images)) for start in starts), drawn)
    with contextlib.ExitStack() as stack:
        if launch.is_first():
            samples, index = folder / "samples.npy", folder / "index.npy"
            image_NHWC = stack.enter_context(new_array(samples, (num_images, *pixels), np.uint8))
            index_NHW = stack.enter_context(new_array(index, (num_images, height, width), np.uint16))
        for batch, (image_BHWC, index_BHW, took) in found:
            image_NHWC[batch], index_NHW[batch] = image_BHWC, index_BHW
            seconds.drawing += took.drawing
            seconds.decoding += took.decoding
    return seconds


@torch.inference_mode()
def decoded(tokenizer: AnyTokenizer, index_BHW: torch.Tensor) -> np.ndarray:
    """The images of code grids, uint8 [B, height, width, C]. Large ones are decoded one by one in tiles."""
    index_BHW = index_BHW.to(training.device())
    pixels = index_BHW[0].numel() * tokenizer.factor**2
    if not isinstance(tokenizer, Tokenizer) or pixels <= tiles.WHOLE_PIXELS**2:
        return as_bytes(tokenizer.decode(index_BHW))
    return np.concatenate([as_bytes(tiles.decode(tokenizer, index_1HW)) for index_1HW in index_BHW.split(1)])
