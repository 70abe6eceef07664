"""What every kind of picture file means to each reader, on files written bit by bit or by Pillow."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from twostage.data import pictures
from twostage.data.pictures import (
    RefusedError,
    UndecodableError,
    binary_array,
    decode,
    grey_array,
    image_array,
    label_array,
    require_colours,
    require_range_used,
    upright_size,
)
from twostage.errors import TwostageError

SIZE = (8, 8)
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
READERS = {"image": image_array, "depth": grey_array, "edges": binary_array}


def packed(values, depth):
    bits = "".join(format(value, f"0{depth}b") for value in values)
    return int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")


def write_grey_png(path, number_HW, depth, interlaced=False, transparent=None):
    """A grey PNG of `depth` bits, by the format's own words."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    height, width = number_HW.shape
    rows = [packed(row, depth) for row in number_HW.tolist()]
    if interlaced:
        rows = [
            packed(number_HW[y, x0::dx].tolist(), depth)
            for x0, y0, dx, dy in ADAM7
            for y in range(y0, height, dy)
            if x0 < width
        ]
    header = struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, int(interlaced))
    parts = [chunk(b"IHDR", header)]
    if transparent is not None:
        parts.append(chunk(b"tRNS", struct.pack(">H", transparent)))
    parts += [chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))), chunk(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def numbers(top):
    """0 to `top`, at most five of them."""
    return np.add.outer(np.arange(8), np.arange(8)) % (min(top, 4) + 1)


def read(name, path):
    return READERS[name](decode(path), SIZE)


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_label_ids_are_the_stored_numbers_at_every_depth(tmp_path, depth, interlaced):
    id_HW = numbers(2**depth - 1)
    write_grey_png(tmp_path / "a.png", id_HW, depth, interlaced)
    np.testing.assert_array_equal(label_array(decode(tmp_path / "a.png"), SIZE, 5), id_HW)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_label_ids_are_a_palettes_indices_at_every_depth(tmp_path, bits):
    id_HW = numbers(2**bits - 1).astype(np.uint8)
    picture = Image.fromarray(id_HW)
    picture.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200, 9, 9, 9, 7, 7, 7])
    picture.save(tmp_path / "a.png", bits=bits, transparency=1)
    np.testing.assert_array_equal(label_array(decode(tmp_path / "a.png"), SIZE, 5), id_HW)


@pytest.mark.parametrize("largest", [4, 10, 255, 1000, 65535])
def test_label_ids_of_a_pgm_are_its_numbers(tmp_path, largest):
    id_HW = numbers(4)
    wide = id_HW.astype(">u2" if largest > 255 else "u1").tobytes()
    (tmp_path / "a.pgm").write_bytes(b"P5 8 8 %d\n" % largest + wide)
    np.testing.assert_array_equal(label_array(decode(tmp_path / "a.pgm"), SIZE, 5), id_HW)


@pytest.mark.parametrize("kind", ["<u2", ">u2", "<i4"])
def test_label_ids_of_wide_tiffs_are_their_numbers(tmp_path, kind):
    Image.fromarray(numbers(4).astype(kind)).save(tmp_path / "a.tif")
    np.testing.assert_array_equal(label_array(decode(tmp_path / "a.tif"), SIZE, 5), numbers(4))


@pytest.mark.parametrize("offset", [0, 1, -45])
def test_ids_above_255_are_an_error_whatever_the_offset(tmp_path, offset):
    Image.fromarray((numbers(3) + 300).astype(np.uint16)).save(tmp_path / "a.png")
    with pytest.raises(TwostageError, match="has the label 303"):
        label_array(decode(tmp_path / "a.png"), SIZE, 183, offset)


def test_only_coco_stuffs_255_wraps(tmp_path):
    id_HW = numbers(3).astype(np.uint8)
    id_HW[id_HW == 3] = 255
    Image.fromarray(id_HW).save(tmp_path / "a.png")
    np.testing.assert_array_equal(label_array(decode(tmp_path / "a.png"), SIZE, 183, 1), (numbers(3) + 1) % 4)


@pytest.mark.parametrize("suffix", ["jpg", "jp2", "webp", "avif", "tif"])
def test_lossy_label_maps_are_refused(tmp_path, suffix):
    options = {"compression": "jpeg"} if suffix == "tif" else {}
    Image.fromarray(numbers(4).astype(np.uint8)).save(tmp_path / f"a.{suffix}", **options)
    with pytest.raises(RefusedError, match="lossless"):
        label_array(decode(tmp_path / f"a.{suffix}"), SIZE, 256)


def test_label_maps_that_store_white_as_zero_are_refused(tmp_path):
    (tmp_path / "a.pbm").write_bytes(b"P1 8 8\n" + b"0 1 " * 32)
    with pytest.raises(RefusedError, match="inverted"):
        label_array(decode(tmp_path / "a.pbm"), SIZE, 2)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "CMYK", "F"])
def test_labels_have_one_channel_of_whole_numbers(tmp_path, mode):
    Image.new(mode, SIZE).save(tmp_path / "a.tif")
    with pytest.raises(RefusedError, match=r"a\.tif is a "):
        label_array(decode(tmp_path / "a.tif"), SIZE, 5)


WIDE = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)


@pytest.mark.parametrize(("suffix", "kind"), [("png", "<u2"), ("tif", "<u2"), ("tif", ">u2"), ("pgm", "<u2"),
                                              ("jp2", "<u2")])  # fmt: skip
@pytest.mark.parametrize("reader", ["image", "depth"])
def test_sixteen_bits_are_scaled_to_eight(tmp_path, suffix, kind, reader):
    Image.fromarray(WIDE.astype(kind)).save(tmp_path / f"a.{suffix}")
    grey_HW = read(reader, tmp_path / f"a.{suffix}").reshape(8, 8, -1)[..., 0]
    np.testing.assert_array_equal(grey_HW, np.rint(WIDE / 257))


@pytest.mark.parametrize("reader", ["image", "depth", "edges"])
@pytest.mark.parametrize("kind", ["<f4", "<i4", "<i2"])
def test_numbers_without_a_stated_range_are_refused(tmp_path, reader, kind):
    Image.fromarray((WIDE / 65535).astype(kind)).save(tmp_path / "a.tif")
    with pytest.raises(RefusedError, match=r"a\.tif has .*\(mode [FI]\).* expected 8 or 16 bits"):
        read(reader, tmp_path / "a.tif")
    with pytest.raises(RefusedError):
        require_colours(tmp_path / "a.tif")


def half_transparent():
    """Red, but for a hidden green half."""
    rgba_HWC = np.zeros((8, 8, 4), np.uint8)
    rgba_HWC[:, :4], rgba_HWC[:, 4:] = (200, 0, 0, 255), (0, 200, 0, 0)
    return Image.fromarray(rgba_HWC)


@pytest.mark.parametrize(("mode", "suffix"), [("RGBA", "png"), ("RGBA", "tif"), ("RGBA", "webp"), ("P", "png"),
                                              ("P", "gif")])  # fmt: skip
def test_what_is_transparent_lies_on_white(tmp_path, mode, suffix):
    picture = half_transparent()
    if mode == "P":
        index = Image.fromarray(np.repeat([[0] * 4 + [1] * 4], 8, 0).astype(np.uint8))
        index.putpalette([200, 0, 0, 0, 200, 0])
        index.save(tmp_path / f"a.{suffix}", transparency=1)
    else:
        picture.save(tmp_path / f"a.{suffix}", **({"lossless": True, "exact": True} if suffix == "webp" else {}))
    colour_HWC = read("image", tmp_path / f"a.{suffix}")
    assert np.unique(colour_HWC[:, :4].reshape(-1, 3), axis=0).tolist() == [[200, 0, 0]]
    assert np.unique(colour_HWC[:, 4:].reshape(-1, 3), axis=0).tolist() == [[255, 255, 255]]


@pytest.mark.parametrize(("mode", "transparent"), [("RGB", (0, 0, 0)), ("L", 0)])
def test_a_transparent_colour_lies_on_white(tmp_path, mode, transparent):
    Image.new(mode, SIZE).save(tmp_path / "a.png", transparency=transparent)
    assert set(np.unique(read("image", tmp_path / "a.png"))) == {255}


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_a_transparent_grey_of_few_bits_lies_on_white(tmp_path, depth):
    write_grey_png(tmp_path / "a.png", numbers(1), depth, transparent=0)
    shown = 255 // (2**depth - 1)
    assert set(np.unique(read("image", tmp_path / "a.png"))) == {255, shown}


def test_a_transparent_grey_of_sixteen_bits_is_refused(tmp_path):
    write_grey_png(tmp_path / "a.png", numbers(4), 16, transparent=1)
    with pytest.raises(RefusedError, match="transparent grey"):
        read("image", tmp_path / "a.png")


@pytest.mark.parametrize("reader", ["depth", "edges"])
def test_maps_with_transparent_pixels_are_refused(tmp_path, reader):
    alpha_HW = np.eye(8, dtype=np.uint8) * 255
    Image.fromarray(np.stack([np.zeros_like(alpha_HW), alpha_HW], -1)).save(tmp_path / "a.png")
    with pytest.raises(RefusedError, match=r"a\.png has transparent pixels"):
        read(reader, tmp_path / "a.png")


@pytest.mark.parametrize("mode", ["RGB", "P", "CMYK"])
@pytest.mark.parametrize("reader", ["depth", "edges"])
def test_coloured_maps_are_refused(tmp_path, mode, reader):
    half_transparent().convert("RGB").convert(mode).save(tmp_path / "a.tif")
    with pytest.raises(RefusedError, match=r"a\.tif is coloured"):
        read(reader, tmp_path / "a.tif")


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P"])
def test_greys_may_be_stored_as_opaque_colours(tmp_path, mode):
    grey_HW = np.arange(64, dtype=np.uint8).reshape(8, 8)
    Image.fromarray(grey_HW).convert(mode).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read("depth", tmp_path / "a.png"), grey_HW)


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("largest", ["one", "top"])
def test_edges_are_zero_and_one_or_black_and_white(tmp_path, depth, interlaced, largest):
    edge_HW = np.eye(8, dtype=np.int64)
    write_grey_png(tmp_path / "a.png", edge_HW * (1 if largest == "one" else 2**depth - 1), depth, interlaced)
    np.testing.assert_array_equal(read("edges", tmp_path / "a.png"), edge_HW * 255)


def test_edges_without_any_are_all_black(tmp_path):
    Image.new("L", SIZE).save(tmp_path / "a.png")
    assert not read("edges", tmp_path / "a.png").any()


def test_edges_that_would_vanish_are_refused(tmp_path):
    Image.fromarray(np.eye(8, dtype=np.uint8) * 100).save(tmp_path / "a.png")
    with pytest.raises(RefusedError, match="no number above 100 of 255"):
        read("edges", tmp_path / "a.png")


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tif"])
def test_a_file_of_several_frames_is_refused(tmp_path, suffix):
    frames = [Image.new("RGB", SIZE, colour) for colour in ("red", "blue", "green")]
    frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:])
    with pytest.raises(RefusedError, match="has 3 frames"):
        decode(tmp_path / f"a.{suffix}")


def test_an_mpo_is_its_first_picture(tmp_path):
    frames = [Image.new("RGB", SIZE, colour) for colour in ("white", "black")]
    frames[0].save(tmp_path / "a.mpo", save_all=True, append_images=frames[1:])
    assert read("image", tmp_path / "a.mpo").min() > 250


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp", "avif"])
@pytest.mark.parametrize("orientation", range(10))
def test_there_is_one_notion_of_size(tmp_path, suffix, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{suffix}"
    Image.new("RGB", (12, 8), "red").save(path, exif=exif)
    size = upright_size(path)
    assert size == decode(path).size
    assert size == ((8, 12) if orientation in (5, 6, 7, 8) else (12, 8))


def test_a_very_large_picture_is_named_with_the_limit(tmp_path, monkeypatch):
    Image.new("L", (100, 100)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(UndecodableError, match=r"10000 pixels\) exceeds limit of 2000"):
        decode(tmp_path / "a.png")
    with pytest.raises(UndecodableError, match="2000"):
        upright_size(tmp_path / "a.png")


def test_a_file_that_may_not_be_read_says_so(tmp_path, monkeypatch):
    Image.new("L", SIZE).save(tmp_path / "a.png")

    def refuse(path, **_):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(pictures.Image, "open", refuse)
    with pytest.raises(UndecodableError, match="Permission denied"):
        decode(tmp_path / "a.png")


def test_formats_that_run_programs_are_not_read(tmp_path):
    """EPS goes through Ghostscript; the file's content decides, not its name."""
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n")
    with pytest.raises(UndecodableError, match="not supported"):
        decode(tmp_path / "a.png")


def deep(tmp_path, kind, number_HW):
    """A file with more than 12 bits per pixel and channel."""
    path = tmp_path / f"deep.{kind.split()[0]}"
    height, width = number_HW.shape
    rows = np.repeat(number_HW.astype(">u2")[..., None], 3, axis=2)
    match kind:
        case "png grey" | "tiff grey":
            Image.fromarray(number_HW.astype(np.uint16)).save(path)
        case "pgm grey":
            path.write_bytes(f"P5 {width} {height} 65535 ".encode() + number_HW.astype(">u2").tobytes())
        case "ppm colours":
            path.write_bytes(f"P6 {width} {height} 65535 ".encode() + rows.tobytes())
        case "png colours" | "png alpha":
            colour = 2 if kind == "png colours" else 6
            if colour == 6:
                rows = np.concatenate([rows, np.full_like(rows[..., :1], 65535)], axis=2).astype(">u2")
            lines = b"".join(b"\0" + row.tobytes() for row in rows)
            path.write_bytes(png(struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0), lines))
    return path


def png(header, lines):
    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(lines)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


DEEP = ["png grey", "tiff grey", "pgm grey", "ppm colours", "png colours", "png alpha"]


@pytest.mark.parametrize("kind", DEEP)
@pytest.mark.parametrize(("highest", "refused"), [(255, True), (100, True), (65535, False), (5000, False)])
def test_numbers_of_8_bits_stored_in_16_are_refused(tmp_path, kind, highest, refused):
    number_HW = np.linspace(0, highest, 64).astype(int).reshape(8, 8)
    path = deep(tmp_path, kind, number_HW)
    if not refused:
        require_range_used(decode(path))
        require_colours(path)
        return
    said = f"has no number above {highest if 'grey' in kind else 255}, so all of it would become black.*by 257"
    for look in (lambda: require_range_used(decode(path)), lambda: require_colours(path)):
        with pytest.raises(RefusedError, match=said):
            look()


@pytest.mark.parametrize("value", [0, 9, 255])
def test_a_constant_grey_of_16_bits_is_let_through(tmp_path, value):
    require_range_used(decode(deep(tmp_path, "png grey", np.full((8, 8), value))))


def test_black_colours_of_8_bits_and_black_lines_on_nothing_are_let_through(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "black.png")
    require_range_used(decode(tmp_path / "black.png"))
    rows = np.zeros((8, 8, 4), ">u2")
    rows[:4, :, 3] = 65535
    lines = b"".join(b"\0" + row.tobytes() for row in rows)
    (tmp_path / "lines.png").write_bytes(png(struct.pack(">IIBBBBB", 8, 8, 16, 6, 0, 0, 0), lines))
    require_range_used(decode(tmp_path / "lines.png"))
