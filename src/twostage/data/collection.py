"""The interface of a source of images: records of its images, and their pixels and maps on demand."""

# N images, H height, W width, C channels

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from twostage.data.maps import canny_edges
from twostage.errors import TwostageError


@dataclass(frozen=True)
class Record:
    """One image: a stable name within its source, and a checksum of its pixels.

    `held_out`: the source reserves it for testing. `label`: index into the source's classes.
    """

    id: str
    sha256: str
    label: int
    held_out: bool
    position: int


class Collection(Protocol):
    """All images of one source."""

    classes: list[str]
    records: list[Record]
    sources: dict[str, str]  # what was read -> its sha256

    def images(self, records: Sequence[Record]) -> np.ndarray:
        """Pixels of these records, uint8 NHWC."""
        ...

    def map(self, name: str, records: Sequence[Record], image_NHWC: np.ndarray) -> np.ndarray:
        """The map `name` of these records, uint8 NHW; `image_NHWC` are their images."""
        ...


@dataclass
class ArrayCollection:
    """Images in memory maps, such as CIFAR-10's. Can make edges; subclasses may add other maps."""

    name: str
    classes: list[str]
    records: list[Record]
    sources: dict[str, str]
    pixels: np.ndarray  # uint8 NHWC, all records
    canny_sigma: float

    def images(self, records: Sequence[Record]) -> np.ndarray:
        """Pixels of these records, uint8 NHWC."""
        return self.pixels[[record.position for record in records]]

    def map(self, name: str, records: Sequence[Record], image_NHWC: np.ndarray) -> np.ndarray:  # noqa: ARG002
        """Edges (0 or 255) of these images, uint8 NHW. Raises TwostageError for any other map."""
        if name != "edges":
            raise TwostageError(f"data.maps names {name}; {self.name} has no {name}; only edges can be made from it")
        return canny_edges(image_NHWC, self.canny_sigma)


def array_records(image_NHWC: np.ndarray, label_N: np.ndarray, prefix: str, held_out: bool, first: int) -> list[Record]:
    """Records of a stored split: image i is named `prefix/i` and is image `first + i` of its collection."""
    return [
        Record(f"{prefix}/{i:05d}", hashlib.sha256(image_HWC.tobytes()).hexdigest(), int(label), held_out, first + i)
        for i, (image_HWC, label) in enumerate(zip(image_NHWC, label_N, strict=True))
    ]
