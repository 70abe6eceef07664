"""Verb `weights.convert`: converts pretrained networks, official or from a package, to safetensors with equal names."""

# O output channels, I input channels, H height, W width of a kernel

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from twostage.config.schema import WeightsConfig
from twostage.errors import TwostageError
from twostage.runtime.job import Job
from twostage.runtime.tensors import write_tensors
from twostage.sources.fetch import obtain
from twostage.sources.pickles import load_arrays
from twostage.weights import inception

log = logging.getLogger(__name__)

# Indices of the convolutions in torchvision's `features`, in layer order.
CONVOLUTIONS = {
    "vgg16": (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
    "alexnet": (0, 3, 6, 8, 10),
}
# Their names in the package of LPIPS backbones.
PACKAGE_NAMES = {"vgg16": "VGG16_0", "alexnet": "AlexNet_0"}


def convert(config: WeightsConfig, job: Job) -> None:
    """Writes `model.safetensors` of vgg16, alexnet or inception. Raises TwostageError for any other name."""
    if config.name not in (*CONVOLUTIONS, "inception"):
        raise TwostageError(f"weights.name is {config.name!r}; expected vgg16, alexnet or inception")
    obtained = obtain(config.name)
    ((file, path),) = obtained.paths.items()
    tensors = inception_state(path) if config.name == "inception" else backbone(path, config.name)
    metadata = {"name": config.name, "source": file, "source_sha256": obtained.sha256[file]}
    write_tensors(job.folder / "model.safetensors", tensors, metadata)
    log.info("%s: %d tensors from %s", config.name, len(tensors), file)


def backbone(path: Path, name: str) -> dict[str, torch.Tensor]:
    """The convolutions of an LPIPS backbone: `features.<i>.weight` float32 OIHW and `features.<i>.bias`.

    `path` is torchvision's .pth, or the package's pickle of arrays, with kernels HWIO.
    """
    if path.suffix == ".pth":
        state = torch.load(path, map_location="cpu", weights_only=True)
        # LPIPS does not use the classifier.
        tensors = {key: value for key, value in state.items() if key.startswith("features.")}
    else:
        tensors = _from_package(load_arrays(path.read_bytes(), path.name), name)
    expected = {f"features.{i}.{kind}" for i in CONVOLUTIONS[name] for kind in ("weight", "bias")}
    _refuse_other_names(path, set(tensors), expected)
    return tensors


def _from_package(arrays: dict[str, Any], name: str) -> dict[str, torch.Tensor]:
    tensors = {}
    layers = arrays[PACKAGE_NAMES[name]]
    for layer, position in enumerate(CONVOLUTIONS[name]):
        kernel_HWIO = np.asarray(layers[f"Conv_{layer}"]["kernel"])
        kernel_OIHW = np.ascontiguousarray(kernel_HWIO.transpose(3, 2, 0, 1))
        tensors[f"features.{position}.weight"] = torch.from_numpy(kernel_OIHW)
        tensors[f"features.{position}.bias"] = torch.tensor(np.asarray(layers[f"Conv_{layer}"]["bias"]))
    return tensors


def inception_state(path: Path) -> dict[str, torch.Tensor]:
    """The Inception of FID with torch-fidelity's names; `fc` only if the source has it.

    `path` is torch-fidelity's .pth, or the package's TorchScript archive. The archive has the convolutions in the same
    order, and batch norms without scale (it is 1).
    """
    expected = inception.state_names()
    if path.suffix == ".pth":
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    else:
        tensors = _from_torchscript(path, expected)
        expected = [key for key in expected if not key.startswith("fc.")]
    _refuse_other_names(path, set(tensors), set(expected))
    return tensors


def _from_torchscript(path: Path, expected: list[str]) -> dict[str, torch.Tensor]:
    with warnings.catch_warnings():
        # torch warns that TorchScript is deprecated, but nothing else reads a TorchScript archive.
        warnings.filterwarnings("ignore", category=FutureWarning)
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        archive = torch.jit.load(str(path), map_location="cpu").state_dict()
    groups = [key.removesuffix(".weight") for key in archive if key.endswith(".weight")]
    blocks = [key.removesuffix(".conv.weight") for key in expected if key.endswith(".conv.weight")]
    tensors = {}
    for group, block in zip(groups, blocks, strict=True):
        variance = archive[f"{group}.var"]
        tensors[f"{block}.conv.weight"] = archive[f"{group}.weight"]
        tensors[f"{block}.bn.weight"] = torch.ones_like(variance)
        tensors[f"{block}.bn.bias"] = archive[f"{group}.beta"]
        tensors[f"{block}.bn.running_mean"] = archive[f"{group}.mean"]
        tensors[f"{block}.bn.running_var"] = variance
        tensors[f"{block}.bn.num_batches_tracked"] = torch.tensor(0)
    return tensors


def _refuse_other_names(path: Path, got: set[str], expected: set[str]) -> None:
    if got != expected:
        odd = ", ".join(sorted(got ^ expected)[:3])
        raise TwostageError(f"{path.name} has unexpected or missing tensors ({odd}); remove it and run again")
