"""Drawing code grids from a prior, token by token."""

# B samples, T image tokens, S condition tokens, V vocabulary

from collections.abc import Iterator

import torch

from twostage.latents.orderings import inverse, ordering
from twostage.priors.gpt import GPT
from twostage.priors.linear import packed
from twostage.priors.pixelsnail import PixelSNAIL


@torch.inference_mode()
def generate(
    model: GPT | PixelSNAIL,
    num_samples: int,
    generator: torch.Generator,
    temperature: float = 1.0,
    top_k: int | None = None,
    condition_BS: torch.Tensor | None = None,
) -> torch.Tensor:
    """Samples int64 [B, T] in row-major order, whatever the model's; `top_k`: draw from the k likeliest codes only.

    One uniform number a token is drawn from `generator`, so equal logits and seeds give equal samples.
    """
    device = next(model.parameters()).device
    index_BT = torch.zeros(num_samples, model.tokens.num_tokens, dtype=torch.int64, device=device)
    match model:
        case GPT():
            logits = _with_cache(model, index_BT, condition_BS)
        case PixelSNAIL():
            logits = _without_cache(model, index_BT, condition_BS)
    with packed(model, num_samples):
        for t, logits_BV in enumerate(logits):
            index_BT[:, t] = draw(logits_BV / temperature, generator, top_k)
    return index_BT[:, inverse(ordering(model.ordering, *model.tokens.grid))]


def _with_cache(model: GPT, index_BT: torch.Tensor, condition_BS: torch.Tensor | None) -> Iterator[torch.Tensor]:
    logits_BV, cache = model.begin(len(index_BT), condition_BS)
    yield logits_BV
    # The caller fills in token t before it asks for the logits of t + 1.
    for t in range(index_BT.shape[1] - 1):
        yield model.decode_step(index_BT[:, t], cache)


def _without_cache(
    model: PixelSNAIL, index_BT: torch.Tensor, condition_BS: torch.Tensor | None
) -> Iterator[torch.Tensor]:
    for t in range(index_BT.shape[1]):
        yield model(index_BT, condition_BS)[:, t]


def draw(logits_BV: torch.Tensor, generator: torch.Generator, top_k: int | None = None) -> torch.Tensor:
    """One code of each row, int64 [B], by inverting the cumulative distribution at one uniform number a row."""
    if top_k is not None and top_k < logits_BV.shape[-1]:
        least_B1 = logits_BV.topk(top_k, dim=-1).values[:, -1:]
        logits_BV = logits_BV.masked_fill(logits_BV < least_B1, -torch.inf)
    # float64: the cumulative sum over a large vocabulary must end at one.
    cumulative_BV = logits_BV.double().softmax(-1).cumsum(-1)
    uniform_B1 = torch.rand(len(logits_BV), 1, dtype=torch.float64, generator=generator, device=generator.device)
    threshold_B1 = uniform_B1.to(logits_BV.device) * cumulative_BV[:, -1:]
    return torch.searchsorted(cumulative_BV, threshold_B1, right=True)[:, 0].clamp_max(logits_BV.shape[-1] - 1)
