"""Converts stored maps (colours, edges, depth, labels) to the float tensors of tokenizers, and back to bytes."""

# B batch, H height, W width, C channels

import numpy as np
import torch
from torch.nn import functional

from twostage.errors import TwostageError
from twostage.tokenizers.accepted import require_stored


def prepare_map(map_BHWC: np.ndarray, kind: str, num_channels: int | None = None) -> torch.Tensor:
    """`map_BHWC`: uint8 array. Returns `image_BCHW`: float32 on the CPU, in channels_last memory.

    `kind` as in a dataset's metadata.json: colour, grey and binary (0 or 255) are scaled to [-1, 1]; labels become
    one-hot planes of 0 and 1, `num_channels` of them. Raises TwostageError for an unknown kind, a wrong type or shape
    of the array, or a label out of range.
    """
    require_stored(map_BHWC, kind, num_channels)
    match kind:
        case "colour" | "grey" | "binary":
            # Copy, because torch refuses flipped views and warns about read-only memory maps.
            byte_BHWC = torch.from_numpy(np.array(map_BHWC))
            return byte_BHWC.permute(0, 3, 1, 2).to(torch.float32).div_(127.5).sub_(1.0)
        case "labels":
            return _one_hot(map_BHWC[..., 0], num_channels)
        case other:
            raise TwostageError(f"map kind {other} is unknown; expected colour, grey, binary or labels")


def as_bytes(image_BCHW: torch.Tensor) -> np.ndarray:
    """float [-1, 1], clamped, as uint8 [B, H, W, C]."""
    byte_BCHW = ((image_BCHW.clamp(-1, 1) + 1) * 127.5).round().byte()
    return byte_BCHW.permute(0, 2, 3, 1).cpu().numpy()


def _one_hot(label_BHW: np.ndarray, num_labels: int | None) -> torch.Tensor:
    if num_labels is None:
        raise TwostageError("a map of labels needs the number of labels; it is maps.segmentation.channels of metadata")
    highest = int(label_BHW.max(initial=0))
    if highest >= num_labels:
        raise TwostageError(f"segmentation has the label {highest}, expected below {num_labels}; set data.num_labels")
    label = torch.from_numpy(label_BHW.astype(np.int64))
    return functional.one_hot(label, num_labels).permute(0, 3, 1, 2).to(torch.float32)
