"""What the workflow would do, without doing it."""

import os
import platform
import re
import shutil

import psutil
import pytest


@pytest.fixture(scope="module")
def clone(new_clone):
    return new_clone()


@pytest.mark.parametrize("scale", ["smoke", "laptop", "workstation", "paper"])
def test_table1_has_a_complete_plan_at_every_scale(clone, scale):
    plan = clone.dry_run("results/table1.csv", scale=scale)
    assert "results_table1" in plan
    assert "evaluation_compare" in plan
    assert plan.count("rule evaluation_compare:") == 5


@pytest.mark.parametrize("scale", ["smoke", "laptop", "workstation", "paper"])
def test_orderings_have_a_complete_plan_at_every_scale(clone, scale):
    plan = clone.dry_run("results/orderings.csv", scale=scale)
    seeds = 3 if scale == "workstation" else 2
    assert plan.count("rule priors_train:") == 6 * seeds
    # One tokenizer, one sweep, and no rival whose time has to be known first.
    for rule in ("tokenizers_train", "latents_encode", "priors_tune", "evaluation_orderings", "results_orderings"):
        assert plan.count(f"rule {rule}:") == 1, rule
    assert "pixelsnail" not in plan


@pytest.mark.parametrize("scale", ["smoke", "laptop", "workstation", "paper"])
def test_ablations_of_tokenizers_have_a_complete_plan_at_every_scale(clone, scale):
    names = ["vqgan_vs_vqvae", "codebook_size", "warmup"]
    plan = clone.dry_run(*(f"results/{name}.csv" for name in names), scale=scale)
    # Table 1's image tokenizer is there once, shared by all; the laptop's warm-ups are too short to share it.
    trained = {"smoke": 4, "laptop": 9, "workstation": 7, "paper": 6}[scale]
    for rule in ("tokenizers_train", "evaluation_reconstruct", "evaluation_rfid"):
        assert plan.count(f"rule {rule}:") == trained, rule
    assert plan.count("rule evaluation_features:") == 1
    for rule in ("evaluation_tokenizer_ablation", "figures_tokenizer_ablation", "results_tokenizer_ablation"):
        assert plan.count(f"rule {rule}:") == len(names), rule
    assert "rule priors_train:" not in plan


@pytest.mark.parametrize("scale", ["smoke", "laptop", "workstation", "paper"])
def test_pixels_vs_latents_has_a_complete_plan_at_every_scale(clone, scale):
    plan = clone.dry_run("results/pixels_vs_latents.csv", scale=scale)
    for rule in (
        "tokenizers_cluster",
        "priors_train",
        "priors_timed",
        "priors_pace",
        "evaluation_features",
        "results_pixels_vs_latents",
    ):
        assert plan.count(f"rule {rule}:") == 1, rule
    assert plan.count("rule sampling_generate:") == plan.count("rule evaluation_samples:") == 2


@pytest.mark.parametrize("scale", ["smoke", "laptop", "workstation", "paper"])
def test_f_sweep_conditional_has_a_complete_plan_at_every_scale(clone, scale):
    plan = clone.dry_run("results/f_sweep_conditional.csv", scale=scale)
    for rule in ("priors_train", "sampling_generate", "evaluation_samples", "evaluation_likelihood"):
        assert plan.count(f"rule {rule}:") == 3, rule
    # Image and layout each; only at scale laptop the sweep's tokenizer is not one of the three.
    assert plan.count("rule latents_encode:") == plan.count("rule tokenizers_train:") == (7 if scale == "laptop" else 6)
    # Windows of image and layout: at f = 2 and 4 of 32 pixels, at f = 4 of 256.
    assert plan.count("rule latents_crop:") == (2 if scale == "paper" else 4)
    for rule in ("priors_tune", "evaluation_features", "evaluation_f_sweep", "figures_f_sweep", "results_f_sweep"):
        assert plan.count(f"rule {rule}:") == 1, rule


@pytest.mark.parametrize("scale", ["smoke", "laptop", "workstation", "paper"])
def test_f_sweep_has_a_complete_plan_at_every_scale(clone, scale):
    plan = clone.dry_run("results/f_sweep.csv", scale=scale)
    factors = 7 if scale == "paper" else 4
    for rule in ("priors_train", "sampling_generate", "evaluation_samples", "evaluation_likelihood",
                 "evaluation_reconstruct", "latents_encode"):  # fmt: skip
        assert plan.count(f"rule {rule}:") == factors, rule
    assert plan.count("rule tokenizers_train:") == factors - 1
    # Grids no larger than the window are seen whole: f = 4 and 8 of 32 pixels, f = 16, 32 and 64 of 256.
    assert plan.count("rule latents_crop:") == (4 if scale == "paper" else 2)
    for rule in ("tokenizers_cluster", "priors_tune", "evaluation_f_sweep", "results_f_sweep"):
        assert plan.count(f"rule {rule}:") == 1, rule


@pytest.mark.parametrize("scale", ["smoke", "paper"])
def test_tasks_of_conditional_synthesis_have_a_complete_plan(clone, scale):
    names = ["class_conditional", "edges", "edges_sundae", "super_resolution", "layouts", "completion", "rejection"]
    names += ["overfitting"]
    plan = clone.dry_run(*(f"results/{name}.csv" for name in names), scale=scale)
    assert plan.count("rule evaluation_conditional:") == 6
    # Two seeds of SUNDAE with its condition and without it.
    assert plan.count("rule sampling_denoise:") == 4
    for rule in ("evaluation_rejection", "figures_overfitting", "latents_plain"):
        assert plan.count(f"rule {rule}:") == 1, rule
    # Two seeds of class, edges, low resolution and layouts; unconditional ones are shared where data are.
    assert plan.count("rule evaluation_classifier:") == 2
    for name in ("depth", "pose", "layouts_ade20k", "layouts_coco_stuff"):
        assert "rule evaluation_conditional:" in clone.dry_run(f"results/{name}.csv", scale=scale)


def test_a_new_file_is_a_task_with_a_table(clone):
    folder = clone.folder / "conf/experiment"
    text = (folder / "edges_sundae.yaml").read_text()
    (folder / "mine.yaml").write_text(text.replace("name: edges_sundae", "name: mine", 1))
    try:
        plan = clone.dry_run("results/mine.csv")
        assert "results/mine.csv" in clone.dry_run("figures")
    finally:
        (folder / "mine.yaml").unlink()
    for rule in ("evaluation_conditional", "figures_conditional", "results_conditional"):
        assert plan.count(f"rule {rule}:") == 1, rule
    assert plan.count("rule sampling_denoise:") == 4


def test_one_factor_more_runs_its_own_jobs_and_the_figure(clone):
    with_all, without = (rules_and_variants(clone, names) for names in ("vqgan_f4, vqgan_f8]", "vqgan_f4]"))
    assert without < with_all
    added = {variant for _, variant in with_all - without}
    assert all("vqgan_f8" in variant for variant in added)
    assert {"tokenizers_train", "latents_encode", "priors_train", "sampling_generate", "evaluation_samples"} <= {
        rule for rule, _ in with_all - without
    }


def rules_and_variants(clone, names):
    """Rule and variant of every job of the sweep over these factors."""
    clone.edit("conf/experiment/f_sweep.yaml", "vqgan_f4, vqgan_f8], tune_on", f"{names}, tune_on")
    try:
        plan = clone.dry_run("results/f_sweep.csv")
    finally:
        clone.edit("conf/experiment/f_sweep.yaml", f"{names}, tune_on", "vqgan_f4, vqgan_f8], tune_on")
    return set(re.findall(r"^(?:local)?rule (\w+):$.*?^    wildcards: variant=([^\s,]+)", plan, re.M | re.S))


@pytest.mark.parametrize("scale", ["smoke", "laptop", "workstation", "paper"])
def test_experiments_on_sundae_have_a_complete_plan_at_every_scale(clone, scale):
    names = ["sundae_vs_autoregressive", "sundae_steps", "sundae_proportion", "sundae_temperature"]
    plan = clone.dry_run(*(f"results/{name}.csv" for name in names), scale=scale)
    paper = scale == "paper"
    # Three datasets in the table, two of them in every sweep.
    assert plan.count("rule evaluation_sample_sets:") == (9 if paper else 4)
    # A transformer and a SUNDAE prior for every row, but no transformer at 1024x1024 pixels.
    assert plan.count("rule priors_train:") == (5 if paper else 2)
    assert plan.count("rule priors_timed:") == plan.count("rule priors_pace:") == (2 if paper else 1)
    assert plan.count("rule tokenizers_train:") == (2 if paper else 1)
    assert plan.count("rule evaluation_features:") == (3 if paper else 1)
    assert plan.count("rule results_sundae:") == len(names)


@pytest.mark.parametrize("scale", ["smoke", "laptop", "workstation", "paper"])
def test_hourglasses_masks_and_pixels_have_a_complete_plan_at_every_scale(clone, scale):
    names = ["hourglass_resampling", "hourglass_rotary", "sundae_inpainting", "sundae_pixels"]
    plan = clone.dry_run(*(f"results/{name}.csv" for name in names), scale=scale)
    assert plan.count("rule sampling_inpaint:") == 2
    for rule in ("tokenizers_greys", "latents_plain", "sampling_denoise", "evaluation_sundae_pixels"):
        assert plan.count(f"rule {rule}:") == 1, rule
    assert plan.count("rule results_sundae:") == len(names)


def test_an_unknown_ordering_in_the_experiment_is_one_line(clone):
    clone.edit("conf/experiment/orderings.yaml", "spiral_in]", "spiral_up]")
    try:
        result = clone.snakemake("-n", "results/orderings.csv")
    finally:
        clone.edit("conf/experiment/orderings.yaml", "spiral_up]", "spiral_in]")
    assert result.returncode != 0
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("error: experiment.orderings is row_major, ")
    assert "spiral_up; name row_major" in last


def test_a_broken_study_stops_itself_alone(clone):
    clone.edit("conf/experiment/orderings.yaml", "spiral_in]", "spiral_up]")
    try:
        look = ("snakemake", "-n", "--config", "scale=smoke", "--")
        others = clone.run(*look, "results/table1.csv")
        everything = [clone.run(*look, target) for target in ("all", "figures", "results/metrics.json")]
        whole_path = clone.run(*look, f"{clone.folder}/results/orderings.csv")
        looks = [clone.run("snakemake", "--config", "scale=smoke", *words) for words in (("--unlock",), ("--summary",))]
        data = clone.run(*look, "data")
    finally:
        clone.edit("conf/experiment/orderings.yaml", "spiral_up]", "spiral_in]")
    assert others.returncode == 0, others.stderr
    assert "rule evaluation_compare:" in others.stdout
    assert "warning: left out of the plan: experiment.orderings is row_major, " in others.stderr
    for result in (*looks, data):
        assert result.returncode == 0, result.stderr
    for result in (*everything, whole_path):
        assert result.returncode != 0
        assert result.stderr.strip().splitlines()[-1].startswith("error: experiment.orderings is row_major, ")


def test_an_unknown_scale_is_one_line(clone):
    result = clone.snakemake("results/table1.csv", scale="huge")
    assert result.returncode != 0
    assert result.stderr.strip().splitlines()[-1].startswith("error: ")
    assert "scale/huge" in result.stderr
    assert "laptop" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_paper_scale_names_the_data_that_a_user_must_bring(clone):
    result = clone.run("python", "-m", "twostage.data.prepare", "scale=paper", "data=restricted_imagenet")
    assert result.returncode == 1
    assert "datasets/restricted_imagenet" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_lint_is_clean(clone):
    result = clone.run("snakemake", "--lint")
    assert result.returncode == 0, result.stdout + result.stderr


def test_a_mistyped_key_on_snakemakes_command_line_is_one_line(clone):
    result = clone.run("snakemake", "-n", "--config", "scael=smoke", "--", "results/table1.csv")
    assert result.returncode != 0
    assert (
        result.stderr.strip().splitlines()[-1] == "error: --config scael is unknown; the keys are scale and committed"
    )


def seconds_since_boot(pid):
    return round(psutil.Process(pid).create_time() - psutil.boot_time())


@pytest.fixture
def lock(clone):
    """A lock of Snakemake's, and a function that names who may hold it."""
    path, holders = clone.folder / ".snakemake/locks/0.input.lock", clone.folder / ".snakemake/holders"
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(holders, ignore_errors=True)
    holders.mkdir(parents=True)
    path.write_text("results/table1.csv\n")
    yield path, lambda host, pid, start: (holders / f"{host}.{pid}.{start}").touch()
    path.unlink(missing_ok=True)
    shutil.rmtree(holders)


def test_the_lock_of_a_killed_run_goes_even_if_its_number_lives_again(clone, lock):
    path, held_by = lock
    held_by(platform.node(), os.getpid(), seconds_since_boot(os.getpid()) - 100)
    clone.dry_run("results/table1.csv")
    assert not path.exists()


def test_the_lock_of_a_living_run_stays_and_another_run_is_refused_in_one_line(clone, lock):
    path, held_by = lock
    held_by(platform.node(), os.getpid(), seconds_since_boot(os.getpid()))
    # One that had come too late, and is gone.
    held_by(platform.node(), 2**22 - 1, 1)
    result = clone.snakemake("results/table1.csv")
    assert result.stderr.strip().splitlines()[-1] == (
        f"error: snakemake (process {os.getpid()}) is at work in this clone; wait for it, or stop it"
    )
    assert "evaluation_compare" in clone.run("snakemake", "-n", "--config", "scale=smoke").stdout
    assert path.exists()


@pytest.mark.parametrize("host", ["another.example.org", None])
def test_a_lock_of_another_host_or_of_nobody_known_stays_until_unlocked(clone, lock, host):
    path, held_by = lock
    if host:
        held_by(host, 7, 7)
        held_by(platform.node(), 2**22 - 1, 1)
    clone.run("snakemake", "-n", "--config", "scale=smoke", "--", "results/table1.csv")
    assert path.exists()
    clone.ask("snakemake", "--unlock")
    assert not path.exists()
    assert not list((clone.folder / ".snakemake/holders").iterdir())
