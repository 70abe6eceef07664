"""Verb `data.prepare`: writes a dataset as memory maps of images, labels and maps per split, with metadata."""

# N images, H height, W width, C channels

import contextlib
import logging
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike
from tqdm import tqdm

from twostage.config.schema import POSE_LABELS, DataConfig
from twostage.data import cifar10, fashion_mnist, folder
from twostage.data.collection import Collection, Record
from twostage.data.folder import FolderCollection
from twostage.data.listing import NAMED, LeftOut, lines_of, named, nfc
from twostage.data.splits import assign, fitting, keep_classes
from twostage.errors import TwostageError
from twostage.runtime.artifacts import new_array, sha256_file, sha256_json, write_json
from twostage.runtime.job import Job

log = logging.getLogger(__name__)

# Images per batch: bounds the memory for datasets of any size.
CHUNK = 256


def prepare(config: DataConfig, job: Job) -> None:
    """Writes {train,tune,validation}_{image,label,<map>}.npy, splits.json and metadata.json.

    Images are uint8 NHWC, maps uint8 NHW1, labels int64 N. Raises TwostageError for anything wrong with the data.
    """
    _check(config)
    collection = collect(config)
    counts = _split_sizes(config, collection)
    assigned = assign(collection.records, *counts)
    splits = keep_classes(assigned, collection.classes, config.classes)
    untrained = _classes_without_training(config, collection, splits)
    # One block for all arrays: if any picture or map is wrong, no array is written.
    with contextlib.ExitStack() as stack:
        for split, records in splits.items():
            _write_split(config, collection, job.folder, split, records, stack)
    write_json(
        job.folder / "splits.json", {name: [record.id for record in records] for name, records in splits.items()}
    )
    metadata = _metadata(config, collection, splits, job.folder)
    if isinstance(collection, FolderCollection):
        left_out = collection.left_out | _unused_records(collection, assigned, splits)
        for line in lines_of(left_out):
            log.warning("%s: %s", config.name, line)
        metadata |= _facts_of_folder(config, counts, left_out, untrained)
    write_json(job.folder / "metadata.json", metadata)
    log.info("%s: %s", config.name, ", ".join(f"{len(records)} {name}" for name, records in splits.items()))


def collect(config: DataConfig) -> Collection:
    """All images of the config's source. Raises TwostageError for an unknown source."""
    match config.source:
        case "cifar10":
            return cifar10.collect(config)
        case "fashion_mnist":
            return fashion_mnist.collect(config)
        case "folder":
            return folder.collect(config)
        case other:
            raise TwostageError(f"data.source is {other!r}; expected cifar10, fashion_mnist or folder")


def _check(config: DataConfig) -> None:
    """Raises TwostageError for invalid values."""
    for name in config.maps:
        _describe_map(name, config)
    twice = sorted(name for name, count in Counter(config.maps).items() if count > 1)
    if twice:
        raise TwostageError(f"data.maps has {', '.join(twice)} twice; name each map once")
    if config.size < 1:
        raise TwostageError(f"data.size is {config.size}; expected the side of the images in pixels, at least 1")
    if not 0 < config.canny_sigma < math.inf:
        raise TwostageError(f"data.canny_sigma is {config.canny_sigma}; expected a width in pixels above 0, such as 1")
    if not -255 <= config.label_offset <= 255:
        raise TwostageError(f"data.label_offset is {config.label_offset}; expected -255 to 255, as ids are 0 to 255")
    for pair in config.class_ranges:
        if len(pair) != 2 or not 0 <= pair[0] <= pair[1]:
            raise TwostageError(f"data.class_ranges has {list(pair)}; expected [first, last], counted from 0")


# Under its private name, `_check` counts as code of stored jobs: another name would make them anew.
def require_valid(config: DataConfig) -> None:
    """Raises TwostageError for values of the config that `prepare` refuses, without looking at the data."""
    _check(config)


def _split_sizes(config: DataConfig, collection: Collection) -> tuple[int, int | None]:
    """Numbers of tune and validation images: as configured, or fewer for a small folder, which is logged."""
    if not isinstance(collection, FolderCollection):
        return config.tune_images, None
    tune, validation = fitting(collection.records, config.tune_images, config.validation_images)
    if (tune, validation) != (config.tune_images, config.validation_images):
        log.warning(
            "%s: %d images are too few for data.tune_images=%s and data.validation_images=%s; using a tenth "
            "each instead: %s for tuning, %s for validation",
            config.name, len(collection.records), config.tune_images, config.validation_images, tune,
            "those held out" if any(record.held_out for record in collection.records) else validation,
        )  # fmt: skip
    return tune, validation


def _classes_without_training(config: DataConfig, collection: Collection, splits: dict[str, list[Record]]) -> list[str]:
    """Classes without any training picture, which are logged."""
    present = {collection.classes[r.label] for records in splits.values() for r in records if collection.classes}
    trained = {collection.classes[r.label] for r in splits["train"] if collection.classes}
    lacking = sorted(present - trained)
    if lacking:
        log.warning(
            "%s: no training picture of %s (all are in the splits validation or tune): a class-conditional prior will "
            "never see these classes, and its samples of them mean nothing; add pictures of them, or leave them out "
            "by data.classes",
            config.name, named(lacking),
        )  # fmt: skip
    return lacking


def _unused_records(
    collection: FolderCollection, assigned: dict[str, list[Record]], splits: dict[str, list[Record]]
) -> LeftOut:
    """Pictures that were read but are in no split, by reason."""
    placed = {record.id for records in assigned.values() for record in records}
    kept = {record.id for records in splits.values() for record in records}
    copies = sorted(record.id for record in collection.records if record.id not in placed)
    others = sorted(placed - kept)
    reasons = {"a copy of a picture in another split": copies, "of a class not in data.classes": others}
    return {reason: names for reason, names in reasons.items() if names}


def _facts_of_folder(
    config: DataConfig, counts: tuple[int, int | None], left_out: LeftOut, untrained: list[str]
) -> dict[str, object]:
    """Entries of metadata.json for folders only: the use of their files, and numbers that were adapted."""
    asked = {"tune_images": config.tune_images, "validation_images": config.validation_images}
    taken = dict(zip(asked, counts, strict=True))
    facts: dict[str, object] = {
        "left_out": {reason: {"count": len(names), "first": names[:NAMED]} for reason, names in left_out.items()}
    }
    if taken != asked:
        facts["splits_adapted"] = {"asked": asked, "taken": taken}
    if untrained:
        facts["classes_without_training"] = untrained
    return facts


def _describe_map(name: str, config: DataConfig) -> dict[str, int | str]:
    match name:
        case "edges":
            return {"channels": 1, "kind": "binary"}
        case "depth":
            return {"channels": 1, "kind": "grey"}
        case "segmentation":
            if config.num_labels is None or not 2 <= config.num_labels <= 256:
                raise TwostageError(
                    f"data.num_labels is {config.num_labels}; segmentation needs the number of labels, 2 to 256"
                )
            return {"channels": config.num_labels, "kind": "labels"}
        case "pose":
            return {"channels": POSE_LABELS, "kind": "labels"}
        case other:
            raise TwostageError(f"data.maps has {other!r}; expected edges, segmentation, depth or pose")


def _write_split(
    config: DataConfig,
    collection: Collection,
    out: Path,
    split: str,
    records: Sequence[Record],
    stack: contextlib.ExitStack,
) -> None:
    def array(name: str, *shape: int, dtype: DTypeLike = np.uint8) -> np.memmap:
        return stack.enter_context(new_array(out / f"{split}_{name}.npy", (len(records), *shape), dtype))

    size, kept = config.size, _class_names(config, collection)
    # Labels index the classes that are kept. A folder without classes has the single label 0.
    array("label", dtype=np.int64)[:] = [kept.index(collection.classes[r.label]) if kept else 0 for r in records]
    image, maps = array("image", size, size, 3), {name: array(name, size, size, 1) for name in config.maps}
    for start in tqdm(range(0, len(records), CHUNK), desc=f"{config.name} {split}", unit="chunk", disable=None):
        chunk = records[start : start + CHUNK]
        image_NHWC = collection.images(chunk)
        image[start : start + CHUNK] = image_NHWC
        for name, map_NHW1 in maps.items():
            map_NHW1[start : start + CHUNK, :, :, 0] = collection.map(name, chunk, image_NHWC)


def _metadata(
    config: DataConfig, collection: Collection, splits: dict[str, list[Record]], out: Path
) -> dict[str, object]:
    # The checksums of maps are also for the workflow, which identifies a dataset by its images and this file.
    checksums = {
        name: {split: sha256_file(out / f"{split}_{name}.npy") for split in splits} for name in ("image", *config.maps)
    }
    return {
        "name": config.name,
        "source": config.source,
        "size": config.size,
        "channels": 3,
        "classes": _class_names(config, collection),
        "maps": {
            "image": {"channels": 3, "kind": "colour", "sha256": checksums["image"]},
            **{name: {**_describe_map(name, config), "sha256": checksums[name]} for name in config.maps},
        },
        "splits": {
            name: {
                "num_images": len(records),
                # Checksums of the split's list in splits.json, without and with the checksums of the images' pixels.
                "manifest_sha256": sha256_json([record.id for record in records]),
                "content_sha256": sha256_json([[record.id, record.sha256, record.label] for record in records]),
            }
            for name, records in splits.items()
        },
        "sources": collection.sources,
    }


def _class_names(config: DataConfig, collection: Collection) -> list[str]:
    return [nfc(name) for name in config.classes] or list(collection.classes)
