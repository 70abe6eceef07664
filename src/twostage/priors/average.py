"""Polyak averaging: an exponential moving average of the weights, which is evaluated and stored in their place.

Source: Polyak & Juditsky 1992; Chen et al. 2018 sample from PixelSNAIL's average.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from twostage.errors import TwostageError

Tensors = tuple[torch.Tensor, ...] | list[torch.Tensor]


def averaged(model: nn.Module, decay: float) -> AveragedModel:
    """The average of a model's weights, to be updated after every step. `decay`: at least 0 and below 1.

    Raises TwostageError for a decay of 1, which never leaves the first weights.
    """
    if decay >= 1:
        raise TwostageError(f"priors.averaging={decay:g} never leaves the first weights; set a number below 1, or null")

    def update(average: Tensors, current: Tensors, count: torch.Tensor | int) -> None:
        # Ours: it forgets faster in the first steps, as else short runs and sweeps would average their random start.
        number = int(count)
        torch._foreach_lerp_(average, current, 1 - min(decay, (1 + number) / (10 + number)))

    return AveragedModel(model, multi_avg_fn=update)


@contextmanager
def swapped(model: nn.Module, average: AveragedModel) -> Iterator[None]:
    """Inside, the model has the weights of its average. Nothing is copied, so afterwards it is what it was, exactly."""
    _swap(model, average)
    try:
        yield
    finally:
        _swap(model, average)


def _swap(model: nn.Module, average: AveragedModel) -> None:
    for own, other in zip(model.parameters(), average.module.parameters(), strict=True):
        own.data, other.data = other.data, own.data
