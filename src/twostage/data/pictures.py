"""One picture file to a square array: decoding, centre crop, resizing. Pure but for reading the file."""

# H height, W width, C channels

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
    """A picture whose shorter side is less than the crop."""


def decode(path: Path) -> Image.Image:
    """The whole picture, turned as its EXIF orientation says. Raises UndecodableError."""
    try:
        with Image.open(path) as picture:
            picture.load()
            return ImageOps.exif_transpose(picture)
    except DECODE_ERRORS as error:
        raise UndecodableError(f"{path}: {' '.join(str(error).split()) or type(error).__name__}") from error


def square(picture: Image.Image, size: int, resample: Image.Resampling) -> Image.Image:
    """The picture with its shorter side brought to `size` pixels and its centre cropped to a square.

    Raises TooSmallError if it would have to be enlarged.
    """
    width, height = picture.size
    side = min(width, height)
    if side < size:
        raise TooSmallError(f"{width}x{height}")
    left, top = (width - side) / 2, (height - side) / 2
    # Resizing the square alone gives the same pixels as resizing the whole and cropping it, for less work.
    return picture.resize((size, size), resample, box=(left, top, left + side, top + side))


def image_array(picture: Image.Image, size: int) -> np.ndarray:
    """Colours, uint8 [size, size, 3]."""
    return np.asarray(square(picture.convert("RGB"), size, Image.Resampling.LANCZOS))


def label_array(picture: Image.Image, size: int, num_labels: int, path: Path) -> np.ndarray:
    """Label ids, uint8 [size, size]; a palette picture gives its indices.

    Raises TwostageError if it is not a map of labels, or a label is not below `num_labels`.
    """
    if picture.mode not in ("L", "P", "1", "I", "I;16"):
        raise TwostageError(f"{path} is a {picture.mode} picture; expected label ids, one channel (mode L, P or I)")
    if picture.mode in ("1", "I;16"):
        picture = picture.convert("I")
    label_HW = np.asarray(square(picture, size, Image.Resampling.NEAREST))
    if label_HW.max() >= num_labels or label_HW.min() < 0:
        odd = label_HW.max() if label_HW.max() >= num_labels else label_HW.min()
        raise TwostageError(
            f"{path} has the label {odd}; data.num_labels={num_labels} allows 0 to {num_labels - 1}: raise it or "
            "renumber the labels"
        )
    return label_HW.astype(np.uint8)


def grey_array(picture: Image.Image, size: int) -> np.ndarray:
    """Grey values, uint8 [size, size]; those of 16 bits are scaled to 0..255."""
    if picture.mode in ("I", "I;16", "I;16B"):
        grey_HW = np.asarray(square(picture.convert("I").convert("F"), size, Image.Resampling.BILINEAR)) / 257
        return np.clip(np.rint(grey_HW), 0, 255).astype(np.uint8)
    return np.asarray(square(picture.convert("L"), size, Image.Resampling.BILINEAR))


def binary_array(picture: Image.Image, size: int) -> np.ndarray:
    """Edges, uint8 [size, size]: 255 where the picture is brighter than half, else 0."""
    grey_HW = np.asarray(square(picture.convert("L"), size, Image.Resampling.NEAREST))
    return np.where(grey_HW > 127, np.uint8(255), np.uint8(0))
