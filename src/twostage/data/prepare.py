"""Verb `data.prepare`: one dataset as memory maps of images, labels and maps per split, and metadata."""

# N images, H height, W width, C channels

import contextlib
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike
from tqdm import tqdm

from twostage import cli
from twostage.artifacts import new_array, sha256_file, sha256_json, write_json
from twostage.configs import POSE_LABELS, DataConfig
from twostage.data import cifar10, fashion_mnist, folder
from twostage.data.collection import Collection, Record
from twostage.data.splits import assign, keep_classes
from twostage.errors import TwostageError
from twostage.jobs import Job

log = logging.getLogger(__name__)

# Images read at a time: bounds the memory, whatever the size of the dataset.
CHUNK = 256


def prepare(config: DataConfig, job: Job) -> None:
    """Writes {train,tune,validation}_{image,label,<map>}.npy, splits.json and metadata.json.

    Images are uint8 NHWC, maps uint8 NHW1, labels int64 N. Raises TwostageError for anything wrong with the data.
    """
    _check_maps(config)
    collection = collect(config)
    validation_images = config.validation_images if config.source == "folder" else None
    splits = keep_classes(
        assign(collection.records, config.tune_images, validation_images), collection.classes, config.classes
    )
    # One block for all arrays: if any picture or map is wrong, none of them appears.
    with contextlib.ExitStack() as stack:
        for split, records in splits.items():
            _write_split(config, collection, job.folder, split, records, stack)
    write_json(
        job.folder / "splits.json", {name: [record.id for record in records] for name, records in splits.items()}
    )
    write_json(job.folder / "metadata.json", _metadata(config, collection, splits, job.folder))
    log.info("%s: %s", config.name, ", ".join(f"{len(records)} {name}" for name, records in splits.items()))


def collect(config: DataConfig) -> Collection:
    """All images of the config's source. Raises TwostageError if there is no such source."""
    match config.source:
        case "cifar10":
            return cifar10.collect(config)
        case "fashion_mnist":
            return fashion_mnist.collect(config)
        case "folder":
            return folder.collect(config)
        case other:
            raise TwostageError(f"data.source is {other!r}; expected cifar10, fashion_mnist or folder")


def _check_maps(config: DataConfig) -> None:
    for name in config.maps:
        _describe_map(name, config)


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
            raise TwostageError(f"data.maps names {other!r}; expected edges, segmentation, depth or pose")


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

    size, kept = config.size, config.classes or collection.classes
    # Labels count within the classes that are kept; a folder without classes has the one label 0.
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
    # The maps' checksums stand here for the workflow too: it knows a dataset by its images and this file.
    checksums = {
        name: {split: sha256_file(out / f"{split}_{name}.npy") for split in splits} for name in ("image", *config.maps)
    }
    return {
        "name": config.name,
        "source": config.source,
        "size": config.size,
        "channels": 3,
        "classes": list(config.classes or collection.classes),
        "maps": {
            "image": {"channels": 3, "kind": "colour", "sha256": checksums["image"]},
            **{name: {**_describe_map(name, config), "sha256": checksums[name]} for name in config.maps},
        },
        "splits": {
            name: {
                "num_images": len(records),
                # Of the split's list in splits.json, and of the same with the checksum of each image's pixels.
                "manifest_sha256": sha256_json([record.id for record in records]),
                "content_sha256": sha256_json([[record.id, record.sha256, record.label] for record in records]),
            }
            for name, records in splits.items()
        },
        "sources": collection.sources,
    }


def main() -> None:
    """Command line of the verb."""
    cli.run("data.prepare", DataConfig, prepare)


if __name__ == "__main__":
    main()
