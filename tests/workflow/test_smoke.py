"""The whole DAG on real data at scale=smoke, and what an edit afterwards makes run again."""

import csv

import pytest

from .conftest import rules_of, variants_of


@pytest.fixture(scope="module")
def clone(reproduced):
    return reproduced


def test_table_has_the_papers_rows_with_its_numbers_beside_ours(clone):
    with open(clone.folder / "results/table1.csv") as file:
        rows = {row["row"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["RIN", "LSUN-CT", "IN", "D-RIN", "S-FLCKR"]
    for row in rows.values():
        assert row["scale"] == "smoke"
        assert 0 < float(row["transformer_steps"]) < 10
        assert float(row["gpt_num_parameters"]) == pytest.approx(float(row["pixelsnail_num_parameters"]), rel=0.05)
        assert float(row["gpt_seconds_per_step"]) > 0
    assert float(rows["S-FLCKR"]["paper_pixelsnail"]) == 4.64


def test_every_rendering_and_figure_is_there(clone):
    for name in ("table1.md", "table1.tex", "figures/table1_curves.pdf", "figures/table1_curves.png",
                 "figures/reconstructions.pdf", "figures/reconstructions.png", "tokenizers.csv", "metrics.json",
                 "table1_curves.csv", "table1.provenance.json", "tokenizers.provenance.json",
                 "evaluation/table1.D-RIN/metrics.json",
                 "orderings.md", "figures/orderings.pdf", "figures/orderings.png",
                 "figures/orderings_grid.pdf", "figures/orderings_grid.png", "orderings_curves.csv"):  # fmt: skip
        assert (clone.folder / "results" / name).stat().st_size > 100, name


def test_every_job_has_its_own_log_and_leaves_no_scratch(clone):
    for model in clone.folder.glob("artifacts/smoke/*/*/model.safetensors"):
        assert (model.parent / "log.txt").exists(), model
    assert not list(clone.folder.glob("build/scratch/*/*/*/checkpoint.pt"))
    assert not list(clone.folder.rglob("*.partial"))


def test_a_second_run_has_nothing_to_do(clone):
    assert "Nothing to be done" in clone.dry_run("all")


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("conf/figures/default.yaml", "#0072B2", "#009E73",
         {"figures_table1", "figures_tokenizers", "results_table1", "results_tokenizers"}),
        ("src/twostage/priors/train.py", '"""Verb', '"""The verb', set()),
        ("conf/data/cifar10.yaml", "canny_sigma: 1.0", "canny_sigma: 1.0  # a comment", set()),
        ("conf/priors/pixelsnail.yaml", "gradient_clip: 1.0", "gradient_clip: 2.0",
         {"priors_tune", "priors_train", "evaluation_compare", "figures_table1",
          "results_evaluation", "results_table1"}),
    ],
    ids=["colour", "docstring", "comment", "prior"],
)  # fmt: skip
def test_an_edit_reruns_only_what_it_touches(clone, file, old, new, expected):
    plan = clone.plan_after(file, old, new, "results/table1.csv", "results/tokenizers.csv")
    assert rules_of(plan) == expected


def test_a_changed_codebook_retrains_that_tokenizer_and_what_depends_on_it(clone):
    plan = clone.plan_after(
        "conf/tokenizers/edges_f4.yaml", "learning_rate:", "learning_rate: 5.0e-4  #", "results/table1.csv"
    )
    trained = variants_of(plan)
    assert "cifar10_animals.edges_f4" in trained
    assert not {"cifar10.vqgan_f4", "fashion_mnist.segmentation_f4"} & trained


def test_a_changed_prior_retrains_its_own_runs_and_those_that_are_matched_to_it(clone):
    plan = clone.plan_after(
        "conf/priors/pixelsnail.yaml", "gradient_clip: 1.0", "gradient_clip: 2.0", "results/table1.csv"
    )
    variants = variants_of(plan)
    assert "cifar10.vqgan_f4.pixelsnail.tune" in variants
    assert "cifar10.vqgan_f4.gpt.tune" not in variants
    # The transformer trains on to PixelSNAIL's time, so its run depends on PixelSNAIL's.
    assert {"cifar10.vqgan_f4.pixelsnail.seed0", "cifar10.vqgan_f4.gpt.seed0"} <= variants
    assert "cifar10.vqgan_f4" not in variants


def test_every_ordering_has_its_numbers_with_the_papers_beside_them(clone):
    with open(clone.folder / "results/orderings.csv") as file:
        rows = {row["ordering"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["row_major", "spiral_out", "z_curve", "subsample", "alternate", "spiral_in"]
    for row in rows.values():
        assert (row["scale"], row["num_seeds"]) == ("smoke", "2")
        assert 0 < float(row["validation_nll"]) < 10
    assert float(rows["subsample"]["paper_nll"]) == 5.015


def test_one_more_ordering_runs_its_own_jobs_and_the_figure(clone):
    plan = clone.plan_after(
        "conf/experiment/orderings.yaml", "spiral_in]", "spiral_in, random]", "results/orderings.csv"
    )
    assert variants_of(plan) == {f"cifar10.vqgan_f4.gpt.random.seed{seed}" for seed in (0, 1)} | {
        "orderings",
    }
    assert rules_of(plan) == {
        "priors_train", "evaluation_orderings", "figures_orderings", "results_evaluation",
        "results_orderings",
    }  # fmt: skip


def test_a_changed_pixelsnail_leaves_the_orderings_alone(clone):
    plan = clone.plan_after(
        "conf/priors/pixelsnail.yaml", "gradient_clip: 1.0", "gradient_clip: 2.0", "results/orderings.csv"
    )
    assert "Nothing to be done" in plan
