"""Masks of pixels, and which codes they mean."""

import numpy as np
import pytest
from PIL import Image

from twostage.errors import TwostageError
from twostage.sampling.masks import code_mask, generated_mask, read_mask


def mask(kind, share=0.25, size=(32, 48), seed=0):
    return generated_mask(kind, size, share, np.random.default_rng(seed))


def test_a_code_is_drawn_anew_if_all_its_pixels_are_masked_or_if_any_is():
    mask_HW = np.zeros((8, 12), bool)
    mask_HW[0:4, 0:4] = True  # all of code (0, 0)
    mask_HW[4, 4] = True  # one pixel of code (1, 1)
    mask_HW[4:8, 8:11] = True  # all but a column of code (1, 2)
    assert code_mask(mask_HW, 4, "all_pixels").tolist() == [[True, False, False], [False, False, False]]
    assert code_mask(mask_HW, 4, "any_pixel").tolist() == [[True, False, False], [False, True, True]]


def test_both_rules_agree_where_the_mask_lies_on_the_grid():
    code_hw = np.random.default_rng(0).random((4, 6)) < 0.5
    mask_HW = np.kron(code_hw, np.ones((8, 8), bool))
    for rule in ("all_pixels", "any_pixel"):
        assert (code_mask(mask_HW, 8, rule) == code_hw).all()


@pytest.mark.parametrize("share", [0.1, 0.25, 0.6])
@pytest.mark.parametrize(("kind", "excess"), [("block", 0.03), ("random", 0.05), ("outpainting", 0.03)])
def test_masks_cover_about_their_share(kind, share, excess):
    assert mask(kind, share).mean() == pytest.approx(share, abs=excess)


def test_each_kind_is_what_its_name_says():
    block_HW = mask("block")
    rows, columns = np.flatnonzero(block_HW.any(1)), np.flatnonzero(block_HW.any(0))
    assert block_HW[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
    assert (mask("half") == (np.arange(48) >= 24)).all()
    outpainting_HW = mask("outpainting", 0.75)
    assert outpainting_HW[[0, -1]].all()
    assert outpainting_HW[:, [0, -1]].all()
    assert (outpainting_HW == outpainting_HW[::-1, ::-1]).all()
    assert not outpainting_HW[16, 24]
    random_HW = mask("random", 0.5, (32, 64))
    assert (random_HW == np.kron(random_HW[::4, ::8], np.ones((4, 8), bool))).all()
    for kind in ("block", "random"):
        assert (mask(kind) == mask(kind)).all()
        assert (mask(kind) != mask(kind, seed=1)).any()


@pytest.mark.parametrize("factor", [4, 2, 1])
def test_half_of_the_codes_are_drawn_anew_under_half_of_the_board(factor):
    """Else the study would show a mask of which most codes are kept."""
    mask_HW = mask("random", 0.5, (32, 32))
    for rule in ("all_pixels", "any_pixel"):
        assert code_mask(mask_HW, factor, rule).mean() == 0.5


def test_small_images_have_a_random_mask_too():
    assert 0 < mask("random", 0.25, (4, 6)).mean() < 0.5


def test_a_picture_is_a_mask_where_it_is_bright(tmp_path):
    byte_HW = np.random.default_rng(0).integers(0, 256, (6, 9)).astype(np.uint8)
    Image.fromarray(byte_HW).save(tmp_path / "mask.png")
    assert (read_mask(tmp_path / "mask.png", (6, 9)) == (byte_HW > 127)).all()
    with pytest.raises(TwostageError, match=r"is a mask of 6x9 pixels \(rows x columns\), but the images have 9x6"):
        read_mask(tmp_path / "mask.png", (9, 6))
    # Of 16 bits, mid-grey is 128 times 257.
    Image.fromarray(byte_HW.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    assert (read_mask(tmp_path / "deep.png", (6, 9)) == (byte_HW > 127)).all()
    (tmp_path / "mask.txt").write_text("white")
    (tmp_path / "half.png").write_bytes((tmp_path / "mask.png").read_bytes()[:60])
    (tmp_path / "folder.png").mkdir()
    for name in ("mask.txt", "none.png", "half.png", "folder.png"):
        with pytest.raises(TwostageError, match="is missing or not a picture"):
            read_mask(tmp_path / name, (6, 9))


def test_what_is_no_mask_is_named():
    with pytest.raises(TwostageError, match="mask=ring is unknown; choose block, random"):
        mask("ring")
    for share in (0.0, 1.0, 2.0):
        with pytest.raises(TwostageError, match="must be in"):
            mask("block", share)
    with pytest.raises(TwostageError, match="rule=most is unknown; choose all_pixels or any_pixel"):
        code_mask(np.ones((8, 8), bool), 4, "most")
    with pytest.raises(TwostageError, match="8x9 pixels is not divisible by the tokenizer's factor 4"):
        code_mask(np.ones((8, 9), bool), 4, "any_pixel")
    one_HW = np.zeros((8, 8), bool)
    one_HW[3, 3] = True
    assert code_mask(one_HW, 4, "any_pixel").sum() == 1
    with pytest.raises(TwostageError, match=r"covers no code .*set sampling\.inpainting\.rule=any_pixel"):
        code_mask(one_HW, 4, "all_pixels")
    with pytest.raises(TwostageError, match=r"by the rule any_pixel, .*; enlarge it$"):
        code_mask(np.zeros((8, 8), bool), 4, "any_pixel")


def test_a_mask_of_zero_and_one_is_no_empty_one(tmp_path):
    mask_HW = np.eye(6, dtype=np.uint8)
    Image.fromarray(mask_HW).save(tmp_path / "mask.png")
    assert (read_mask(tmp_path / "mask.png", (6, 6)) == (mask_HW == 1)).all()


def test_masks_that_would_have_to_be_guessed_are_refused(tmp_path):
    mask_HW = np.eye(6, dtype=np.uint8) * 255
    Image.fromarray(np.stack([mask_HW * 0, mask_HW], -1)).save(tmp_path / "alpha.png")
    Image.fromarray(np.stack([mask_HW, mask_HW * 0, mask_HW * 0], -1)).save(tmp_path / "red.png")
    Image.fromarray(mask_HW.astype(np.float32)).save(tmp_path / "float.tif")
    Image.fromarray(mask_HW // 3).save(tmp_path / "dark.png")
    for name in ("alpha.png", "red.png", "float.tif", "dark.png"):
        with pytest.raises(TwostageError, match=name):
            read_mask(tmp_path / name, (6, 6))
