"""SUNDAE (Savinov et al. 2022) over codes of images: a denoiser of whole grids, trained along its own chain.

Source: McKinney & Willcocks 2022, Sec. 3.3 and 4.2.
"""

# B batch, T image tokens, S condition tokens (T of a map, 1 of a class), D width, V vocabulary, U unrolls
# K any number of tokens

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from twostage.config.schema import SundaeConfig
from twostage.errors import TwostageError
from twostage.latents.dataset import TokenSpace
from twostage.priors.condition import require_codes_of, require_rows, require_tokens
from twostage.priors.hourglass import Grouping, Hourglass
from twostage.priors.linear import Linear
from twostage.priors.transformer import initialise


class Sundae(nn.Module):
    """f(clean codes | noisy codes) or f(clean codes | noisy codes, condition codes): every token sees all of them.

    A class is added to every token (Sec. 4.2), the codes of a map or of coordinates to the tokens at their places.
    """

    ordering = "row_major"
    order_T: torch.Tensor
    place_T: torch.Tensor

    def __init__(self, config: SundaeConfig, tokens: TokenSpace) -> None:
        super().__init__()
        condition = tokens.condition
        if condition is not None and condition.grid not in (tokens.grid, (1, 1)):
            raise TwostageError(
                f"priors=sundae takes a class or a condition on the grid of the image {tokens.grid}, got "
                f"{condition.grid}; use tokenizers of one factor, or priors=gpt"
            )
        self.config, self.tokens = config, tokens
        grouping = Grouping.of(config.resampling, tokens.grid, config.shorten_factor)
        self.codes = nn.Embedding(tokens.num_codes, config.width)
        self.condition_codes = None if condition is None else nn.Embedding(condition.num_codes, config.width)
        self.hourglass = Hourglass(config, tokens.grid, grouping)
        self.head = Linear(config.width, tokens.num_codes)
        self.register_buffer("order_T", grouping.order_T, persistent=False)
        self.register_buffer("place_T", grouping.order_T.argsort(), persistent=False)
        initialise(self)

    def forward(self, index_BT: torch.Tensor, condition_BS: torch.Tensor | None = None) -> torch.Tensor:
        """Logits [B, T, V] of the clean codes, given noisy ones and condition codes, both int64 and row-major.

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
        return self.hourglass(x_BTD)[:, self.place_T]

    def _condition(self, condition_BS: torch.Tensor | None) -> torch.Tensor | None:
        """What is added to the tokens in the order of the hourglass: [B, T, D], or [B, 1, D] to all of them."""
        if self.condition_codes is None or condition_BS is None:
            return None
        return self.condition_codes(condition_BS if condition_BS.shape[1] == 1 else condition_BS[:, self.order_T])

    def check_condition(self, condition_BS: torch.Tensor | None) -> None:
        """Raises TwostageError for condition codes that are outside of the condition's vocabulary."""
        require_codes_of(self.tokens, condition_BS)


@dataclass(frozen=True)
class DenoisingPrior:
    """A finished SUNDAE prior."""

    model: Sundae

    @torch.inference_mode()
    def logits(
        self,
        index_BT: torch.Tensor,
        condition_BS: torch.Tensor | None = None,
        class_B: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Raw outputs float32 [B, T, V] of noisy tokens int64 [B, T] in row-major order, under condition codes int64.

        Classes may come as [B], by position or as `class_B`: imported priors are documented as called by
        `logits(index_BT, class_B=None)`. Raises TwostageError if a condition is missing, not wanted, given twice, or
        not of the model's shape and range.
        """
        tokens = self.model.tokens
        require_tokens(index_BT, tokens.num_codes, tokens.num_tokens, tokens.num_tokens)
        if class_B is not None and condition_BS is not None:
            raise TwostageError("a prior has one condition; give condition_BS or class_B")
        given = class_B if condition_BS is None else condition_BS
        self.model.check_condition(given)
        if given is not None and given.dim() == 1:
            given = given[:, None]
        return self.model(index_BT, given)


# What random numbers are for: each has streams of its own.
TRAINING, EVALUATION, SAMPLING = range(3)


def noise_of(seed: int, purpose: int, number: int) -> np.random.Generator:
    """The stream of a step, a batch or a sample."""
    # A spawn key: as plain entropy, (seed, number) would give the numbers that shuffle the epoch of this number.
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(purpose, number)))


@dataclass(frozen=True)
class Noise:
    """All random numbers of one training step: the step is a function of them and of the weights."""

    threshold_B1: torch.Tensor  # t, in [0, 1)
    uniform_BT: torch.Tensor  # R, in [0, 1)
    code_BT: torch.Tensor  # z_0 ~ p_0, uniform over the vocabulary
    uniform_UBT: torch.Tensor  # one for every token that the chain draws, in [0, 1)

    @classmethod
    def draw(cls, rng: np.random.Generator, index_BT: torch.Tensor, num_codes: int, unrolls: int) -> "Noise":
        """The noise for these tokens, on their device."""
        B, T = index_BT.shape
        found = (
            rng.random((B, 1), np.float32),
            rng.random((B, T), np.float32),
            rng.integers(0, num_codes, (B, T)),
            rng.random((unrolls - 1, B, T), np.float32),
        )
        return cls(*(torch.from_numpy(numbers).to(index_BT.device) for numbers in found))

    def corrupt(self, index_BT: torch.Tensor) -> torch.Tensor:
        """Codes int64 [B, T] of which each is replaced with the probability t of its image (Eq. 5)."""
        return torch.where(self.uniform_BT < self.threshold_B1, self.code_BT, index_BT)


def unrolled(
    model: Callable[[torch.Tensor, torch.Tensor | None], torch.Tensor],
    index_BT: torch.Tensor,
    condition_BS: torch.Tensor | None,
    noise: Noise,
) -> Iterator[torch.Tensor]:
    """Logits [B, T, V] of each of U steps from the corrupted tokens on, each step on what the step before it drew.

    Draws are at temperature 1, of every token, and detached (Sec. 3.3). A step's graph may be freed before the next.
    """
    noisy_BT = noise.corrupt(index_BT)
    for uniform_BT in noise.uniform_UBT:
        logits_BTV = model(noisy_BT, condition_BS)
        noisy_BT = codes_at(logits_BTV.detach().flatten(0, 1), uniform_BT.flatten()).view_as(noisy_BT)
        yield logits_BTV
    yield model(noisy_BT, condition_BS)


def codes_at(logits_KV: torch.Tensor, uniform_K: torch.Tensor) -> torch.Tensor:
    """One code of each row, int64 [K], by inverting the cumulative distribution at the row's number in [0, 1).

    In float32: its rounding moves probabilities by about 1e-7, and whole grids are drawn at once.
    """
    logits_KV = logits_KV.float()
    weight_KV = (logits_KV - logits_KV.amax(-1, keepdim=True)).exp_()
    cumulative_KV = weight_KV.cumsum(-1)
    threshold_K1 = uniform_K.float()[:, None] * cumulative_KV[:, -1:]
    return torch.searchsorted(cumulative_KV, threshold_K1, right=True)[:, 0].clamp_max(logits_KV.shape[-1] - 1)
