"""Turns one picture file into an array of a given size: decoding, centre crop, resizing.

This module decides what a file means, for the data stage, `sampling.condition_file` and the masks of inpainting. It
refuses a file whose meaning is ambiguous. Modes have Pillow's names.

| mode | picture (colours) | depth | edges, masks | label ids |
|---|---|---|---|---|
| 1, L | grey | grey | see below | stored numbers |
| I;16, or PGM above 8 bits | grey, scaled to 8 bits | scaled to 8 bits | see below | stored numbers |
| P (palette) | its colours | its colours, if grey | its colours, if grey | its indices |
| RGB, CMYK, YCbCr | colours; 16 bits lose the lower 8 | if grey | if grey | refused |
| LA, PA, RGBA, or a transparent colour | on white | if opaque | if opaque | refused, except P: indices |
| I (32 bits) | refused | refused | refused | stored numbers |
| F (floating point), LAB, others | refused | refused | refused | refused |

"If grey": all pixels have three equal channels. Stored numbers: at 1, 2 and 4 bits they are 0, 1, 2, ..., not a
brightness. Edges and masks: a file that holds only 0 and 1 is used as it is. Any other file is cut at half of its
range, and refused if nothing remains. Label maps must be lossless, so JPEG and similar formats are refused. EXIF
orientation is applied. Colour profiles are ignored: numbers are taken as sRGB. A file with several frames is refused,
except MPO, whose first frame is the photograph. A picture or depth map is refused if its numbers of 8 bits are stored
in 16.
"""

# H height, W width, C channels; sizes are (height, width)

import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from twostage.errors import TwostageError

# Raised by Pillow's decoders for damaged files.
DECODE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    ArithmeticError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
# Formats that are read. Pillow's others are drawings, documents, films or rare. It reads MPO as JPEG.
FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "AVIF", "JPEG2000", "TIFF", "BMP", "DIB", "GIF", "PPM", "TGA", "QOI", "PCX")
# These formats may change pixels. WebP, AVIF and JPEG 2000 files do not say whether they are lossless.
LOSSY = ("JPEG", "MPO", "WEBP", "AVIF", "JPEG2000")
SIXTEEN_BITS = ("I;16", "I;16B", "I;16L", "I;16N")
COLOURS = ("1", "L", "P", "RGB", "CMYK", "YCbCr", "LA", "La", "PA", "RGBA", "RGBa")
WHITE = (255, 255, 255, 255)
# EXIF orientations that swap width and height.
LYING = (5, 6, 7, 8)


class UndecodableError(TwostageError):
    """A file that is not a complete picture or cannot be read, and why."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = path, reason


class RefusedError(TwostageError):
    """A valid picture whose meaning is ambiguous. The message says what is expected and how to convert it."""


class TooSmallError(Exception):
    """A picture with a side shorter than the crop's."""


@dataclass(frozen=True)
class Picture:
    """A decoded file: its upright pixels, and what its header says about them."""

    path: Path
    pixels: Image.Image
    format: str
    top: int | None  # the largest number that a grey pixel can have in the file; None for other modes
    white_is_zero: bool  # the file stores black as its largest number
    lossy: bool

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.pixels.size

    @property
    def has_transparency(self) -> bool:
        """Whether there is an alpha channel, or a transparent colour or palette entry."""
        return self.pixels.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in self.pixels.info


def suffixes() -> frozenset[str]:
    """File name extensions, in lower case with dot, that both this module and the installed Pillow read."""
    registered = Image.registered_extensions()
    return frozenset(end for end, name in registered.items() if name in FORMATS and name in (*Image.OPEN, "MPO"))


def decode(path: Path) -> Picture:
    """The whole picture, rotated as its EXIF orientation says.

    Raises UndecodableError with the reason, or RefusedError for several frames.
    """
    with _opened(path) as image:
        _require_one_frame(image, path)
        top, white_is_zero, lossy = _grey_top(image), _white_is_zero(image), _is_lossy(image)
        transparent = image.info.get("transparency")
        if image.mode == "L" and top in (3, 15) and isinstance(transparent, int):
            # Pillow brightens pixels of 2 and 4 bits, but not the one that is transparent.
            image.info["transparency"] = transparent * (255 // top)
        image.load()
        return Picture(path, ImageOps.exif_transpose(image), image.format or "", top, white_is_zero, lossy)


def upright_size(path: Path) -> tuple[int, int]:
    """Width and height of the picture that `decode` returns, read from the file's header only.

    Raises UndecodableError.
    """
    with _opened(path) as image:
        # Pillow rotates TIFFs itself and swaps their size.
        lying = image.format != "TIFF" and image.getexif().get(0x0112) in LYING
        return image.size[::-1] if lying else image.size


def require_colours(path: Path) -> None:
    """Raises RefusedError if the header shows that `image_array` will refuse the file, or UndecodableError.

    A file of more than 12 bits is decoded, for `require_range_used`.
    """
    with _opened(path) as image:
        _require_one_frame(image, path)
        header = Picture(path, image, image.format or "", _grey_top(image), _white_is_zero(image), lossy=False)
        _require_range(header)
    if _deep_top(header) is not None:
        require_range_used(decode(path))


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with Image.open(path, formats=[name for name in FORMATS if name != "MPO"]) as image:
            yield image
    except TwostageError:
        raise
    except DECODE_ERRORS as error:
        raise UndecodableError(path, _reason(error, path)) from error


def _reason(error: Exception, path: Path) -> str:
    """Why a file cannot be decoded, in Pillow's or the system's words, and how to repair that if possible."""
    match error:
        case UnidentifiedImageError():
            empty = path.is_file() and path.stat().st_size == 0
            return "the file is empty" if empty else "not a picture, or in a format that is not supported"
        case PermissionError():
            return "Permission denied: make it readable (chmod u+r)"
        case OSError(strerror=str() as words):
            return words
        case Image.DecompressionBombError():
            return f"{str(error).split(',')[0]}: scale it down"
        case MemoryError():
            return "there is not enough memory for it: scale it down"
        case _:
            return " ".join(str(error).split()) or type(error).__name__


def _require_one_frame(image: Image.Image, path: Path) -> None:
    # The other frames of an MPO are views or previews of the same photograph.
    frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
    if frames > 1:
        raise RefusedError(f"{path} has {frames} frames or pages; expected one picture per file: save the one you need")


def _stored_as(image: Image.Image) -> tuple[str, tuple[Any, ...]]:
    """Pillow's decoder for the file and its arguments, of which the first mostly says how pixels are stored."""
    tiles = getattr(image, "tile", [])
    if not tiles:
        return "", ()
    arguments = tiles[0].args
    return tiles[0].codec_name, arguments if isinstance(arguments, tuple) else (arguments,)


def _raw_mode(image: Image.Image) -> str:
    """How the file stores its pixels, in the words of Pillow's decoders; empty if they do not say."""
    first = next(iter(_stored_as(image)[1]), "")
    return first if isinstance(first, str) else ""


def _grey_top(image: Image.Image) -> int | None:
    """The largest number that a grey pixel of the file can have; None if it has no greys or does not say."""
    raw, (decoder, arguments) = _raw_mode(image), _stored_as(image)
    if image.mode in ("L", "I") and decoder in ("ppm", "ppm_plain"):
        # A PGM's own range, which Pillow stretches.
        return int(arguments[1])
    match image.mode:
        case "1":
            return 1
        case "L":
            bits = re.fullmatch(r"L;([24])I?R?", raw)
            return 2 ** int(bits[1]) - 1 if bits else 255
        case mode if mode in SIXTEEN_BITS:
            return 4095 if raw == "I;12" else 65535
        case "I" if image.format == "PPM":
            return 65535
        case _:
            return None


def _white_is_zero(image: Image.Image) -> bool:
    tags = getattr(image, "tag_v2", {})
    return tags.get(262) == 0 or (image.mode in ("1", "L") and re.search(r";\d*I", _raw_mode(image)) is not None)


def _is_lossy(image: Image.Image) -> bool:
    compression = image.info.get("compression")
    return image.format in LOSSY or (isinstance(compression, str) and ("jpeg" in compression or "webp" in compression))


def fitted(picture: Image.Image, size: tuple[int, int], resample: Image.Resampling) -> Image.Image:
    """The centre crop of the picture, scaled down to `size`.

    Raises TooSmallError if the picture would have to be enlarged.
    """
    width, height = picture.size
    if width < size[1] or height < size[0]:
        raise TooSmallError(f"{width}x{height}")
    # The largest box of the wanted shape that the picture holds.
    wide = width * size[0] >= height * size[1]
    box_width, box_height = (height * size[1] / size[0], height) if wide else (width, width * size[0] / size[1])
    left, top = (width - box_width) / 2, (height - box_height) / 2
    # Resizing only the box gives the same pixels as resizing the whole picture and cropping, with less work.
    return picture.resize(size[::-1], resample, box=(left, top, left + box_width, top + box_height))


def image_array(picture: Picture, size: tuple[int, int]) -> np.ndarray:
    """Colours, uint8 [H, W, 3]. Transparent pixels are put on white.

    Raises RefusedError for pixels with an unknown range (see the table above) or numbers of 8 bits stored in 16, and
    TooSmallError.
    """
    return np.asarray(fitted(_colours(picture), size, Image.Resampling.LANCZOS))


def label_array(picture: Picture, size: tuple[int, int], num_labels: int, offset: int = 0) -> np.ndarray:
    """Label ids, uint8 [H, W]; for a palette picture, its indices. `offset` is added to every id, modulo 256.

    Raises RefusedError if the picture is not a lossless map with one channel, TwostageError if a stored id is not in
    0..255 or a label is not below `num_labels`, and TooSmallError.
    """
    label_HW = _stored_labels(picture)
    low, high = int(label_HW.min()), int(label_HW.max())
    if low < 0 or high > 255:
        raise _odd_label(picture.path, low if low < 0 else high, num_labels)
    whole = Image.fromarray(label_HW.astype(np.uint8))
    label_HW = np.asarray(fitted(whole, size, Image.Resampling.NEAREST))
    # Unlabelled pixels of COCO-Stuff are 255. With an offset of 1 they become 0, and the labels 1 to 182.
    label_HW = (label_HW.astype(np.int64) + offset) % 256
    if label_HW.max() >= num_labels:
        raise _odd_label(picture.path, int(label_HW.max()), num_labels)
    return label_HW.astype(np.uint8)


def _odd_label(path: Path, label: int, num_labels: int) -> TwostageError:
    return TwostageError(
        f"{path} has the label {label}; data.num_labels={num_labels} allows 0 to {num_labels - 1}: raise it or "
        "renumber the labels"
    )


def _stored_labels(picture: Picture) -> np.ndarray:
    """The numbers stored in the file, integers [H, W]."""
    mode, path = picture.pixels.mode, picture.path
    if picture.lossy:
        raise RefusedError(
            f"{path} is a {picture.format} picture, whose compression may change pixels into other labels; a label map "
            "must be lossless: export it again from its source as PNG (a converted copy keeps the wrong labels)"
        )
    if mode not in ("1", "L", "P", "I", *SIXTEEN_BITS):
        raise RefusedError(
            f"{path} is a {mode} picture; expected label ids in one channel (mode 1, L, P, I or I;16): save the ids "
            "as a grey PNG"
        )
    if picture.white_is_zero:
        raise RefusedError(f"{path} stores white as 0, so its ids would be inverted; save the ids as a grey PNG")
    if mode == "P" or picture.top is None:
        return np.asarray(picture.pixels).astype(np.int64)
    return _stored_greys(picture)


def _shown(picture: Picture) -> tuple[np.ndarray, int]:
    """Grey values as Pillow returns them, [H, W], and their largest possible value."""
    assert picture.top is not None
    if picture.pixels.mode in ("1", "L"):
        return np.asarray(picture.pixels.convert("L")), 255
    # Pillow stretches a PGM's range to 16 bits; a TIFF's 12 bits stay as they are.
    return np.asarray(picture.pixels), picture.top if picture.format == "TIFF" else 65535


def _stored_greys(picture: Picture) -> np.ndarray:
    """The numbers stored in the file, int64 [H, W]. Undoes Pillow's stretching of numbers with few bits."""
    assert picture.top is not None
    shown_HW, shown_top = _shown(picture)
    if picture.top == shown_top:
        return shown_HW.astype(np.int64)
    return np.rint(shown_HW * (picture.top / shown_top)).astype(np.int64)


def _require_range(picture: Picture) -> None:
    """Raises RefusedError if the mode does not define colours or brightness."""
    mode, path = picture.pixels.mode, picture.path
    if mode == "F" or (mode == "I" and picture.top is None):
        what = "floating-point numbers" if mode == "F" else "32-bit or signed integers"
        raise RefusedError(
            f"{path} has {what} (mode {mode}), whose range is unknown; expected 8 or 16 bits: scale them so that 65535 "
            "is white and save a 16-bit grey PNG"
        )
    if picture.top is not None and picture.top > 255:
        if picture.white_is_zero or "transparency" in picture.pixels.info:
            what = "white stored as 0" if picture.white_is_zero else "a transparent grey"
            raise RefusedError(
                f"{path} is 16-bit grey with {what}, which is not supported; save it as a plain grey PNG"
            )
        return
    if mode not in COLOURS:
        raise RefusedError(f"{path} is a {mode} picture; expected one of {', '.join(COLOURS)} or 16-bit grey: save RGB")
    transparent = picture.pixels.info.get("transparency")
    if mode == "RGB" and isinstance(transparent, tuple) and max(transparent) > 255:
        raise RefusedError(
            f"{path} has a transparent colour of 16 bits per channel, which is not supported; save it as RGB"
        )


def require_range_used(picture: Picture) -> None:
    """Raises RefusedError for numbers of 8 bits stored in more than 12: scaled to 8 bits, all would become black.

    Greys that are all equal are let through. Pillow keeps the upper half of a colour's 16 bits, so of such colours it
    is only known that none is above 255.
    """
    top = _deep_top(picture)
    if top is None:
        return
    if picture.top is not None:
        number_HW = _stored_greys(picture)
        low, high = int(number_HW.min()), int(number_HW.max())
    else:
        colour_HWC = np.asarray(picture.pixels.convert("RGBA"))
        # A PPM's numbers are rounded.
        is_black = colour_HWC[..., :3].max() <= (1 if picture.format == "PPM" else 0)
        # Black lines on a transparent ground are a picture.
        is_flat = bool((colour_HWC[..., 3] == colour_HWC[0, 0, 3]).all())
        low, high = -1, 255 if is_black and is_flat else top
    if low < high <= 255:
        raise RefusedError(
            f"{picture.path} stores up to {top} per pixel and has no number above {high}, so all of it would become "
            f"black; expected numbers up to {top}: multiply them by {top // 255}, or save it with 8 bits"
        )


def _deep_top(picture: Picture) -> int | None:
    """The largest number that the file can store per pixel and channel, if that takes more than 12 bits; else None."""
    top = picture.top
    if top is None and picture.format in ("PNG", "TIFF", "PPM"):
        with _opened(picture.path) as image:
            decoder, arguments = _stored_as(image)
            if decoder in ("ppm", "ppm_plain"):
                top = int(arguments[1])
            elif re.search(r";16[BLN]$", _raw_mode(image)):
                top = 65535
    return top if top is not None and top > 4095 else None


def _colours(picture: Picture) -> Image.Image:
    """Mode RGB, any size. Transparent pixels are put on white."""
    _require_range(picture)
    require_range_used(picture)
    if picture.top is not None and picture.top > 255:
        return Image.fromarray(_eight_bits(*_shown(picture))).convert("RGB")
    if not picture.has_transparency:
        return picture.pixels.convert("RGB")
    layer = _with_alpha(picture)
    return Image.alpha_composite(Image.new("RGBA", layer.size, WHITE), layer).convert("RGB")


def _with_alpha(picture: Picture) -> Image.Image:
    # Pillow converts grey with premultiplied alpha only to grey with plain alpha.
    image = picture.pixels.convert("LA") if picture.pixels.mode == "La" else picture.pixels
    return image.convert("RGBA")


def _eight_bits(grey_HW: np.ndarray, top: int) -> np.ndarray:
    return np.clip(np.rint(grey_HW / (top / 255)), 0, 255).astype(np.uint8)


def _one_channel(picture: Picture, expected: str) -> Picture:
    """The picture with one grey channel. Raises RefusedError if it has colours or transparent pixels."""
    _require_range(picture)
    if picture.top is not None and not picture.has_transparency:
        return picture
    path, mode = picture.path, picture.pixels.mode
    if picture.has_transparency and np.asarray(_with_alpha(picture).getchannel("A")).min() < 255:
        raise RefusedError(f"{path} has transparent pixels (mode {mode}); expected {expected}: save it without alpha")
    colour_HWC = np.asarray((_with_alpha(picture) if picture.has_transparency else picture.pixels).convert("RGB"))
    if (colour_HWC != colour_HWC[..., :1]).any():
        raise RefusedError(f"{path} is coloured (mode {mode}); expected {expected}: save its numbers as a grey PNG")
    grey = Image.fromarray(np.ascontiguousarray(colour_HWC[..., 0]))
    return Picture(path, grey, picture.format, 255, white_is_zero=False, lossy=picture.lossy)


def grey_array(picture: Picture, size: tuple[int, int]) -> np.ndarray:
    """Grey values, uint8 [H, W]. 16-bit values are scaled to 0..255.

    Raises RefusedError for colours, transparent pixels, numbers with an unknown range or numbers of 8 bits stored in
    16, and TooSmallError.
    """
    require_range_used(picture)
    picture = _one_channel(picture, "grey values of 8 or 16 bits")
    shown_HW, top = _shown(picture)
    if top == 255:
        return np.asarray(fitted(Image.fromarray(shown_HW), size, Image.Resampling.BILINEAR))
    wide = Image.fromarray(shown_HW.astype(np.float32))
    return _eight_bits(np.asarray(fitted(wide, size, Image.Resampling.BILINEAR)), top)


def binary_array(picture: Picture, size: tuple[int, int]) -> np.ndarray:
    """Edges or a mask, uint8 [H, W]: 255 where the file has 1 (if it holds only 0 and 1) or more than half, else 0.

    Raises RefusedError for colours, for transparent pixels, and if there are numbers above 0 but none above half. Also
    raises TooSmallError.
    """
    picture = _one_channel(picture, "0 and 1, or black and white")
    assert picture.top is not None
    number_HW = _stored_greys(picture)
    highest = int(number_HW.max())
    if 1 < highest <= picture.top / 2:
        raise RefusedError(
            f"{picture.path} has no number above {highest} of {picture.top}, so all of it would become black; expected "
            "0 and 1, or black and white: save it in this form"
        )
    is_set_HW = number_HW > (0 if highest == 1 else picture.top / 2)
    return np.asarray(
        fitted(Image.fromarray(is_set_HW.astype(np.uint8) * np.uint8(255)), size, Image.Resampling.NEAREST)
    )
