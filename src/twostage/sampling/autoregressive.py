"""Draws code grids from a prior, token by token."""

# B samples, T image tokens, S condition tokens, G given tokens, R rows, W columns, V vocabulary

from collections.abc import Iterator

import numpy as np
import torch

from twostage.errors import TwostageError
from twostage.latents.orderings import inverse, ordering
from twostage.priors.gpt import GPT
from twostage.priors.linear import packed
from twostage.priors.model import Model
from twostage.priors.pixelsnail import PixelSNAIL
from twostage.sampling.draw import Draw
from twostage.sampling.whole import Chains, Streams


@torch.inference_mode()
def sample(
    model: Model,
    uniform_BT: torch.Tensor,
    draw: Draw = Draw(),  # noqa: B008 - it is frozen
    condition_BS: torch.Tensor | None = None,
    given_BG: torch.Tensor | None = None,
    order_T: np.ndarray | None = None,
) -> torch.Tensor:
    """Code grids int64 [B, R, W] in row-major order, on the model's device.

    `uniform_BT` is a `uniform_table`: the t-th number of a row draws the t-th token of its sequence. `condition_BS`:
    codes of a class (S = 1) or of a spatial condition. `given_BG`: the first G tokens of each sequence, which are kept;
    with half of all tokens, half images are completed. `order_T`: the order of the model's sequence; the t-th entry is
    the row-major position of the t-th token (default: the model's own order).
    Raises TwostageError if the arguments do not match the model. Source: Esser et al. 2021, Sec. 3.2, Eq. 9 and 10.
    """
    draw.check(model.tokens.num_codes)
    order_T = ordering(model.ordering, *model.tokens.grid) if order_T is None else order_T
    _check(model, uniform_BT, condition_BS, order_T)
    device = next(model.parameters()).device
    sequence_BT = torch.zeros(uniform_BT.shape, dtype=torch.int64, device=device)
    num_given = 0
    if given_BG is not None:
        num_given = given_BG.shape[1]
        sequence_BT[:, :num_given] = given_BG.to(device)
    condition_BS = None if condition_BS is None else condition_BS.to(device)
    with packed(model, len(sequence_BT)):
        for t, logits_BV in _logits(model, sequence_BT, num_given, condition_BS):
            sequence_BT[:, t] = draw.codes(logits_BV, uniform_BT[:, t])
    return sequence_BT[:, torch.from_numpy(inverse(order_T)).to(device)].unflatten(1, model.tokens.grid)


@torch.inference_mode()
def fill(
    model: Model,
    draw: Draw,
    streams: Streams,
    condition_BS: torch.Tensor | None,
    given_BT: torch.Tensor,
    redrawn_BT: np.ndarray,
) -> Chains:
    """Redraws a part of each grid, token by token; row-major.

    Where `redrawn_BT`, bool, is false, codes are those of `given_BT`, int64. A code that is drawn depends on the tokens
    before it in the prior's order, given or drawn, and on none after it: causal inpainting, to which McKinney &
    Willcocks 2022, Sec. 3.6, compare inpainting by a prior that sees the whole image. A chain has a step for each code
    that it draws. Raises TwostageError if there is not one condition for each grid.
    """
    order_T = ordering(model.ordering, *model.tokens.grid)
    uniform_BT = torch.from_numpy(streams.uniforms(np.arange(len(streams)), len(order_T))[0])
    draw.check(model.tokens.num_codes)
    _check(model, uniform_BT, condition_BS, order_T)
    device = next(model.parameters()).device
    sequence_BT = given_BT[:, torch.from_numpy(order_T)].to(device)
    redrawn_BT = redrawn_BT[:, order_T]
    place_P = np.flatnonzero(redrawn_BT.any(0))
    first, last = (int(place_P[0]), int(place_P[-1])) if len(place_P) else (len(order_T), -1)
    condition_BS = None if condition_BS is None else condition_BS.to(device)
    with packed(model, len(sequence_BT)):
        for t, logits_BV in _logits(model, sequence_BT, first, condition_BS):
            is_redrawn_B = torch.from_numpy(redrawn_BT[:, t]).to(device)
            sequence_BT[:, t] = torch.where(is_redrawn_B, draw.codes(logits_BV, uniform_BT[:, t]), sequence_BT[:, t])
            if t == last:
                break
    return Chains(sequence_BT[:, torch.from_numpy(inverse(order_T)).to(device)], redrawn_BT.sum(1))


def _logits(
    model: Model, sequence_BT: torch.Tensor, num_given: int, condition_BS: torch.Tensor | None
) -> Iterator[tuple[int, torch.Tensor]]:
    """Yields (t, logits [B, V] of token t) for tokens that are not given. The caller sets token t before the next."""
    steps = range(num_given, sequence_BT.shape[1])
    match model:
        case GPT() if steps:
            logits_BV, cache = model.begin(len(sequence_BT), condition_BS, sequence_BT[:, :num_given])
            yield num_given, logits_BV
            for t in steps[1:]:
                yield t, model.decode(sequence_BT[:, t - 1 : t], cache)
        case _:
            for t in steps:
                yield t, model(sequence_BT, condition_BS)[:, t]


def _check(model: Model, uniform_BT: torch.Tensor, condition_BS: torch.Tensor | None, order_T: np.ndarray) -> None:
    B, T = uniform_BT.shape
    if model.tokens.num_tokens != T:
        raise ValueError(f"{T} uniform numbers per sample, but the prior has {model.tokens.num_tokens} tokens")
    if condition_BS is not None and len(condition_BS) != B:
        raise TwostageError(f"{len(condition_BS)} conditions for {B} samples; give one condition per sample")
    if sorted(order_T.tolist()) != list(range(T)):
        raise TwostageError(
            f"the order of tokens must be a permutation of the {T} tokens of a grid; use the prior's own"
        )
    if isinstance(model, PixelSNAIL) and (order_T != np.arange(T)).any():
        raise TwostageError("PixelSNAIL supports only the row-major order; choose priors=gpt for another order")
