"""PixelSNAIL (Chen et al. 2018) over codes: gated residual causal convolutions and causal attention blocks."""

# B batch, R rows, W columns, T = R W tokens, C width, N condition width, V vocabulary, K keys, M values (widths)
# Channels come last throughout: a 1x1 convolution is then a matrix product, and CPU convolutions are fastest.

from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from twostage.config.schema import PixelSNAILConfig
from twostage.errors import TwostageError
from twostage.latents.dataset import TokenSpace
from twostage.priors.condition import require_rows
from twostage.priors.linear import Linear

# Unit variance would dominate the coordinates and the layers' outputs. With a small rate it costs 0.35 nats.
EMBEDDING_STD = 0.02
NUM_PLANES = 3  # row, column and one: the last distinguishes padding at the border from a code


class Convolution(nn.Conv2d):
    """A convolution of channels-last images that sees `above` rows above a pixel, and `left` to `right` columns."""

    def __init__(self, channels: tuple[int, int], above: int, left: int, right: int = 0) -> None:
        super().__init__(*channels, kernel_size=(above + 1, left + 1 + right))
        self.margins = (0, 0, left, right, above, 0)

    def forward(self, x_BRWC: torch.Tensor) -> torch.Tensor:
        """Image of the same height and width."""
        padded_BRWC = functional.pad(x_BRWC, self.margins)
        return super().forward(padded_BRWC.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class ConcatELU(torch.autograd.Function):
    """ELU of x and of -x side by side, with one exponential per output and no expm1.

    torch's ELU calls expm1, which is over ten times as slow as exp on CPUs and took half of a training step.
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        """[..., C] to [..., 2 C]."""
        positive = x.clamp_min(0)
        negative = positive - x
        # elu(x) = max(x, 0) + exp(-max(-x, 0)) - 1
        result = torch.cat([negative, positive], dim=-1).neg_().exp_().sub_(1)
        result[..., : x.shape[-1]] += positive
        result[..., x.shape[-1] :] += negative
        ctx.save_for_backward(result)
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        """Gradient [..., C] from the gradient of the result."""
        (result,) = ctx.saved_tensors
        # The slope is 1 where the result is positive, and exp = result + 1 where it is not.
        of_x, of_minus_x = ((result + 1).clamp_max_(1) * gradients[0]).chunk(2, dim=-1)
        return of_x - of_minus_x


def concat_elu(x: torch.Tensor) -> torch.Tensor:
    """ELU of x and of -x side by side: [..., C] to [..., 2 C]. Source: Salimans et al. 2017 (PixelCNN++)."""
    return ConcatELU.apply(x)


class GatedResidual(nn.Module):
    """x + a sigmoid(b), with (a, b) from two convolutions. Adds an optional auxiliary input and the condition."""

    def __init__(self, config: PixelSNAILConfig, kernel_size: int, auxiliary: int, condition: int) -> None:
        super().__init__()
        width, reach = config.width, kernel_size - 1
        self.inner = Convolution((2 * width, width), above=reach, left=reach)
        self.auxiliary = Linear(2 * auxiliary, width, bias=False) if auxiliary else None
        self.condition = Linear(condition, 2 * width, bias=False) if condition else None
        self.dropout = nn.Dropout(config.dropout)
        self.outer = Convolution((2 * width, 2 * width), above=reach, left=reach)
        # Initialised near the identity, so that a deep stack of gates trains (Chen et al.: init_scale 0.1).
        with torch.no_grad():
            self.outer.weight.mul_(0.1)

    def forward(
        self, x_BRWC: torch.Tensor, auxiliary_BRWM: torch.Tensor | None, condition_BRWN: torch.Tensor | None
    ) -> torch.Tensor:
        """Image of the shape of `x_BRWC`."""
        inner_BRWC = self.inner(concat_elu(x_BRWC))
        if self.auxiliary is not None and auxiliary_BRWM is not None:
            inner_BRWC = inner_BRWC + self.auxiliary(concat_elu(auxiliary_BRWM))
        gates_BRWC = self.outer(self.dropout(concat_elu(inner_BRWC)))
        if self.condition is not None and condition_BRWN is not None:
            gates_BRWC = gates_BRWC + self.condition(condition_BRWN)
        return x_BRWC + functional.glu(gates_BRWC, dim=-1)


class CausalAttention(nn.Module):
    """Each position attends to the keys and values of all positions before it.

    Keys and values depend on the input codes at their position and on the features; queries only on the features.
    With `gated_attention`, each goes through a gated 1x1 block first (released code of Chen et al. 2018).
    """

    def __init__(self, config: PixelSNAILConfig) -> None:
        super().__init__()
        self.num_heads, self.dropout = config.num_heads, config.dropout
        self.widths = (config.attention_key_width, config.attention_value_width)
        features, content = config.width + NUM_PLANES, 2 * config.width + NUM_PLANES
        self.query = Linear(features, config.attention_key_width)
        self.key_value = Linear(content, sum(self.widths))
        is_gated = config.gated_attention
        self.before_query = _pointwise(config, features) if is_gated else None
        self.before_key_value = _pointwise(config, content) if is_gated else None

    def forward(self, codes_BRWC: torch.Tensor, x_BRWC: torch.Tensor, planes_BRWP: torch.Tensor) -> torch.Tensor:
        """Values [B, R, W, M] after attention; zero at the first position."""
        B, R, W, _ = x_BRWC.shape
        content = torch.cat([codes_BRWC, x_BRWC, planes_BRWP], dim=-1)
        features = content[..., codes_BRWC.shape[-1] :]
        if self.before_query is not None and self.before_key_value is not None:
            features = self.before_query(features, None, None)
            content = self.before_key_value(content, None, None)
        key_BRWK, value_BRWM = self.key_value(content).split(self.widths, dim=-1)
        query_BRWK = self.query(features)
        mixed_BHTM = functional.scaled_dot_product_attention(
            self._heads(query_BRWK),
            self._heads(key_BRWK),
            self._heads(value_BRWM),
            attn_mask=_before_itself(R * W, x_BRWC.device),
            dropout_p=self.dropout if self.training else 0.0,
        )
        # The first position has no position before it. It attends to itself, and the result is set to zero.
        mixed_BTM = mixed_BHTM.transpose(1, 2).flatten(2)
        mixed_BTM = functional.pad(mixed_BTM[:, 1:], (0, 0, 1, 0))
        return mixed_BTM.view(B, R, W, -1)

    def _heads(self, x_BRWK: torch.Tensor) -> torch.Tensor:
        return x_BRWK.flatten(1, 2).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


def _pointwise(config: PixelSNAILConfig, width: int) -> GatedResidual:
    """A gated block of `width` channels that mixes no positions."""
    return GatedResidual(replace(config, width=width), 1, auxiliary=0, condition=0)


def _before_itself(num_tokens: int, device: torch.device) -> torch.Tensor:
    """Mask bool [T, T], true where the second position is before the first one, and at (0, 0)."""
    mask_TT = torch.ones(num_tokens, num_tokens, dtype=torch.bool, device=device).tril(-1)
    mask_TT[0, 0] = True
    return mask_TT


class Block(nn.Module):
    """Several gated residual causal convolutions, then attention, then a gated layer on its result."""

    def __init__(self, config: PixelSNAILConfig, condition: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            GatedResidual(config, config.kernel_size, auxiliary=0, condition=condition)
            for _ in range(config.res_blocks_per_block)
        )
        self.attention = CausalAttention(config)
        self.merge = GatedResidual(config, 1, auxiliary=config.attention_value_width, condition=0)

    def forward(
        self,
        codes_BRWC: torch.Tensor,
        x_BRWC: torch.Tensor,
        planes_BRWP: torch.Tensor,
        condition_BRWN: torch.Tensor | None,
    ) -> torch.Tensor:
        """Image of the shape of `x_BRWC`."""
        for convolution in self.convolutions:
            x_BRWC = convolution(x_BRWC, None, condition_BRWN)
        return self.merge(x_BRWC, self.attention(codes_BRWC, x_BRWC, planes_BRWP), None)


class ConditionStem(nn.Module):
    """Features of a spatial condition: embedded codes and residual 3x3 convolutions, not causal.

    With dilations, a position sees seven codes in every direction, which covers an 8x8 grid, with three small layers.
    """

    def __init__(self, num_codes: int, width: int) -> None:
        super().__init__()
        self.codes = nn.Embedding(num_codes, width)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(2 * width, width, 3, padding=dilation, dilation=dilation) for dilation in (1, 2, 4)
        )

    def forward(self, index_BRW: torch.Tensor) -> torch.Tensor:
        """Planes [B, R, W, N] of the codes int64 [B, R, W]."""
        x_BRWN = self.codes(index_BRW)
        for convolution in self.convolutions:
            x_BRWN = x_BRWN + convolution(concat_elu(x_BRWN).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return x_BRWN


class PixelSNAIL(nn.Module):
    """p(image codes) or p(image codes | condition codes) in row-major order."""

    ordering = "row_major"

    def __init__(self, config: PixelSNAILConfig, tokens: TokenSpace) -> None:
        super().__init__()
        self.config, self.tokens = config, tokens
        condition, width = tokens.condition, config.width
        _check(config, tokens)
        self.codes = nn.Embedding(tokens.num_codes, width)
        self.above = Convolution((width + NUM_PLANES, width), above=0, left=1, right=1)
        self.left = Convolution((width + NUM_PLANES, width), above=1, left=0)
        self.condition = None if condition is None else ConditionStem(condition.num_codes, config.condition_width)
        planes = 0 if condition is None else config.condition_width
        self.blocks = nn.ModuleList(Block(config, planes) for _ in range(config.num_blocks))
        self.head = Linear(2 * width, tokens.num_codes)
        for part in self.modules():
            if isinstance(part, nn.Embedding):
                nn.init.normal_(part.weight, std=EMBEDDING_STD)

    def forward(self, index_BT: torch.Tensor, condition_BS: torch.Tensor | None = None) -> torch.Tensor:
        """Logits [B, T, V]; those at t predict token t from the tokens before t and the condition.

        `index_BT`: int64, all tokens of an image. No logit depends on the last token. Raises TwostageError if condition
        codes are missing, not expected, or not one row per image.
        """
        codes_BRWC = self.codes(index_BT.unflatten(1, self.tokens.grid))
        planes_BRWP = _planes(codes_BRWC)
        require_rows(self.tokens, condition_BS, len(index_BT))
        condition_BRWN = self._condition(condition_BS)
        seen = torch.cat([codes_BRWC, planes_BRWP], dim=-1)
        x_BRWC = _shift_down(self.above(seen)) + _shift_right(self.left(seen))
        for block in self.blocks:
            x_BRWC = block(codes_BRWC, x_BRWC, planes_BRWP, condition_BRWN)
        return self.head(concat_elu(x_BRWC)).flatten(1, 2)

    def _condition(self, condition_BS: torch.Tensor | None) -> torch.Tensor | None:
        if self.condition is None or condition_BS is None or self.tokens.condition is None:
            return None
        index_BRW = condition_BS.unflatten(1, self.tokens.condition.grid)
        # A class is the same at every position.
        return self.condition(index_BRW.expand(-1, *self.tokens.grid))


def _check(config: PixelSNAILConfig, tokens: TokenSpace) -> None:
    if tokens.condition is not None and tokens.condition.grid not in (tokens.grid, (1, 1)):
        raise TwostageError(
            f"PixelSNAIL takes a class or a condition on the grid of the image {tokens.grid}, got "
            f"{tokens.condition.grid}; use tokenizers of equal factor, or priors=gpt"
        )
    for name in ("attention_key_width", "attention_value_width"):
        if getattr(config, name) % config.num_heads:
            raise TwostageError(
                f"priors.pixelsnail.{name}={getattr(config, name)} is not divisible by num_heads={config.num_heads}; "
                "change one of them"
            )


def _planes(like_BRWC: torch.Tensor) -> torch.Tensor:
    """Row and column in [-0.5, 0.5] and a plane of ones: [B, R, W, 3]."""
    B, R, W, _ = like_BRWC.shape
    rows = torch.linspace(-0.5, 0.5, R, device=like_BRWC.device)[:, None].expand(R, W)
    columns = torch.linspace(-0.5, 0.5, W, device=like_BRWC.device)[None, :].expand(R, W)
    planes_RWP = torch.stack([rows, columns, torch.ones_like(rows)], dim=-1)
    return planes_RWP.to(like_BRWC.dtype).expand(B, -1, -1, -1)


def _shift_down(x_BRWC: torch.Tensor) -> torch.Tensor:
    return functional.pad(x_BRWC[:, :-1], (0, 0, 0, 0, 1, 0))


def _shift_right(x_BRWC: torch.Tensor) -> torch.Tensor:
    return functional.pad(x_BRWC[:, :, :-1], (0, 0, 1, 0))
