"""Pixels as tokens: the nearest colour exactly, and what is stored is what is loaded."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from twostage import tokenizers
from twostage.config.schema import KMeansConfig
from twostage.errors import TwostageError
from twostage.planning.verbs import VERBS
from twostage.runtime.artifacts import read_json, write_json
from twostage.runtime.job import Job
from twostage.tokenizers.cluster import ClusterConfig, cluster, drawn_pixels, find_palette
from twostage.tokenizers.pixels import PixelTokenizer, save

CONFIG = KMeansConfig(num_codes=16, pixels=2000, batch_size=256, epochs=10, seed=0)


def palette(num_codes, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (num_codes, 3)).astype(np.uint8))


def nearest(pixel_P3, palette_K3):
    """In whole numbers, the first of the nearest."""
    return ((pixel_P3[:, None].astype(int) - palette_K3.astype(int)) ** 2).sum(-1).argmin(1)


@given(st.integers(0, 2**32 - 1), st.sampled_from([2, 16, 512]))
@settings(max_examples=25, deadline=None)
def test_every_pixel_gets_its_nearest_colour_and_of_equally_near_ones_the_first(seed, num_codes):
    # Even colours are half-way between odd ones: ties abound.
    palette_K3 = palette(num_codes, seed) // 2 * 2 + 1
    tokenizer = PixelTokenizer(palette_K3)
    image_BHWC = np.random.default_rng(seed + 1).integers(0, 256, (2, 8, 12, 3)).astype(np.uint8)
    index_BHW = tokenizer.encode(tokenizer.prepare(image_BHWC))
    assert index_BHW.dtype == torch.int64
    assert index_BHW.shape == (2, 8, 12)
    assert (index_BHW.numpy().ravel() == nearest(image_BHWC.reshape(-1, 3), palette_K3.numpy())).all()


def test_colours_of_the_palette_come_back_as_they_were():
    tokenizer = PixelTokenizer(palette(64))
    index_BHW = torch.arange(64).view(1, 8, 8)
    image_BCHW = tokenizer.decode(index_BHW)
    assert image_BCHW.shape == (1, 3, 8, 8)
    assert torch.equal(tokenizer.encode(image_BCHW), index_BHW)
    byte = ((image_BCHW[0] + 1) * 127.5).round().byte().permute(1, 2, 0).reshape(64, 3)
    assert torch.equal(byte, tokenizer.palette_K3)


def test_decoding_is_nearer_than_any_other_colour_could_be():
    tokenizer = PixelTokenizer(palette(32))
    image_BCHW = torch.rand(2, 3, 16, 16) * 2 - 1
    decoded = tokenizer.decode(tokenizer.encode(image_BCHW))
    error = (decoded - image_BCHW).square().sum(1)
    for code in range(32):
        other = tokenizer.decode(torch.full((2, 16, 16), code))
        # Bytes are rounded to: half a step in each of three channels.
        assert (error.sqrt() <= (other - image_BCHW).square().sum(1).sqrt() + 2 * 3**0.5 / 255).all()


@pytest.mark.parametrize("index", [-1, 16])
def test_an_index_out_of_range_is_refused(index):
    with pytest.raises(TwostageError, match=r"must lie in \[0, 16\)"):
        PixelTokenizer(palette(16)).decode(torch.full((1, 2, 2), index))


def test_one_channel_is_refused():
    with pytest.raises(TwostageError, match="got 1 channels"):
        PixelTokenizer(palette(16)).encode(torch.zeros(1, 1, 2, 2))


def test_saved_and_loaded_it_is_the_same_and_looks_like_any_tokenizer(tmp_path):
    made = PixelTokenizer(palette(16))
    save(made, "kmeans_f1", tmp_path)
    loaded = tokenizers.load(tmp_path)
    assert isinstance(loaded, PixelTokenizer)
    assert (loaded.num_codes, loaded.factor, loaded.num_channels, loaded.kind) == (16, 1, 3, "colour")
    assert torch.equal(loaded.palette_K3, made.palette_K3)


@pytest.mark.parametrize(("changes", "message"), [({"num_codes": 17}, "17 colours"), ({"format": "x"}, "format x")])
def test_files_that_do_not_fit_together_are_named(tmp_path, changes, message):
    save(PixelTokenizer(palette(16)), "kmeans_f1", tmp_path)
    write_json(tmp_path / "config.json", read_json(tmp_path / "config.json") | changes)
    with pytest.raises(TwostageError, match=message):
        tokenizers.load(tmp_path)


def job(data_folder, out):
    inputs = {"data": str(data_folder)}
    return Job("tokenizers", "cluster", "toy.kmeans", "smoke", {}, inputs, str(out), VERBS["tokenizers.cluster"].files)


def test_verb_writes_what_load_reads_and_the_seed_decides(data_folder, tmp_path):
    contents = []
    for number in range(2):
        made = job(data_folder, tmp_path / f"out{number}")
        cluster(ClusterConfig("kmeans_f1", "image", CONFIG), made)
        assert sorted(path.name for path in made.folder.iterdir()) == sorted(made.files)
        contents.append((made.folder / "model.safetensors").read_bytes())
    assert contents[0] == contents[1]
    metrics = read_json(made.folder / "metrics.json")
    assert metrics["num_parameters"] == 48
    assert 1 <= metrics["perplexity"] <= metrics["codes_used"] <= metrics["num_codes"] == 16
    assert metrics["train_seconds"] > 0
    assert tokenizers.load(made.folder).num_codes == 16


def test_another_map_is_refused(data_folder, tmp_path):
    with pytest.raises(TwostageError, match=r"tokenizers\.map=edges is a binary map of 1 channels"):
        cluster(ClusterConfig("kmeans_f1", "edges", CONFIG), job(data_folder, tmp_path / "out"))


def test_the_palette_finds_what_colours_there_are():
    centres = np.array([[10, 10, 10], [240, 10, 10], [10, 240, 10], [120, 120, 240]])
    random = np.random.default_rng(0)
    pixel_P3 = centres[random.integers(0, 4, 2000)] + random.integers(-5, 6, (2000, 3))
    found, _ = find_palette(pixel_P3.astype(np.uint8), KMeansConfig(4, 2000, 256, 10, 0))
    assert found.dtype == np.uint8
    distance = np.abs(found[:, None].astype(int) - centres).max(-1)
    assert distance.min(0).max() <= 2


def test_fewer_colours_than_the_palette_shall_have_are_named():
    pixel_P3 = np.repeat(np.arange(15, dtype=np.uint8)[:, None], 3, axis=1)
    with pytest.raises(TwostageError, match="have 15 colours, fewer than the 16"):
        find_palette(pixel_P3, CONFIG)


def test_pixels_are_drawn_without_replacement_and_all_where_there_are_no_more():
    images = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    drawn = drawn_pixels(images, KMeansConfig(2, 10, 4, 1, 0))
    assert len(np.unique(drawn, axis=0)) == len(drawn) == 10
    every = drawn_pixels(images, KMeansConfig(2, 999, 4, 1, 0))
    assert (every[np.argsort(every[:, 0])] == images.reshape(-1, 3)).all()
