"""Draws a code from a row of logits: temperature, top-k, top-p, and one uniform random number."""

# B samples, T tokens, V vocabulary

from dataclasses import dataclass

import torch

from twostage.errors import TwostageError


def uniform_table(num_samples: int, num_tokens: int, generator: torch.Generator) -> torch.Tensor:
    """One uniform number in [0, 1) per token and sample, float64 [B, T].

    All are drawn first, so that samples depend neither on the batches nor on the order in which tokens are drawn.
    `generator` should be on the CPU, so that the numbers are the same on every device.
    """
    return torch.rand(num_samples, num_tokens, dtype=torch.float64, generator=generator, device=generator.device)


@dataclass(frozen=True)
class Draw:
    """How a code is drawn from logits.

    `temperature` divides them. `top_k` keeps the k likeliest codes. Of these, `top_p` keeps the smallest set of
    likeliest codes whose probabilities sum to at least p. None keeps all. Source: Holtzman et al. 2020 (top-p).
    Raises TwostageError for a temperature that is not positive, a top_k below 1 or a top_p outside (0, 1].
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise TwostageError(
                f"sampling.temperature={self.temperature} must be above 0; for the likeliest codes set sampling.top_k=1"
            )
        if self.top_k is not None and self.top_k < 1:
            raise TwostageError(f"sampling.top_k={self.top_k} must be at least 1, or null for all codes")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise TwostageError(f"sampling.top_p={self.top_p} must be in (0, 1]; set e.g. 0.9, or null for all codes")

    def check(self, num_codes: int) -> None:
        """Raises TwostageError if `top_k` is larger than the vocabulary."""
        if self.top_k is not None and self.top_k > num_codes:
            raise TwostageError(
                f"sampling.top_k={self.top_k} is larger than the vocabulary of {num_codes} codes; "
                "lower it, or set null for all codes"
            )

    def codes(self, logits_BV: torch.Tensor, uniform_B: torch.Tensor) -> torch.Tensor:
        """One code per row, int64 [B], by inverting the cumulative distribution at the row's uniform number."""
        # In float64, because the cumulative sum over a large vocabulary must end at one.
        cumulative_BV = self.probabilities(logits_BV).cumsum(-1)
        threshold_B1 = uniform_B.to(logits_BV.device)[:, None] * cumulative_BV[:, -1:]
        return torch.searchsorted(cumulative_BV, threshold_B1, right=True)[:, 0].clamp_max(logits_BV.shape[-1] - 1)

    def probabilities(self, logits_BV: torch.Tensor) -> torch.Tensor:
        """The distribution to draw from, float64 [B, V]: proportional to the probabilities of the kept codes."""
        logits_BV = logits_BV.double() / self.temperature
        if self.top_k is not None:
            least_B1 = logits_BV.topk(self.top_k, dim=-1).values[:, -1:]
            logits_BV = logits_BV.masked_fill(logits_BV < least_B1, -torch.inf)
        probability_BV = logits_BV.softmax(-1)
        if self.top_p is None:
            return probability_BV
        return torch.where(_nucleus(probability_BV, self.top_p), probability_BV, 0.0)


def _nucleus(probability_BV: torch.Tensor, top_p: float) -> torch.Tensor:
    """Mask bool [B, V] of the smallest set of likeliest codes whose probabilities sum to at least `top_p`."""
    sorted_BV, code_BV = probability_BV.sort(dim=-1, descending=True, stable=True)
    # A code is in the set if the codes before it do not yet reach p, so the likeliest code always is.
    before_BV = sorted_BV.cumsum(-1) - sorted_BV
    return torch.zeros_like(probability_BV, dtype=torch.bool).scatter(-1, code_BV, before_BV < top_p)
