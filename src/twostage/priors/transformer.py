"""The body of GPT-2 (Radford et al. 2019): pre-norm blocks, learned positions, and a preallocated key/value cache."""

# B batch, T new tokens, N those of several spans, K spans, P positions of the cache
# D width, H heads, E width of a head, L layers

import itertools
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from twostage.config.schema import TransformerConfig
from twostage.errors import TwostageError
from twostage.priors.linear import Linear

INIT_STD = 0.02  # released code, like GPT-2


@dataclass
class Cache:
    """Keys and values of the positions so far, allocated once. A step writes its row and reads a view.

    Concatenation would copy the whole past at every step, which would be most of the sampling time.
    """

    keys_LBHPE: torch.Tensor
    values_LBHPE: torch.Tensor
    length: int = 0

    @classmethod
    def empty(cls, config: TransformerConfig, batch_size: int, num_positions: int, like: torch.Tensor) -> "Cache":
        """A cache for `num_positions` tokens of `batch_size` sequences, with device and dtype of `like`."""
        heads = config.num_heads
        shape = (config.num_layers, batch_size, heads, num_positions, config.width // heads)
        return cls(like.new_empty(shape), like.new_empty(shape))


@dataclass(frozen=True)
class Span:
    """New tokens of one sequence per example. They follow the tokens in its cache; without one, they are the first.

    Spans go through the layers side by side as one long sequence, but each attends only to its own past.
    """

    embedding_BTD: torch.Tensor
    cache: Cache | None = None

    @property
    def start(self) -> int:
        """Position of its first token."""
        return 0 if self.cache is None else self.cache.length

    @property
    def length(self) -> int:
        """Number of its tokens."""
        return self.embedding_BTD.shape[1]


class Attention(nn.Module):
    """Multi-head self-attention. Causal: each token attends to itself and the tokens before it; otherwise to all."""

    def __init__(self, config: TransformerConfig, causal: bool = True) -> None:
        super().__init__()
        self.num_heads, self.dropout, self.causal = config.num_heads, config.dropout, causal
        self.query_key_value = Linear(config.width, 3 * config.width)
        self.out = Linear(config.width, config.width)

    def forward(self, x_BND: torch.Tensor, spans: list[Span], layer: int, last_only: bool) -> torch.Tensor:
        """Each span attends to itself and to its cache, to which its keys and values are added.

        `last_only`: only the last token of each span has a query, and the result is [B, K, D].
        """
        B, N, D = x_BND.shape
        query_key_value = (
            self.query_key_value(x_BND).view(B, N, 3, self.num_heads, D // self.num_heads).permute(2, 0, 3, 1, 4)
        )
        mixed, start = [], 0
        for span in spans:
            query_BHTE, key_BHTE, value_BHTE = query_key_value[:, :, :, start : start + span.length]
            if last_only:
                query_BHTE = query_BHTE[:, :, -1:]
            mixed.append(self._mix(query_BHTE, *_with_past(key_BHTE, value_BHTE, span.cache, layer)))
            start += span.length
        mixed_BHNE = mixed[0] if len(mixed) == 1 else torch.cat(mixed, dim=2)
        return self.out(mixed_BHNE.transpose(1, 2).reshape(B, -1, D))

    def _mix(self, query_BHTE: torch.Tensor, key_BHPE: torch.Tensor, value_BHPE: torch.Tensor) -> torch.Tensor:
        if query_BHTE.shape[2] == 1:
            return _attend_from_one(query_BHTE, key_BHPE, value_BHPE)
        dropout = self.dropout if self.training else 0.0
        if self.causal:
            return _attend_from_several(query_BHTE, key_BHPE, value_BHPE, dropout)
        return functional.scaled_dot_product_attention(query_BHTE, key_BHPE, value_BHPE, dropout_p=dropout)


def _with_past(
    key_BHTE: torch.Tensor, value_BHTE: torch.Tensor, cache: Cache | None, layer: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Adds new keys and values to the cache and returns all of them, [B, H, P, E]; without a cache, the new ones."""
    if cache is None:
        return key_BHTE, value_BHTE
    end = cache.length + key_BHTE.shape[2]
    cache.keys_LBHPE[layer, :, :, cache.length : end] = key_BHTE
    cache.values_LBHPE[layer, :, :, cache.length : end] = value_BHTE
    return cache.keys_LBHPE[layer, :, :, :end], cache.values_LBHPE[layer, :, :, :end]


def _attend_from_several(
    query_BHTE: torch.Tensor, key_BHPE: torch.Tensor, value_BHPE: torch.Tensor, dropout: float
) -> torch.Tensor:
    """Attention [B, H, T, E] of the last T of P tokens, each to itself and all tokens before it."""
    T, P = query_BHTE.shape[2], key_BHPE.shape[2]
    # torch's causal mask assumes that the first query is the first token, which is true only without a past.
    mask_TP = None
    if T < P:
        mask_TP = torch.ones(T, P, dtype=torch.bool, device=query_BHTE.device).tril(P - T)
    return functional.scaled_dot_product_attention(
        query_BHTE, key_BHPE, value_BHPE, attn_mask=mask_TP, dropout_p=dropout, is_causal=mask_TP is None
    )


def _attend_from_one(query_BH1E: torch.Tensor, key_BHPE: torch.Tensor, value_BHPE: torch.Tensor) -> torch.Tensor:
    """Attention of one token to all given tokens, [B, H, 1, E].

    The time is that of reading keys and values once. Fused attention on CPUs takes twice as long.
    """
    score_BH1P = (query_BH1E * query_BH1E.shape[-1] ** -0.5) @ key_BHPE.transpose(-1, -2)
    return score_BH1P.softmax(-1) @ value_BHPE


class Block(nn.Module):
    """One pre-norm block: attention, then an MLP of four times the width with GELU."""

    def __init__(self, config: TransformerConfig, causal: bool = True) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.width)
        self.attention = Attention(config, causal)
        self.mlp_norm = nn.LayerNorm(config.width)
        self.mlp = nn.Sequential(
            Linear(config.width, 4 * config.width), nn.GELU(), Linear(4 * config.width, config.width)
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x_BND: torch.Tensor, spans: list[Span], layer: int, last_only: bool) -> torch.Tensor:
        """Residual update of `x_BND`; with `last_only`, of the last token of each span, [B, K, D]."""
        mixed_BND = self.attention(self.attention_norm(x_BND), spans, layer, last_only)
        if last_only:
            ends = list(itertools.accumulate(span.length for span in spans))
            x_BND = x_BND[:, [end - 1 for end in ends]]
        x_BND = x_BND + self.dropout(mixed_BND)
        return x_BND + self.dropout(self.mlp(self.mlp_norm(x_BND)))


class Transformer(nn.Module):
    """Positions, blocks and the last norm: turns embeddings into features of the same shape.

    If it is not `causal`, every token sees all tokens, and a cache cannot be used.
    """

    def __init__(self, config: TransformerConfig, num_positions: int, causal: bool = True) -> None:
        super().__init__()
        if config.width % config.num_heads:
            raise TwostageError(
                f"the transformer's width={config.width} is not divisible by num_heads={config.num_heads}; change one"
            )
        self.positions = nn.Parameter(torch.empty(num_positions, config.width))
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config, causal) for _ in range(config.num_layers))
        self.norm = nn.LayerNorm(config.width)

    def forward(self, embedding_BTD: torch.Tensor, cache: Cache | None = None) -> torch.Tensor:
        """Features [B, T, D] of T tokens that follow the `cache.length` tokens of the cache.

        Raises ValueError if the sequence is longer than the positions of the model or of the cache.
        """
        return self._features([Span(embedding_BTD, cache)], last_only=False)

    def last_features(self, spans: list[Span]) -> torch.Tensor:
        """Features [B, K, D] of the last token of each of K spans, without unneeded work in the last block.

        Raises ValueError if a sequence is longer than the positions of the model or of its cache.
        """
        return self._features(spans, last_only=True)

    def _features(self, spans: list[Span], last_only: bool) -> torch.Tensor:
        placed = [span.embedding_BTD + self._positions(span) for span in spans]
        x_BND = self.dropout(placed[0] if len(placed) == 1 else torch.cat(placed, dim=1))
        for layer, block in enumerate(self.blocks):
            # The last block needs keys and values of all tokens, but everything else only for each span's last token.
            x_BND = block(x_BND, spans, layer, last_only and layer == len(self.blocks) - 1)
        for span in spans:
            if span.cache is not None:
                span.cache.length += span.length
        return self.norm(x_BND)

    def _positions(self, span: Span) -> torch.Tensor:
        room = len(self.positions) if span.cache is None else span.cache.keys_LBHPE.shape[3]
        end = span.start + span.length
        if end > min(room, len(self.positions)):
            raise ValueError(f"{end} tokens, but there are {min(room, len(self.positions))} positions")
        return self.positions[span.start : end]


def initialise(module: nn.Module) -> None:
    """Normal(0, 0.02) for matrices, embeddings and positions, zero for biases. Norms keep ones and zeros."""
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Embedding):
            nn.init.normal_(part.weight, std=INIT_STD)
        if isinstance(part, nn.Linear) and part.bias is not None:
            nn.init.zeros_(part.bias)
        if isinstance(part, Transformer):
            nn.init.normal_(part.positions, std=INIT_STD)
