"""`twostage released`: from tiny checkpoints in the cache to the table, with a small extractor in Inception's place."""

import sys

import numpy as np
import pytest
import torch
from PIL import Image

from tests.released import SIDE, write_released
from tests.unit.evaluation.conftest import TinyExtractor, random_images
from twostage.commands import released as command
from twostage.runtime.artifacts import read_csv, read_json
from twostage.runtime.tensors import write_tensors
from twostage.sources.released import RELEASED
from twostage.sources.resumed import folder_of, obtain_released
from twostage.weights import convert, fused_inception

pytestmark = pytest.mark.usefixtures("repository_conf")
NUM_PICTURES = 40
SMALL = ("scale=smoke", f"data.size={SIDE}", "evaluation.features.images=null", "evaluation.rfid_images=null")


@pytest.fixture
def call(tmp_path, monkeypatch, capfd):
    """The command in an empty folder, with pictures in `pictures` and an empty cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TWOSTAGE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "pictures").mkdir()
    for number, image in enumerate(random_images(NUM_PICTURES, 0)):
        Image.fromarray(image).save(tmp_path / f"pictures/{number}.png")
    monkeypatch.setattr(fused_inception, "load", lambda folder, features=("2048",): TinyExtractor(features))
    monkeypatch.setattr(fused_inception, "provenance", lambda folder: {"classifier": False})
    weights = {"w": torch.zeros(1)}
    monkeypatch.setattr(
        convert, "convert", annotated(lambda config, job: write_tensors(job.folder / "model.safetensors", weights))
    )

    def typed(*words):
        monkeypatch.setattr(sys, "argv", ["twostage released", *words])
        try:
            command.main()
        except SystemExit as stop:
            return stop.code, capfd.readouterr().err
        place = "results/smoke" if "scale=smoke" in words else "results"
        return 0, {row["name"]: row for row in read_csv(tmp_path / f"{place}/released.csv")}

    return typed


def annotated(work):
    """The verb's config is read from the types of its function."""
    work.__annotations__ = dict(convert.convert.__annotations__)
    return work


def put(name, condition=None):
    """A tiny checkpoint in the cache, as if the user had put it there by hand."""
    entry = RELEASED[name]
    write_released(folder_of(entry), condition)
    return entry


def test_nothing_fetched_is_a_table_of_what_is_printed(call):
    code, rows = call()
    assert code == 0
    assert list(rows) == list(RELEASED)
    row = rows["vqgan_imagenet_f16_1024"]
    assert row["why"] == "not fetched: twostage fetch vqgan_imagenet_f16_1024"
    assert row["rfid"] == ""
    assert "rFID 7.94 vs validation (README; Esser et al. 2021, Table 5)" in row["printed"]


def test_tokenizers_are_measured_on_the_folder(call, tmp_path):
    obtain_released(put("vqgan_imagenet_f16_1024"))
    obtain_released(put("drin_transformer", "depth"))
    code, rows = call("--data", "pictures", *SMALL)
    assert code == 0, rows
    for name in ("vqgan_imagenet_f16_1024", "drin_transformer"):
        row = rows[name]
        assert row["why"] == ""
        # Two pictures are the other splits.
        assert int(row["rfid_images"]) == NUM_PICTURES - 2
        assert float(row["rfid"]) > 0
        assert len(row["checkpoint_sha256"]) == 64
    # Both tokenizers have the same random weights.
    assert rows["drin_transformer"]["rfid"] == rows["vqgan_imagenet_f16_1024"]["rfid"]
    assert rows["ffhq_transformer"]["rfid"] == ""
    assert row["pictures"].startswith("pictures_")
    assert "vqgan_imagenet_f16_1024" in (tmp_path / "results/smoke/released.md").read_text()
    again, same = call("--data", "pictures", *SMALL)
    assert (again, same) == (0, rows)
    # Another folder, and of one entry alone: the others keep their numbers.
    (tmp_path / "pictures").rename(tmp_path / "a,b ä")
    Image.new("RGB", (SIDE, SIDE)).save(tmp_path / "a,b ä/more.png")
    code, more = call("drin_transformer", "--data", "a,b ä", *SMALL)
    assert code == 0, more
    assert more["vqgan_imagenet_f16_1024"] == rows["vqgan_imagenet_f16_1024"]
    assert int(more["drin_transformer"]["rfid_images"]) == NUM_PICTURES - 1
    assert more["drin_transformer"]["pictures_sha256"] != row["pictures_sha256"]


def test_another_checkpoint_is_converted_anew_and_loses_the_numbers_of_the_first(call, tmp_path):
    entry = put("vqgan_imagenet_f16_1024")
    obtain_released(entry)
    _, rows = call("--data", "pictures", *SMALL)
    assert rows[entry.name]["rfid"] != ""
    weights = tmp_path / f"models/{entry.name}/tokenizer/model.safetensors"
    before = weights.read_bytes()
    path = folder_of(entry) / "checkpoint.ckpt"
    state = torch.load(path, weights_only=True)["state_dict"]
    torch.save({"state_dict": {name: value + 0.01 for name, value in state.items()}}, path)
    (folder_of(entry) / "checksums.json").unlink()
    obtain_released(entry)
    code, rows = call("scale=smoke", "--data", "pictures", "sflckr")
    assert (code, rows[entry.name]["rfid"]) == (0, "")
    code, rows = call("--data", "pictures", *SMALL)
    assert code == 0, rows
    assert rows[entry.name]["rfid"] != ""
    assert weights.read_bytes() != before


def test_what_cannot_be_measured_says_why_and_stops_no_other(call):
    obtain_released(put("vqgan_imagenet_f16_1024"))
    code, rows = call("--data", "pictures", *SMALL, "evaluation.rfid_images=1000")
    assert code == 0, rows
    assert rows["vqgan_imagenet_f16_1024"]["why"].startswith("not measured: ")


def test_priors_are_measured_by_their_samples(call):
    small = (*SMALL, "evaluation.samples.kid_subset_size=10", "evaluation.samples.kid_subsets=2", "sampling.top_k=5")
    ffhq, cin = put("ffhq_transformer", "unconditional"), put("cin_transformer", "class")
    for entry in (ffhq, cin, put("faceshq_transformer", "coordinates")):
        obtain_released(entry)
    code, rows = call("ffhq_transformer", "cin_transformer", "faceshq_transformer", "--data", "pictures", "--samples",
                      "30", *small)  # fmt: skip
    assert code == 0, rows
    for name in ("ffhq_transformer", "cin_transformer"):
        assert rows[name]["why"] == ""
        assert float(rows[name]["fid"]) > 0
        assert rows[name]["fid_samples"] == "30"
    assert rows["faceshq_transformer"]["fid"] == ""
    assert "samples of coordinates are not measured" in rows["faceshq_transformer"]["why"]
    assert rows["sflckr"]["why"] == "not fetched: twostage fetch sflckr"
    _, rows = call("sflckr")
    assert rows["ffhq_transformer"]["why"] == "not asked for"


def with_maps(folder, name, largest):
    """Moves the pictures to where the data stage looks for them, beside random maps."""
    pictures = list(folder.iterdir())
    (folder / name).mkdir()
    (folder / "images").mkdir()
    draws = np.random.default_rng(0)
    for picture in pictures:
        picture.rename(folder / "images" / picture.name)
        map_HW = draws.integers(0, largest + 1, (SIDE, SIDE)).astype(np.uint8)
        Image.fromarray(map_HW).save(folder / name / picture.name)


def test_pictures_to_tune_on_are_left_out(call):
    obtain_released(put("vqgan_imagenet_f16_1024"))
    code, rows = call("--data", "pictures", *SMALL, "data.tune_images=5")
    assert code == 0
    assert rows["vqgan_imagenet_f16_1024"]["rfid_images"] == str(NUM_PICTURES - 6)


@pytest.mark.parametrize(
    ("name", "condition", "keys"),
    [("coco_transformer", "segmentation", ["data.num_labels=6"]), ("drin_transformer", "depth", [])],
)
def test_samples_of_a_prior_of_maps_are_drawn_from_those_of_the_pictures(call, tmp_path, capfd, name, condition, keys):
    small = (*SMALL, "evaluation.samples.kid_subset_size=10", "evaluation.samples.kid_subsets=2", "sampling.top_k=5")
    obtain_released(put(name, condition))
    with_maps(tmp_path / "pictures", condition, 5 if condition == "segmentation" else 255)
    asked = (name, "--data", "pictures", "--samples", str(NUM_PICTURES - 2), *small)
    if condition == "segmentation":
        code, rows = call(*asked)
        assert (code, rows[name]["fid"]) == (0, "")
        assert "samples need the label maps: 'data.maps=[segmentation]'" in rows[name]["why"]
    code, rows = call(*asked, f"data.maps=[{condition}]", *keys)
    assert (code, rows[name]["why"]) == (0, "")
    assert float(rows[name]["fid"]) > 0
    assert rows[name]["fid_samples"] == str(NUM_PICTURES - 2)
    # The codes of the maps conditioned the samples, each of its own map.
    (drawn,) = (tmp_path / "artifacts/smoke/sampling").iterdir()
    inputs = read_json(drawn / "provenance.json")["inputs"]
    (codes,) = (tmp_path / "artifacts/smoke/latents").iterdir()
    assert read_json(codes / "metadata.json")["map"] == condition
    assert "condition" in inputs
    assert read_json(drawn / "metrics.json")["conditional"]
    # More samples than maps: the numbers of before stay.
    capfd.readouterr()
    code, rows = call(*asked[:4], str(NUM_PICTURES), *small, f"data.maps=[{condition}]", *keys)
    assert rows[name]["fid_samples"] == str(NUM_PICTURES - 2)
    assert f"has {NUM_PICTURES - 2} validation images for them" in capfd.readouterr().err


def test_a_checkpoint_that_cannot_be_read_keeps_its_line(call):
    entry = put("sflckr", "segmentation")
    (folder_of(entry) / "checkpoint.ckpt").write_bytes(b"PK, but no checkpoint")
    obtain_released(entry)
    code, rows = call("--data", "pictures", *SMALL)
    assert code == 0, rows
    assert rows["sflckr"]["why"].startswith("not imported: ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["vqgan"], "unknown checkpoint 'vqgan'"),
        (["--data", "nowhere"], "nowhere is not a folder"),
        (["scale=smoke"], "name the pictures too: --data FOLDER"),
        (["--samples", "3"], "name the pictures too: --data FOLDER"),
        (["--data", "pictures", "priors=gpt"], "priors=gpt is a choice that nothing here reads"),
    ],
)
def test_a_mistake_is_one_line(call, words, said):
    code, error = call(*words)
    assert code == 1
    assert said in error
    assert len(error.strip().splitlines()) == 1
