"""Pixels as tokens, f = 1: each pixel becomes the nearest colour of a palette.

Source: Esser et al. 2021, Sec. 4.3 (k = 512 RGB centroids), after Chen et al. 2020 (iGPT).
"""

# B batch, C channels, H height, W width, P pixels, K colours of the palette

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from twostage.errors import TwostageError
from twostage.runtime import training
from twostage.runtime.artifacts import read_json, write_json
from twostage.runtime.tensors import read_tensors, write_tensors
from twostage.tokenizers.accepted import require_codes, require_prepared
from twostage.tokenizers.maps import prepare_map

FORMAT = "kmeans"
# Pixels per block: their distances fit into a CPU's cache.
CHUNK = 4096


class PixelTokenizer(nn.Module):
    """Turns an RGB image into the grid of the palette's nearest colours, and back. Has the interface of `Tokenizer`.

    `palette_K3`: uint8. Colours are bytes like pixels, so distances are whole numbers that float32 represents exactly.
    Of equally near colours, the first one is used.
    """

    kind, num_channels, factor = "colour", 3, 1

    def __init__(self, palette_K3: Tensor) -> None:
        super().__init__()
        if palette_K3.dtype != torch.uint8 or palette_K3.dim() != 2 or palette_K3.shape[1] != 3:
            raise ValueError(f"a palette is uint8 [K, 3], got {palette_K3.dtype} {list(palette_K3.shape)}")
        self.palette_K3: Tensor
        self.register_buffer("palette_K3", palette_K3)
        self.num_codes = len(palette_K3)

    def prepare(self, map_BHWC: np.ndarray) -> Tensor:
        """Stored uint8 images as `image_BCHW`, on this tokenizer's device. See `maps.prepare_map`."""
        return prepare_map(map_BHWC, self.kind, self.num_channels).to(self.palette_K3.device)

    @torch.no_grad()
    def encode(self, image_BCHW: Tensor) -> Tensor:
        """`image_BCHW`: float32 in [-1, 1], rounded to bytes here. Returns int64 [B, H, W] in [0, num_codes).

        Raises TwostageError if type, shape or range are not those of `prepare`.
        """
        require_prepared(image_BCHW, self.num_channels, torch.float32, self.kind)
        if image_BCHW.shape[1] != self.num_channels:
            raise TwostageError(
                f"pixels are tokenized as RGB, got {image_BCHW.shape[1]} channels; give the tokenizer the map image"
            )
        byte_BHWC = ((image_BCHW.clamp(-1, 1) + 1) * 127.5).round().long().permute(0, 2, 3, 1)
        # Look up each colour once.
        packed_BHW = (byte_BHWC[..., 0] << 16) | (byte_BHWC[..., 1] << 8) | byte_BHWC[..., 2]
        packed_P, place_BHW = packed_BHW.unique(return_inverse=True)
        colour_P3 = torch.stack([packed_P >> 16, (packed_P >> 8) & 255, packed_P & 255], dim=1)
        return self._nearest(colour_P3)[place_BHW]

    def _nearest(self, colour_P3: Tensor) -> Tensor:
        """Index int64 [P] of the nearest colour of the palette, by squared Euclidean distance of bytes."""
        palette_K3 = self.palette_K3.float()
        # |x - c|^2 = |x|^2 - 2 x c + |c|^2, and |x|^2 is the same for every c. All is below 2^24.
        square_K = palette_K3.square().sum(1)
        chunks = colour_P3.float().split(CHUNK)
        return torch.cat([torch.addmm(square_K, chunk, palette_K3.T, alpha=-2).argmin(1) for chunk in chunks])

    @torch.no_grad()
    def decode(self, index_BHW: Tensor) -> Tensor:
        """`index_BHW`: int64 in [0, num_codes). Returns float32 [B, 3, H, W] in [-1, 1].

        Raises TwostageError for a wrong type or shape, or an index out of range.
        """
        require_codes(index_BHW)
        if not 0 <= int(index_BHW.min()) <= int(index_BHW.max()) < self.num_codes:
            raise TwostageError(f"pixel codes must lie in [0, {self.num_codes}); take the latents of this palette")
        colour_BHW3 = self.palette_K3[index_BHW].float() / 127.5 - 1
        return colour_BHW3.permute(0, 3, 1, 2)


def save(tokenizer: PixelTokenizer, name: str, folder: Path) -> None:
    """Writes model.safetensors and config.json into `folder`."""
    write_tensors(folder / "model.safetensors", {"palette_K3": tokenizer.palette_K3})
    write_json(folder / "config.json", {"format": FORMAT, "name": name, "num_codes": tokenizer.num_codes})


def load(folder: Path) -> PixelTokenizer:
    """The palette of an artifact folder, on the accelerator if there is one.

    Raises TwostageError if files are missing or damaged, or if the palette does not match the config.
    """
    num_codes = read_json(folder / "config.json")["num_codes"]
    palette_K3 = read_tensors(folder / "model.safetensors")[0].get("palette_K3")
    if palette_K3 is None or palette_K3.dtype != torch.uint8 or palette_K3.shape != (num_codes, 3):
        raise TwostageError(f"{folder}/model.safetensors is not a palette of {num_codes} colours; make both again")
    return PixelTokenizer(palette_K3).to(training.device())
