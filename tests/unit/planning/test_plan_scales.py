"""How many jobs of every kind a study rests on, at every scale: what is shared, is there once."""

import functools
from collections import Counter

import pytest

from tests.unit.conftest import SCALES, rows_of_table1, with_upstream
from twostage.planning.whole import whole_plan

pytestmark = pytest.mark.usefixtures("repository_conf")


@functools.cache
def jobs(scale):
    return whole_plan(scale).jobs


def rules(scale, *names):
    """How many jobs of every rule these studies rest on."""
    needed = with_upstream(jobs(scale), [f"artifacts/{scale}/figures/{name}" for name in names])
    return Counter(f"{job.stage}_{job.verb}" for job in needed)


@pytest.mark.parametrize("scale", SCALES)
def test_table1_has_all_its_jobs_at_every_scale(scale):
    plan = rules(scale, "table1")
    assert plan["evaluation_compare"] == rows_of_table1(scale)


@pytest.mark.parametrize("scale", SCALES)
def test_the_crossing_shares_table1s_row_and_sweeps_every_rival_of_its_own(scale):
    plan, rows = rules(scale, "crossing"), 2 if scale == "paper" else 4
    assert plan["evaluation_compare"] == plan["priors_pace"] == rows
    assert plan["priors_tune"] == 2 * rows
    assert plan["priors_train"] == 2 * rows * (3 if scale in ("night", "workstation") else 2)
    assert plan["tokenizers_train"] == (1 if scale == "paper" else 2)
    # One row's rivals are those of Table 1's IN.
    shared = rules(scale, "crossing") + rules(scale, "table1") - rules(scale, "crossing", "table1")
    assert shared["priors_tune"] == 2
    assert shared["priors_pace"] == 1
    assert shared["evaluation_compare"] == 0


@pytest.mark.parametrize("scale", SCALES)
def test_orderings_have_all_their_jobs_at_every_scale(scale):
    plan = rules(scale, "orderings")
    seeds = 3 if scale in ("night", "workstation") else 2
    assert plan["priors_train"] == 6 * seeds
    # One tokenizer, one sweep, and no rival whose time has to be known first.
    for rule in ("tokenizers_train", "latents_encode", "priors_tune", "evaluation_collect"):
        assert plan[rule] == 1, rule
    assert plan["priors_pace"] == 0


@pytest.mark.parametrize("scale", SCALES)
def test_ablations_of_tokenizers_have_all_their_jobs_at_every_scale(scale):
    names = ["vqgan_vs_vqvae", "codebook_size", "warmup"]
    plan = rules(scale, *names)
    # The VQGAN that all three have is there once for each seed.
    trained = {"smoke": 6, "laptop": 19, "night": 20, "workstation": 21, "paper": 7}[scale]
    for rule in ("tokenizers_train", "evaluation_reconstruct", "evaluation_rfid"):
        assert plan[rule] == trained, rule
    assert plan["evaluation_features"] == 1
    assert plan["priors_train"] == 0


@pytest.mark.parametrize("scale", SCALES)
def test_pixels_vs_latents_has_all_its_jobs_at_every_scale(scale):
    plan = rules(scale, "pixels_vs_latents")
    for rule in (
        "tokenizers_cluster",
        "priors_train",
        "priors_timed",
        "priors_pace",
        "evaluation_features",
    ):
        assert plan[rule] == 1, rule
    assert plan["sampling_generate"] == plan["evaluation_samples"] == 2


@pytest.mark.parametrize("scale", SCALES)
def test_f_sweep_conditional_has_all_its_jobs_at_every_scale(scale):
    plan = rules(scale, "f_sweep_conditional")
    for rule in ("priors_train", "sampling_generate", "evaluation_samples", "evaluation_likelihood"):
        assert plan[rule] == 3, rule
    # Image and layout each; only at scales laptop and night the sweep's tokenizer is not one of the three.
    assert plan["latents_encode"] == plan["tokenizers_train"] == (7 if scale in ("laptop", "night") else 6)
    # Windows of image and layout: at f = 2 and 4 of 32 pixels, at f = 4 of 256.
    assert plan["latents_crop"] == (2 if scale == "paper" else 4)
    for rule in ("priors_tune", "evaluation_features", "evaluation_f_sweep", "figures_f_sweep"):
        assert plan[rule] == 1, rule


@pytest.mark.parametrize("scale", SCALES)
def test_f_sweep_has_all_its_jobs_at_every_scale(scale):
    plan = rules(scale, "f_sweep")
    factors = 7 if scale == "paper" else 4
    for rule in ("priors_train", "sampling_generate", "evaluation_samples", "evaluation_likelihood",
                 "evaluation_reconstruct", "latents_encode"):  # fmt: skip
        assert plan[rule] == factors, rule
    assert plan["tokenizers_train"] == factors - 1
    # Grids no larger than the window are seen whole: f = 4 and 8 of 32 pixels, f = 16, 32 and 64 of 256.
    assert plan["latents_crop"] == (4 if scale == "paper" else 2)
    for rule in ("tokenizers_cluster", "priors_tune", "evaluation_f_sweep"):
        assert plan[rule] == 1, rule


@pytest.mark.parametrize("scale", ["smoke", "paper"])
def test_tasks_of_conditional_synthesis_have_all_their_jobs(scale):
    names = ["class_conditional", "edges", "edges_sundae", "super_resolution", "layouts", "completion", "rejection"]
    names += ["overfitting"]
    plan = rules(scale, *names)
    assert plan["evaluation_collect"] == 6
    # SUNDAE with its condition and without it, for each seed.
    assert plan["sampling_denoise"] == {"smoke": 2, "paper": 4}[scale]
    for rule in ("evaluation_rejection", "figures_overfitting", "latents_plain"):
        assert plan[rule] == 1, rule
    assert plan["evaluation_classifier"] == 2
    for name in ("depth", "pose", "layouts_ade20k", "layouts_coco_stuff"):
        assert rules(scale, name)["evaluation_collect"] == 1


@pytest.mark.parametrize("scale", SCALES)
def test_studies_on_sundae_have_all_their_jobs_at_every_scale(scale):
    names = ["sundae_vs_autoregressive", "sundae_steps", "sundae_proportion", "sundae_temperature"]
    plan = rules(scale, *names)
    paper = scale == "paper"
    # A transformer and a SUNDAE prior for every row, but no transformer at 1024x1024 pixels.
    assert plan["priors_train"] == (5 if paper else 2)
    # Two rivals of every one of those rows train for as long as SUNDAE.
    assert plan["priors_timed"] == plan["priors_pace"] == (4 if paper else 2)
    assert plan["tokenizers_train"] == (2 if paper else 1)
    assert plan["evaluation_features"] == (3 if paper else 1)


@pytest.mark.parametrize("scale", SCALES)
def test_hourglasses_masks_and_pixels_have_all_their_jobs_at_every_scale(scale):
    names = ["hourglass_resampling", "hourglass_rotary", "sundae_inpainting", "sundae_pixels"]
    plan = rules(scale, *names)
    # Under two masks SUNDAE at two temperatures and a transformer, which the paper does not have.
    assert plan["sampling_inpaint"] == (4 if scale == "paper" else 6)
    for rule in ("tokenizers_greys", "latents_plain", "sampling_denoise", "evaluation_sundae_pixels"):
        assert plan[rule] == 1, rule


@pytest.mark.parametrize("scale", SCALES)
def test_no_palette_wants_more_colours_than_its_images_have(scale):
    clusters = [job for job in jobs(scale).values() if job.verb == "cluster"]
    assert clusters
    for job in clusters:
        is_grey = job.variant.startswith("fashion_mnist")
        assert job.config["kmeans"]["num_codes"] <= (256 if is_grey else 256**3), job.variant
