"""The body of GPT-2 (Radford et al. 2019): pre-norm blocks, learned positions, and a preallocated key/value cache."""

# B batch, T new tokens, P positions of the cache, D width, H heads, E width of a head, L layers

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from twostage.configs import GPTConfig
from twostage.errors import TwostageError
from twostage.priors.linear import Linear

INIT_STD = 0.02  # released code, as GPT-2


@dataclass
class Cache:
    """Keys and values of the positions seen so far, allocated once: a step writes its row and reads a view.

    Concatenating instead copies the whole past at every step, which is most of the time of sampling.
    """

    keys_LBHPE: torch.Tensor
    values_LBHPE: torch.Tensor
    length: int = 0

    @classmethod
    def empty(cls, config: GPTConfig, batch_size: int, num_positions: int, like: torch.Tensor) -> "Cache":
        """A cache for `num_positions` tokens of each of `batch_size` sequences, on the device and dtype of `like`."""
        heads = config.num_heads
        shape = (config.num_layers, batch_size, heads, num_positions, config.width // heads)
        return cls(like.new_empty(shape), like.new_empty(shape))


class Attention(nn.Module):
    """Causal multi-head self-attention."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.num_heads, self.dropout = config.num_heads, config.dropout
        self.query_key_value = Linear(config.width, 3 * config.width)
        self.out = Linear(config.width, config.width)

    def forward(self, x_BTD: torch.Tensor, cache: Cache | None, layer: int) -> torch.Tensor:
        """Attends within `x_BTD` and, given a cache, to what it holds, after adding the new keys and values to it."""
        B, T, D = x_BTD.shape
        query_BHTE, key_BHPE, value_BHPE = (
            self.query_key_value(x_BTD).view(B, T, 3, self.num_heads, D // self.num_heads).permute(2, 0, 3, 1, 4)
        )
        if cache is not None:
            start, end = cache.length, cache.length + T
            cache.keys_LBHPE[layer, :, :, start:end] = key_BHPE
            cache.values_LBHPE[layer, :, :, start:end] = value_BHPE
            key_BHPE = cache.keys_LBHPE[layer, :, :, :end]
            value_BHPE = cache.values_LBHPE[layer, :, :, :end]
        if T == 1:
            mixed_BHTE = _attend_from_one(query_BHTE, key_BHPE, value_BHPE)
        else:
            dropout = self.dropout if self.training else 0.0
            # Several new tokens at once only occur at the start of a sequence.
            mixed_BHTE = functional.scaled_dot_product_attention(
                query_BHTE, key_BHPE, value_BHPE, dropout_p=dropout, is_causal=True
            )
        return self.out(mixed_BHTE.transpose(1, 2).reshape(B, T, D))


def _attend_from_one(query_BH1E: torch.Tensor, key_BHPE: torch.Tensor, value_BHPE: torch.Tensor) -> torch.Tensor:
    """Attention of one token to everything given, [B, H, 1, E].

    Nothing but reading keys and values once takes time here; fused attention on CPUs takes twice as long.
    """
    score_BH1P = (query_BH1E * query_BH1E.shape[-1] ** -0.5) @ key_BHPE.transpose(-1, -2)
    return score_BH1P.softmax(-1) @ value_BHPE


class Block(nn.Module):
    """One pre-norm block: attention, then a perceptron of four times the width with GELU."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.width)
        self.attention = Attention(config)
        self.mlp_norm = nn.LayerNorm(config.width)
        self.mlp = nn.Sequential(
            Linear(config.width, 4 * config.width), nn.GELU(), Linear(4 * config.width, config.width)
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x_BTD: torch.Tensor, cache: Cache | None, layer: int) -> torch.Tensor:
        """Residual update of `x_BTD`."""
        x_BTD = x_BTD + self.dropout(self.attention(self.attention_norm(x_BTD), cache, layer))
        return x_BTD + self.dropout(self.mlp(self.mlp_norm(x_BTD)))


class Transformer(nn.Module):
    """Positions, blocks and the last norm: from embeddings to features of the same shape."""

    def __init__(self, config: GPTConfig, num_positions: int) -> None:
        super().__init__()
        if config.width % config.num_heads:
            raise TwostageError(
                f"priors.gpt.width={config.width} is not divisible by num_heads={config.num_heads}; change one of them"
            )
        self.positions = nn.Parameter(torch.empty(num_positions, config.width))
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        self.norm = nn.LayerNorm(config.width)

    def forward(self, embedding_BTD: torch.Tensor, cache: Cache | None = None) -> torch.Tensor:
        """Features [B, T, D] of T tokens that follow the `cache.length` tokens of the cache.

        Raises ValueError if the sequence outgrows the positions, or several tokens follow a cache that is not empty.
        """
        T = embedding_BTD.shape[1]
        start = 0 if cache is None else cache.length
        if start + T > len(self.positions):
            raise ValueError(f"{start + T} tokens, but the model has {len(self.positions)} positions")
        if start and T > 1:
            raise ValueError("several tokens at once fit an empty cache only")
        x_BTD = self.dropout(embedding_BTD + self.positions[start : start + T])
        for layer, block in enumerate(self.blocks):
            x_BTD = block(x_BTD, cache, layer)
        if cache is not None:
            cache.length += T
        return self.norm(x_BTD)


def initialise(module: nn.Module) -> None:
    """Normal(0, 0.02) matrices, embeddings and positions, zero biases; norms keep their ones and zeros."""
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Embedding):
            nn.init.normal_(part.weight, std=INIT_STD)
        if isinstance(part, nn.Linear) and part.bias is not None:
            nn.init.zeros_(part.bias)
        if isinstance(part, Transformer):
            nn.init.normal_(part.positions, std=INIT_STD)
