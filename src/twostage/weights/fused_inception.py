"""A faster Inception-v3 for FID: batch norms folded into convolutions, channels_last, a separable resize.

Features equal those of torch-fidelity's extractor up to float32 rounding. Importing this module registers the
extractor with torch-fidelity as `NAME`; its `feature_extractor_weights_path` is then a folder of our weights stage.
"""

# B batch, C channels, H height, W width, D features

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch_fidelity import register_feature_extractor
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torch_fidelity.feature_extractor_inceptionv3 import BasicConv2d, FeatureExtractorInceptionV3

from twostage.errors import TwostageError
from twostage.runtime.tensors import read_tensors
from twostage.weights import inception

NAME = "inception-v3-fused"
# The layers whose outputs are the features, averaged over the plane.
FEATURES_AFTER = {"MaxPool_1": "64", "MaxPool_2": "192", "Mixed_6e": "768", "AvgPool": "2048"}


class FusedInception(FeatureExtractorInceptionV3):
    """torch-fidelity's network with fewer operations. Source: torch-fidelity's `inception-v3-compat`."""

    def __init__(
        self, name: str, features_list: list[str], feature_extractor_weights_path: str | Path, **_options: object
    ) -> None:
        """The arguments are those that torch-fidelity passes to all extractors."""
        # Skip the parent's constructor, which would build the network a second time and unpickle its weights.
        FeatureExtractorBase.__init__(self, name, list(features_list))
        stock = inception.load(Path(feature_extractor_weights_path), tuple(features_list))
        for layer, block in stock.named_children():
            self.add_module(layer, block)
        for block in list(self.modules()):
            if isinstance(block, BasicConv2d):
                _fuse(block)
        self.to(memory_format=torch.channels_last)
        self.requires_grad_(False)
        self.eval()

    def forward(self, image_BCHW: Tensor) -> tuple[Tensor, ...]:
        """`image_BCHW`: uint8, any size. Returns float32 features [B, D], one tensor per requested name."""
        if image_BCHW.dtype != torch.uint8 or image_BCHW.dim() != 4 or image_BCHW.shape[1] != 3:
            raise ValueError(f"expected uint8 images [B, 3, H, W], got {image_BCHW.dtype} {list(image_BCHW.shape)}")
        x_BCHW = resized(image_BCHW, self.INPUT_IMAGE_SIZE).sub_(128).div_(128)
        found: dict[str, Tensor] = {}
        for layer, block in self.named_children():
            if set(self.features_list) <= found.keys():
                break
            if layer == "fc":
                # As in the original graph: Inception Score is defined on logits without the bias.
                found["logits_unbiased"] = found["2048"] @ self.fc.weight.T
                found["logits"] = found["logits_unbiased"] + self.fc.bias
                break
            x_BCHW = block(x_BCHW)
            if layer in FEATURES_AFTER:
                found[FEATURES_AFTER[layer]] = adaptive_avg_pool2d(x_BCHW, (1, 1)).flatten(1)
        return tuple(found[name] for name in self.features_list)


def load(folder: Path, features: tuple[str, ...] = ("2048",)) -> FusedInception:
    """The fast extractor with the weights of `folder`, the output of `weights.convert` for inception.

    Raises TwostageError like `inception.load`. If the weights are missing, the message has the command to fetch them.
    """
    _read(folder)
    return FusedInception(NAME, list(features), folder)


def provenance(folder: Path) -> dict[str, Any]:
    """The origin of the weights in `folder`, and whether they have the `classifier` that logits need."""
    tensors, metadata = _read(folder)
    return {**metadata, "classifier": "fc.weight" in tensors}


def _read(folder: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    path = Path(folder) / "model.safetensors"
    if not path.exists():
        scale = f" --config scale={path.parts[1]}" if path.parts[0] == "artifacts" else ""
        raise TwostageError(
            f"{path} is missing, the Inception network for the features; fetch it: snakemake --cores all {path}{scale}"
        )
    return read_tensors(path)


def resized(image_BCHW: Tensor, side: int) -> Tensor:
    """uint8 images as float32 in [0, 255], channels_last, resized to a square as in TensorFlow 1.

    Bilinear, without antialiasing, with the corners of TensorFlow 1. Rows first, then columns: bit for bit the
    arithmetic of torch-fidelity, on fewer pixels.
    """
    x_BHWC = image_BCHW.permute(0, 2, 3, 1).contiguous().to(torch.float32)
    low, high, share_W = _neighbours(x_BHWC.shape[2], side, x_BHWC.device)
    left_BHWC = x_BHWC[:, :, low]
    x_BHWC = left_BHWC + (x_BHWC[:, :, high] - left_BHWC).mul_(share_W[:, None])
    low, high, share_H = _neighbours(x_BHWC.shape[1], side, x_BHWC.device)
    upper_BHWC = x_BHWC[:, low]
    x_BHWC = x_BHWC[:, high].sub_(upper_BHWC).mul_(share_H[:, None, None]).add_(upper_BHWC)
    return x_BHWC.permute(0, 3, 1, 2)


def _neighbours(old: int, new: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """For each new position: the old positions below and above it, and the weight of the upper one."""
    position = torch.arange(new, dtype=torch.float32, device=device) * torch.tensor(old / new, dtype=torch.float32)
    low = position.long()
    return low, (low + 1).clamp_max(old - 1), position - low.float()


def _fuse(block: BasicConv2d) -> None:
    # In float64, so that folding rounds only once.
    convolution: nn.Conv2d = block.conv.double()
    batch_norm: nn.BatchNorm2d = block.bn.double()
    block.conv, block.bn = fuse_conv_bn_eval(convolution, batch_norm).float(), nn.Identity()


register_feature_extractor(NAME, FusedInception)
