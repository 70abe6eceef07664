"""Checks the inputs of priors: image tokens, and condition codes with one row per image."""

# B images, T image tokens, S condition tokens

from typing import Any

import torch

from twostage.errors import TwostageError
from twostage.latents.dataset import TokenSpace


def require_tokens(index_BT: Any, num_codes: int, fewest: int, most: int) -> None:
    """Raises TwostageError if these are not codes int64 [B, T] in [0, num_codes) with `fewest` <= T <= `most`."""
    _require_index(index_BT, "tokens")
    if index_BT.dim() != 2 or index_BT.numel() == 0 or not fewest <= index_BT.shape[1] <= most:
        wanted = f"T from {fewest} to {most}" if fewest < most else f"T = {most}"
        raise TwostageError(
            f"logits takes tokens int64 [B, T], {wanted}; got {list(index_BT.shape)}: from grids [B, h, w], use "
            "index.flatten(1)"
        )
    low, high = (int(bound) for bound in torch.aminmax(index_BT))
    if low < 0 or high >= num_codes:
        raise TwostageError(
            f"logits got tokens in [{low}, {high}], expected [0, {num_codes}); use codes of the prior's own tokenizer"
        )


def require_codes_of(tokens: TokenSpace, condition_BS: Any) -> None:
    """Raises TwostageError for condition codes that are not integers or not in the condition's vocabulary."""
    wanted = tokens.condition
    if wanted is None or condition_BS is None:
        return
    _require_index(condition_BS, "condition codes")
    if condition_BS.numel() == 0:
        return
    least, most = int(condition_BS.min()), int(condition_BS.max())
    if least < 0 or most >= wanted.num_codes:
        name = "class" if wanted.map == "class" else f"{wanted.map} code"
        raise TwostageError(
            f"{name} {least if least < 0 else most} is out of range; choose from 0 to {wanted.num_codes - 1}"
        )


def _require_index(index: Any, what: str) -> None:
    if isinstance(index, torch.Tensor) and index.dtype in (torch.int64, torch.int32):
        return
    found = str(getattr(index, "dtype", type(index).__name__)).removeprefix("torch.")
    raise TwostageError(
        f"logits takes {what} as an int64 tensor; got {found} ({type(index).__name__}); "
        "convert an array by torch.from_numpy(codes.astype(numpy.int64))"
    )


def require_rows(tokens: TokenSpace, condition_BS: torch.Tensor | None, num_images: int) -> None:
    """Raises TwostageError if condition codes are missing, not expected, or not one row of S codes per image."""
    if (tokens.condition is None) != (condition_BS is None):
        raise TwostageError("a conditional prior needs condition codes, an unconditional one takes none")
    if tokens.condition is None or condition_BS is None:
        return
    num_tokens = tokens.condition.num_tokens
    if condition_BS.shape != (num_images, num_tokens):
        raise TwostageError(
            f"condition codes of shape {tuple(condition_BS.shape)}, expected ({num_images}, {num_tokens}), one row "
            f"per image; give the prior the codes of {tokens.condition.map}"
        )
