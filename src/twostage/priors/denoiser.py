"""What denoisers of whole grids have in common: tables of codes, conditions, and how a finished one is called."""

# B batch, T image tokens, S condition tokens (T of a map, 1 of a class), D width, V vocabulary

from dataclasses import dataclass

import torch
from torch import nn

from twostage.errors import TwostageError
from twostage.latents.dataset import TokenSpace
from twostage.priors.condition import require_codes_of, require_rows, require_tokens


class Denoiser(nn.Module):
    """f(clean codes | corrupted codes) or f(clean codes | corrupted codes, condition codes): every token sees all.

    A class is added to every token (McKinney & Willcocks 2022, Sec. 4.2), the codes of a map or of coordinates to the
    tokens at their places. A subclass brings the network, `mixed`, and the `head`.
    """

    ordering = "row_major"
    architecture: str
    head: nn.Module
    order_T: torch.Tensor
    place_T: torch.Tensor

    def __init__(self, width: int, tokens: TokenSpace, num_inputs: int, order_T: torch.Tensor) -> None:
        """`num_inputs`: the codes that a token may have at the input; `order_T`: in which order the network takes them.

        Raises TwostageError for a condition that lies on another grid than the image.
        """
        super().__init__()
        condition = tokens.condition
        if condition is not None and condition.grid not in (tokens.grid, (1, 1)):
            raise TwostageError(
                f"priors={self.architecture} takes a class or a condition on the grid of the image {tokens.grid}, got "
                f"{condition.grid}; use tokenizers of one factor, or priors=gpt"
            )
        self.tokens, self.num_inputs = tokens, num_inputs
        self.codes = nn.Embedding(num_inputs, width)
        self.condition_codes = None if condition is None else nn.Embedding(condition.num_codes, width)
        self.register_buffer("order_T", order_T, persistent=False)
        self.register_buffer("place_T", order_T.argsort(), persistent=False)

    def mixed(self, x_BTD: torch.Tensor) -> torch.Tensor:
        """Features [B, T, D] of embeddings, both in the order of the network."""
        raise NotImplementedError

    def forward(self, index_BT: torch.Tensor, condition_BS: torch.Tensor | None = None) -> torch.Tensor:
        """Logits [B, T, V] of the clean codes, given corrupted ones and condition codes, both int64 and row-major.

        Raises TwostageError if condition codes are missing, not wanted, or not one row for every image.
        """
        return self.head(self.features(index_BT, condition_BS))

    def features(self, index_BT: torch.Tensor, condition_BS: torch.Tensor | None = None) -> torch.Tensor:
        """What the head reads, [B, T, D]: where few tokens are asked for, the head can run on these alone."""
        x_BTD = self.codes(index_BT[:, self.order_T])
        require_rows(self.tokens, condition_BS, len(index_BT))
        condition_BSD = self._condition(condition_BS)
        if condition_BSD is not None:
            x_BTD = x_BTD + condition_BSD
        return self.mixed(x_BTD)[:, self.place_T]

    def _condition(self, condition_BS: torch.Tensor | None) -> torch.Tensor | None:
        """What is added to the tokens in the order of the network: [B, T, D], or [B, 1, D] to all of them."""
        if self.condition_codes is None or condition_BS is None:
            return None
        return self.condition_codes(condition_BS if condition_BS.shape[1] == 1 else condition_BS[:, self.order_T])

    def check_condition(self, condition_BS: torch.Tensor | None) -> None:
        """Raises TwostageError for condition codes that are outside of the condition's vocabulary."""
        require_codes_of(self.tokens, condition_BS)


@dataclass(frozen=True)
class DenoisingPrior:
    """A finished denoiser of whole grids."""

    model: Denoiser

    @torch.inference_mode()
    def logits(
        self,
        index_BT: torch.Tensor,
        condition_BS: torch.Tensor | None = None,
        class_B: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Raw outputs float32 [B, T, V] of corrupted tokens int64 [B, T] in row-major order, under condition codes.

        Classes may come as [B], by position or as `class_B`: imported priors are documented as called by
        `logits(index_BT, class_B=None)`. Raises TwostageError if a condition is missing, not wanted, given twice, or
        not of the model's shape and range.
        """
        tokens = self.model.tokens
        require_tokens(index_BT, self.model.num_inputs, tokens.num_tokens, tokens.num_tokens)
        if class_B is not None and condition_BS is not None:
            raise TwostageError("a prior has one condition; give condition_BS or class_B")
        given = class_B if condition_BS is None else condition_BS
        self.model.check_condition(given)
        if given is not None and given.dim() == 1:
            given = given[:, None]
        return self.model(index_BT, given)
