import numpy as np
import pytest

from tests.unit.figures.conftest import assert_same_files_twice
from twostage.config.schema import FiguresConfig
from twostage.errors import TwostageError
from twostage.figures.tokenizer_ablation import TokenizerAblationConfig, tokenizer_ablation
from twostage.planning.verbs import FILES
from twostage.runtime.artifacts import read_csv, write_array, write_json
from twostage.runtime.job import Job

LOOK = FiguresConfig(style="neurips2024", palette={"tokenizer": "#0072B2"}, png_dpi=50)
CONFIG = TokenizerAblationConfig(LOOK)


def row(num_codes):
    return {
        "tokenizer": f"vqgan_f4_k{num_codes}", "reconstruction": "l1", "perceptual": "alex", "early_perceptual": "none",
        "adversarial": "hinge", "adversarial_steps": 5, "rfid": 100.0 - num_codes / 10, "num_codes": num_codes,
        "codes_used": num_codes // 2, "perplexity": num_codes / 4, "lpips_vgg": 0.2, "lpips_vgg_std_over_images": 0.05,
        "psnr_decibels": 20.0, "codes_used_share": 0.5, "perplexity_share": 0.25, "steps": 20, "num_parameters": 1000,
        "train_seconds": 2.0, "seconds_per_step": 0.1,
    }  # fmt: skip


def make(tmp_path, name, labels, paper_rows):
    metrics = {
        "ablation": name, "varies": "number of codes", "scale": "smoke", "data": "cifar10", "num_train_images": 330,
        "steps": 20, "batch_size": 16, "seed": 0, "learning_rate": 0.001, "split": "validation", "num_images": 200,
        "num_rfid_images": 100, "image_size": [32, 32], "steps_per_epoch": 20,
        "compared": {label: row(32 * (at + 1)) for at, label in enumerate(labels)},
        "paper_says": "rFID falls (Table 5)", "paper_rows": paper_rows,
    }  # fmt: skip
    write_json(tmp_path / "summary/metrics.json", metrics)
    inputs = {"summary": str(tmp_path / "summary")}
    shown = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3)).astype(np.uint8)
    for at, label in enumerate(labels):
        write_array(tmp_path / label / "grid.npy", np.stack([shown, shown // (at + 2)]))
        inputs[label] = str(tmp_path / label)
    files = [file.format(variant=name) for file in FILES["figures.tokenizer_ablation"]]
    return Job("figures", "tokenizer_ablation", name, "smoke", {}, inputs, str(tmp_path / "out"), files)


@pytest.fixture
def job(tmp_path):
    return make(tmp_path, "codebook_size", ["32", "64"], [{"label": "1024", "rfid": 7.94, "rfid_train": 10.54}])


def test_writes_every_promised_file_with_the_papers_numbers_beside_ours(job):
    tokenizer_ablation(CONFIG, job)
    assert sorted(path.name for path in job.folder.iterdir()) == sorted(job.files)
    lines = read_csv(job.folder / "codebook_size.csv")
    assert [(line["source"], line["row"]) for line in lines] == [("ours", "32"), ("ours", "64"), ("paper", "1024")]
    assert float(lines[1]["rfid"]) == pytest.approx(93.6)
    assert (lines[1]["num_rfid_images"], lines[1]["steps"], lines[1]["scale"]) == ("100", "20", "smoke")
    assert (lines[2]["rfid"], lines[2]["rfid_train"], lines[2]["lpips_vgg"]) == ("7.94", "10.54", "")
    markdown = (job.folder / "codebook_size.md").read_text()
    for shown in ("0.200 ± 0.050", "93.60", "32 of 64", "paper: 1024", "7.94, on the training split 10.54",
                  "rFID (100 images)", "at scale smoke", "20 steps of 16 images", "20 steps are an epoch",
                  "rFID falls (Table 5)."):  # fmt: skip
        assert shown in markdown


def test_rows_without_printed_numbers_are_drawn_too(tmp_path):
    job = make(tmp_path, "vqgan_vs_vqvae", ["VQGAN", "VQVAE"], [])
    tokenizer_ablation(CONFIG, job)
    assert "paper:" not in (job.folder / "vqgan_vs_vqvae.md").read_text()


def test_same_input_same_bytes(job):
    assert_same_files_twice(tokenizer_ablation, CONFIG, job)


def test_reconstructions_of_other_images_are_refused(job):
    path = job.upstream("64") / "grid.npy"
    write_array(path, np.zeros((2, 8, 32, 32, 3), dtype=np.uint8))
    with pytest.raises(TwostageError, match="64 shows other images than 32"):
        tokenizer_ablation(CONFIG, job)
    assert not job.folder.exists()


def test_a_missing_colour_is_named(job):
    look = FiguresConfig(style="neurips2024", palette={"gpt": "#000000"}, png_dpi=50)
    with pytest.raises(TwostageError, match=r"figures\.palette has no colour for tokenizer"):
        tokenizer_ablation(TokenizerAblationConfig(look), job)
