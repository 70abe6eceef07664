"""Summaries of the ordering ablation: paired by seed, and only of runs that differ in nothing else."""

import numpy as np
import pytest
from scipy import stats

from twostage.errors import TwostageError
from twostage.evaluation.orderings import OrderingsConfig, orderings
from twostage.planning.verbs import FILES
from twostage.runtime.artifacts import read_array, read_json, write_array, write_csv, write_json
from twostage.runtime.job import Job

STEPS = [0, 5, 10]
# Seeds differ far more than orders do: only the pairing tells the orders apart.
FINAL = {("row_major", 0): 5.0, ("row_major", 1): 5.8, ("subsample", 0): 5.1, ("subsample", 1): 5.92}
CONFIG = OrderingsConfig(
    "cifar10", "vqgan_f4", None, ["row_major", "subsample"], [0, 1], {"row_major": 4.767, "subsample": 5.015}
)


def write_run(folder, name, seed, final, evaluated=STEPS, changes=()):
    rows = [
        {"step": step, "train_seconds": step / 10, "validation_nll_nats_per_token": final + (10 - step) / 10}
        | ({"train_nll_nats_per_token": final - 0.2 + (10 - step) / 10} if step else {})
        for step in evaluated
    ]
    write_csv(folder / "curve.csv", rows)
    metrics = {
        "ordering": name, "seed": seed, "steps": 10, "num_parameters": 1000, "architecture": "gpt",
        "learning_rate": 0.002, "learning_rate_at_edge": False, "seconds_per_step": 0.1 + seed / 10,
    }  # fmt: skip
    write_json(folder / "metrics.json", metrics | dict(changes))


@pytest.fixture
def job(tmp_path):
    inputs = {"latents": str(tmp_path / "latents")}
    splits = {"validation": {"unigram_entropy_nats": 6.1}}
    write_json(tmp_path / "latents/metadata.json", {"grid": [8, 8], "splits": splits})
    for (name, seed), final in FINAL.items():
        inputs[f"{name}.seed{seed}"] = str(tmp_path / f"{name}{seed}")
        write_run(tmp_path / f"{name}{seed}", name, seed, final)
    for at, name in enumerate(CONFIG.orderings):
        inputs[f"{name}.samples"] = str(tmp_path / f"samples_of_{name}")
        write_array(tmp_path / f"samples_of_{name}/samples.npy", np.full((20, 8, 8, 3), at, np.uint8))
        drawn = {"temperature": 1.0, "top_k": 16, "top_p": None, "seconds_per_image": 0.1, "tokens_per_second": 640.0}
        write_json(tmp_path / f"samples_of_{name}/metrics.json", drawn | {"seed": 0})
    out = str(tmp_path / "out")
    return Job("evaluation", "orderings", "orderings", "smoke", {}, inputs, out, FILES["evaluation.orderings"])


def summarised(job, config=CONFIG):
    orderings(config, job)
    return read_json(job.folder / "metrics.json")


def test_differences_are_paired_by_seed(job):
    found = summarised(job)["orderings"]
    assert "difference_to_row_major" not in found["row_major"]["nll_nats_per_token"]
    summary = found["subsample"]["nll_nats_per_token"]["difference_to_row_major"]
    pairs = [0.1, 0.12]
    low, high = stats.t.interval(0.95, 1, loc=np.mean(pairs), scale=stats.sem(pairs))
    assert summary["mean"] == pytest.approx(0.11)
    assert (summary["ci95_low"], summary["ci95_high"]) == pytest.approx((low, high))
    assert found["subsample"]["per_seed"]["difference_to_row_major"] == pytest.approx(pairs)


def test_final_values_of_both_splits_and_the_papers_beside_them(job):
    metrics = summarised(job)
    found = metrics["orderings"]["subsample"]
    assert found["nll_nats_per_token"]["validation"]["mean"] == pytest.approx(5.51)
    assert found["nll_nats_per_token"]["train"]["mean"] == pytest.approx(5.31)
    assert found["nll_nats_per_token"]["validation"]["std"] == pytest.approx(np.std([5.1, 5.92], ddof=1))
    assert found["paper_nll"] == 5.015
    assert found["paper_difference"] == pytest.approx(0.248)
    assert (metrics["scale"], metrics["steps"], metrics["grid"]) == ("smoke", 10, [8, 8])
    assert metrics["seconds_per_step"] == pytest.approx(0.15)
    assert found["grid_order"][:4] == [0, 2, 8, 10]


def test_the_first_samples_of_each_ordering_are_kept_with_how_they_were_drawn(job):
    metrics = summarised(job)
    shown_ONHWC = read_array(job.folder / "samples.npy")
    assert shown_ONHWC.shape == (2, 12, 8, 8, 3)
    assert [int(image_NHWC.max()) for image_NHWC in shown_ONHWC] == [0, 1]
    assert metrics["orderings"]["subsample"]["sampling"]["tokens_per_second"] == 640.0


def test_bands_are_one_deviation_around_the_mean_and_training_begins_at_the_second_point(job):
    curves = summarised(job)["orderings"]["row_major"]["curves"]
    assert curves["validation"]["step"] == [0, 5, 10]
    assert curves["validation"]["mean"] == pytest.approx([6.4, 5.9, 5.4])
    deviation = np.std([5.0, 5.8], ddof=1)
    assert curves["validation"]["high"] == pytest.approx(np.array([6.4, 5.9, 5.4]) + deviation)
    assert curves["validation"]["low"] == pytest.approx(np.array([6.4, 5.9, 5.4]) - deviation)
    assert curves["train"]["step"] == [5, 10]


def test_an_order_that_the_paper_does_not_print_has_no_number_of_its(job):
    config = OrderingsConfig("cifar10", "vqgan_f4", None, ["row_major", "subsample"], [0, 1], {"row_major": 4.767})
    found = summarised(job, config)["orderings"]["subsample"]
    assert found["paper_nll"] is None
    assert found["paper_difference"] is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": 0.004}, r"subsample\.seed1 has learning_rate 0\.004, expected 0\.002"),
        ({"steps": 20}, "has steps 20, expected 10"),
        ({"ordering": "alternate"}, "has ordering alternate, expected subsample"),
        ({"seed": 0}, "has seed 0, expected 1"),
    ],
)
def test_runs_that_differ_in_more_than_order_and_seed_are_refused(job, changes, message):
    write_run(job.upstream("subsample.seed1"), "subsample", 1, 5.9, changes=changes)
    with pytest.raises(TwostageError, match=message):
        summarised(job)
    assert not job.folder.exists()


def test_seeds_evaluated_at_different_steps_are_refused(job):
    write_run(job.upstream("subsample.seed1"), "subsample", 1, 5.9, evaluated=[0, 10])
    with pytest.raises(TwostageError, match="subsample were evaluated at different steps"):
        summarised(job)
