"""Condition codes: a row for every image, where a prior takes any."""

# B images, S condition tokens

import torch

from twostage.errors import TwostageError
from twostage.latents.dataset import TokenSpace


def require_rows(tokens: TokenSpace, condition_BS: torch.Tensor | None, num_images: int) -> None:
    """Raises TwostageError if condition codes are missing, not wanted, or not one row of S codes for every image."""
    if (tokens.condition is None) != (condition_BS is None):
        raise TwostageError("a conditional prior needs condition codes, an unconditional one takes none")
    if tokens.condition is None or condition_BS is None:
        return
    num_tokens = tokens.condition.num_tokens
    if condition_BS.shape != (num_images, num_tokens):
        raise TwostageError(
            f"condition codes of shape {tuple(condition_BS.shape)}, expected one row of {num_tokens} for every image, "
            f"of which there are {num_images}; give the prior its codes of {tokens.condition.map}"
        )
