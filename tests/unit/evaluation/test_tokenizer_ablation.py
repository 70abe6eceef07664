"""Tokenizers side by side: their numbers, and only of runs that differ in nothing but what the ablation varies."""

import pytest

from twostage.errors import TwostageError
from twostage.evaluation.tokenizer_ablation import TokenizerAblationConfig, tokenizer_ablation
from twostage.planning.verbs import FILES
from twostage.runtime.artifacts import read_json, write_json
from twostage.runtime.job import Job

PAPER = [{"label": "1024", "rfid": 7.94, "rfid_train": 10.54}]
CONFIG = TokenizerAblationConfig("codebook_size", "number of codes", ["32", "64"], "it falls (Table 5)", PAPER)


def write_row(folder, num_codes, steps=20, rfid_images=100, images=200, start=15, adversarial="hinge"):
    splits = {"train": {"num_images": 330}}
    write_json(folder / "data/metadata.json", {"name": "cifar10", "splits": splits})
    loss = {
        "reconstruction": "l1", "perceptual": "alex", "early_perceptual": "none", "adversarial": adversarial,
        "adversarial_start": start,
    }  # fmt: skip
    loop = {"batch_size": 16, "seed": 0}
    config = {"name": f"vqgan_f4_k{num_codes}", "loss": loss, "loop": loop, "learning_rate": 0.001}
    write_json(folder / "tokenizer/config.json", {"kind": "colour", "config": config})
    trained = {"steps": steps, "num_parameters": 1000, "train_seconds": 2.0, "seconds_per_step": 0.1, "num_codes": 9}
    write_json(folder / "tokenizer/metrics.json", trained)
    reconstructed = {
        "images": images, "num_codes": num_codes, "codes_used": num_codes // 2, "perplexity": num_codes / 4,
        "lpips_vgg": 0.2, "lpips_vgg_std_over_images": 0.05, "psnr_decibels": 20.0,
    }  # fmt: skip
    write_json(folder / "reconstruct/metrics.json", reconstructed)
    real = {"split": "validation", "images": rfid_images, "height": 32, "width": 32}
    write_json(folder / "rfid/metrics.json", {"rfid": 100.0 - num_codes, "protocol": {"real": real}})


@pytest.fixture
def job(tmp_path):
    for label in CONFIG.rows:
        write_row(tmp_path / label, int(label))
    kinds = ("data", "tokenizer", "reconstruct", "rfid")
    inputs = {f"{label}.{kind}": str(tmp_path / label / kind) for label in CONFIG.rows for kind in kinds}
    files = FILES["evaluation.tokenizer_ablation"]
    return Job("evaluation", "tokenizer_ablation", "codebook_size", "smoke", {}, inputs, str(tmp_path / "out"), files)


def summarised(job):
    tokenizer_ablation(CONFIG, job)
    return read_json(job.folder / "metrics.json")


def test_every_row_has_its_numbers(job):
    found = summarised(job)["compared"]
    assert list(found) == ["32", "64"]
    row = found["64"]
    assert (row["rfid"], row["lpips_vgg"], row["lpips_vgg_std_over_images"]) == (36, 0.2, 0.05)
    assert (row["psnr_decibels"], row["num_codes"], row["codes_used"]) == (20, 64, 32)
    assert (row["codes_used_share"], row["perplexity_share"]) == (0.5, 0.25)
    assert (row["tokenizer"], row["adversarial_steps"], row["train_seconds"]) == ("vqgan_f4_k64", 5, 2.0)


def test_what_the_rows_share_and_the_papers_numbers_stand_beside_them(job):
    metrics = summarised(job)
    assert (metrics["ablation"], metrics["scale"], metrics["data"]) == ("codebook_size", "smoke", "cifar10")
    assert (metrics["steps"], metrics["batch_size"], metrics["steps_per_epoch"]) == (20, 16, 20)
    assert (metrics["num_images"], metrics["num_rfid_images"], metrics["image_size"]) == (200, 100, [32, 32])
    assert metrics["paper_rows"] == PAPER
    assert metrics["paper_says"] == "it falls (Table 5)"


@pytest.mark.parametrize(
    ("changes", "steps"), [({"start": 20}, 0), ({"start": 30}, 0), ({"start": 0}, 20), ({"adversarial": "none"}, 0)]
)
def test_steps_with_a_discriminator_are_counted(job, tmp_path, changes, steps):
    write_row(tmp_path / "64", 64, **changes)
    assert summarised(job)["compared"]["64"]["adversarial_steps"] == steps


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 21}, "64 has steps 21, 32 has 20; give the rows"),
        ({"rfid_images": 50}, "64 has num_rfid_images 50, 32 has 100"),
        ({"images": 100}, "64 has num_images 100, 32 has 200"),
    ],
)
def test_rows_of_unlike_budgets_or_images_are_refused(job, tmp_path, changes, message):
    write_row(tmp_path / "64", 64, **changes)
    with pytest.raises(TwostageError, match=message):
        summarised(job)
    assert not job.folder.exists()
