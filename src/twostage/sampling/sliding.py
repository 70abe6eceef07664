"""Draws canvases larger than a prior's grid: each token is predicted from a window around it, in row-major order.

Source: Esser et al. 2021, Sec. 3.2 and Fig. 3.

Every window has its own positions, so windows cannot share results. But a causal model needs only the tokens of a
window before the predicted one. At the borders, one window predicts several tokens, which share one cache. Tokens that
do not wait for each other are drawn together.
"""

# B samples, T tokens of the canvas, H W its rows and columns, P tokens of a window, S condition tokens, V vocabulary,
# K tokens drawn together, G given tokens

from collections import Counter
from typing import Protocol

import torch
from tqdm import tqdm

from twostage.errors import TwostageError
from twostage.priors.gpt import GPT
from twostage.priors.linear import packed
from twostage.priors.model import Model
from twostage.priors.pixelsnail import PixelSNAIL
from twostage.priors.transformer import Cache, Span
from twostage.sampling.canvas import Canvas, Place
from twostage.sampling.draw import Draw

# ours: the memory of a laptop for keys and values of open windows
CACHE_BYTES = 2 * 10**9


class Board:
    """The drawn tokens and the condition of B canvases, cut into windows.

    `condition`: int64 [B, S], the same for every window (a class), or [B, H, W], of which each window sees its own part
    (a spatial condition or coordinates). Raises TwostageError if it does not match model or canvas.
    """

    def __init__(
        self, model: Model, canvas: Canvas, num_samples: int, condition: torch.Tensor | None, given_BG: torch.Tensor
    ) -> None:
        _check_condition(model, canvas, num_samples, condition)
        device = next(model.parameters()).device
        self.canvas = canvas
        self.condition = None if condition is None else condition.to(device)
        self.index_BT = torch.zeros(num_samples, canvas.num_tokens, dtype=torch.int64, device=device)
        self.index_BT[:, : given_BG.shape[1]] = given_BG.to(device)

    def tokens(self, place: Place) -> torch.Tensor:
        """All tokens of the place's window, int64 [B, P]; 0 for tokens that are not drawn yet."""
        return self._cut(self.index_BT.unflatten(1, (self.canvas.height, self.canvas.width)), place)

    def tokens_before(self, place: Place) -> torch.Tensor:
        """The tokens of the window before the place."""
        return self.tokens(place)[:, : place.local]

    def conditions(self, places: list[Place]) -> torch.Tensor | None:
        """Condition int64 [K B, S] of the windows of K places, or None."""
        if self.condition is None:
            return None
        if self.condition.dim() == 2:
            return self.condition.repeat(len(places), 1)
        return torch.cat([self._cut(self.condition, place) for place in places])

    def _cut(self, index_BHW: torch.Tensor, place: Place) -> torch.Tensor:
        rows, columns = self.canvas.window
        return index_BHW[:, place.top : place.top + rows, place.left : place.left + columns].flatten(1)


def _check_condition(model: Model, canvas: Canvas, num_samples: int, condition: torch.Tensor | None) -> None:
    if condition is None:
        return
    if len(condition) != num_samples:
        raise TwostageError(f"{len(condition)} conditions for {num_samples} samples; give one condition per sample")
    size, of_prior = (canvas.height, canvas.width), model.tokens.condition
    if condition.dim() == 3 and (condition.shape[1:] != size or of_prior is None or of_prior.grid != canvas.window):
        raise TwostageError(
            f"a condition of {tuple(condition.shape[1:])} tokens for a canvas of {size} and a prior whose condition "
            f"is {None if of_prior is None else of_prior.grid}; a spatial condition must have the size of the "
            "canvas, and the prior's condition the size of its window"
        )


class Windows(Protocol):
    """Computes logits from windows."""

    def logits(self, places: list[Place]) -> torch.Tensor:
        """Logits [K, B, V] of the tokens at K places that do not depend on each other."""
        ...


class WholeWindows:
    """Runs whole windows through the model, a wave as one batch. For models without a cache."""

    def __init__(self, model: Model, board: Board) -> None:
        self.model, self.board = model, board

    def logits(self, places: list[Place]) -> torch.Tensor:
        """As `Windows` says."""
        index = torch.cat([self.board.tokens(place) for place in places])
        logits_KBPV = self.model(index, self.board.conditions(places)).unflatten(0, (len(places), -1))
        return torch.stack([logits_KBPV[k, :, place.local] for k, place in enumerate(places)])


class CachedWindows:
    """The least work for a transformer: each needed token of each window is computed once.

    A window that predicts several tokens keeps its cache until the last of them. On a canvas of W columns at most about
    2 W windows are open at a time, each with 2 L D numbers per token and sample (L layers of width D). If they do not
    fit into `cache_bytes`, windows have no cache and are computed again for each of their tokens.
    """

    def __init__(self, model: GPT, board: Board, waves: list[list[Place]], cache_bytes: int) -> None:
        self.model, self.board, self.free_bytes = model, board, cache_bytes
        places = [place for wave in waves for place in wave]
        self.uses_left = Counter(place.window for place in places)
        # Waves keep the order within a window, so the last place of each window sees most of it.
        self.room = {place.window: place.local for place in places}
        self.caches: dict[tuple[int, int], tuple[int, Cache]] = {}

    def logits(self, places: list[Place]) -> torch.Tensor:
        """As `Windows` says."""
        return self.model.last_logits([self._span(place) for place in places])

    def _span(self, place: Place) -> Span:
        """The tokens before the place that are not yet in the cache of its window."""
        window, index_BP = place.window, self.board.tokens_before(place)
        self.uses_left[window] -= 1
        # Removed from `caches` after its last use; the span keeps it until then.
        seen, cache = self.caches.pop(window, (0, None))
        if cache is None:
            condition_BS = self.board.conditions([place])
            embedding_BTD = self.model.first_embeddings(len(index_BP), condition_BS, index_BP)
            cache = self._new_cache(embedding_BTD, window) if self.uses_left[window] else None
        else:
            embedding_BTD = self.model.codes(index_BP[:, seen:])
        if cache is not None:
            if self.uses_left[window]:
                self.caches[window] = (place.local, cache)
            else:
                self.free_bytes += _num_bytes(cache)
        return Span(embedding_BTD, cache)

    def _new_cache(self, like_BTD: torch.Tensor, window: tuple[int, int]) -> Cache | None:
        cache = self.model.new_cache(like_BTD, self.room[window])
        if _num_bytes(cache) > self.free_bytes:
            return None
        self.free_bytes -= _num_bytes(cache)
        return cache


def _num_bytes(cache: Cache) -> int:
    return cache.keys_LBHPE.nbytes + cache.values_LBHPE.nbytes


@torch.inference_mode()
def slide(
    model: Model,
    uniform_BT: torch.Tensor,
    size: tuple[int, int],
    draw: Draw = Draw(),  # noqa: B008 - it is frozen
    condition: torch.Tensor | None = None,
    given_BG: torch.Tensor | None = None,
    cache_bytes: int = CACHE_BYTES,
) -> torch.Tensor:
    """Canvases int64 [B, H, W] of `size` = (H, W) tokens, drawn through windows of the model's grid.

    `uniform_BT`: a `uniform_table` with one number per token of the canvas, row-major. `condition`: [B, S], the same
    for every window, or [B, H, W], cut like the canvas. `given_BG`: the first G tokens of each canvas, which are kept.
    `cache_bytes` limits the caches of open windows. The result equals that of `slide_token_by_token`. Raises
    TwostageError if the window is larger than the canvas, the condition does not match, or the model's order is not
    row-major.
    """
    canvas, board = _prepare(model, uniform_BT, size, draw, condition, given_BG)
    waves = canvas.waves(0 if given_BG is None else given_BG.shape[1])
    windows: Windows
    match model:
        case GPT():
            windows = CachedWindows(model, board, waves, cache_bytes)
        case PixelSNAIL():
            windows = WholeWindows(model, board)
    with packed(model, len(uniform_BT) * model.tokens.num_tokens):
        for places in tqdm(waves, desc="sliding window", unit="wave", leave=False, disable=None):
            _draw_at(board, places, windows.logits(places), draw, uniform_BT)
    return board.index_BT.unflatten(1, size)


@torch.inference_mode()
def slide_token_by_token(
    model: Model,
    uniform_BT: torch.Tensor,
    size: tuple[int, int],
    draw: Draw = Draw(),  # noqa: B008 - it is frozen
    condition: torch.Tensor | None = None,
    given_BG: torch.Tensor | None = None,
) -> torch.Tensor:
    """The reference for `slide`: runs the whole window through the model for every token."""
    canvas, board = _prepare(model, uniform_BT, size, draw, condition, given_BG)
    windows = WholeWindows(model, board)
    for place in canvas.places()[0 if given_BG is None else given_BG.shape[1] :]:
        _draw_at(board, [place], windows.logits([place]), draw, uniform_BT)
    return board.index_BT.unflatten(1, size)


def check_window(model: Model, size: tuple[int, int]) -> Canvas:
    """The canvas of `size` = (H, W) tokens with the model's windows. Raises TwostageError like `windowed`."""
    return windowed(size, model.tokens.grid, model.ordering)


def windowed(size: tuple[int, int], grid: tuple[int, int], ordering: str) -> Canvas:
    """The canvas of `size` = (H, W) tokens with the windows of a prior with this grid and order.

    Raises TwostageError if the window is larger than the canvas, or the order is not row-major.
    """
    if ordering != "row_major":
        raise TwostageError(
            f"sliding windows need row-major order, but the prior's is {ordering}; set sampling.canvas=null or "
            "use a prior with priors.ordering=row_major"
        )
    return Canvas(*size, grid)


def _prepare(
    model: Model,
    uniform_BT: torch.Tensor,
    size: tuple[int, int],
    draw: Draw,
    condition: torch.Tensor | None,
    given_BG: torch.Tensor | None,
) -> tuple[Canvas, Board]:
    draw.check(model.tokens.num_codes)
    canvas = check_window(model, size)
    if uniform_BT.shape[1] != canvas.num_tokens:
        raise ValueError(f"{uniform_BT.shape[1]} uniform numbers per sample for {canvas.num_tokens} tokens")
    given_BG = torch.zeros(len(uniform_BT), 0, dtype=torch.int64) if given_BG is None else given_BG
    return canvas, Board(model, canvas, len(uniform_BT), condition, given_BG)


def _draw_at(board: Board, places: list[Place], logits_KBV: torch.Tensor, draw: Draw, uniform_BT: torch.Tensor) -> None:
    ranks = [place.rank for place in places]
    index = draw.codes(logits_KBV.flatten(0, 1), uniform_BT[:, ranks].T.flatten())
    board.index_BT[:, ranks] = index.unflatten(0, (len(places), -1)).T
