"""Reading latents, alone and in pairs."""

import numpy as np
import pytest

from twostage.errors import TwostageError
from twostage.latents.dataset import TokenSpace, open_latents
from twostage.runtime.artifacts import read_json, write_array, write_json


def write_latents(folder, num_codes=8, **changes):
    splits = {
        name: {"num_images": number, "unigram_entropy_nats": 1.5, "manifest_sha256": name}
        for name, number in (("train", 6), ("tune", 2), ("validation", 3))
    }
    for seed, (name, split) in enumerate(splits.items()):
        rng = np.random.default_rng(seed)
        grids = rng.integers(0, num_codes, (split["num_images"], 2, 4)).astype(np.uint16)
        write_array(folder / f"{name}_index.npy", grids)
    metadata = {"num_codes": num_codes, "grid": [2, 4], "map": "image", "tokenizer_sha256": "abc", "data": "d"}
    write_json(folder / "metadata.json", {**metadata, "flips": True, "splits": splits, **changes})
    return folder


def test_tokens_are_in_row_major_order(tmp_path):
    latents = open_latents(write_latents(tmp_path / "a"))
    split = latents.split("validation")
    grids = np.load(tmp_path / "a/validation_index.npy")
    assert split.condition_NS is None
    assert split.image_NT.shape == (3, 8)
    assert (split.image_NT[1] == [grids[1, row, column] for row in range(2) for column in range(4)]).all()
    assert latents.tokens == TokenSpace(8, (2, 4), tokenizer_sha256="abc")
    assert latents.unigram_entropy_nats["tune"] == 1.5


def test_a_pair_has_both_vocabularies(tmp_path):
    condition = write_latents(tmp_path / "b", num_codes=5, tokenizer_sha256="def")
    latents = open_latents(write_latents(tmp_path / "a"), condition)
    of_condition = TokenSpace(5, (2, 4), tokenizer_sha256="def")
    assert latents.tokens == TokenSpace(8, (2, 4), of_condition, tokenizer_sha256="abc")
    assert TokenSpace.from_json(latents.tokens.as_json()) == latents.tokens
    assert latents.split("train").condition_NS.shape == (6, 8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"flips": False}, "its flips is False, expected True"),
        ({"data": "other"}, "its data is other, expected d"),
        ({"tokenizer_sha256": ""}, "lacks the checksum of its tokenizer"),
    ],
)
def test_a_condition_of_other_images_is_refused(tmp_path, changes, message):
    image, condition = write_latents(tmp_path / "a"), write_latents(tmp_path / "b", **changes)
    with pytest.raises(TwostageError, match=message):
        open_latents(image, condition)


def test_as_many_codes_of_another_tokenizer_are_refused_where_it_is_known():
    tokens = TokenSpace(8, (2, 4), map="edges", tokenizer_sha256="abc")
    tokens.require_meaning("abc", "theirs")
    expected = (
        r"^theirs has as many codes of edges .* another tokenizer \(sha256 def, expected abc\); use the prior's own"
    )
    with pytest.raises(TwostageError, match=expected) as caught:
        tokens.require_meaning("def", "theirs")
    assert "\n" not in str(caught.value)
    with pytest.raises(TwostageError, match=r"sha256 None, expected abc"):
        tokens.require_meaning(None, "theirs")
    # Nobody knows what a released prior was trained on.
    TokenSpace(8, (2, 4), map="edges").require_meaning("def", "theirs")


@pytest.mark.parametrize(("key", "value"), [("num_images", 7), ("manifest_sha256", "x")])
def test_a_condition_with_another_split_is_refused(tmp_path, key, value):
    image, condition = write_latents(tmp_path / "a"), write_latents(tmp_path / "b")
    metadata = read_json(condition / "metadata.json")
    metadata["splits"]["train"][key] = value
    write_json(condition / "metadata.json", metadata)
    with pytest.raises(TwostageError, match="its train split is"):
        open_latents(image, condition)


def test_missing_metadata_and_mismatched_grids_are_one_line(tmp_path):
    with pytest.raises(TwostageError, match=r"metadata.json is missing"):
        open_latents(tmp_path / "none")
    folder = write_latents(tmp_path / "a", grid=[4, 4])
    with pytest.raises(TwostageError, match="encode again"):
        open_latents(folder).split("train")
    metadata = read_json(folder / "metadata.json")
    del metadata["flips"]
    write_json(folder / "metadata.json", metadata)
    with pytest.raises(TwostageError, match="lacks flips"):
        open_latents(folder)
