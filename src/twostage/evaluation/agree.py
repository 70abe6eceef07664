"""Verb `evaluation.agree`: how well samples agree with the conditions of the real images that they are held against.

The same of what samples can reach at best: the real images through the tokenizer, and the real images themselves.
Source: Esser et al. 2021, Sec. 4.2.
"""

# N images, G pictures, P samples of a condition, H height, W width

from dataclasses import dataclass
from typing import Any

import numpy as np

from twostage.errors import TwostageError
from twostage.evaluation import classifier
from twostage.evaluation.agreement import Given, Judges, agreement, first_drawn
from twostage.evaluation.conditions import shown_map
from twostage.evaluation.quantities import spread_over_images
from twostage.evaluation.reconstruct import reconstructed
from twostage.runtime import training
from twostage.runtime.artifacts import read_array, read_json, write_array, write_json
from twostage.runtime.job import Job
from twostage.weights.lpips import PerceptualDistance

# Of how samples were drawn, what captions and tables say, and its name there: the steps are those of a chain.
OF_SAMPLING = {"steps": "sampling_steps"} | {
    key: key
    for key in ("num_images", "per_condition", "temperature", "top_k", "top_p", "proportion", "given_tokens_per_image")
}


@dataclass
class AgreeConfig:
    """What is measured of which images: inputs `samples`, `tokenizer` (reconstructions) or neither (real images)."""

    quantities: list[str]
    condition: str | None  # what conditions the prior: class, coordinates or the name of a map; null: none of these
    conditions: int  # the first so many validation images
    per_condition: int = 1
    num_labels: int | None = None  # of a map of label ids
    canny_sigma: float = 1.0
    batch_size: int = 100
    pictures: int = 0  # conditions of which grid.npy shows the samples; 0: there is no grid.npy
    rows_given: float = 0.0  # the share of an image's rows, from the top, that was given: the others alone are measured


def agree(config: AgreeConfig, job: Job) -> None:
    """Writes metrics.json: every quantity's mean over the images, and its spread (NAME_std_over_images).

    With `pictures`, grid.npy as well: uint8 [strips, G, H, W, 3], the condition (of a class none), the real image and
    each sample of it; labels of the strips, and the classes, are in metrics.json. Raises TwostageError if there are
    fewer validation images than conditions.
    """
    given = _given(config, job)
    images, judges = _images(config, job, given), _judges(config, job)
    metrics: dict[str, Any] = {}
    for quantity in config.quantities:
        values = agreement(quantity, images, given, judges)
        spread = float(values.std(ddof=1)) if len(values) > 1 else None
        metrics |= {quantity: float(values.mean()), spread_over_images(quantity): spread}
    metrics["told"] = _told(config, job, given)
    if config.pictures:
        metrics["strips"], strips = _strips(config, images, given)
        metrics["names"] = _names(config, job, given)
        write_array(job.folder / "grid.npy", np.stack(strips))
    write_json(job.folder / "metrics.json", metrics)


def _given(config: AgreeConfig, job: Job) -> Given:
    """Real images, labels and maps, repeated for every image that is held against them."""
    data = job.upstream("data")
    image, label = (read_array(data / f"validation_{name}.npy") for name in ("image", "label"))
    if len(image) < config.conditions:
        raise TwostageError(
            f"{job.variant}: conditions of {config.conditions} images are asked for, and there are {len(image)} "
            "validation images; lower conditions.images"
        )
    place_N = np.arange(config.conditions * config.per_condition) // config.per_condition
    maps = read_array(job.upstream("maps") / f"validation_{config.condition}.npy") if "maps" in job.inputs else None
    map_NHWC = None if maps is None else maps[place_N]
    return Given(image[place_N], label[place_N], map_NHWC, config.per_condition, config.rows_given)


def _images(config: AgreeConfig, job: Job, given: Given) -> np.ndarray:
    if "samples" in job.inputs:
        return np.asarray(read_array(job.upstream("samples") / "samples.npy"))
    if "tokenizer" in job.inputs:
        return reconstructed(job.upstream("tokenizer"), given.image_NHWC, config.batch_size)
    return given.image_NHWC


def _judges(config: AgreeConfig, job: Job) -> Judges:
    lpips = PerceptualDistance.load(job.upstream("vgg16")).to(training.device()) if "vgg16" in job.inputs else None
    judge = classifier.load(job.upstream("classifier")) if "classifier" in job.inputs else None
    return Judges(lpips, judge, config.canny_sigma)


def _told(config: AgreeConfig, job: Job, given: Given) -> dict[str, Any]:
    """What captions and tables say of the images."""
    size = int(given.image_NHWC.shape[1])
    told: dict[str, Any] = {"num_conditions": config.conditions, "size": size}
    if config.rows_given:
        told["drawn_rows"] = size - first_drawn(size, config.rows_given)
    if "samples" in job.inputs:
        drawn = read_json(job.upstream("samples") / "metrics.json")
        told |= {name: drawn[key] for key, name in OF_SAMPLING.items() if drawn.get(key) is not None}
    if "classifier" in job.inputs:
        judge = read_json(job.upstream("classifier") / "metrics.json")
        told |= {f"classifier_{key}": value for key, value in judge.items()}
    return told


def _names(config: AgreeConfig, job: Job, given: Given) -> list[str]:
    """The classes of the pictures, where they are the condition."""
    if config.condition != "class":
        return []
    classes = read_json(job.upstream("data") / "metadata.json")["classes"]
    return [classes[label] for label in given.label_N[:: config.per_condition][: config.pictures]]


def _strips(config: AgreeConfig, images: np.ndarray, given: Given) -> tuple[list[str], list[np.ndarray]]:
    """Labels and strips of the first conditions."""
    number = min(config.pictures, config.conditions)
    end = number * config.per_condition
    real_GHW3 = given.image_NHWC[: end : config.per_condition]
    height = real_GHW3.shape[1]
    strips, labels = [], ["original", *["samples", *[""] * (config.per_condition - 1)]]
    if given.map_NHWC is not None:
        strips.append(shown_map(given.map_NHWC[: end : config.per_condition], height, config.num_labels))
    elif config.rows_given:
        # Of a beginning the rest is grey.
        begun_GHW3 = np.array(real_GHW3)
        begun_GHW3[:, first_drawn(height, config.rows_given) :] = 208
        strips.append(begun_GHW3)
    drawn = images[:end].reshape(number, config.per_condition, *images.shape[1:])
    labels = (["condition"] if strips else []) + labels
    return labels, [*strips, real_GHW3, *drawn.swapaxes(0, 1)]
