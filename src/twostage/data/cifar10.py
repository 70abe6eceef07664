"""CIFAR-10 (Krizhevsky 2009): 60,000 colour images of 32x32 pixels in ten classes."""

import numpy as np

from twostage.config.schema import DataConfig
from twostage.data.collection import ArrayCollection, array_records
from twostage.errors import TwostageError
from twostage.runtime.artifacts import read_array
from twostage.sources.fetch import obtain

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
SIZE = 32


def collect(config: DataConfig) -> ArrayCollection:
    """All images. The official test split is held out. Raises TwostageError if data.size is not 32."""
    if config.size != SIZE:
        raise TwostageError(
            f"data.size is {config.size}; the images of cifar10 are {SIZE}x{SIZE}: set data.size={SIZE}"
        )
    obtained = obtain("cifar10")
    train, test = (read_array(obtained.paths[f"{split}_image.npy"]) for split in ("train", "test"))
    train_labels, test_labels = (read_array(obtained.paths[f"{split}_label.npy"]) for split in ("train", "test"))
    records = array_records(train, train_labels, "train", held_out=False, first=0)
    records += array_records(test, test_labels, "test", held_out=True, first=len(train))
    image_NHWC = np.concatenate([train, test])
    return ArrayCollection("cifar10", CLASSES, records, obtained.sha256, image_NHWC, config.canny_sigma)
