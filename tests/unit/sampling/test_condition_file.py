"""Canvases in pixels, and a picture of the user's as their condition."""

import numpy as np
import pytest
import torch
from PIL import Image

from tests.unit.sampling.conftest import GRID, NUM_CODES, OTHER_CODES, write_prior
from tests.unit.tokenizers.conftest import small_config
from twostage import priors, tokenizers
from twostage.config.composition import parse
from twostage.config.schema import SamplingConfig
from twostage.errors import TwostageError
from twostage.latents.dataset import TokenSpace
from twostage.runtime.artifacts import read_array, read_json
from twostage.sampling import Draw, slide, uniform_table
from twostage.sampling.generate import generate
from twostage.tokenizers import pixels, tiles
from twostage.tokenizers.model import Tokenizer, save
from twostage.tokenizers.pixels import PixelTokenizer

NUM_LABELS = 5


def run(job):
    generate(parse(SamplingConfig, job.config), job)
    return {name: read_array(job.folder / f"{name}.npy") for name in ("index", "samples")}


def write_conditional(folder, condition, num_codes=NUM_CODES, meaning=None):
    tokens = TokenSpace(num_codes, GRID, map=condition, tokenizer_sha256=meaning)
    write_prior(folder, TokenSpace(NUM_CODES, GRID, tokens))


@pytest.fixture
def make_mapped(make_job, tmp_path):
    """A job whose prior is conditioned by label maps of five labels, and a map of 48x32 (width x height)."""
    torch.manual_seed(1)
    config = small_config(map="segmentation", loss__reconstruction="cross_entropy")
    save(Tokenizer(config, "labels", NUM_LABELS), tmp_path / "condition_tokenizer")
    write_conditional(tmp_path / "by_map", "segmentation")
    label_HW = np.random.default_rng(0).integers(0, NUM_LABELS, (32, 48)).astype(np.uint8)
    Image.fromarray(label_HW).save(tmp_path / "map.png")

    def make(variant="v", **changes):
        changes = {"condition_file": str(tmp_path / "map.png"), "inputs": ["condition_tokenizer"]} | changes
        return make_job(variant, **({"prior": "by_map"} | changes))

    return make


def test_a_canvas_in_pixels_is_that_in_tokens(make_job):
    pixels = run(make_job("pixels", canvas_pixels=[24, 36]))
    assert pixels["samples"].shape == (5, 24, 36, 3)
    assert np.array_equal(pixels["index"], run(make_job("tokens", canvas=[6, 9]))["index"])


def test_a_map_conditions_every_sample_of_its_canvas(make_mapped, tmp_path):
    job = make_mapped(canvas_pixels=[32, 48])
    out = run(job)
    label_HW = np.asarray(Image.open(tmp_path / "map.png"))
    tokenizer = tokenizers.load(tmp_path / "condition_tokenizer")
    codes_BHW = tokenizer.encode(tokenizer.prepare(label_HW[None, ..., None])).expand(5, -1, -1)
    model = priors.load(tmp_path / "by_map").model
    table = uniform_table(5, 96, torch.Generator().manual_seed(0))
    assert np.array_equal(out["index"], slide(model, table, (8, 12), Draw(), codes_BHW))
    assert not np.array_equal(out["index"][0], out["index"][1])
    assert read_json(job.folder / "metrics.json")["canvas"] == [8, 12]


def test_a_larger_map_is_scaled_and_cropped_as_data_are(make_mapped, tmp_path):
    label_HW = np.asarray(Image.open(tmp_path / "map.png"))
    # Twice as large, with a border left and right that the centre crop takes off.
    large = np.pad(label_HW.repeat(2, 0).repeat(2, 1), ((0, 0), (10, 10)))
    Image.fromarray(large).save(tmp_path / "large.png")
    expected = run(make_mapped("exact", canvas_pixels=[32, 48]))["index"]
    job = make_mapped("large", canvas_pixels=[32, 48], condition_file=str(tmp_path / "large.png"))
    assert np.array_equal(run(job)["index"], expected)


def test_an_offset_turns_unlabelled_pixels_into_label_0(make_mapped, tmp_path):
    label_HW = np.asarray(Image.open(tmp_path / "map.png"))
    Image.fromarray(label_HW - np.uint8(1)).save(tmp_path / "shifted.png")
    expected = run(make_mapped("exact", canvas_pixels=[32, 48]))["index"]
    changes = {"condition_file": str(tmp_path / "shifted.png"), "condition_label_offset": 1}
    assert np.array_equal(run(make_mapped("shifted", canvas_pixels=[32, 48], **changes))["index"], expected)
    del changes["condition_label_offset"]
    with pytest.raises(TwostageError, match=r"shifted\.png has the label 255; data\.num_labels=5 allows 0 to 4"):
        run(make_mapped("refused", canvas_pixels=[32, 48], **changes))


def test_large_canvases_go_through_tiles(make_mapped, monkeypatch):
    expected = run(make_mapped("whole", canvas_pixels=[32, 48], num_images=2))
    used = []
    for name in ("decode", "encode"):
        whole = getattr(tiles, name)
        # One image at a time, for memory's sake.
        monkeypatch.setattr(
            tiles, name, lambda tokenizer, x, whole=whole: used.append(len(x)) or whole(tokenizer, x, 16)
        )
    monkeypatch.setattr(tiles, "WHOLE_PIXELS", 32)
    found = run(make_mapped("tiled", canvas_pixels=[32, 48], num_images=2))
    assert used == [1, 1, 1]
    assert np.array_equal(found["index"], expected["index"])
    assert np.abs(found["samples"].astype(int) - expected["samples"]).max() <= 1


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (
            {"canvas_pixels": [32, 46]},
            r"=\[32, 46\]: both sides must be divisible .* factor 4; set e\.g\. \[32, 48\]",
        ),
        ({"canvas_pixels": [32]}, r"canvas_pixels=\[32\] is not \[height, width\]"),
        ({"canvas_pixels": [-4, 32]}, r"canvas_pixels is -4; set a number of at least 1"),
        ({"canvas_pixels": [8, 48]}, "the window is larger than the canvas: the prior sees 4x4 tokens"),
        ({"canvas_pixels": [32, 48], "canvas": [8, 12]}, "both set the size; set only one"),
        ({"canvas_pixels": [32, 64]}, r"map\.png is 48x32, but the canvas needs 64x32; conditions are not enlarged"),
        (
            {"condition_file": "nowhere.png"},
            r"condition_file=nowhere\.png cannot be decoded: .*No such file",
        ),
        ({"inputs": []}, "give the job an input `condition_tokenizer`"),
        ({"coordinates": True}, "a prior has one condition"),
        ({"prior": "prior"}, r"takes no condition; remove sampling\.coordinates, sampling\.condition_file"),
        ({"prior": "by_fewer"}, r"has 16 codes, but the prior was trained with 7 codes of its condition"),
        ({"prior": "conditional"}, "encodes segmentation, but the prior was trained with the condition image"),
    ],
)
def test_what_does_not_fit_is_one_line_and_writes_nothing(make_mapped, tmp_path, changes, named):
    write_conditional(tmp_path / "by_fewer", "segmentation", num_codes=7)
    job = make_mapped(**changes)
    with pytest.raises(TwostageError, match=named) as caught:
        run(job)
    assert "\n" not in str(caught.value)
    assert not job.folder.exists()


def test_a_condition_tokenizer_of_other_codes_is_refused(make_mapped, tmp_path):
    own = tokenizers.checksum(tmp_path / "condition_tokenizer")
    write_conditional(tmp_path / "by_map", "segmentation", meaning=own)
    run(make_mapped("own", canvas_pixels=[32, 48]))
    write_conditional(tmp_path / "by_map", "segmentation", meaning="another")
    job = make_mapped("other", canvas_pixels=[32, 48])
    with pytest.raises(TwostageError, match="condition_tokenizer " + OTHER_CODES.format("segmentation")):
        run(job)
    assert not job.folder.exists()


def test_a_condition_of_another_factor_is_refused(make_mapped, tmp_path):
    config = small_config(map="segmentation", num_downsamplings=3, channel_multipliers=[1, 1, 2],
                          loss__reconstruction="cross_entropy")  # fmt: skip
    save(Tokenizer(config, "labels", NUM_LABELS), tmp_path / "condition_tokenizer")
    with pytest.raises(
        TwostageError, match=r"8x8 pixels, one of the image 4x4; .* use a condition tokenizer with f = 4"
    ):
        run(make_mapped(canvas_pixels=[32, 48]))


@pytest.mark.parametrize(("name", "kind"), [("depth", "grey"), ("edges", "binary"), ("image", "colour")])
def test_other_kinds_of_pictures_condition_too(make_mapped, tmp_path, name, kind):
    write_conditional(tmp_path / "by_map", name)
    tokenizer = Tokenizer(small_config(map=name), kind, 3 if kind == "colour" else 1)
    save(tokenizer, tmp_path / "condition_tokenizer")
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 48, 3)).astype(np.uint8))
    picture = picture if kind == "colour" else picture.convert("L")
    picture.save(tmp_path / "picture.png")
    grey_HW1 = np.asarray(picture.convert("L"))[..., None]
    map_HWC = {"grey": grey_HW1, "binary": np.uint8(255) * (grey_HW1 > 127), "colour": picture.convert("RGB")}[kind]
    map_HWC = np.asarray(map_HWC)
    with torch.inference_mode():
        codes_BHW = tokenizer.eval().encode(tokenizer.prepare(map_HWC[None])).expand(5, -1, -1)
    assert len(codes_BHW.unique()) > 1
    model, table = priors.load(tmp_path / "by_map").model, uniform_table(5, 96, torch.Generator().manual_seed(0))
    out = run(make_mapped(canvas_pixels=[32, 48], condition_file=str(tmp_path / "picture.png")))
    assert np.array_equal(out["index"], slide(model, table, (8, 12), Draw(), codes_BHW))


def test_a_small_picture_is_enlarged_by_a_prior_of_low_resolution(make_mapped, tmp_path):
    """A pixel a token, as in super-resolution: the picture is the canvas divided by f."""
    write_conditional(tmp_path / "by_map", "low_resolution")
    palette = torch.randint(0, 256, (NUM_CODES, 3), dtype=torch.uint8)
    pixels.save(PixelTokenizer(palette), "palette", tmp_path / "condition_tokenizer")
    index_HW = torch.randint(0, NUM_CODES, (8, 12))
    Image.fromarray(palette[index_HW].numpy()).save(tmp_path / "small.png")
    out = run(make_mapped(canvas_pixels=[32, 48], condition_file=str(tmp_path / "small.png")))
    model, table = priors.load(tmp_path / "by_map").model, uniform_table(5, 96, torch.Generator().manual_seed(0))
    assert np.array_equal(out["index"], slide(model, table, (8, 12), Draw(), index_HW.expand(5, -1, -1)))
    with pytest.raises(
        TwostageError, match=r"small\.png is 12x8, but the canvas needs 16x8; conditions are not enlarged"
    ):
        run(make_mapped("wide", canvas_pixels=[32, 64], condition_file=str(tmp_path / "small.png")))


def test_a_map_of_few_bits_conditions_as_one_of_eight(make_mapped, tmp_path):
    expected = run(make_mapped("exact", canvas_pixels=[32, 48]))["index"]
    label_HW = np.asarray(Image.open(tmp_path / "map.png"))
    # A PGM that says that 4 is its largest number, which Pillow stretches to 255.
    (tmp_path / "few.pgm").write_bytes(b"P5 48 32 4\n" + label_HW.tobytes())
    found = run(make_mapped("few", canvas_pixels=[32, 48], condition_file=str(tmp_path / "few.pgm")))["index"]
    assert np.array_equal(found, expected)


@pytest.mark.parametrize(("name", "kind"), [("depth", "grey"), ("image", "colour")])
def test_numbers_of_8_bits_stored_in_16_are_refused(make_mapped, tmp_path, name, kind):
    write_conditional(tmp_path / "by_map", name)
    save(Tokenizer(small_config(map=name), kind, 3 if kind == "colour" else 1), tmp_path / "condition_tokenizer")
    number_HW = np.arange(32 * 48, dtype=np.uint16).reshape(32, 48) % 256
    Image.fromarray(number_HW).save(tmp_path / "deep.png")
    job = make_mapped(canvas_pixels=[32, 48], condition_file=str(tmp_path / "deep.png"))
    with pytest.raises(TwostageError, match=r"deep\.png .* no number above 255, so all of it would become black"):
        run(job)


@pytest.mark.parametrize(
    ("name", "kind", "mode"),
    [("depth", "grey", "F"), ("depth", "grey", "RGB"), ("edges", "binary", "LA"), ("image", "colour", "F")],
)
def test_a_picture_that_would_have_to_be_guessed_is_refused(make_mapped, tmp_path, name, kind, mode):
    write_conditional(tmp_path / "by_map", name)
    save(Tokenizer(small_config(map=name), kind, 3 if kind == "colour" else 1), tmp_path / "condition_tokenizer")
    Image.new(mode, (48, 32), {"F": 0.5, "RGB": (9, 0, 0), "LA": (0, 0)}[mode]).save(tmp_path / "picture.tif")
    job = make_mapped(canvas_pixels=[32, 48], condition_file=str(tmp_path / "picture.tif"))
    with pytest.raises(TwostageError, match=r"picture\.tif .*expected"):
        run(job)
    assert not job.folder.exists()
