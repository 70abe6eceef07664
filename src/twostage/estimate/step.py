"""What one training step takes, from the step itself run on tensors without memory.

torch's fake tensors have shapes and devices but no numbers. So the code that trains runs as it is, at any size, and
every operation is seen: torch counts its FLOPs, and its outputs live until the step lets go of them.
"""

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torchvision
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from twostage.config.schema import PriorConfig, TokenizerConfig
from twostage.latents.dataset import Split, TokenSpace
from twostage.priors.model import build, num_parameters
from twostage.priors.task import PriorTask, new_task
from twostage.tokenizers.discriminator import PatchDiscriminator
from twostage.tokenizers.model import Tokenizer
from twostage.tokenizers.stabilisers import Randomness
from twostage.tokenizers.step import Models, Phase, accumulate_gradients
from twostage.weights.lpips import PerceptualDistance

_ATEN = torch.ops.aten
# torch does not count fused attention on CPUs, which is that of GPUs.
_FLOPS = flop_registry | {
    _ATEN._scaled_dot_product_flash_attention_for_cpu: flop_registry[_ATEN._scaled_dot_product_flash_attention],
    _ATEN._scaled_dot_product_flash_attention_for_cpu_backward: flop_registry[
        _ATEN._scaled_dot_product_flash_attention_backward
    ],
}


@dataclass(frozen=True)
class Step:
    """What one step takes on any machine."""

    parameters: int  # that are trained
    flops: float  # of products and convolutions; a multiplication with its addition counts as two
    operations: int
    live_bytes: float  # the most that lives at once beside the weights: activations and gradients

    @property
    def state_bytes(self) -> float:
        """Of the weights and both moments of Adam, float32."""
        return 12.0 * self.parameters

    @property
    def device_bytes(self) -> float:
        """Of weights, optimizer, gradients and activations."""
        return self.state_bytes + self.live_bytes


class _Watch(TorchDispatchMode):
    """Counts operations, their FLOPs and the storage that is alive."""

    def __init__(self) -> None:
        super().__init__()
        self.flops = self.live = self.peak = 0.0
        self.operations = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.operations += 1
        kind = func._overloadpacket
        if kind in _FLOPS:
            self.flops += _FLOPS[kind](*args, **(kwargs or {}), out_val=out)
        for tensor in _tensors(out):
            self._see(tensor.untyped_storage())
        return out

    def _see(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self._known:
            self._known.add(key)
            self.live += size
            self.peak = max(self.peak, self.live)
            weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.live -= size


class _AttentionOfCards(TorchFunctionMode):
    """Attention without its dropout, with which torch holds all scores on a CPU. Kernels of cards never do."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is functional.scaled_dot_product_attention:
            kwargs = kwargs | {"dropout_p": 0.0}
        return func(*args, **kwargs)


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _watched(parameters: int, step: Callable[[], object]) -> Step:
    with _Watch() as watch:
        step()
    return Step(parameters, watch.flops, watch.operations, watch.peak)


def _fake() -> FakeTensorMode:
    # What a task draws, such as the noise of SUNDAE, comes from numpy and has memory.
    return FakeTensorMode(allow_non_fake_inputs=True)


def prior_step(config: PriorConfig, tokens: TokenSpace) -> Step:
    """One training step of a prior, optimizer included."""
    batch = config.loop.batch_size
    condition = tokens.condition
    given = None if condition is None else np.zeros((batch, condition.num_tokens), np.uint16)
    split = Split(np.zeros((batch, tokens.num_tokens), np.uint16), given)
    with torch.device("meta"):
        model = build(config, tokens)
    parameters = num_parameters(model)
    with _fake(), _AttentionOfCards():
        model.to_empty(device="cpu")
        # It is where it shall be, and torch cannot move fake tensors.
        vars(model)["to"] = lambda *_: model
        # How many tokens absorbing diffusion masks is drawn, so all count.
        task = (PriorTask if config.architecture == "absorbing" else new_task)(model, config, 0.0, split, split)
        task.step(0)
        task.optimiser.zero_grad(set_to_none=True)
        return _watched(parameters, lambda: task.step(1))


def tokenizer_step(
    config: TokenizerConfig, kind: str, num_channels: int, side: int, phase: Phase, perceptual: str
) -> Step:
    """Gradients of one training step of a tokenizer on images of side x side pixels.

    `perceptual`: vgg, alex or none.
    """
    with torch.device("meta"):
        tokenizer = Tokenizer(config, kind, num_channels)
        critic = config.discriminator
        discriminator = (
            None
            if critic is None or phase is Phase.RECONSTRUCTION
            else PatchDiscriminator(num_channels, critic.channels, critic.layers)
        )
        distance = None if perceptual == "none" else _perceptual(perceptual)
    networks: list[nn.Module] = [each for each in (tokenizer, discriminator, distance) if each is not None]
    parameters = num_parameters(tokenizer) + (num_parameters(discriminator) if discriminator else 0)
    with _fake():
        for network in networks:
            network.to_empty(device="cpu")
        image_BCHW = torch.empty(config.loop.batch_size, num_channels, side, side)
        image_BCHW = image_BCHW.contiguous(memory_format=torch.channels_last)
        models = Models(tokenizer, discriminator, distance)
        return _watched(
            parameters, lambda: accumulate_gradients(models, config, image_BCHW, phase, Randomness(torch.Generator()))
        )


def _perceptual(name: str) -> PerceptualDistance:
    backbone = {"vgg": "vgg16", "alex": "alexnet"}[name]
    network = getattr(torchvision.models, backbone)(weights=None)
    tensors = {key: value for key, value in network.state_dict().items() if key.startswith("features.")}
    return PerceptualDistance(backbone, tensors)


def encoder_pass(config: TokenizerConfig, kind: str, num_channels: int, side: int) -> Step:
    """One image through the encoder."""
    return _pass(config, kind, num_channels, lambda its: its.features(torch.empty(1, num_channels, side, side)))


def decoder_pass(config: TokenizerConfig, kind: str, num_channels: int, grid: tuple[int, int]) -> Step:
    """One grid of codes through the decoder."""
    shape = (1, config.quantizer.code_dim, *grid)
    return _pass(config, kind, num_channels, lambda its: its.decoder(its.project_out(torch.empty(shape))))


def _pass(config: TokenizerConfig, kind: str, num_channels: int, run: Callable[[Tokenizer], object]) -> Step:
    with torch.device("meta"):
        tokenizer = Tokenizer(config, kind, num_channels)
    with _fake(), torch.no_grad():
        tokenizer.to_empty(device="cpu")
        return _watched(num_parameters(tokenizer), lambda: run(tokenizer))
