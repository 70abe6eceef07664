"""One picture file to an array of a given size: decoding, centre crop, resizing. Pure but for reading the file."""

# H height, W width, C channels; sizes are (height, width)

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from twostage.errors import TwostageError

# What Pillow's decoders raise at damaged files.
DECODE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    TypeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


class UndecodableError(Exception):
    """A file that is not a whole picture."""


class TooSmallError(Exception):
    """A picture with a side that is less than that of the crop."""


def decode(path: Path) -> Image.Image:
    """The whole picture, turned as its EXIF orientation says. Raises UndecodableError."""
    try:
        with Image.open(path) as picture:
            picture.load()
            return ImageOps.exif_transpose(picture)
    except DECODE_ERRORS as error:
        raise UndecodableError(f"{path}: {' '.join(str(error).split()) or type(error).__name__}") from error


def upright_size(path: Path) -> tuple[int, int]:
    """Width and height of the picture that `decode` returns, out of the file's header alone."""
    with Image.open(path) as picture:
        # EXIF orientations 5 to 8 lie on their side.
        return picture.size[::-1] if picture.getexif().get(0x0112, 1) >= 5 else picture.size


def fitted(picture: Image.Image, size: tuple[int, int], resample: Image.Resampling) -> Image.Image:
    """The picture scaled down until one side is that of `size`, and its centre: for squares, the shorter side.

    Raises TooSmallError if it would have to be enlarged.
    """
    width, height = picture.size
    if width < size[1] or height < size[0]:
        raise TooSmallError(f"{width}x{height}")
    # The largest box of the wanted shape that the picture holds.
    wide = width * size[0] >= height * size[1]
    box_width, box_height = (height * size[1] / size[0], height) if wide else (width, width * size[0] / size[1])
    left, top = (width - box_width) / 2, (height - box_height) / 2
    # Resizing the box alone gives the same pixels as resizing the whole and cropping it, for less work.
    return picture.resize(size[::-1], resample, box=(left, top, left + box_width, top + box_height))


def image_array(picture: Image.Image, size: tuple[int, int]) -> np.ndarray:
    """Colours, uint8 [H, W, 3]."""
    return np.asarray(fitted(picture.convert("RGB"), size, Image.Resampling.LANCZOS))


def label_array(
    picture: Image.Image, size: tuple[int, int], num_labels: int, path: Path, offset: int = 0
) -> np.ndarray:
    """Label ids, uint8 [H, W]; a palette picture gives its indices. `offset` is added to every id, modulo 256.

    Raises TwostageError if it is not a map of labels, or a label is not below `num_labels`.
    """
    if picture.mode not in ("L", "P", "1", "I", "I;16"):
        raise TwostageError(f"{path} is a {picture.mode} picture; expected label ids, one channel (mode L, P or I)")
    if picture.mode in ("1", "I;16"):
        picture = picture.convert("I")
    label_HW = np.asarray(fitted(picture, size, Image.Resampling.NEAREST))
    if offset:
        # COCO-Stuff's unlabelled pixels are 255: one more makes them 0, and its labels 1 to 182.
        label_HW = (label_HW.astype(np.int64) + offset) % 256
    if label_HW.max() >= num_labels or label_HW.min() < 0:
        odd = label_HW.max() if label_HW.max() >= num_labels else label_HW.min()
        raise TwostageError(
            f"{path} has the label {odd}; data.num_labels={num_labels} allows 0 to {num_labels - 1}: raise it or "
            "renumber the labels"
        )
    return label_HW.astype(np.uint8)


def grey_array(picture: Image.Image, size: tuple[int, int]) -> np.ndarray:
    """Grey values, uint8 [H, W]; those of 16 bits are scaled to 0..255."""
    if picture.mode in ("I", "I;16", "I;16B"):
        grey_HW = np.asarray(fitted(picture.convert("I").convert("F"), size, Image.Resampling.BILINEAR)) / 257
        return np.clip(np.rint(grey_HW), 0, 255).astype(np.uint8)
    return np.asarray(fitted(picture.convert("L"), size, Image.Resampling.BILINEAR))


def binary_array(picture: Image.Image, size: tuple[int, int]) -> np.ndarray:
    """Edges, uint8 [H, W]: 255 where the picture is brighter than half, else 0."""
    grey_HW = np.asarray(fitted(picture.convert("L"), size, Image.Resampling.NEAREST))
    return np.where(grey_HW > 127, np.uint8(255), np.uint8(0))
