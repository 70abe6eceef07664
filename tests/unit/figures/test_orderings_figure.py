from dataclasses import asdict

import numpy as np
import pytest

from tests.unit.figures.conftest import assert_same_files_twice
from twostage.config.schema import FiguresConfig
from twostage.errors import TwostageError
from twostage.evaluation.statistics import Summary
from twostage.figures.orderings import OrderingsConfig, orderings
from twostage.latents.orderings import ordering
from twostage.planning.verbs import FILES
from twostage.runtime.artifacts import read_csv, write_array, write_json
from twostage.runtime.job import Job

NAMES = ["row_major", "spiral_out", "random"]
PAPER = {"row_major": 4.767, "spiral_out": 4.889}
PALETTE = {"row_major": "#000000", "spiral_out": "#E69F00", "random": "#999999"}
LOOK = FiguresConfig(style="neurips2024", palette=PALETTE, png_dpi=50)


def measured(at, name):
    values = {"validation": [5.4 + at / 10, 5.42 + at / 10], "train": [5.3 + at / 10, 5.32 + at / 10]}
    if at:
        values["difference_to_row_major"] = [at / 10, at / 10 + 0.01]
    band = {"step": [0, 10, 20], "mean": [6.2, 5.8, 5.41 + at / 10]}
    band |= {"low": [nll - 0.01 for nll in band["mean"]], "high": [nll + 0.01 for nll in band["mean"]]}
    return {
        "nll_nats_per_token": {key: asdict(Summary.of(pair)) for key, pair in values.items()},
        "per_seed": values,
        "curves": {"validation": band, "train": band},
        "grid_order": ordering(name, 4, 4).tolist(),
        "sampling": {"temperature": 1.0, "top_k": 16, "top_p": None},
        "paper_nll": PAPER.get(name),
        "paper_difference": PAPER[name] - 4.767 if name in PAPER else None,
    }


@pytest.fixture
def job(tmp_path):
    metrics = {
        "scale": "smoke", "data": "cifar10", "tokenizer": "vqgan_f4", "condition": None, "grid": [8, 8],
        "seeds": [0, 1], "unigram_entropy_nats": 5.9, "steps": 20, "num_parameters": 500_000, "architecture": "gpt",
        "learning_rate": 0.002, "learning_rate_at_edge": False, "seconds_per_step": 0.1, "picture_side": 4,
        "orderings": {name: measured(at, name) for at, name in enumerate(NAMES)},
    }  # fmt: skip
    write_json(tmp_path / "summary/metrics.json", metrics)
    write_array(tmp_path / "summary/samples.npy", np.zeros((3, 5, 8, 8, 3), np.uint8))
    inputs, out = {"orderings": str(tmp_path / "summary")}, str(tmp_path / "out")
    return Job("figures", "orderings", "orderings", "smoke", {}, inputs, out, FILES["figures.orderings"])


def test_writes_every_promised_file_with_the_papers_numbers_beside_ours(job):
    orderings(OrderingsConfig(LOOK), job)
    assert sorted(path.name for path in job.folder.iterdir()) == sorted(job.files)
    rows = {row["ordering"]: row for row in read_csv(job.folder / "orderings.csv")}
    assert list(rows) == NAMES
    spiral = rows["spiral_out"]
    assert float(spiral["validation_nll"]) == pytest.approx(5.51)
    assert float(spiral["train_nll"]) == pytest.approx(5.41)
    assert float(spiral["difference_to_row_major"]) == pytest.approx(0.105)
    assert float(spiral["paper_nll"]) == 4.889
    assert float(spiral["paper_difference"]) == pytest.approx(0.122)
    assert (spiral["scale"], spiral["num_seeds"], spiral["steps"]) == ("smoke", "2", "20")
    assert rows["row_major"]["difference_to_row_major"] == rows["random"]["paper_nll"] == ""
    markdown = (job.folder / "orderings.md").read_text()
    assert "5.510 ± 0.014" in markdown
    assert "+0.105 [+0.041, +0.169]" in markdown
    assert "4.889" in markdown
    assert "+0.122" in markdown
    assert "at scale smoke: cifar10 through vqgan_f4, 8x8 tokens, 20 steps, 2 seeds" in markdown


def test_same_input_same_bytes(job):
    assert_same_files_twice(orderings, OrderingsConfig(LOOK), job)


def test_an_order_without_a_colour_is_named(job):
    look = FiguresConfig(style="neurips2024", palette={"row_major": "#000000", "random": "#999999"}, png_dpi=50)
    with pytest.raises(TwostageError, match=r"figures\.palette has no colour for spiral_out"):
        orderings(OrderingsConfig(look), job)
    assert not job.folder.exists()
