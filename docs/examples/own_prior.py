"""Adds the prior `previous`."""

from typing import Any

import torch
from torch import nn

from twostage.latents.dataset import TokenSpace
from twostage.priors.model import add_prior


class Previous(nn.Module):
    """p(token | the token before it)."""

    def __init__(self, sizes: dict[str, Any], tokens: TokenSpace) -> None:
        super().__init__()
        self.first = tokens.num_codes  # stands before the first token
        self.codes = nn.Embedding(tokens.num_codes + 1, sizes["width"])
        self.head = nn.Linear(sizes["width"], tokens.num_codes)

    def forward(self, index_BT: torch.Tensor, condition_BS: torch.Tensor | None = None) -> torch.Tensor:  # noqa: ARG002
        """Logits [B, T, codes]; those at t are of token t and have seen token t - 1."""
        before_BT = nn.functional.pad(index_BT[:, :-1], (1, 0), value=self.first)
        return self.head(torch.relu(self.codes(before_BT)))


add_prior("previous", Previous)
