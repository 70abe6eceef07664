"""Keeps a codebook alive: initialisation from data, moving averages, revival of unused codes.

None of this is in the paper. Without it, short training uses only a handful of codes.

Counts, sums and draws are over the vectors of all processes, so every process has the same codebook.
"""

# D code_dim, N vectors, K codes

import torch
from torch import Tensor, nn

from twostage.config.schema import QuantizerConfig
from twostage.errors import TwostageError
from twostage.runtime import processes
from twostage.tokenizers.quantizer import Quantizer, count_codes

# Smallest average count for an update. Below it, the code stays where it is.
SMALLEST_COUNT = 1e-5


class CodebookKeeper(nn.Module):
    """State of a codebook in training, without the codes. It is stored in checkpoints, but not in the result."""

    average_count_K: Tensor
    average_sum_KD: Tensor
    unused_steps_K: Tensor
    num_revived: Tensor
    ready: Tensor

    def __init__(self, config: QuantizerConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("average_count_K", torch.ones(config.num_codes))
        self.register_buffer("average_sum_KD", torch.zeros(config.num_codes, config.code_dim))
        self.register_buffer("unused_steps_K", torch.zeros(config.num_codes, dtype=torch.int64))
        self.register_buffer("num_revived", torch.zeros((), dtype=torch.int64))
        self.register_buffer("ready", torch.zeros((), dtype=torch.bool))

    @torch.no_grad()
    def start(self, quantizer: Quantizer, vector_ND: Tensor, generator: torch.Generator) -> None:
        """Call before the first step: sets the codes to encoder outputs, if the config says so."""
        match self.config.init:
            case "data":
                quantizer.codebook_KD.copy_(_draw(processes.gathered(vector_ND), self.config.num_codes, generator))
            case "uniform":
                pass
            case other:
                raise TwostageError(f"quantizer.init {other} is unknown; expected data or uniform")
        self.go_on(quantizer)

    @torch.no_grad()
    def go_on(self, quantizer: Quantizer) -> None:
        """Call before the first step, instead of `start`, if the codes are trained ones: they stay where they are."""
        self.average_sum_KD.copy_(quantizer.codebook_KD)
        self.ready.fill_(True)

    @torch.no_grad()
    def update(self, quantizer: Quantizer, vector_ND: Tensor, index_N: Tensor, generator: torch.Generator) -> None:
        """Call after an optimizer step: updates moving averages (learned_by=ema), then revives long-unused codes."""
        count_K = processes.total(count_codes(index_N, self.config.num_codes))
        if self.config.learned_by == "ema":
            self._average(quantizer, vector_ND, index_N, count_K)
        self.unused_steps_K.add_(1).masked_fill_(count_K > 0, 0)
        if self.config.revive_after is not None:
            self._revive(quantizer, vector_ND, self.unused_steps_K >= self.config.revive_after, generator)

    def _average(self, quantizer: Quantizer, vector_ND: Tensor, index_N: Tensor, count_K: Tensor) -> None:
        sum_KD = processes.total(torch.zeros_like(self.average_sum_KD).index_add_(0, index_N, vector_ND))
        self.average_count_K.lerp_(count_K.to(self.average_count_K), 1.0 - self.config.ema_decay)
        self.average_sum_KD.lerp_(sum_KD, 1.0 - self.config.ema_decay)
        mean_KD = self.average_sum_KD / self.average_count_K.clamp(min=SMALLEST_COUNT).unsqueeze(1)
        quantizer.codebook_KD.copy_(
            torch.where(self.average_count_K.unsqueeze(1) > SMALLEST_COUNT, mean_KD, quantizer.codebook_KD)
        )

    def _revive(self, quantizer: Quantizer, vector_ND: Tensor, dead_K: Tensor, generator: torch.Generator) -> None:
        num_dead = int(dead_K.sum())
        if num_dead == 0:
            return
        place_XD = _draw(processes.gathered(vector_ND), num_dead, generator)
        quantizer.codebook_KD[dead_K] = place_XD
        self.average_sum_KD[dead_K] = place_XD
        self.average_count_K[dead_K] = 1.0
        self.unused_steps_K[dead_K] = 0
        self.num_revived.add_(num_dead)


def _draw(vector_ND: Tensor, num: int, generator: torch.Generator) -> Tensor:
    """`num` of the vectors, each at most once if there are enough."""
    num_vectors = len(vector_ND)
    rounds = [torch.randperm(num_vectors, generator=generator) for _ in range(-(-num // num_vectors))]
    return vector_ND[torch.cat(rounds)[:num].to(vector_ND.device)]
