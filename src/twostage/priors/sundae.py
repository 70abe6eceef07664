"""SUNDAE (Savinov et al. 2022) over image codes: a denoiser of whole grids, trained on steps of its own chain.

Source: McKinney & Willcocks 2022, Sec. 3.3 and 4.2.
"""

# B batch, T image tokens, S condition tokens, D width, V vocabulary, U unrolls
# K any number of tokens

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from twostage.config.schema import SundaeConfig
from twostage.latents.dataset import TokenSpace
from twostage.priors.denoiser import Denoiser
from twostage.priors.hourglass import Grouping, Hourglass
from twostage.priors.linear import Linear
from twostage.priors.transformer import initialise


class Sundae(Denoiser):
    """A denoiser with an hourglass as network, which takes the tokens group by group."""

    architecture = "sundae"

    def __init__(self, config: SundaeConfig, tokens: TokenSpace) -> None:
        grouping = Grouping.of(config.resampling, tokens.grid, config.shorten_factor)
        super().__init__(config.width, tokens, tokens.num_codes, grouping.order_T)
        self.config = config
        self.hourglass = Hourglass(config, tokens.grid, grouping)
        self.head = Linear(config.width, tokens.num_codes)
        initialise(self)

    def mixed(self, x_BTD: torch.Tensor) -> torch.Tensor:
        """Features [B, T, D] of embeddings, both group by group."""
        return self.hourglass(x_BTD)


@dataclass(frozen=True)
class Noise:
    """All random numbers of one training step. The step is a function of these and the weights."""

    threshold_B1: torch.Tensor  # t, in [0, 1)
    uniform_BT: torch.Tensor  # R, in [0, 1)
    code_BT: torch.Tensor  # z_0 ~ p_0, uniform over the vocabulary
    uniform_UBT: torch.Tensor  # one per token that the chain draws, in [0, 1)

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

    def of(self, rows: slice) -> "Noise":
        """The noise of some images."""
        uniform_UBT = self.uniform_UBT[:, rows]
        return Noise(self.threshold_B1[rows], self.uniform_BT[rows], self.code_BT[rows], uniform_UBT)

    def corrupt(self, index_BT: torch.Tensor) -> torch.Tensor:
        """Codes int64 [B, T], each replaced with the probability t of its image (Eq. 5)."""
        return torch.where(self.uniform_BT < self.threshold_B1, self.code_BT, index_BT)


def unrolled(
    model: Callable[[torch.Tensor, torch.Tensor | None], torch.Tensor],
    index_BT: torch.Tensor,
    condition_BS: torch.Tensor | None,
    noise: Noise,
) -> Iterator[torch.Tensor]:
    """Logits [B, T, V] of each of U steps, starting from corrupted tokens. Each step uses the previous step's draws.

    Every token is drawn at temperature 1, and draws are detached (Sec. 3.3). The graph of a step may be freed before
    the next one.
    """
    noisy_BT = noise.corrupt(index_BT)
    for uniform_BT in noise.uniform_UBT:
        logits_BTV = model(noisy_BT, condition_BS)
        noisy_BT = codes_at(logits_BTV.detach().flatten(0, 1), uniform_BT.flatten()).view_as(noisy_BT)
        yield logits_BTV
    yield model(noisy_BT, condition_BS)


def codes_at(logits_KV: torch.Tensor, uniform_K: torch.Tensor) -> torch.Tensor:
    """One code per row, int64 [K], by inverting the cumulative distribution at the row's number in [0, 1).

    In float32, because whole grids are drawn at once. Rounding changes probabilities by about 1e-7.
    """
    logits_KV = logits_KV.float()
    weight_KV = (logits_KV - logits_KV.amax(-1, keepdim=True)).exp_()
    cumulative_KV = weight_KV.cumsum(-1)
    threshold_K1 = uniform_K.float()[:, None] * cumulative_KV[:, -1:]
    return torch.searchsorted(cumulative_KV, threshold_K1, right=True)[:, 0].clamp_max(logits_KV.shape[-1] - 1)
