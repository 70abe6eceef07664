"""The whole DAG on real data at scale=smoke, and what an edit afterwards makes run again."""

import csv

import pytest

from tests.browser import NEEDS_BROWSER, chromium, listen

from .conftest import GROUP, LEFT_OUT, made_studies, rules_of, variants_of

pytestmark = GROUP


@pytest.fixture
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
    names = ("table1.md", "table1.tex", "figures/table1_curves.pdf", "figures/table1_curves.png",
                 "figures/reconstructions.pdf", "figures/reconstructions.png", "tokenizers.csv", "metrics.json",
                 "table1_curves.csv", "index.html", "table1.provenance.json", "tokenizers.provenance.json",
                 "evaluation/table1.D-RIN/metrics.json",
                 "orderings.md", "figures/orderings.pdf", "figures/orderings.png",
                 "figures/orderings_grid.pdf", "figures/orderings_grid.png",
                 "figures/orderings_samples.pdf", "figures/orderings_samples.png", "orderings_curves.csv",
                 "pixels_vs_latents.md", "figures/pixels_vs_latents.pdf", "figures/pixels_vs_latents.png",
                 "f_sweep.md", "figures/f_sweep.pdf", "figures/f_sweep.png",
                 "figures/f_sweep_samples.pdf", "figures/f_sweep_samples.png",
                 "f_sweep_conditional.md", "figures/f_sweep_conditional.pdf", "figures/f_sweep_conditional.png",
                 "figures/f_sweep_conditional_samples.png", "f_sweep_conditional.provenance.json")  # fmt: skip
    for name in (name for name in names if not any(study in name for study in LEFT_OUT)):
        assert (clone.folder / "results" / name).stat().st_size > 100, name


def test_every_job_has_its_own_log_and_leaves_no_scratch(clone):
    for model in clone.folder.glob("artifacts/smoke/*/*/model.safetensors"):
        assert (model.parent / "log.txt").exists(), model
    assert not list(clone.folder.glob("build/scratch/*/*/*/checkpoint.pt"))
    assert not list(clone.folder.rglob("*.partial"))


def test_a_second_run_has_nothing_to_do(clone):
    assert "Nothing to be done" in clone.dry_run("all")


@NEEDS_BROWSER
def test_the_report_of_a_run_shows_every_table_and_figure_in_its_category(clone, tmp_path):
    path = tmp_path / "report.html"
    clone.ask("snakemake", "--report", str(path), "--", "all")
    made = [*(clone.folder / "results").glob("*.csv"), *(clone.folder / "results/figures").glob("*.png")]
    with chromium() as browser:
        page = browser.new_page()
        said = listen(page)
        page.goto(path.as_uri())
        page.get_by_text("Results", exact=True).first.click()
        page.get_by_text("GPT priors over the order of the image tokens", exact=True).first.click()
        page.get_by_text("orderings.csv", exact=True).first.wait_for()
        listed = page.evaluate("Object.keys(results)")
    assert {str(each.relative_to(clone.folder)) for each in made} <= set(listed)
    # Of the library that draws the report.
    assert [line for line in said if "cdn.tailwindcss.com should not be used in production" not in line] == []


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("conf/figures/default.yaml", "#0072B2", "#009E73",
         {"figures_table1", "figures_tokenizers", "results_table1", "results_tokenizers"}),
        ("src/twostage/priors/train.py", '"""Verb', '"""The verb', set()),
        ("conf/data/cifar10.yaml", "canny_sigma: 1.0", "canny_sigma: 1.0  # a comment", set()),
        ("conf/priors/pixelsnail.yaml", "gradient_clip: 1.0", "gradient_clip: 2.0",
         {"priors_tune", "priors_pace", "priors_train", "evaluation_compare", "figures_table1",
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
    # The transformer trains on to PixelSNAIL's time, so its run depends on what PixelSNAIL's steps cost.
    assert {"cifar10.vqgan_f4.pixelsnail.seed0", "cifar10.vqgan_f4.gpt.seed0"} <= variants
    assert "cifar10.vqgan_f4" not in variants


def test_every_ordering_has_its_numbers_with_the_papers_beside_them(clone):
    rows = {row["ordering"]: row for row in study_of(clone, "orderings")[0]}
    assert list(rows) == ["row_major", "spiral_out", "z_curve", "subsample", "alternate", "spiral_in"]
    for row in rows.values():
        assert (row["scale"], row["num_seeds_nll"]) == ("smoke", "2")
        assert 0 < float(row["nll"]) < 10
    assert float(rows["subsample"]["paper_nll"]) == 5.015


@pytest.mark.parametrize(
    ("name", "key", "values"),
    made_studies(
        ("vqgan_vs_vqvae", "row", ["VQGAN", "VQVAE"]),
        ("codebook_size", "k", ["32", "64"]),
    ),
)
def test_every_study_of_tokenizers_has_its_numbers_and_figures(clone, name, key, values):
    ours, paper = study_of(clone, name)
    assert [line[key] for line in ours] == values
    for line in ours:
        assert line["scale"] == "smoke"
        assert float(line["rfid"]) > 0
        assert 0 < float(line["lpips"]) < 2
    if name == "codebook_size":
        assert (paper[-1]["k"], float(paper[-1]["paper_rfid"])) == ("16384", 4.98)
    for file in (f"{name}.md", f"{name}.provenance.json", f"figures/{name}.pdf", f"figures/{name}_samples.png"):
        assert (clone.folder / "results" / file).stat().st_size > 100, file


def study_of(clone, name):
    """Lines of a study's CSV: ours, and those that only the paper has."""
    with open(clone.folder / f"results/{name}.csv") as file:
        lines = list(csv.DictReader(file))
    return [line for line in lines if line["scale"]], [line for line in lines if not line["scale"]]


def test_one_more_codebook_size_runs_its_own_jobs_and_the_figure(clone):
    sizes, more = (f"num_codes: [{codes}], revive_after: [{steps}]" for codes, steps in
                   (("32, 64", "10, 20"), ("32, 64, 48", "10, 20, 15")))  # fmt: skip
    clone.edit("conf/scale/smoke.yaml", sizes, more)
    try:
        plan = clone.dry_run("results/codebook_size.csv")
    finally:
        clone.edit("conf/scale/smoke.yaml", more, sizes)
    new = "cifar10.vqgan_f4_k48"
    assert variants_of(plan) == {new, f"rfid.{new}", f"adversarial_steps.{new}", "codebook_size"}
    assert rules_of(plan) == {
        "tokenizers_train", "evaluation_reconstruct", "evaluation_rfid", "evaluation_measure", "evaluation_collect",
        "figures_study", "results_evaluation", "results_codebook_size",
    }  # fmt: skip


def test_one_more_ordering_runs_its_own_jobs_and_the_figure(clone):
    plan = clone.plan_after("conf/study/orderings.yaml", "spiral_in]", "spiral_in, random]", "results/orderings.csv")
    assert variants_of(plan) == {f"cifar10.vqgan_f4.gpt.random.seed{seed}" for seed in (0, 1)} | {
        "orderings",
    }
    assert rules_of(plan) == {
        "priors_train", "sampling_generate", "evaluation_collect", "figures_study", "results_evaluation",
        "results_orderings",
    }  # fmt: skip


def test_a_changed_pixelsnail_leaves_the_orderings_alone(clone):
    plan = clone.plan_after(
        "conf/priors/pixelsnail.yaml", "gradient_clip: 1.0", "gradient_clip: 2.0", "results/orderings.csv"
    )
    assert "Nothing to be done" in plan


def rows_of(clone, name, key):
    with open(clone.folder / "results" / name) as file:
        return {row[key]: row for row in csv.DictReader(file)}


def test_pixels_and_latents_have_equal_budgets_and_the_papers_numbers_beside_them(clone):
    rows = rows_of(clone, "pixels_vs_latents.csv", "tokens")
    assert list(rows) == ["pixels", "latents"]
    assert [row["grid"] for row in rows.values()] == ["32x32", "16x16"]
    # As many whole steps as fit: one more would be too many.
    pixels, latents = (float(rows[kind]["train_seconds"]) for kind in ("pixels", "latents"))
    assert 0 < latents <= 1.001 * pixels < 1.002 * (latents + float(rows["latents"]["seconds_per_step"]))
    assert float(rows["latents"]["paper_fid_improvement_percent"]) == 18.63


def test_every_factor_has_its_numbers_with_the_papers_beside_them(clone):
    rows = rows_of(clone, "f_sweep.csv", "factor")
    assert list(rows) == ["1", "2", "4", "8"]
    assert [row["window"] for row in rows.values()] == ["8x8", "8x8", "8x8", "4x4"]
    assert [row["tokens_per_image"] for row in rows.values()] == ["1024", "256", "64", "16"]
    assert float(rows["2"]["paper_lpips"]) == 0.11
    assert float(rows["8"]["paper_sampling_speedup"]) == 65.81


@pytest.mark.skipif("f_sweep_conditional" in LEFT_OUT, reason="with WHOLE=1")
def test_every_factor_with_a_layout_agrees_with_it_or_not_beside_chance(clone):
    rows = rows_of(clone, "f_sweep_conditional.csv", "factor")
    assert list(rows) == ["2", "4", "8"]
    # One length of sequence for all: windows of the layout beside those of the image.
    assert {row["window"] for row in rows.values()} == {"4x4"}
    assert [row["tokens_per_image"] for row in rows.values()] == ["256", "64", "16"]
    for row in rows.values():
        assert (row["data"], row["condition"], row["num_images"]) == ("fashion_mnist", "segmentation", "50")
        assert 0 <= float(row["silhouette_iou"]) <= 1
        assert 0 <= float(row["silhouette_iou_by_chance"]) <= 1
        assert float(row["nll_nats_per_image"]) > 0


def test_sundae_stands_beside_transformers_and_the_papers_rows(clone):
    with open(clone.folder / "results/sundae_vs_autoregressive.csv") as file:
        lines = list(csv.DictReader(file))
    ours = [line for line in lines if line["source"] == "ours"]
    assert [line["set"] for line in ours] == [
        "transformer", "transformer, SUNDAE's time", "absorbing diffusion, 12 steps, SUNDAE's time", "SUNDAE, 12 steps",
    ]  # fmt: skip
    for line in ours:
        assert (float(line["evaluated_images"]), float(line["real_images"])) == (32, 40)
        assert float(line["fid"]) > 0
        assert 0 <= float(line["coverage"]) <= 1
    assert all(float(line["network_evaluations"]) <= 12 for line in ours[2:])
    scores = ("validation_nll_nats_per_token", "bound_nats_per_token", "denoising_nats_per_token")
    assert [[bool(line[score]) for score in scores] for line in ours[1:]] == [
        [True, False, False], [False, True, False], [False, False, True],
    ]  # fmt: skip
    assert float(lines[-1]["density"]) == 0.77


@pytest.mark.parametrize(
    ("name", "column", "values"),
    made_studies(
        ("sundae_steps", "steps", [10, 12]),
        ("sundae_proportion", "proportion", [0.5, 1]),
        ("sundae_temperature", "temperature", [0.9, 1]),
    ),
)
def test_every_value_of_a_chain_has_its_numbers(clone, name, column, values):
    ours, _ = study_of(clone, name)
    assert [float(line[column]) for line in ours] == values
    assert len({line["fid"] for line in ours}) == 2
    with open(clone.folder / f"results/{name}_long.csv") as file:
        lines = [line for line in csv.DictReader(file) if line["quantity"] == "denoising"]
    assert len({line["job"] for line in lines}) == 1


def test_a_study_of_dropout_has_curves_differences_and_samples(clone):
    # It is on request, so no other target has made it.
    result = clone.snakemake("results/gpt_dropout.csv")
    assert result.returncode == 0, result.stderr
    ours, _ = study_of(clone, "gpt_dropout")
    assert [(line["dropout"], line["num_seeds_nll"], line["num_seeds_fid"]) for line in ours] == [
        ("0", "2", "1"), ("0.1", "2", "1"), ("0.2", "2", "1"),
    ]  # fmt: skip
    assert all(abs(float(line["nll_difference_mean"])) > 0 for line in ours[1:])


@pytest.mark.parametrize(
    ("name", "key", "values"),
    made_studies(
        ("hourglass_resampling", "resampling", ["patches", "sequence"]),
        ("hourglass_rotary", "rotary", ["axial", "raster", "sequence"]),
    ),
)
def test_hourglasses_have_their_numbers(clone, name, key, values):
    rows = rows_of(clone, f"{name}.csv", key)
    assert list(rows) == values
    assert abs(float(rows[values[1]]["denoising_difference_mean"])) > 0
    for file in (f"{name}.md", f"{name}.provenance.json", f"figures/{name}.pdf", f"figures/{name}.png"):
        assert (clone.folder / "results" / file).stat().st_size > 100, file


def test_masks_and_classes_have_their_numbers(clone):
    with open(clone.folder / "results/sundae_inpainting.csv") as file:
        drawn = list(csv.DictReader(file))
    assert [(line["mask"], line["prior"]) for line in drawn] == [
        (mask, prior) for mask in ("block", "random") for prior in ("SUNDAE", "transformer", "SUNDAE at temperature 1")
    ]
    assert all(float(line["redrawn_between_results"]) > 0 for line in drawn)
    assert all(float(line["kept_tokenizer_alone"]) > 0 for line in drawn)
    classes = rows_of(clone, "sundae_pixels.csv", "class")
    assert (len(classes), float(classes["all"]["tokens_per_image"])) == (11, 784)
    for name in ("sundae_vs_autoregressive", "sundae_steps", "sundae_inpainting", "sundae_pixels"):
        for file in (f"{name}.md", f"{name}.provenance.json", f"figures/{name}.pdf", f"figures/{name}.png"):
            assert (clone.folder / "results" / file).stat().st_size > 100, file


def test_one_factor_less_runs_no_model(clone):
    clone.edit("conf/study/f_sweep.yaml", "vqgan_f4, vqgan_f8], tune_on", "vqgan_f4], tune_on")
    try:
        plan = clone.dry_run("results/f_sweep.csv")
    finally:
        clone.edit("conf/study/f_sweep.yaml", "vqgan_f4], tune_on", "vqgan_f4, vqgan_f8], tune_on")
    assert rules_of(plan) == {"evaluation_f_sweep", "figures_f_sweep", "results_evaluation", "results_f_sweep"}


@pytest.mark.parametrize(
    "task", made_studies("class_conditional", "edges", "edges_sundae", "super_resolution", "layouts", "completion")
)
def test_every_task_has_both_models_with_their_spread_and_its_figure(clone, task):
    rows = rows_of(clone, f"{task}.csv", "model")
    assert list(rows) == ["conditional", "unconditional", "reconstruction", "real"]
    for model in ("conditional", "unconditional"):
        assert (rows[model]["scale"], rows[model]["num_conditions"], rows[model]["num_seeds_lpips_to_truth"]) == (
            "smoke",
            "16",
            "1",
        )
        assert 0 < float(rows[model]["lpips_to_truth"]) < 2
        # One seed has a spread over its conditions, and none over seeds.
        assert float(rows[model]["lpips_to_truth_std_over_images"]) > 0
        assert rows[model]["lpips_to_truth_std"] == ""
    for file in (f"{task}.md", f"{task}.provenance.json", f"figures/{task}.pdf", f"figures/{task}.png",
                 f"figures/{task}_samples.png", f"{task}_long.csv"):  # fmt: skip
        assert (clone.folder / "results" / file).stat().st_size > 100, file


def test_rejection_has_a_line_for_every_setting_with_the_papers_beside_them(clone):
    with open(clone.folder / "results/rejection.csv") as file:
        lines = list(csv.DictReader(file))
    ours = [line for line in lines if line["source"] == "ours"]
    assert [line["acceptance"] for line in ours if line["top_k"] == "mixed"] == ["1", "0.25", "0.05"]
    assert {line["num_images"] for line in ours} == {"30"}
    assert [line["fid"] for line in lines if line["source"] == "paper"] == ["17.04", "15.98", "5.88", "6.59"]


def test_overfitting_has_samples_of_both_runs_and_validation_images(clone):
    rows = rows_of(clone, "overfitting.csv", "images")
    assert list(rows) == ["early_stopping", "to_the_end", "validation"]
    assert all(0 < float(row["nearest_lpips"]) < 2 for row in rows.values())
    assert all(float(rows[run]["fid"]) > 0 for run in ("early_stopping", "to_the_end"))
