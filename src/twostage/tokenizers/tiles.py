"""Encodes and decodes canvases in tiles, with the result of the whole canvas and the memory of one tile.

A convolution needs only a margin around its tile. But attention sees the whole canvas, and GroupNorm uses statistics of
the whole canvas, so independent tiles give wrong results with any overlap. Therefore the levels with attention, at the
lowest resolutions, process the whole canvas. The other levels run tile by tile with the statistics of the whole canvas.
These are collected norm by norm: one pass over all tiles per norm, with the earlier norms already settled. The tiles
then meet without seams, and no blending is needed.
"""

# B batch, C channels, G groups of a norm, H W height and width; cells: positions of the features that stay whole

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from twostage.tokenizers.accepted import require_codes, require_stored
from twostage.tokenizers.model import Tokenizer
from twostage.tokenizers.networks import Downsample, Level, NonLocalBlock, Upsample

# ours: a tile's core, pixels; with 128 channels its features at full resolution take some 100 MB
TILE_PIXELS = 256
# ours: canvases of more pixels than this squared go in tiles; the paper's images stay whole
WHOLE_PIXELS = 256


@dataclass(frozen=True)
class Tile:
    """A part of a canvas, in cells: the core, which is kept, and the crop, which adds a margin.

    The crop ends at the border of the canvas, where convolutions pad as on the whole canvas.
    """

    core: tuple[slice, slice]
    crop: tuple[slice, slice]

    def cropped(self, cells_BCHW: Tensor, step: int = 1) -> Tensor:
        """The crop of a canvas with `step` x `step` positions per cell."""
        rows, columns = (_times(part, step) for part in self.crop)
        return cells_BCHW[..., rows, columns]

    def core_of(self, crop_BCHW: Tensor) -> Tensor:
        """The core of the result for the crop, at any resolution."""
        step = crop_BCHW.shape[-1] // (self.crop[1].stop - self.crop[1].start)
        rows, columns = (
            _times(slice(core.start - crop.start, core.stop - crop.start), step)
            for core, crop in zip(self.core, self.crop, strict=True)
        )
        return crop_BCHW[..., rows, columns]


def _times(part: slice, step: int) -> slice:
    return slice(part.start * step, part.stop * step)


def tiles_of(height: int, width: int, side: int, margin: int) -> list[Tile]:
    """Tiles whose cores, of at most `side` x `side` cells, cover a canvas of `height` x `width` cells once."""
    rows, columns = ([slice(a, min(a + side, end)) for a in range(0, end, side)] for end in (height, width))
    return [
        Tile((row, column), (_widened(row, margin, height), _widened(column, margin, width)))
        for row in rows
        for column in columns
    ]


def _widened(core: slice, margin: int, end: int) -> slice:
    return slice(max(core.start - margin, 0), min(core.stop + margin, end))


class _Gathered(Exception):
    """Ends a pass at the norm whose statistics it collects, since later layers are not needed yet."""


class CanvasNorms:
    """A context in which the GroupNorms of a network use statistics of the whole canvas.

    For each norm, call `gather` on every tile, then `settle`. After that, the network gives correct results.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.norms = [module for module in network.modules() if isinstance(module, nn.GroupNorm)]
        self._settled: dict[nn.GroupNorm, tuple[Tensor, Tensor]] = {}
        self._waiting: nn.GroupNorm | None = None
        self._parts: list[tuple[int, Tensor, Tensor]] = []
        self._tile: Tile | None = None

    def __enter__(self) -> "CanvasNorms":
        for norm in self.norms:
            # An attribute of the instance hides the method of its class until `__exit__`.
            norm.forward = functools.partial(self._forward, norm)  # type: ignore[method-assign]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for norm in self.norms:
            del norm.forward

    def gather(self, tile: Tile, crop_BCHW: Tensor) -> None:
        """Runs one tile up to the first norm that is not settled, and records the statistics of the tile's core."""
        self._tile = tile
        try:
            self.network(crop_BCHW)
        except _Gathered:
            return
        raise AssertionError("every norm of the network is settled")

    def settle(self) -> None:
        """Sets mean and variance of each group from all tiles since the last call (Chan et al. 1983)."""
        assert self._waiting is not None
        count_N = torch.tensor([count for count, _, _ in self._parts], dtype=torch.float64)[:, None, None]
        mean_NBG, variance_NBG = (
            torch.stack(parts).double().cpu() for parts in list(zip(*self._parts, strict=True))[1:]
        )
        mean_BG = (count_N * mean_NBG).sum(0) / count_N.sum()
        variance_BG = (count_N * (variance_NBG + (mean_NBG - mean_BG).square())).sum(0) / count_N.sum()
        self._settled[self._waiting] = (mean_BG, (variance_BG + self._waiting.eps).rsqrt())
        self._waiting, self._parts = None, []

    def _forward(self, norm: nn.GroupNorm, x_BCHW: Tensor) -> Tensor:
        if norm not in self._settled:
            self._note(norm, x_BCHW)
            raise _Gathered
        per_group = norm.num_channels // norm.num_groups
        mean_BC, scale_BC = (part.repeat_interleave(per_group, dim=1).to(x_BCHW) for part in self._settled[norm])
        weight_BC = scale_BC * norm.weight
        return x_BCHW * weight_BC[..., None, None] + (norm.bias - mean_BC * weight_BC)[..., None, None]

    def _note(self, norm: nn.GroupNorm, x_BCHW: Tensor) -> None:
        assert self._tile is not None
        self._waiting = norm
        core_BGN = self._tile.core_of(x_BCHW).unflatten(1, (norm.num_groups, -1)).flatten(2)
        variance_BG, mean_BG = torch.var_mean(core_BGN, dim=-1, correction=0)
        self._parts.append((core_BGN.shape[-1], mean_BG, variance_BG))


def _run(
    network: nn.Module, tiles: Sequence[Tile], crop_of: Callable[[Tile], Tensor], label: str
) -> Iterator[tuple[Tile, Tensor]]:
    """Each tile, with the core of the network's output for its crop."""
    with ExitStack() as stack:
        norms = stack.enter_context(CanvasNorms(network))
        total = len(tiles) * (len(norms.norms) + 1)
        progress = stack.enter_context(tqdm(desc=label, total=total, unit="tile", leave=False, disable=None))
        for _ in norms.norms:
            for tile in tiles:
                norms.gather(tile, crop_of(tile))
                progress.update()
            norms.settle()
        for tile in tiles:
            yield tile, tile.core_of(network(crop_of(tile)))
            progress.update()


@torch.no_grad()
def decode(tokenizer: Tokenizer, index_BHW: Tensor, tile_pixels: int = TILE_PIXELS) -> Tensor:
    """The result of `tokenizer.decode`, except for rounding.

    Sums over the canvas are in float64, so on a large canvas this is closer to the exact result than one float32 pass.
    Memory beyond the result: the features of one tile with sides of `tile_pixels` and its margin, and the features of
    the whole canvas at the lowest resolutions. Raises TwostageError like `tokenizer.decode`.
    """
    require_codes(index_BHW)
    decoder = tokenizer.decoder
    whole, tiled = _after_attention(decoder.levels)
    hidden_BCHW = decoder.middle(decoder.conv_in(tokenizer.project_out(tokenizer.quantizer.lookup(index_BHW))))
    cells_BCHW = nn.Sequential(*whole)(hidden_BCHW)
    height, width = cells_BCHW.shape[-2:]
    step = tokenizer.factor * index_BHW.shape[-1] // width
    network = nn.Sequential(*tiled, decoder.norm_out, nn.SiLU(), decoder.conv_out)
    tiles = tiles_of(height, width, max(1, tile_pixels // step), decoder_margin(tiled))
    image_BCHW = cells_BCHW.new_empty(len(index_BHW), tokenizer.num_channels, height * step, width * step)
    for tile, part_BCHW in _run(network, tiles, lambda tile: tile.cropped(cells_BCHW), "decode"):
        rows, columns = (_times(part, step) for part in tile.core)
        image_BCHW[..., rows, columns] = tokenizer.to_image(part_BCHW)
    return image_BCHW


@torch.no_grad()
def encode(tokenizer: Tokenizer, map_BHWC: np.ndarray, tile_pixels: int = TILE_PIXELS) -> Tensor:
    """The result of `tokenizer.encode` for prepared maps. `map_BHWC`: uint8, prepared here tile by tile.

    Rounding may change a code if two vectors are equally near. Memory as in `decode`. Raises TwostageError for a wrong
    type or shape, or if the sides are not divisible by the factor.
    """
    num_channels = None if tokenizer.kind == "labels" else tokenizer.num_channels
    require_stored(map_BHWC, tokenizer.kind, num_channels)
    tokenizer.require_sides(*map_BHWC.shape[1:3])
    encoder = tokenizer.encoder
    tiled, whole = _before_attention(encoder.levels)
    step = 2 ** sum(isinstance(level.resample, Downsample) for level in tiled)
    height, width = (side // step for side in map_BHWC.shape[1:3])
    network = nn.Sequential(encoder.conv_in, *tiled)

    def crop_of(tile: Tile) -> Tensor:
        rows, columns = (_times(part, step) for part in tile.crop)
        return tokenizer.prepare(map_BHWC[:, rows, columns])

    tiles = tiles_of(height, width, max(1, tile_pixels // step), encoder_margin(tiled))
    cells_BCHW: Tensor | None = None
    for tile, part_BCHW in _run(network, tiles, crop_of, "encode"):
        if cells_BCHW is None:
            cells_BCHW = part_BCHW.new_empty(*part_BCHW.shape[:2], height, width)
        cells_BCHW[..., tile.core[0], tile.core[1]] = part_BCHW
    hidden_BCHW = encoder.middle(nn.Sequential(*whole)(cells_BCHW))
    features_BCHW = encoder.conv_out(nn.functional.silu(encoder.norm_out(hidden_BCHW)))
    return tokenizer.quantizer.index(tokenizer.project_in(features_BCHW))


def _after_attention(levels: nn.Sequential) -> tuple[list[Level], list[Level]]:
    """A decoder's levels up to the last one with attention, which process the whole canvas, and the other levels."""
    finest_first, whole = _split(list(_levels(levels))[::-1])
    return whole[::-1], finest_first[::-1]


def _before_attention(levels: nn.Sequential) -> tuple[list[Level], list[Level]]:
    """An encoder's levels before the first one with attention, and the others, which process the whole canvas."""
    return _split(list(_levels(levels)))


def _levels(levels: nn.Sequential) -> Iterator[Level]:
    for level in levels:
        assert isinstance(level, Level)
        yield level


def _split(levels: list[Level]) -> tuple[list[Level], list[Level]]:
    """Levels, finest first: those before the first one with attention, and the others."""
    tiled = list(itertools.takewhile(lambda level: not _has_attention(level), levels))
    return tiled, levels[len(tiled) :]


def _has_attention(level: Level) -> bool:
    return any(isinstance(attention, NonLocalBlock) for attention in level.attentions)


def decoder_margin(levels: Sequence[Level]) -> int:
    """Cells beyond a core that its pixels depend on, through levels and the last convolution, without norms."""
    reach, step = 0, 1  # reach: positions from the crop's edge inwards that the edge influences
    for level in levels:
        reach += 2 * len(level.blocks)
        if isinstance(level.resample, Upsample):
            reach, step = 2 * reach + 1, 2 * step
    return math.ceil((reach + 1) / step)


def encoder_margin(levels: Sequence[Level]) -> int:
    """Cells beyond a core that it depends on, through the first convolution and levels, without norms."""
    reach = 1
    for level in levels:
        reach += 2 * len(level.blocks)
        if isinstance(level.resample, Downsample):
            # Padding on the right and below lets the edge influence one more position.
            reach = reach // 2 + 1
    return reach
