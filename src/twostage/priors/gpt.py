"""The transformer prior (Esser et al. 2021, Sec. 3.2), in our layout and in the released one."""

# B batch, T image tokens, S condition tokens, D width, V vocabulary

import torch
from torch import nn

from twostage.config.schema import GPTConfig
from twostage.latents.dataset import TokenSpace
from twostage.priors.condition import require_rows
from twostage.priors.linear import Linear
from twostage.priors.transformer import INIT_STD, Cache, Span, Transformer, initialise


class GPT(nn.Module):
    """p(image codes) or p(image codes | condition codes): condition codes, a learned start token, image codes.

    Image and condition codes have separate embedding tables, so that equal indices do not collide, unless
    `shared_condition_codes` asks for one table (released code). The condition may be a class (one token), coordinates
    or a map. Its tokens come first, have their own positions and are never predicted. With the start token, the first
    image code has a likelihood, too. Image codes are in the order `ordering`. Positions are those of the sequence
    (released code), so the initialisation does not depend on the order.
    """

    def __init__(self, config: GPTConfig, tokens: TokenSpace, ordering: str = "row_major") -> None:
        super().__init__()
        self.config, self.tokens, self.ordering = config, tokens, ordering
        condition = tokens.condition
        num_condition = 0 if condition is None else condition.num_tokens
        shared = config.shared_condition_codes and condition is not None
        self.codes = nn.Embedding(_shared_codes(tokens) if shared else tokens.num_codes, config.width)
        own = None if condition is None or shared else nn.Embedding(condition.num_codes, config.width)
        self.condition_codes = own
        self.start = nn.Parameter(torch.empty(config.width))
        self.transformer = Transformer(config, num_condition + tokens.num_tokens)
        self.head = Linear(config.width, tokens.num_codes, bias=False)
        initialise(self)
        nn.init.normal_(self.start, std=INIT_STD)

    def forward(self, index_BT: torch.Tensor, condition_BS: torch.Tensor | None = None) -> torch.Tensor:
        """Logits [B, T, V]; those at t predict token t from the tokens before t and the condition.

        `index_BT`: int64 in the model's order, T at most the number of tokens of an image. No logit depends on the last
        token. Raises TwostageError if condition codes are missing, not expected, or not one row per image.
        """
        prefix_BSD = self._prefix(len(index_BT), condition_BS)
        embedding_BTD = torch.cat([prefix_BSD, self.codes(index_BT[:, :-1])], dim=1)
        hidden_BTD = self.transformer(embedding_BTD)
        # Condition tokens are never predicted, so the head does not run on them.
        return self.head(hidden_BTD[:, prefix_BSD.shape[1] - 1 :])

    def _prefix(self, batch_size: int, condition_BS: torch.Tensor | None) -> torch.Tensor:
        start_B1D = self.start.expand(batch_size, 1, -1)
        require_rows(self.tokens, condition_BS, batch_size)
        if condition_BS is None:
            return start_B1D
        table = self.codes if self.condition_codes is None else self.condition_codes
        return torch.cat([table(condition_BS), start_B1D], dim=1)

    def begin(
        self, batch_size: int, condition_BS: torch.Tensor | None = None, given_BG: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, Cache]:
        """Logits [B, V] of the image token after the first tokens `given_BG` (default: none), and the filled cache.

        The cache has room for a whole image.
        """
        embedding_BTD = self.first_embeddings(batch_size, condition_BS, given_BG)
        # No other token sees the last one.
        cache = self.new_cache(embedding_BTD, self.tokens.num_tokens - 1)
        return self.last_logits([Span(embedding_BTD, cache)])[0], cache

    def decode(self, index_BT: torch.Tensor, cache: Cache) -> torch.Tensor:
        """Adds the next T tokens of every sequence to the cache; returns logits [B, V] of the token after them."""
        return self.last_logits([Span(self.codes(index_BT), cache)])[0]

    def last_logits(self, spans: list[Span]) -> torch.Tensor:
        """Logits [K, B, V] of the image token after each of K spans."""
        return self.head(self.transformer.last_features(spans)).transpose(0, 1)

    def first_embeddings(
        self, batch_size: int, condition_BS: torch.Tensor | None, given_BG: torch.Tensor | None
    ) -> torch.Tensor:
        """Embeddings of the beginning: the condition, the start token and the first image tokens."""
        prefix_BSD = self._prefix(batch_size, condition_BS)
        return prefix_BSD if given_BG is None else torch.cat([prefix_BSD, self.codes(given_BG)], dim=1)

    def new_cache(self, like_BTD: torch.Tensor, room: int) -> Cache:
        """An empty cache with room for the condition, the start token and `room` image tokens."""
        num_positions = len(self.transformer.positions) - (self.tokens.num_tokens - 1) + room
        return Cache.empty(self.config, len(like_BTD), num_positions, like_BTD)


def _shared_codes(tokens: TokenSpace) -> int:
    """Rows of the shared table of image and condition codes, without offset."""
    return max(tokens.num_codes, 0 if tokens.condition is None else tokens.condition.num_codes)


class ReleasedGPT(nn.Module):
    """The layout of released checkpoints: one table for all kinds of codes, and no separate start token.

    Condition, class and start codes are normal indices that the caller puts in front.
    """

    def __init__(self, config: GPTConfig, num_codes: int, num_positions: int) -> None:
        super().__init__()
        self.config = config
        self.codes = nn.Embedding(num_codes, config.width)
        self.transformer = Transformer(config, num_positions)
        self.head = Linear(config.width, num_codes, bias=False)
        initialise(self)

    def forward(self, index_BT: torch.Tensor) -> torch.Tensor:
        """Logits [B, T, V]; those at t predict token t + 1 from the tokens up to and including t."""
        return self.head(self.transformer(self.codes(index_BT)))


class Net2Net(GPT):
    """A released transformer that draws: the layout of `ReleasedGPT`, in which the condition is the start.

    Its sequence is condition codes and image codes in one table. There is no start token of its own: the last condition
    code predicts the first image code. Without a condition, the code `sos` starts the sequence. Only the first codes of
    the head are codes of an image, so others are never drawn (ours: released code would fail to decode them).
    Source: Esser et al. 2021, released code.
    """

    def __init__(self, config: GPTConfig, tokens: TokenSpace, num_codes: int, num_positions: int, sos: int = 0) -> None:
        nn.Module.__init__(self)
        self.config, self.tokens, self.ordering, self.sos = config, tokens, "row_major", sos
        self.codes = nn.Embedding(num_codes, config.width)
        self.condition_codes = None
        self.transformer = Transformer(config, num_positions)
        self.head = Linear(config.width, tokens.num_codes, bias=False)
        initialise(self)

    def _prefix(self, batch_size: int, condition_BS: torch.Tensor | None) -> torch.Tensor:
        require_rows(self.tokens, condition_BS, batch_size)
        if condition_BS is None:
            condition_BS = torch.full((batch_size, 1), self.sos, device=self.codes.weight.device)
        return self.codes(condition_BS)

    def new_cache(self, like_BTD: torch.Tensor, room: int) -> Cache:
        """An empty cache with room for the condition and `room` image tokens."""
        condition = self.tokens.condition
        num_positions = room + (1 if condition is None else condition.num_tokens)
        return Cache.empty(self.config, len(like_BTD), num_positions, like_BTD)
