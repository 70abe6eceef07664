"""Nothing that is put into, or asked for beside, the pipeline's folders becomes part of a table in silence."""

import json
import os
import shutil
import sys

import pytest

from .conftest import GROUP, rules_of, variants_of

pytestmark = GROUP

RIVAL = "cifar10.vqgan_f4.pixelsnail.seed0"


@pytest.fixture
def clone(reproduced):
    return reproduced


@pytest.fixture
def folder(clone):
    """The rival's folder, put back afterwards just as it was."""
    path = clone.folder / "artifacts/smoke/priors" / RIVAL
    kept = clone.folder / "build/kept"
    path.rename(kept)
    shutil.copytree(kept, path)
    yield path
    shutil.rmtree(path)
    kept.rename(path)


def keep_times(folder, of):
    for path in folder.iterdir():
        status = os.stat(of / path.name)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def swap_whole(folder):
    other = folder.with_name(RIVAL.replace("seed0", "seed1"))
    shutil.rmtree(folder)
    shutil.copytree(other, folder)


def swap_weights(folder):
    shutil.copy(folder.with_name(RIVAL.replace("seed0", "seed1")) / "model.safetensors", folder)


def drop_record(folder):
    (folder / "provenance.json").unlink()


def flip_a_bit(folder):
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-5] ^= 1
    (folder / "model.safetensors").write_bytes(content)


@pytest.mark.parametrize("change", [swap_whole, swap_weights, drop_record, flip_a_bit])
def test_a_folder_that_holds_something_else_is_made_again(clone, folder, change):
    change(folder)
    keep_times(folder, clone.folder / "build/kept")
    plan = clone.dry_run("results/table1.csv")
    assert RIVAL in variants_of(plan)
    assert "priors_train" in rules_of(plan)


def test_a_folder_that_was_only_touched_is_not(clone, folder):
    keep_times(folder, clone.folder / "build/kept")
    assert "Nothing to be done" in clone.dry_run("results/table1.csv")


@pytest.mark.parametrize(
    "overrides",
    [
        ("priors=pixelsnail", "priors.learning_rate=1e-5"),
        ("scale.tokenizers.image.steps=10", "priors.learning_rate=1e-3"),
    ],
    ids=["prior", "tokenizer"],
)
def test_what_is_asked_for_beside_the_plan_leaves_its_folders_alone(clone, overrides):
    model = clone.folder / "artifacts/smoke/priors" / RIVAL / "model.safetensors"
    before = model.read_bytes()
    verb = [sys.executable, "-m", "twostage", "from_data"]
    clone.ask(*verb, "scale=smoke", "data=cifar10", "sampling.num_images=4", *overrides)
    assert model.read_bytes() == before
    assert "Nothing to be done" in clone.dry_run("results/table1.csv")


def test_a_prior_trained_by_hand_is_sampled_from_by_name_and_by_folder(clone, tmp_path):
    asked = ["scale=smoke", "priors.learning_rate=1e-3"]
    verb = [sys.executable, "-m", "twostage"]
    clone.ask(*verb, "priors.train", *asked)
    said = clone.log_of(*verb, "sampling.generate", *asked, "sampling.num_images=4").strip().splitlines()[-1]
    picture = clone.folder / said.split()[-1]
    assert picture.suffix == ".png"
    metrics = json.loads((picture.parent / "metrics.json").read_text())
    assert ".by_hand_" in metrics["variant"]
    # The same by folders outside of the pipeline's.
    clone.ask(*verb, "priors.train", *asked, "--out", str(tmp_path / "prior"))
    clone.ask(*verb, "sampling.generate", "scale=smoke", f"prior={tmp_path}/prior", "sampling.num_images=4",
              "--out", str(tmp_path / "samples"))  # fmt: skip
    for name in ("samples.npy", "index.npy"):
        assert (tmp_path / "samples" / name).read_bytes() == (picture.parent / name).read_bytes()


def test_two_that_prepare_one_dataset_at_once_make_it_once(clone, tmp_path):
    from skimage import data
    from skimage.io import imsave

    picture = data.astronaut()
    for number in range(40):
        imsave(tmp_path / f"{number}.png", picture[number : number + 64, :64], check_contrast=False)
    command = [sys.executable, "-m", "twostage", "data.prepare", "scale=smoke", "data=folder", "data.name=twice",
               f"data.root={tmp_path}", "data.tune_images=5", "data.validation_images=5"]  # fmt: skip
    for _ in range(3):
        shutil.rmtree(clone.folder / "artifacts/smoke/data/twice", ignore_errors=True)
        running = [clone.start(*command) for _ in range(3)]
        assert [each.wait() for each in running] == [0, 0, 0]
        again = clone.log_of(*command)
        assert "made already" in again
