"""Verb `evaluation.classifier`: an independent classifier of a dataset's images.

It judges whether a class-conditional sample shows its class, and rejects samples (Esser et al. 2021, Sec. 4.4). It is
trained on real images alone, or is a torchvision classifier of ImageNet.
"""

# B batch, N images, H height, W width, C channels, K classes

import dataclasses
import itertools
import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torchvision.models import resnet50

from twostage.config.schema import ClassifierConfig
from twostage.data.networks import network_input
from twostage.errors import TwostageError
from twostage.runtime import training
from twostage.runtime.artifacts import read_array, read_json, write_json
from twostage.runtime.job import Job
from twostage.runtime.tensors import read_tensors, write_tensors
from twostage.runtime.training import Loop
from twostage.sources.fetch import obtain

log = logging.getLogger(__name__)

# Images classified at a time, and the side that torchvision's classifiers take.
BATCH, IMAGENET_SIDE = 250, 224
IMAGENET_CLASSES = 1000


class SmallClassifier(nn.Module):
    """Three levels of two 3x3 convolutions with batch norm, then the mean over the image: for small pictures."""

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        widths = (3, width, 2 * width, 4 * width)
        levels = [
            part
            for narrow, wide in itertools.pairwise(widths)
            for part in (*_convolution(narrow, wide), *_convolution(wide, wide), nn.MaxPool2d(2))
        ]
        self.levels, self.head = nn.Sequential(*levels), nn.Linear(widths[-1], num_classes)

    def forward(self, image_BCHW: torch.Tensor) -> torch.Tensor:
        """Logits [B, K] of float32 images in [-1, 1]."""
        return self.head(self.levels(image_BCHW).mean((2, 3)))


def _convolution(narrow: int, wide: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(narrow, wide, 3, padding=1, bias=False), nn.BatchNorm2d(wide), nn.ReLU()


@dataclasses.dataclass(frozen=True)
class Classifier:
    """A finished classifier."""

    network: nn.Module
    name: str
    classes: list[str]

    @torch.inference_mode()
    def probabilities(self, image_NHWC: np.ndarray) -> np.ndarray:
        """float32 [N, K] of images uint8 [N, H, W, 3]."""
        found = []
        for start in range(0, len(image_NHWC), BATCH):
            batch_BHWC = image_NHWC[start : start + BATCH]
            large = self.name == "resnet50"
            image_BCHW = network_input(batch_BHWC, IMAGENET_SIDE) if large else _prepared(batch_BHWC)
            found.append(self.network(image_BCHW).softmax(1).float().cpu().numpy())
        return np.concatenate(found)

    def accuracy(self, image_NHWC: np.ndarray, label_N: np.ndarray) -> float:
        """Share of images whose likeliest class is their label."""
        return float((self.probabilities(image_NHWC).argmax(1) == label_N).mean())


class ClassifierTask:
    """Implements `training.Task`; flips and cyclic shifts of up to four pixels augment the images."""

    def __init__(self, config: ClassifierConfig, folder: Path, num_classes: int) -> None:
        self.config = config
        self.network = SmallClassifier(config.width, num_classes).to(training.device())
        self.image, self.label = (read_array(folder / f"train_{name}.npy") for name in ("image", "label"))
        self.held_out = tuple(read_array(folder / f"tune_{name}.npy")[:1000] for name in ("image", "label"))
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )

    def step(self, step: int) -> dict[str, torch.Tensor]:
        """One update; the batch is a function of seed and step."""
        loop = self.config.loop
        position_B = np.sort(training.batch_positions(len(self.image), loop.batch_size, loop.seed, step))
        random = np.random.default_rng((loop.seed, step))
        image_BHWC = self.image[position_B]
        flipped_B111 = random.random((len(position_B), 1, 1, 1)) < 0.5
        image_BHWC = np.where(flipped_B111, image_BHWC[:, :, ::-1], image_BHWC)
        # One shift for the whole batch.
        image_BHWC = np.roll(image_BHWC, random.integers(-4, 5, 2), axis=(1, 2))
        self.network.train()
        for group in self.optimiser.param_groups:
            warm = training.warmed_up(self.config.learning_rate, 50, step)
            group["lr"] = warm * (1 + math.cos(math.pi * step / loop.steps)) / 2
        self.optimiser.zero_grad(set_to_none=True)
        label_B = torch.from_numpy(self.label[position_B]).to(training.device())
        loss = functional.cross_entropy(self.network(_prepared(image_BHWC)), label_B)
        loss.backward()
        self.optimiser.step()
        return {"loss": loss.detach()}

    def evaluate(self) -> dict[str, float]:
        """Accuracy on the first images of the tune split."""
        image, label = self.held_out
        return {"tune_accuracy": Classifier(self.network.eval(), "small", []).accuracy(image, label)}

    def state(self) -> dict[str, Any]:
        """Network and optimiser."""
        return {"network": self.network.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Takes back what `state` gave."""
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])


def _prepared(image_BHWC: np.ndarray) -> torch.Tensor:
    image_BCHW = torch.from_numpy(np.array(image_BHWC, order="C")).permute(0, 3, 1, 2)
    return image_BCHW.to(training.device()).float() / 127.5 - 1


def classifier(config: ClassifierConfig, job: Job) -> None:
    """Writes model.safetensors, config.json and metrics.json with the accuracy on the validation split.

    Raises TwostageError if the dataset has fewer than two classes, or not those of the network.
    """
    training.seed_everything(config.loop.seed)
    data = read_json(job.upstream("data") / "metadata.json")
    classes, loop = data["classes"], None
    if len(classes) < 2:
        raise TwostageError(f"dataset {data['name']} has {len(classes)} classes; a classifier needs two or more")
    match config.network:
        case "small":
            task = ClassifierTask(config, job.upstream("data"), len(classes))
            loop = Loop(task, config.loop, job.scratch, job.variant)
            loop.run(lambda loop: loop.step >= config.loop.steps)
            network: nn.Module = task.network.eval()
        case "resnet50":
            network = _of_imagenet(data)
        case other:
            raise TwostageError(f"evaluation.classifier.network={other} is unknown; choose small or resnet50")
    found = Classifier(network, config.network, classes)
    image, label = (read_array(job.upstream("data") / f"validation_{name}.npy") for name in ("image", "label"))
    metrics = {"accuracy": found.accuracy(image, label), "images": len(image), "network": config.network}
    write_tensors(job.folder / "model.safetensors", network.state_dict())
    write_json(job.folder / "config.json", {"network": config.network, "width": config.width, "classes": found.classes})
    write_json(job.folder / "metrics.json", metrics | {"train_seconds": loop.train_seconds if loop else None})
    log.info("%s: accuracy %.3f on %d validation images", job.variant, metrics["accuracy"], len(image))
    if loop:
        loop.discard()


def _of_imagenet(data: dict[str, Any]) -> nn.Module:
    if len(data["classes"]) != IMAGENET_CLASSES:
        raise TwostageError(
            f"evaluation.classifier.network=resnet50 knows ImageNet's {IMAGENET_CLASSES} classes, dataset "
            f"{data['name']} has {len(data['classes'])}; set it to small"
        )
    (path,) = obtain("resnet50").paths.values()
    with torch.device("meta"):
        network = resnet50(weights=None)
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True), assign=True)
    return network.to(training.device()).eval()


def load(folder: Path) -> Classifier:
    """The classifier of an artifact folder. Raises TwostageError if its files are missing or damaged."""
    config = read_json(folder / "config.json")
    with torch.device("meta"):
        if config["network"] == "resnet50":
            network: nn.Module = resnet50(weights=None)
        else:
            network = SmallClassifier(config["width"], len(config["classes"]))
    network.load_state_dict(read_tensors(folder / "model.safetensors")[0], assign=True)
    return Classifier(network.to(training.device()).eval(), config["network"], config["classes"])
