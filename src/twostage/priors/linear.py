"""A linear layer that is fast on CPUs."""

# I inputs, O outputs

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn import functional

# With fewer rows, reordering the weight costs more than the faster product saves.
MIN_ROWS = 512


class Linear(nn.Linear):
    """`nn.Linear`, but on a CPU oneDNN computes the product instead of MKL: the same sums in another order.

    oneDNN uses AVX-512 on CPUs of all brands, MKL does not. With many rows the layer runs as a 1x1 convolution; a
    training step of a 0.5 M transformer then takes 0.7 of the time. With few rows the weight must be packed before, see
    `packed`.
    """

    # A plain attribute, so that it is neither saved nor moved.
    packed_weight: torch.Tensor | None = None

    def forward(self, x_I: torch.Tensor) -> torch.Tensor:
        """Output [..., O] of inputs [..., I]."""
        if self.packed_weight is not None:
            return torch.ops.mkldnn._linear_pointwise(x_I, self.packed_weight, self.bias, "none", [], "")
        rows = x_I.numel() // self.in_features
        if x_I.device.type != "cpu" or x_I.dim() < 3 or rows < MIN_ROWS:
            return super().forward(x_I)
        # A view with the channels last in memory, never a copy: the examples stay the batch, as torch leaves oneDNN
        # out if a convolution's batch is small.
        image_BCRW = x_I.reshape(len(x_I), 1, -1, self.in_features).permute(0, 3, 1, 2)
        product_BORW = functional.conv2d(image_BCRW, self.weight[:, :, None, None], self.bias)
        return product_BORW.permute(0, 2, 3, 1).reshape(*x_I.shape[:-1], self.out_features)


@contextmanager
def packed(model: nn.Module, rows: int) -> Iterator[None]:
    """A context in which a float32 model on a CPU keeps its linear weights in oneDNN's order for this number of rows.

    For inference: token by token, products of few rows with large weights are most of the work, and these take half the
    time. Weights must not change inside. Does nothing on other devices or if torch has no oneDNN.
    """
    layers = [part for part in model.modules() if isinstance(part, Linear) and _packable(part)]
    try:
        for layer in layers:
            layer.packed_weight = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach(), rows)
        yield
    finally:
        for layer in layers:
            layer.packed_weight = None


def _packable(layer: Linear) -> bool:
    on_cpu = layer.weight.device.type == "cpu" and layer.weight.dtype == torch.float32
    return on_cpu and torch.backends.mkldnn.is_available()
