"""The base of denoisers of whole grids: code embeddings, conditions, and the interface of a trained one."""

# B batch, T image tokens, S condition tokens (T of a map, 1 of a class), D width, V vocabulary

from dataclasses import dataclass

import torch
from torch import nn

from twostage.errors import TwostageError
from twostage.latents.dataset import TokenSpace
from twostage.priors.condition import require_codes_of, require_rows, require_tokens


class Denoiser(nn.Module):
    """f(clean codes | corrupted codes) or f(clean codes | corrupted codes, condition codes); all tokens see each other.

    A class is added to every token (McKinney & Willcocks 2022, Sec. 4.2). Codes of a map or of coordinates are added to
    the tokens at the same positions. A subclass defines the network, `mixed`, and the `head`.
    """

    ordering = "row_major"
    architecture: str
    head: nn.Module
    order_T: torch.Tensor
    place_T: torch.Tensor

    def __init__(self, width: int, tokens: TokenSpace, num_inputs: int, order_T: torch.Tensor) -> None:
        """`num_inputs`: number of codes at the input; `order_T`: the order in which the network takes tokens.

        Raises TwostageError if the grid of the condition differs from that of the image.
        """
        super().__init__()
        condition = tokens.condition
        if condition is not None and condition.grid not in (tokens.grid, (1, 1)):
            raise TwostageError(
                f"priors={self.architecture} takes a class or a condition on the grid of the image {tokens.grid}, got "
                f"{condition.grid}; use tokenizers of equal factor, or priors=gpt"
            )
        self.tokens, self.num_inputs = tokens, num_inputs
        self.codes = nn.Embedding(num_inputs, width)
        self.condition_codes = None if condition is None else nn.Embedding(condition.num_codes, width)
        self.register_buffer("order_T", order_T, persistent=False)
        self.register_buffer("place_T", order_T.argsort(), persistent=False)

    def mixed(self, x_BTD: torch.Tensor) -> torch.Tensor:
        """Features [B, T, D] of embeddings, both in the order of the network."""
        raise NotImplementedError

    def forward(
        self,
        index_BT: torch.Tensor,
        condition_BS: torch.Tensor | None = None,
        wanted_BT: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Logits [B, T, V] of the clean codes, given corrupted codes and condition codes, both int64 and row-major.

        With a mask `wanted_BT`, logits [K, V] of the K tokens where it is true, for which alone the head runs.
        Raises TwostageError if condition codes are missing, not expected, or not one row per image.
        """
        x_BTD = self.features(index_BT, condition_BS)
        return self.head(x_BTD if wanted_BT is None else x_BTD[wanted_BT])

    def features(self, index_BT: torch.Tensor, condition_BS: torch.Tensor | None = None) -> torch.Tensor:
        """The input of the head, [B, T, D]. If few tokens are needed, the head can run on these only."""
        x_BTD = self.codes(index_BT[:, self.order_T])
        require_rows(self.tokens, condition_BS, len(index_BT))
        condition_BSD = self._condition(condition_BS)
        if condition_BSD is not None:
            x_BTD = x_BTD + condition_BSD
        return self.mixed(x_BTD)[:, self.place_T]

    def _condition(self, condition_BS: torch.Tensor | None) -> torch.Tensor | None:
        """The embedding that is added to the tokens in the network's order: [B, T, D], or [B, 1, D] for all tokens."""
        if self.condition_codes is None or condition_BS is None:
            return None
        return self.condition_codes(condition_BS if condition_BS.shape[1] == 1 else condition_BS[:, self.order_T])

    def check_condition(self, condition_BS: torch.Tensor | None) -> None:
        """Raises TwostageError for condition codes that are not in the condition's vocabulary."""
        require_codes_of(self.tokens, condition_BS)


@dataclass(frozen=True)
class DenoisingPrior:
    """A trained denoiser of whole grids."""

    model: Denoiser

    @torch.inference_mode()
    def logits(
        self,
        index_BT: torch.Tensor,
        condition_BS: torch.Tensor | None = None,
        class_B: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Logits float32 [B, T, V] for corrupted tokens int64 [B, T] in row-major order and condition codes.

        Classes may have the shape [B] and may be given as `class_B`, as documented for imported priors. Raises
        TwostageError if a condition is missing, not expected, given twice, or has a wrong shape or range.
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
