"""The codebook: nearest code (Eq. 2), straight-through gradient, and its loss (Eq. 4).

Source: Esser et al. 2021, Sec. 3.1. `codebook` initialises, averages and revives the codes.
"""

# B batch, D code_dim, H height, W width, N = B * H * W vectors, K codes

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from twostage.config.schema import QuantizerConfig
from twostage.errors import TwostageError


class Quantized(NamedTuple):
    """`code_BDHW`: nearest codes, gradient copied to the encoder; `vector_ND`: the quantized vectors, detached."""

    code_BDHW: Tensor
    index_BHW: Tensor
    loss: Tensor
    vector_ND: Tensor


class Quantizer(nn.Module):
    """K codes of `code_dim` dimensions."""

    def __init__(self, config: QuantizerConfig) -> None:
        super().__init__()
        self.config = config
        # As released: U(-1/K, 1/K).
        bound = 1.0 / config.num_codes
        self.codebook_KD = nn.Parameter(torch.empty(config.num_codes, config.code_dim).uniform_(-bound, bound))
        match config.learned_by:
            case "gradient":
                pass
            case "ema":
                self.codebook_KD.requires_grad_(False)
            case other:
                raise TwostageError(f"quantizer.learned_by {other} is unknown; expected gradient or ema")

    @torch.no_grad()
    def index(self, z_BDHW: Tensor) -> Tensor:
        """Index of the nearest code at every position, int64 [B, H, W]. Source: Eq. 2."""
        return self._nearest(_rows(z_BDHW)).view(z_BDHW.shape[0], *z_BDHW.shape[2:])

    def _nearest(self, vector_ND: Tensor) -> Tensor:
        # |z - e|^2 without |z|^2, which is the same for all codes. In float32, the codebook's precision, even under
        # autocast: bfloat16 would confuse codes.
        with torch.autocast(vector_ND.device.type, enabled=False):
            codebook_KD = self.codebook_KD.detach()
            square_K = codebook_KD.square().sum(1)
            return torch.addmm(square_K, vector_ND.to(codebook_KD), codebook_KD.t(), alpha=-2.0).argmin(1)

    def lookup(self, index_BHW: Tensor) -> Tensor:
        """Codes at the given indices, float32 [B, D, H, W]. Raises TwostageError for an index out of range."""
        num_codes = len(self.codebook_KD)
        low, high = (int(bound) for bound in torch.aminmax(index_BHW))
        if low < 0 or high >= num_codes:
            raise TwostageError(
                f"decode got indices in [{low}, {high}], but this tokenizer has the codes [0, {num_codes})"
            )
        return functional.embedding(index_BHW, self.codebook_KD).permute(0, 3, 1, 2)

    def forward(self, z_BDHW: Tensor) -> Quantized:
        """Quantizes the encoder's output. The loss is a mean over elements. Sources: Eq. 2 to 4."""
        with torch.autocast(z_BDHW.device.type, enabled=False):
            z_BDHW = z_BDHW.to(self.codebook_KD.dtype)
            index_BHW = self.index(z_BDHW)
            code_BDHW = functional.embedding(index_BHW, self.codebook_KD).permute(0, 3, 1, 2)
            loss = self._loss(z_BDHW, code_BDHW)
            straight_through_BDHW = z_BDHW + (code_BDHW - z_BDHW).detach()
        return Quantized(straight_through_BDHW, index_BHW, loss, _rows(z_BDHW.detach()))

    def _loss(self, z_BDHW: Tensor, code_BDHW: Tensor) -> Tensor:
        commitment = functional.mse_loss(z_BDHW, code_BDHW.detach())
        if self.config.learned_by == "ema":
            return self.config.beta * commitment
        codebook = functional.mse_loss(code_BDHW, z_BDHW.detach())
        match self.config.beta_on:
            case "commitment":
                return codebook + self.config.beta * commitment
            case "codebook":
                return commitment + self.config.beta * codebook
            case other:
                raise TwostageError(f"quantizer.beta_on {other} is unknown; expected commitment or codebook")


def _rows(z_BDHW: Tensor) -> Tensor:
    return z_BDHW.permute(0, 2, 3, 1).flatten(0, 2)


def count_codes(index_BHW: Tensor, num_codes: int) -> Tensor:
    """How often each code occurs, int64 [K]."""
    return torch.bincount(index_BHW.flatten(), minlength=num_codes)


def perplexity(count_K: Tensor) -> float:
    """exp of the entropy of the codes' frequencies, between 1 and K."""
    frequency_K = count_K.double() / count_K.sum()
    return float(torch.special.entr(frequency_K).sum().exp())
