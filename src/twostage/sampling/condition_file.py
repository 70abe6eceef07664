"""A picture of the user's as the condition of a canvas: a label map, depth, edges or a photograph, in codes."""

# H W rows and columns of the canvas in tokens

from pathlib import Path

import numpy as np
import torch

from twostage import tokenizers
from twostage.config.schema import DrawingConfig
from twostage.data.pictures import (
    TooSmallError,
    UndecodableError,
    binary_array,
    decode,
    grey_array,
    image_array,
    label_array,
)
from twostage.errors import TwostageError
from twostage.latents.dataset import TokenSpace
from twostage.runtime.job import Job
from twostage.tokenizers import AnyTokenizer, tiles
from twostage.tokenizers.model import Tokenizer


def condition_codes(config: DrawingConfig, job: Job, wanted: TokenSpace, factor: int) -> np.ndarray:
    """Codes int64 [H, W] of `sampling.condition_file` under the job's input `condition_tokenizer`.

    The picture is brought to the pixels of the canvas, which are `factor` a token, or, if it is the low resolution of
    one, to those that its tokens have, as the data stage does it: scaled down until one side fits, its centre kept.
    Raises TwostageError if it is too small, no map of the tokenizer's kind, or its codes are not those that the prior
    wants.
    """
    if "condition_tokenizer" not in job.inputs:
        raise TwostageError("sampling.condition_file needs its tokenizer; give the job an input `condition_tokenizer`")
    tokenizer = tokenizers.load(job.upstream("condition_tokenizer"))
    if wanted.map not in _maps_of(tokenizer):
        raise TwostageError(
            f"{job.upstream('condition_tokenizer')} encodes {' or '.join(_maps_of(tokenizer))}, the prior was trained "
            f"with the condition {wanted.map}; take the tokenizer of the prior's condition"
        )
    if tokenizer.num_codes != wanted.num_codes:
        raise TwostageError(
            f"{job.upstream('condition_tokenizer')} has {tokenizer.num_codes} codes, the prior was trained with "
            f"{wanted.num_codes} of its condition; take the tokenizer of the prior's condition"
        )
    checksum = tokenizers.checksum(job.upstream("condition_tokenizer"))
    wanted.require_meaning(checksum, job.upstream("condition_tokenizer"))
    height, width = wanted.grid
    # A map of low resolution has no pixels but those that its own tokens need.
    pixels = tokenizer.factor if wanted.map == "low_resolution" else factor
    map_HWC = read_condition(config, tokenizer.kind, (height * pixels, width * pixels), tokenizer.num_channels)
    with torch.inference_mode():
        codes_HW = _encode(tokenizer, map_HWC[None])[0].cpu().numpy()
    if codes_HW.shape != wanted.grid:
        raise TwostageError(
            f"the condition has a token for {tokenizer.factor}x{tokenizer.factor} pixels, the image for "
            f"{factor}x{factor}; a canvas needs both alike: take a condition tokenizer of f = {factor}"
        )
    return codes_HW


def _maps_of(tokenizer: AnyTokenizer) -> tuple[str, ...]:
    """What it may encode; a palette does not know on which pictures it was found."""
    return (tokenizer.config.map,) if isinstance(tokenizer, Tokenizer) else ("image", "low_resolution")


def _encode(tokenizer: AnyTokenizer, map_BHWC: np.ndarray) -> torch.Tensor:
    height, width = map_BHWC.shape[1:3]
    if isinstance(tokenizer, Tokenizer) and height * width > tiles.WHOLE_PIXELS**2:
        return tiles.encode(tokenizer, map_BHWC)
    return tokenizer.encode(tokenizer.prepare(map_BHWC))


def read_condition(config: DrawingConfig, kind: str, size: tuple[int, int], num_labels: int) -> np.ndarray:
    """The file as the data stage stores maps of this `kind`, labels, grey, binary or colour: uint8 [height, width, C].

    Raises TwostageError for a file that is not such a map, or is smaller than `size`, height and width in pixels.
    """
    path = Path(config.condition_file or "").expanduser()
    try:
        picture = decode(path)
        match kind:
            case "labels":
                offset = config.condition_label_offset
                return label_array(picture, size, num_labels, offset)[..., None]
            case "grey":
                return grey_array(picture, size)[..., None]
            case "binary":
                return binary_array(picture, size)[..., None]
            case _:
                return image_array(picture, size)
    except UndecodableError as error:
        raise TwostageError(f"sampling.condition_file={path} cannot be decoded: {error}; replace it") from error
    except TooSmallError as error:
        raise TwostageError(
            f"{path} is {error}, the canvas wants {size[1]}x{size[0]}; conditions are not enlarged: bring a larger "
            "one, or set a smaller sampling.canvas_pixels"
        ) from error
