"""Checks the inputs of tokenizers. Errors about layout, type or range say in one line how to convert the input."""

# B batch, H height, W width, C channels, h w rows and columns of codes

from typing import Any

import numpy as np
import torch

from twostage.errors import TwostageError

STORED = "uint8 array [B, H, W, C], such as image[None] of one picture"
# Reconstructions may exceed [-1, 1] and be encoded again; bytes as floats reach 255. Probabilities are in [0, 1].
FAR, SLACK = 8.0, 1e-3


def require_stored(map_BHWC: Any, kind: str, num_channels: int | None = None) -> None:
    """Raises TwostageError if `map_BHWC` is not uint8 [B, H, W, C], with one channel for labels.

    `num_channels`: for other kinds, if known. Binary maps have the values 0 and 255; a map of 0 and 1 is refused.
    """
    if not isinstance(map_BHWC, np.ndarray) or map_BHWC.dtype != np.uint8 or map_BHWC.ndim != 4:
        raise TwostageError(
            f"prepare takes a {STORED}; got {_described(map_BHWC)}: convert it (floats in [0, 1] times 255)"
        )
    wanted = 1 if kind == "labels" else num_channels
    if wanted is not None and map_BHWC.shape[-1] != wanted:
        mend = ": transpose it by .transpose(0, 2, 3, 1)" if map_BHWC.shape[1] == wanted else ""
        raise TwostageError(
            f"prepare takes a {STORED}, with C = {wanted} for a map of {kind}; got {_described(map_BHWC)}{mend}"
        )
    if kind == "binary" and map_BHWC.max(initial=0) == 1:
        raise TwostageError("prepare takes binary maps of 0 and 255; got a map of 0 and 1: multiply it by 255")


def require_prepared(image_BCHW: Any, num_channels: int, dtype: torch.dtype, kind: str) -> None:
    """Raises TwostageError if this is not a tensor as `prepare` makes it.

    It must be `dtype` [B, C, H, W] with C = `num_channels`, in about [-1, 1], or in [0, 1] for labels.
    """
    low = 0 if kind == "labels" else -1
    expected = (
        f"encode takes {_name(dtype)} [B, {num_channels}, H, W] in [{low}, 1], as tokenizer.prepare makes it of a "
        f"{STORED}"
    )
    mend = "call tokenizer.encode(tokenizer.prepare(map))"
    if not isinstance(image_BCHW, torch.Tensor) or image_BCHW.dtype != dtype or image_BCHW.dim() != 4:
        raise TwostageError(f"{expected}; got {_described(image_BCHW)}: {mend}")
    if image_BCHW.shape[1] != num_channels and image_BCHW.shape[-1] == num_channels:
        raise TwostageError(f"{expected}; got {_described(image_BCHW)}: {mend}, or .permute(0, 3, 1, 2)")
    if image_BCHW.numel() == 0:
        raise TwostageError(f"{expected}; got an empty tensor, {_described(image_BCHW)}")
    least, most = (float(bound) for bound in torch.aminmax(image_BCHW))
    bounds = (-SLACK, 1 + SLACK) if kind == "labels" else (-FAR, FAR)
    # Written so that NaN fails too.
    if not (least >= bounds[0] and most <= bounds[1]):
        raise TwostageError(f"{expected}; got values in [{least:g}, {most:g}]: {mend}")


def require_codes(index_BHW: Any) -> None:
    """Raises TwostageError if this is not an integer tensor [B, h, w] or is empty. The codebook checks the range."""
    is_index = isinstance(index_BHW, torch.Tensor) and index_BHW.dtype in (torch.int64, torch.int32)
    if not is_index or index_BHW.dim() != 3 or index_BHW.numel() == 0:
        raise TwostageError(
            f"decode takes codes int64 [B, h, w]; got {_described(index_BHW)}: from an array of codes [h, w], use "
            "torch.from_numpy(codes.astype(numpy.int64))[None]"
        )


def _described(value: Any) -> str:
    if isinstance(value, np.ndarray | torch.Tensor):
        return f"{_name(value.dtype)} {list(value.shape)}"
    return f"a {type(value).__name__}"


def _name(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")
