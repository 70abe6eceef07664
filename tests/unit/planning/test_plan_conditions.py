"""The plans of conditional synthesis, rejection and overfitting."""

import json
from dataclasses import fields

import pytest

from tests.unit.conftest import ON_REQUEST, SCALES, stage
from twostage.config import composition, schema
from twostage.errors import TwostageError
from twostage.planning.prompt import asked as asked_by_hand
from twostage.planning.unread import INSTEAD
from twostage.planning.whole import plan_of, tables, whole_plan

pytestmark = pytest.mark.usefixtures("repository_conf")


@pytest.mark.parametrize("study", ["class_conditional", "edges", "super_resolution", "layouts"])
def test_both_models_differ_in_their_condition_alone(study):
    plan = plan_of(study, "laptop")
    runs = stage(plan, "priors.train").values()
    given = {run.config["loop"]["seed"]: run for run in runs if "condition" in run.inputs}
    free = {run.config["loop"]["seed"]: run for run in runs if "condition" not in run.inputs}
    assert set(given) == set(free) == {0, 1}
    for seed, run in given.items():
        assert run.config["condition"] is not None
        assert run.config | {"condition": None} == free[seed].config
        assert all(run.inputs[name] == free[seed].inputs[name] for name in ("latents", "tune"))
        # Long enough for a condition to be read; Table 1's own runs keep their names.
        assert run.config["loop"]["steps"] == 900
        assert ".steps900." in run.variant
    drawn = stage(plan, "sampling.generate").values()
    assert {(job.config["num_images"], job.config["per_condition"]) for job in drawn} == {(1000, 4)}


@pytest.mark.parametrize("scale", SCALES)
def test_edges_by_sundae_are_the_task_of_edges_with_another_prior(scale):
    ours, other = plan_of("edges_sundae", scale), plan_of("edges", scale)
    runs = stage(ours, "priors.train").values()
    assert {run.config["architecture"] for run in runs} == {"sundae"}
    latents = [{(run.inputs["latents"], run.inputs.get("condition")) for run in stage(plan, "priors.train").values()}
               for plan in (ours, other)]  # fmt: skip
    if scale == "paper":
        # Transformers see windows of a larger grid; SUNDAE draws whole grids.
        assert {key for pair in latents[0] for key in pair if key} == {
            f"artifacts/paper/latents/imagenet.{name}" for name in ("vqgan_f16", "edges_f16")
        }
    else:
        assert latents[0] == latents[1]
    given = [run for run in runs if "condition" in run.inputs]
    free = {run.config["loop"]["seed"]: run for run in runs if "condition" not in run.inputs}
    assert len(given) == len(free) == len(ours.tree["scale"]["study"]["conditional"]["seeds"])
    for run in given:
        assert run.config | {"condition": None} == free[run.config["loop"]["seed"]].config
        assert run.config["loop"]["steps"] == ours.tree["scale"]["study"]["sundae"]["conditional"]["steps"]
    budget = ours.tree["scale"]["study"]["conditional"]
    drawn = stage(ours, "sampling.denoise").values()
    assert len(drawn) == len(runs)
    assert {(job.config["num_images"], job.config["per_condition"]) for job in drawn} == {
        (budget["conditions"] * budget["per_condition"], budget["per_condition"])
    }
    assert not stage(ours, "sampling.generate")
    points = [plan.jobs[f"artifacts/{scale}/evaluation/{name}"].config["points"] for name, plan in
              (("edges_sundae", ours), ("edges", other))]  # fmt: skip
    assert points[0] == points[1]
    asked = [sorted(str(job.config) for job in stage(plan, "evaluation.agree").values()) for plan in (ours, other)]
    assert asked[0] == asked[1]


def test_edges_by_sundae_have_the_sweep_of_the_second_papers_studies():
    name = "artifacts/laptop/priors/cifar10.vqgan_f4.sundae.tune"
    assert plan_of("edges_sundae", "laptop").jobs[name] == plan_of("sundae_steps", "laptop").jobs[name]


def test_tasks_share_tokenizers_sweeps_and_unconditional_runs():
    plans = {
        name: plan_of(name, "laptop") for name in ("class_conditional", "super_resolution", "completion", "table1")
    }
    unconditional = "artifacts/laptop/priors/cifar10.vqgan_f4.gpt.row_major.steps900.seed0"
    tokenizer = "artifacts/laptop/tokenizers/cifar10.vqgan_f4"
    tune = "artifacts/laptop/priors/cifar10.vqgan_f4.gpt.tune"
    for name, plan in plans.items():
        assert plan.jobs[tokenizer] == plans["table1"].jobs[tokenizer]
        assert plan.jobs[tune] == plans["table1"].jobs[tune]
        if name != "table1":
            assert plan.jobs[unconditional] == plans["completion"].jobs[unconditional]
    # A completion is the unconditional transformer's: no prior is trained for it.
    assert set(stage(plans["completion"], "priors.train")) <= set(stage(plans["class_conditional"], "priors.train"))


def test_a_map_that_the_dataset_lacks_is_annotated_and_one_that_it_has_is_not():
    (annotate,) = stage(plan_of("super_resolution", "laptop"), "data.annotate").values()
    assert (annotate.variant, annotate.config) == (
        "cifar10.low_resolution_x4", {"map": "low_resolution", "factor": 4}
    )  # fmt: skip
    (annotate,) = stage(plan_of("super_resolution", "paper"), "data.annotate").values()
    assert annotate.config["factor"] == 8
    assert not stage(plan_of("edges", "laptop"), "data.annotate")
    (annotate,) = stage(plan_of("edges", "paper"), "data.annotate").values()
    assert annotate.config == {"map": "edges", "canny_sigma": 1.0}
    paper = plan_of("super_resolution", "paper")
    (tokenizer,) = stage(paper, "tokenizers.cluster").values()
    assert tokenizer.inputs["data"] == "artifacts/paper/data/imagenet.low_resolution_x8"


def test_depth_and_pose_wait_for_their_data():
    assert not ON_REQUEST & set(tables(whole_plan("smoke")))
    for name in ON_REQUEST:
        assert not stage(plan_of(name, "smoke"), "data.annotate")
    for name in ("depth", "pose"):
        asked = [job.config for job in stage(plan_of(name, "smoke"), "evaluation.agree").values()]
        assert {config["condition"] for config in asked} == {name}
        assert {config["num_labels"] for config in asked} == {19 if name == "pose" else None}


@pytest.mark.parametrize(
    ("name", "num_labels", "num_codes"), [("layouts_ade20k", 151, 4096), ("layouts_coco_stuff", 183, 8192)]
)
def test_table_2_has_its_fid_on_data_of_its_labels(name, num_labels, num_codes):
    plan = plan_of(name, "paper")
    assert {job.config["num_labels"] for job in stage(plan, "evaluation.agree").values()} == {num_labels}
    samples = plan.jobs[plan.jobs[f"artifacts/paper/evaluation/{name}"].inputs["0.samples"]]
    assert "given_segmentation" in samples.variant
    assert samples.config["images"] == plan.jobs[samples.inputs["samples"]].config["num_images"] == 8000
    (image,) = [job for job in stage(plan, "tokenizers.train").values() if job.config["map"] == "image"]
    assert image.config["quantizer"]["num_codes"] == num_codes


def test_models_of_the_paper_are_as_printed():
    """Table 7: IN-Edges and IN-SR have f = 8 and a sequence of 512; IN-SR 12 layers; c-IN (big) is of Table 4."""
    plan = whole_plan("paper")
    runs = {name: job for name, job in stage(plan, "priors.train").items() if name.startswith("imagenet.vqgan_f8")}
    layers = {name.removeprefix("imagenet.vqgan_f8.windows_16."): job.config["gpt"]["num_layers"]
              for name, job in runs.items() if job.config["loop"]["seed"] == 0}  # fmt: skip
    assert layers == {
        "gpt.row_major.seed0": 24,
        "given_edges_f8.windows_16.gpt.row_major.seed0": 24,
        "gpt.row_major.num_layers12.seed0": 12,
        "given_low_resolution_f1.windows_16.gpt.row_major.num_layers12.seed0": 12,
    }
    big = plan.jobs[plan.jobs["artifacts/paper/sampling/" + next(
        name for name in stage(plan, "sampling.generate") if "classes_k250" in name)].inputs["prior"]]  # fmt: skip
    sizes = big.config["gpt"]
    assert (sizes["num_layers"], sizes["width"], sizes["num_heads"]) == (48, 1536, 16)
    tokenizer = plan.jobs[plan.jobs[big.inputs["latents"]].inputs["tokenizer"]]
    assert tokenizer.config["quantizer"]["num_codes"] == 16384


@pytest.mark.parametrize("split", ["train", "validation"])
def test_samples_are_compared_with_the_split_that_is_asked_for(split):
    trees = composition.trees()

    def compose(overrides):
        return trees((*overrides, f"evaluation.samples_split={json.dumps(split)}"))

    plan = plan_of("edges", "smoke", compose)
    (real,) = {job.inputs["real"] for job in stage(plan, "evaluation.samples").values()}
    assert plan.jobs[real].config["split"] == split


def test_rejection_draws_all_classes_and_is_judged_by_another_classifier():
    plan = plan_of("rejection", "laptop")
    summary = plan.jobs["artifacts/laptop/evaluation/rejection"]
    rejector, judge = (plan.jobs[summary.inputs[name]] for name in ("rejector", "judge"))
    assert (rejector.config["loop"]["seed"], judge.config["loop"]["seed"]) == (0, 1)
    drawn = stage(plan, "sampling.generate").values()
    assert all(job.config["classes"] == [] for job in drawn)
    pool = [job.config["num_images"] for job in drawn if job.config["top_p"] is None]
    assert sum(pool) == 100000
    # Equal random numbers would draw nearly equal images under every top-k.
    assert len({job.config["seed"] for job in drawn}) == len(drawn)
    rows = {row["label"]: row for row in summary.config["settings"]}
    assert [row["acceptance"] for row in rows.values() if row["top_k"] == "mixed"] == [1.0, 0.25, 0.05, 0.005]
    for row in rows.values():
        available = sum(plan.jobs[summary.inputs[name]].config["num_images"] for name in row["samplers"])
        assert available * row["acceptance"] >= summary.config["accepted"]
    assert set(summary.inputs) >= {sampler for row in rows.values() for sampler in row["samplers"]}


def test_a_row_outside_the_pool_is_one_line():
    trees = composition.trees()

    def compose(overrides):
        tree = trees(overrides)
        tree["scale"]["study"]["rejection"]["top_k"] = [7]
        return tree

    with pytest.raises(TwostageError, match=r"rejection\.top_k is \[7\]; .* mixed_k, \[16, 64\]"):
        plan_of("rejection", "smoke", compose)


def test_overfitting_compares_early_stopping_with_the_end_on_the_same_few_images():
    plan = plan_of("overfitting", "laptop")
    stopped, ended = (plan.jobs[f"artifacts/laptop/priors/cifar10.vqgan_f4.first_500.gpt.{run}.seed0"]
                      for run in ("early_stopping", "to_the_end"))  # fmt: skip
    assert stopped.inputs == ended.inputs
    assert stopped.config | {"early_stopping": None} == ended.config
    assert plan.jobs[stopped.inputs["latents"]].config["train_images"] == 500
    summary = plan.jobs["artifacts/laptop/evaluation/overfitting"]
    for run in ("early_stopping", "to_the_end"):
        judged = plan.jobs[summary.inputs[f"{run}.samples"]]
        assert judged.inputs["samples"] == summary.inputs[f"{run}.sampling"]
        # More than the 100 whose neighbours are searched.
        assert judged.config["images"] == plan.jobs[judged.inputs["samples"]].config["num_images"] == 2000


@pytest.mark.parametrize("prior", ["gpt", "pixelsnail", "sundae"])
@pytest.mark.parametrize(
    ("condition", "folder"),
    [("class", "latents/cifar10.class"), ("coordinates", "latents/cifar10.coordinates_f4"),
     ("edges_f4", "latents/cifar10.edges_f4")],
)  # fmt: skip
def test_a_prior_at_the_prompt_takes_any_condition_and_so_does_its_sampling(condition, folder, prior):
    overrides = ("scale=smoke", f"priors={prior}", f"priors.condition={condition}")
    job = asked_by_hand("priors.train", overrides).job
    assert job.inputs["condition"] == asked_by_hand("priors.tune", overrides).job.inputs["condition"]
    assert job.inputs["condition"] == f"artifacts/smoke/{folder}"
    for verb in ("denoise", "inpaint") if prior == "sundae" else ("generate",):
        sampled = asked_by_hand(f"sampling.{verb}", overrides).job
        assert sampled.inputs["condition"] == job.inputs["condition"]


SAMPLINGS = [("gpt", "generate"), ("sundae", "denoise")]


@pytest.mark.parametrize(("prior", "verb"), SAMPLINGS)
def test_a_picture_takes_the_place_of_held_out_conditions_at_the_prompt(prior, verb):
    asked = ("scale=smoke", f"priors={prior}", "priors.condition=edges_f4", "sampling.condition_file=edges.png")
    job = asked_by_hand(f"sampling.{verb}", asked).job
    assert job.inputs["condition_tokenizer"] == "artifacts/smoke/tokenizers/cifar10.edges_f4"
    assert job.config["condition_file"] == "edges.png"
    assert "condition" not in job.inputs


@pytest.mark.parametrize(("prior", "verb"), SAMPLINGS)
def test_a_picture_without_a_map_as_the_priors_condition_is_one_line(prior, verb):
    for condition in ("null", "class"):
        asked = ("scale=smoke", f"priors={prior}", f"priors.condition={condition}", "sampling.condition_file=edges.png")
        with pytest.raises(TwostageError, match=r"sampling\.condition_file needs a prior with a map as its condition"):
            asked_by_hand(f"sampling.{verb}", asked)


@pytest.mark.parametrize("asked", ["condition_file=edges.png", "coordinates=true", "classes=[cat]"])
def test_conditions_of_other_images_are_refused_where_images_are_filled(asked):
    overrides = ("scale=smoke", "priors=sundae", "priors.condition=edges_f4", f"sampling.{asked}")
    with pytest.raises(TwostageError, match=rf"of their own; drop sampling\.{asked.split('=')[0]}, or .* by sampling"):
        asked_by_hand("sampling.inpaint", overrides)


@pytest.mark.parametrize(
    ("verb", "asked", "instead"),
    [("denoise", "temperature=0.5", r"set sampling\.denoising\.chain\.temperature_start and"),
     ("denoise", "top_k=3", r"set sampling\.denoising\.chain\.temperature_start and"),
     ("denoise", "top_p=0.9", r"set sampling\.denoising\.chain\.temperature_start and"),
     ("denoise", "given=0.5", r"sampling\.inpaint with sampling\.inpainting\.mask=half"),
     ("denoise", "canvas=[16,16]", "choose priors=gpt and sampling.generate"),
     ("denoise", "canvas_pixels=[64,64]", "choose priors=gpt and sampling.generate"),
     ("inpaint", "temperature=0.5", r"set sampling\.inpainting\.chain\.temperature_start and"),
     ("inpaint", "num_images=3", r"set sampling\.inpainting\.num_images"),
     ("inpaint", "per_condition=3", r"set sampling\.inpainting\.results"),
     ("inpaint", "given=0.5", r"set sampling\.inpainting\.mask=half")],
)  # fmt: skip
def test_a_key_that_would_change_nothing_is_refused_with_the_one_that_does(verb, asked, instead):
    key = asked.split("=")[0]
    with pytest.raises(TwostageError, match=rf"^sampling\.{verb} does not read sampling\.{key}: .*{instead}"):
        asked_by_hand(f"sampling.{verb}", ("scale=smoke", "priors=sundae", f"sampling.{asked}"))


@pytest.mark.parametrize(
    ("verb", "asked"),
    [("denoise", key) for key in ("num_images=3", "per_condition=3", "classes=[cat]", "denoising.chain.steps=3")]
    + [("inpaint", key) for key in ("batch_size=3", "inpainting.num_images=3", "inpainting.results=3")]
    + [(verb, "seed=3") for verb in ("denoise", "inpaint")],
)
def test_every_other_key_makes_another_job(verb, asked):
    usual, other = (asked_by_hand(f"sampling.{verb}", ("scale=smoke", "priors=sundae", *more)).job
                    for more in ((), (f"sampling.{asked}",)))  # fmt: skip
    assert other.config != usual.config
    assert other.out != usual.out


@pytest.mark.parametrize("verb", ["denoise", "inpaint"])
def test_all_of_samplings_keys_are_read_or_refused(verb):
    """What neither a block holds under the same name nor a refusal names would change nothing unnoticed."""
    block = {"denoise": schema.DenoisingConfig, "inpaint": schema.InpaintingConfig}[verb]
    own = {each.name for each in fields(block)} - {"num_images"}
    keys = {each.name for each in fields(schema.SamplingConfig)} - {"denoising", "inpainting"}
    # Read with a picture alone, which filling refuses.
    known = own | set(INSTEAD[f"sampling.{verb}"]) | {"condition_label_offset"}
    assert keys - known <= ({"num_images"} if verb == "denoise" else set())


def test_a_condition_that_nobody_can_make_is_one_line():
    with pytest.raises(TwostageError, match="dataset cifar10 has no map pose and none can be made of its images"):
        asked_by_hand("priors.train", ("scale=smoke", "priors.condition=pose_f4"))
    with pytest.raises(TwostageError, match="tokenizers/hats"):
        asked_by_hand("priors.train", ("scale=smoke", "priors.condition=hats"))
