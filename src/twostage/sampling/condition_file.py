"""Encodes a user's picture (label map, depth, edges or photograph) as the condition of a canvas."""

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

    As in the data stage, the picture is scaled down and cropped to its centre. Its size becomes that of the canvas,
    with `factor` pixels per token; for a low resolution, the size that its own tokens have. Raises TwostageError if it
    is too small or not a map of the tokenizer's kind, or if its codes are not those of the prior's condition.
    """
    if "condition_tokenizer" not in job.inputs:
        raise TwostageError("sampling.condition_file needs its tokenizer; give the job an input `condition_tokenizer`")
    tokenizer = tokenizers.load(job.upstream("condition_tokenizer"))
    if wanted.map not in _maps_of(tokenizer):
        raise TwostageError(
            f"{job.upstream('condition_tokenizer')} encodes {' or '.join(_maps_of(tokenizer))}, but the prior was "
            f"trained with the condition {wanted.map}; use the tokenizer of the prior's condition"
        )
    if tokenizer.num_codes != wanted.num_codes:
        raise TwostageError(
            f"{job.upstream('condition_tokenizer')} has {tokenizer.num_codes} codes, but the prior was trained "
            f"with {wanted.num_codes} codes of its condition; use the tokenizer of the prior's condition"
        )
    checksum = tokenizers.checksum(job.upstream("condition_tokenizer"))
    wanted.require_meaning(checksum, job.upstream("condition_tokenizer"))
    height, width = wanted.grid
    # A low-resolution map has just the pixels that its own tokens need.
    pixels = tokenizer.factor if wanted.map == "low_resolution" else factor
    map_HWC = read_condition(config, tokenizer.kind, (height * pixels, width * pixels), tokenizer.num_channels)
    with torch.inference_mode():
        codes_HW = _encode(tokenizer, map_HWC[None])[0].cpu().numpy()
    if codes_HW.shape != wanted.grid:
        raise TwostageError(
            f"a token of the condition has {tokenizer.factor}x{tokenizer.factor} pixels, one of the image "
            f"{factor}x{factor}; a canvas needs equal factors: use a condition tokenizer with f = {factor}"
        )
    return codes_HW


def _maps_of(tokenizer: AnyTokenizer) -> tuple[str, ...]:
    """The maps that it may encode. A palette does not store the map it was found on."""
    return (tokenizer.config.map,) if isinstance(tokenizer, Tokenizer) else ("image", "low_resolution")


def _encode(tokenizer: AnyTokenizer, map_BHWC: np.ndarray) -> torch.Tensor:
    height, width = map_BHWC.shape[1:3]
    if isinstance(tokenizer, Tokenizer) and height * width > tiles.WHOLE_PIXELS**2:
        return tiles.encode(tokenizer, map_BHWC)
    return tokenizer.encode(tokenizer.prepare(map_BHWC))


def read_condition(config: DrawingConfig, kind: str, size: tuple[int, int], num_labels: int) -> np.ndarray:
    """The file as the data stage stores maps of this `kind` (labels, grey, binary or colour): uint8 [height, width, C].

    Raises TwostageError if the file is not such a map or is smaller than `size` (height and width in pixels).
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
            f"{path} is {error}, but the canvas needs {size[1]}x{size[0]}; conditions are not enlarged: use a larger "
            "one, or set a smaller sampling.canvas_pixels"
        ) from error
