"""Pretrained networks that make maps from images: DeepLab v3 (segmentation) and MiDaS (depth)."""

# N images, H height, W width, K labels

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional
from torchvision.models import segmentation

from twostage.config.schema import VOC_LABELS
from twostage.errors import TwostageError
from twostage.runtime import training
from twostage.runtime.artifacts import sha256_file
from twostage.sources.fetch import cache_folder, obtain

NUM_LABELS = (
    VOC_LABELS  # background and the twenty classes of Pascal VOC, on which torchvision trained with COCO's images
)
# ImageNet's statistics, with which both networks were trained.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# Shorter side at which torchvision evaluates DeepLab v3, and side of the input of MiDaS small.
SEGMENTED_SIDE, MIDAS_SIDE = 520, 256
SEGMENTED = 8  # images per batch: at this size the features of one image take hundreds of megabytes
MIDAS_FILE = "model-small-traced.pt"
MIDAS_ADDRESS = f"https://github.com/isl-org/MiDaS/releases/download/v2_1/{MIDAS_FILE}"


@dataclass(frozen=True)
class Segmenter:
    """Images uint8 [N, H, W, 3] to label ids uint8 [N, H, W, 1] in [0, 21)."""

    network: torch.nn.Module

    @torch.inference_mode()
    def __call__(self, image_NHWC: np.ndarray) -> np.ndarray:
        """The likeliest label of each pixel."""
        parts = [self._labels(image_NHWC[at : at + SEGMENTED]) for at in range(0, len(image_NHWC), SEGMENTED)]
        return np.concatenate(parts)

    def _labels(self, image_NHWC: np.ndarray) -> np.ndarray:
        logits_NKHW = self.network(network_input(image_NHWC, SEGMENTED_SIDE))["out"]
        back_NKHW = functional.interpolate(logits_NKHW, image_NHWC.shape[1:3], mode="bilinear", align_corners=False)
        return back_NKHW.argmax(1).byte().cpu().numpy()[..., None]


@dataclass(frozen=True)
class DepthEstimator:
    """Images uint8 [N, H, W, 3] to inverse depth uint8 [N, H, W, 1], stretched to 0..255 in each image."""

    network: torch.nn.Module

    @torch.inference_mode()
    def __call__(self, image_NHWC: np.ndarray) -> np.ndarray:
        """Near is bright. MiDaS gives depth only up to scale and shift, so stretching loses nothing."""
        depth_NHW = self.network(network_input(image_NHWC, MIDAS_SIDE)).float()
        back_N1HW = functional.interpolate(depth_NHW[:, None], image_NHWC.shape[1:3], mode="bilinear")
        low, high = back_N1HW.amin((1, 2, 3), keepdim=True), back_N1HW.amax((1, 2, 3), keepdim=True)
        share_N1HW = (back_N1HW - low) / (high - low).clamp_min(1e-6)
        return (share_N1HW * 255).round().byte().cpu().numpy()[:, 0, :, :, None]


def network_input(image_NHWC: np.ndarray, side: int) -> torch.Tensor:
    """uint8 images as inputs of ImageNet networks: float32 [N, 3, side, side] on the device."""
    image_NCHW = torch.from_numpy(np.array(image_NHWC)).permute(0, 3, 1, 2).to(training.device()).float() / 255
    large_NCHW = functional.interpolate(image_NCHW, (side, side), mode="bicubic", align_corners=False, antialias=True)
    mean, std = (torch.tensor(values, device=large_NCHW.device)[:, None, None] for values in (MEAN, STD))
    return (large_NCHW - mean) / std


def load_segmenter() -> tuple[Segmenter, dict[str, str]]:
    """DeepLab v3 with a ResNet-50 (Chen et al. 2017) and torchvision's weights, and the file of the weights.

    If the file is not in the cache and cannot be downloaded, raises TwostageError that says where to put it.
    """
    obtained = obtain("deeplabv3")
    ((file, path),) = obtained.paths.items()
    with torch.device("meta"):
        network = segmentation.deeplabv3_resnet50(weights=None, weights_backbone=None, aux_loss=True)
    state = torch.load(path, map_location="cpu", weights_only=True)
    if set(state) != set(network.state_dict()):
        raise TwostageError(f"{path} is not torchvision's deeplabv3_resnet50; remove it and run again")
    network.load_state_dict(state, assign=True)
    return Segmenter(network.to(training.device()).eval()), {"file": file, "sha256": obtained.sha256[file]}


def load_depth_estimator() -> tuple[DepthEstimator, dict[str, str]]:
    """MiDaS v2.1 small (Ranftl et al. 2020) from the TorchScript file of its release, and the file's checksum.

    Its publisher gives no checksum, so it is not downloaded. If it is missing, raises TwostageError that says where to
    put it.
    """
    path = cache_folder() / "weights" / MIDAS_FILE
    if not path.is_file():
        raise TwostageError(
            f"depth needs the weights of MiDaS, which are missing; put {MIDAS_FILE} from {MIDAS_ADDRESS} into "
            f"{path.parent}/, or add a folder depth/ with one map per picture"
        )
    try:
        # Loading TorchScript runs a program, so only the publisher's file may be used.
        network = torch.jit.load(str(path), map_location="cpu")
    except RuntimeError as error:
        raise TwostageError(f"{path} is not a TorchScript file; download {MIDAS_ADDRESS} again") from error
    return DepthEstimator(network.to(training.device()).eval()), {"file": MIDAS_FILE, "sha256": sha256_file(path)}
