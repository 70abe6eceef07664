"""LPIPS, the perceptual distance of Zhang et al. 2018, with the heads of the `lpips` package (v0.1) and our backbones.

Features and distance are separate, so that a training step computes the features of real images once and without a
graph, and backpropagates only through those of the reconstructions.
"""

# B batch, C channels, H height, W width

import importlib.resources
import warnings
from pathlib import Path
from typing import Self

import lpips
import torch
from lpips import pretrained_networks
from torch import Tensor, nn

from twostage.errors import TwostageError
from twostage.runtime.tensors import read_tensors

# Names of our backbones in the lpips package.
HEADS = {"vgg16": "vgg", "alexnet": "alex"}


class PerceptualDistance(nn.Module):
    """LPIPS of image pairs in [-1, 1]. Frozen, and always in eval mode.

    Source: Zhang et al. 2018, Eq. 1. Equals `lpips.LPIPS(net=..., version="0.1")` with the same backbone.
    """

    def __init__(self, name: str, tensors: dict[str, Tensor]) -> None:
        """`name`: vgg16 or alexnet; `tensors`: its convolutions as `weights.convert` writes them."""
        super().__init__()
        self.scaling = lpips.ScalingLayer()
        self.backbone = _backbone(name, tensors)
        for level, head_C in enumerate(head_weights(name)):
            self.register_buffer(f"head_{level}", head_C)
        self.requires_grad_(False)
        self.eval()

    @classmethod
    def load(cls, path: Path) -> Self:
        """Loads a `model.safetensors` of `weights.convert`, given by its path or its folder."""
        path = Path(path)
        tensors, metadata = read_tensors(path / "model.safetensors" if path.is_dir() else path)
        return cls(metadata.get("name", ""), tensors)

    def train(self, mode: bool = True) -> Self:  # noqa: ARG002 - the signature is torch's
        """Stays in eval mode: a training loop's `train()` must not change the distance."""
        return super().train(False)

    def features(self, image_BCHW: Tensor) -> list[Tensor]:
        """Features of float32 images in [-1, 1] at five depths, [B, C, H, W] each, of unit length along C."""
        return [lpips.normalize_tensor(level_BCHW) for level_BCHW in self.backbone(self.scaling(image_BCHW))]

    def distance(self, features_a: list[Tensor], features_b: list[Tensor]) -> Tensor:
        """LPIPS [B] between two outputs of `features`; 0 for equal images."""
        total_B = torch.zeros((), device=features_a[0].device)
        for level, (a_BCHW, b_BCHW) in enumerate(zip(features_a, features_b, strict=True)):
            # The head is linear, so the mean over pixels may come first, which is cheaper.
            total_B = total_B + (a_BCHW - b_BCHW).square().mean(dim=(2, 3)) @ self.get_buffer(f"head_{level}")
        return total_B

    def forward(self, a_BCHW: Tensor, b_BCHW: Tensor) -> Tensor:
        """LPIPS [B] between images in [-1, 1]."""
        return self.distance(self.features(a_BCHW), self.features(b_BCHW))


def head_weights(name: str) -> list[Tensor]:
    """The five linear heads [C] of the lpips package for a backbone. Raises TwostageError for an unknown backbone."""
    if name not in HEADS:
        raise TwostageError(f"weights named {name!r} are no LPIPS backbone; expected {' or '.join(HEADS)}")
    file = importlib.resources.files("lpips") / "weights" / "v0.1" / f"{HEADS[name]}.pth"
    with importlib.resources.as_file(file) as path:
        state = torch.load(path, map_location="cpu", weights_only=True)
    return [state[f"lin{level}.model.1.weight"].flatten() for level in range(5)]


def _backbone(name: str, tensors: dict[str, Tensor]) -> nn.Module:
    build = {"vgg16": pretrained_networks.vgg16, "alexnet": pretrained_networks.alexnet}.get(name)
    if build is None:
        raise TwostageError(f"weights named {name!r} are no LPIPS backbone; expected {' or '.join(HEADS)}")
    # The meta device initialises nothing. Otherwise torchvision would draw 138 million numbers that nobody uses.
    with torch.device("meta"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="torchvision")
        backbone = build(pretrained=False, requires_grad=False)
    # lpips numbers the layers like torchvision, with the name of a slice in front.
    names = {key: "features." + key.split(".", 1)[1] for key in backbone.state_dict()}
    if set(names.values()) != set(tensors):
        raise TwostageError(
            f"weights of {name} do not match the network; run `python -m twostage weights.convert` again"
        )
    backbone.load_state_dict({key: tensors[ours] for key, ours in names.items()}, assign=True)
    return backbone
