"""Fashion-MNIST (Xiao et al. 2017), 28x28 or padded to 32x32, with three equal channels and its layout per pixel."""

# N images, H height, W width, C channels

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from twostage.config.schema import DataConfig
from twostage.data.collection import ArrayCollection, Record, array_records
from twostage.data.maps import garment_layout
from twostage.errors import TwostageError
from twostage.sources.fetch import obtain

CLASSES = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
# The images are 28x28; two black pixels on every side make the size a power of two.
PADDING_OF = {28: 0, 32: 2}
NUM_LABELS = 1 + len(CLASSES)


@dataclass
class FashionCollection(ArrayCollection):
    """Adds the garment layout as segmentation."""

    def map(self, name: str, records: Sequence[Record], image_NHWC: np.ndarray) -> np.ndarray:
        """Segmentation (0 background, 1 to 10 garment) or edges of these images, uint8 NHW."""
        if name == "segmentation":
            return garment_layout(image_NHWC[..., 0], np.array([record.label for record in records]))
        return super().map(name, records, image_NHWC)


def collect(config: DataConfig) -> FashionCollection:
    """All images; the official test split is held out.

    Raises TwostageError if data.size is not 28 or 32, or if segmentation is asked for and data.num_labels is not 11.
    """
    if config.size not in PADDING_OF:
        raise TwostageError(
            f"data.size is {config.size}; fashion_mnist has 28x28 pixels, or 32x32 with padding: set data.size=32 or 28"
        )
    if "segmentation" in config.maps and config.num_labels != NUM_LABELS:
        raise TwostageError(
            f"data.num_labels is {config.num_labels}; the layout of fashion_mnist has {NUM_LABELS} labels "
            f"(background and ten garments): set data.num_labels={NUM_LABELS}"
        )
    obtained = obtain("fashion_mnist")
    parts: list[np.ndarray] = []
    records: list[Record] = []
    for prefix, split, held_out in (("train", "train", False), ("t10k", "test", True)):
        image_NHWC = _padded(read_idx(obtained.paths[f"{prefix}-images-idx3-ubyte"]), PADDING_OF[config.size])
        label_N = read_idx(obtained.paths[f"{prefix}-labels-idx1-ubyte"])
        records += array_records(image_NHWC, label_N, split, held_out, first=len(records))
        parts.append(image_NHWC)
    return FashionCollection(
        "fashion_mnist", CLASSES, records, obtained.sha256, np.concatenate(parts), config.canny_sigma
    )


def read_idx(path: Path) -> np.ndarray:
    """The uint8 array of an idx file: two zero bytes, type 8, rank, big-endian sizes, values.

    Raises TwostageError for any other file. Source: LeCun's description of MNIST's format.
    """
    content = path.read_bytes()
    if content[:3] != b"\x00\x00\x08" or len(content) < 4 or len(content) < 4 + 4 * content[3]:
        raise TwostageError(f"{path} is not an idx file of bytes; remove it and run again")
    rank = content[3]
    shape = np.frombuffer(content[4 : 4 + 4 * rank], ">u4").astype(int)
    values = np.frombuffer(content[4 + 4 * rank :], np.uint8)
    if len(values) != shape.prod():
        raise TwostageError(f"{path} has {len(values)} values, its header says {shape.prod()}; remove it and run again")
    return values.reshape(shape)


def _padded(grey_NHW: np.ndarray, padding: int) -> np.ndarray:
    padded_NHW = np.pad(grey_NHW, ((0, 0), (padding, padding), (padding, padding)))
    return np.repeat(padded_NHW[..., None], 3, axis=-1)
