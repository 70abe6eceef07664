"""Pictures as the page holds them: inside of the page itself, so that it needs no other file."""

# R strips of M images, H W C

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from twostage.errors import TwostageError


@dataclass(frozen=True)
class Picture:
    """A picture as a data URI. `alt`: what it shows, for those who do not see it."""

    uri: str
    width: int
    height: int
    alt: str
    is_pixels: bool = False  # a few pixels that are shown large, each of them a square

    @property
    def kind(self) -> str:
        """How the page shows it, as a class of its style."""
        return "pixels" if self.is_pixels else "drawing"


def drawing(path: Path, alt: str) -> Picture:
    """A figure of results/figures, on white. Raises TwostageError if the file is no picture."""
    try:
        with Image.open(path) as image:
            white = Image.new("RGBA", image.size, "white")
            return _picture(Image.alpha_composite(white, image.convert("RGBA")).convert("RGB"), alt)
    except OSError as error:
        raise TwostageError(f"{path} is no picture ({error}); make it again: twostage redraw") from error


def tiles(image_RMHWC: np.ndarray, alt: str) -> Picture:
    """Small images in rows, as they are, without lines between them, so that two pictures of one shape fit."""
    rows, columns, height, width, channels = image_RMHWC.shape
    sheet = image_RMHWC.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, channels)
    return _picture(Image.fromarray(np.ascontiguousarray(sheet)), alt, is_pixels=True)


def _picture(image: Image.Image, alt: str, is_pixels: bool = False) -> Picture:
    buffer = io.BytesIO()
    # Half the bytes of a PNG; `quality` is of the search alone.
    image.save(buffer, "WEBP", lossless=True, quality=20, method=1)
    uri = f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return Picture(uri, *image.size, alt, is_pixels)
