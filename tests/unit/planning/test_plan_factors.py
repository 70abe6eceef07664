"""The plans of the studies over the factor f."""

import pytest

from tests.unit.conftest import ON_REQUEST, SCALES, stage
from twostage.config import composition
from twostage.errors import TwostageError
from twostage.planning.prompt import asked
from twostage.planning.whole import drawn, plan_of, whole_plan

pytestmark = pytest.mark.usefixtures("repository_conf")


@pytest.mark.parametrize("scale", SCALES)
def test_pixels_and_latents_differ_in_their_tokens_alone(scale):
    plan = plan_of("pixels_vs_latents", scale)
    (pixels,), (latents,) = (stage(plan, f"priors.{verb}").values() for verb in ("train", "timed"))
    assert latents.inputs["rival"] == pixels.out
    pace = plan.jobs[latents.inputs["pace"]]
    assert (pace.inputs["own.latents"], pace.inputs["rival.latents"]) == tuple(
        run.inputs["latents"] for run in (latents, pixels)
    )
    (summary,) = stage(plan, "evaluation.pixels_vs_latents").values()
    assert summary.inputs["pace"] == pace.out
    assert pixels.config == latents.config
    assert plan.jobs[pixels.inputs["latents"]].variant == "cifar10.kmeans_f1"
    assert plan.jobs[latents.inputs["latents"]].variant == "cifar10.vqgan_f2"
    # The data are the paper's own, at every scale.
    assert {job.config["size"] for job in stage(plan, "data.prepare").values()} == {32}
    samples = stage(plan, "evaluation.samples").values()
    assert len({str(job.config) for job in samples}) == 1
    assert len({job.inputs["real"] for job in samples}) == 1


@pytest.mark.parametrize("scale", SCALES)
def test_no_prior_of_the_sweep_sees_more_than_a_window_and_every_image_is_drawn_whole(scale):
    plan = plan_of("f_sweep", scale)
    size, window = (256, 16) if scale == "paper" else (32, 8)
    factors = [1, 2, 4, 8, 16, 32, 64] if scale == "paper" else [1, 2, 4, 8]
    (summary,) = stage(plan, "evaluation.f_sweep").values()
    assert list(summary.config["tokenizers"]) == [f"f{factor}" for factor in factors]
    for factor in factors:
        side = size // factor
        prior, sampling = (plan.jobs[summary.inputs[f"f{factor}.{name}"]] for name in ("prior", "sampling"))
        source = plan.jobs[prior.inputs["latents"]]
        assert sampling.config["canvas"] == ([side, side] if side > window else None)
        assert (source.verb, source.config.get("side")) == (("crop", window) if side > window else ("encode", None))
        assert sampling.inputs["prior"] == prior.out


@pytest.mark.parametrize("scale", SCALES)
def test_one_transformer_one_budget_and_one_learning_rate_for_every_factor(scale):
    plan = plan_of("f_sweep", scale)
    runs = list(stage(plan, "priors.train").values())
    assert all(run.config == runs[0].config for run in runs)
    assert all(run.inputs["tune"] == runs[0].inputs["tune"] for run in runs)
    assert len(stage(plan, "priors.tune")) == 1


def test_stand_ins_share_table1s_sweep_and_tokenizer_and_the_orderings_run():
    plan, table1, orderings = (plan_of(name, "laptop") for name in ("f_sweep", "table1", "orderings"))
    for folder in ("tokenizers/cifar10.vqgan_f4", "latents/cifar10.vqgan_f4", "priors/cifar10.vqgan_f4.gpt.tune"):
        assert plan.jobs[f"artifacts/laptop/{folder}"] == table1.jobs[f"artifacts/laptop/{folder}"]
    shared = "artifacts/laptop/priors/cifar10.vqgan_f4.gpt.row_major.seed0"
    assert plan.jobs[shared] == orderings.jobs[shared]


@pytest.mark.parametrize("scale", SCALES)
def test_what_is_drawn_can_be_committed_and_the_rest_stays(scale):
    plan = whole_plan(scale)
    jobs = drawn(plan)
    assert {"pixels_vs_latents", "f_sweep", "orderings", "table1.IN"} <= {job.variant for job in jobs}
    assert all(job.stage == "evaluation" and "metrics.json" in job.files for job in jobs)
    assert not {"features", "samples", "likelihood"} & {job.verb for job in jobs}
    summary = plan.jobs[f"artifacts/{scale}/figures/summary"]
    # Data that the user brings at every scale may not be there.
    assert set(summary.inputs.values()) == {job.out for job in jobs if job.variant not in ON_REQUEST}


@pytest.mark.parametrize("scale", SCALES)
def test_no_more_samples_are_asked_for_than_drawn(scale):
    for name in ("pixels_vs_latents", "f_sweep", "f_sweep_conditional"):
        plan = plan_of(name, scale)
        for job in stage(plan, "evaluation.samples").values():
            sampling = plan.jobs[job.inputs["samples"]]
            assert job.config["kid_subset_size"] <= job.config["images"] == sampling.config["num_images"]


@pytest.mark.parametrize("scale", SCALES)
def test_every_factor_of_the_conditional_sweep_has_a_condition_at_its_own_places(scale):
    plan = plan_of("f_sweep_conditional", scale)
    (summary,) = stage(plan, "evaluation.f_sweep").values()
    assert list(summary.config["tokenizers"]) == (["f4", "f16", "f32"] if scale == "paper" else ["f2", "f4", "f8"])
    for factor in summary.config["tokenizers"]:
        prior, sampling, likelihood = (
            plan.jobs[summary.inputs[f"{factor}.{name}"]] for name in ("prior", "sampling", "likelihood")
        )
        image, condition = (plan.jobs[prior.inputs[name]] for name in ("latents", "condition"))
        assert f"segmentation_{factor}" in condition.variant
        assert (image.verb, image.config.get("seed")) == (condition.verb, condition.config.get("seed"))
        # Samples and likelihoods are of whole images, under whole conditions.
        assert sampling.inputs["condition"] == likelihood.inputs["condition"]
        assert plan.jobs[sampling.inputs["condition"]].verb == "encode"
        assert prior.config["condition"] == f"segmentation_{factor}"


def test_short_tokenizers_have_names_of_their_own_and_the_sweep_is_table1s():
    plan, table1 = plan_of("f_sweep_conditional", "laptop"), plan_of("table1", "laptop")
    (tune,) = stage(plan, "priors.tune").values()
    assert tune == table1.jobs[tune.out]
    short = {name: job.config["loop"]["steps"] for name, job in stage(plan, "tokenizers.train").items()}
    assert {name for name, steps in short.items() if "vqgan" in name and steps == 300} == {
        f"fashion_mnist.vqgan_f{factor}_short" for factor in (2, 4, 8)
    }
    assert short["fashion_mnist.vqgan_f4"] > 300
    # Where the scale changes nothing they are those of everybody.
    assert not [name for name in stage(plan_of("f_sweep_conditional", "smoke"), "tokenizers.train") if "short" in name]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"conditions": ["segmentation_f4"]}, "conditions must be one for each of vqgan_f2, vqgan_f4, vqgan_f8"),
        ({"tune_on": "vqgan_f16"}, r"tune_on one of these; got .* and vqgan_f16"),
        (
            {"conditions": ["segmentation_f4", "segmentation_f2", "segmentation_f8"]},
            "vqgan_f2 and its condition segmentation_f4 must have the same f",
        ),
    ],
)
def test_conditions_that_do_not_go_with_the_tokenizers_are_one_line(row, message):
    with pytest.raises(TwostageError, match=message):
        plan_of("f_sweep_conditional", "smoke", changed(**row))


def changed(**row):
    """A compose whose study's row is changed."""

    def compose(overrides):
        tree = composition.compose(overrides)
        for label in {"FacesHQ", "S-FLCKR"} & set((tree["study"] or {"rows": ()})["rows"]):
            columns = tree["study"]["rows"][label]
            if "window" in columns["stand_in"]:
                columns["stand_in"] |= row
        return tree

    return compose


def test_one_factor_more_adds_its_jobs_and_changes_only_the_summary():
    names = ["kmeans_f1", "vqgan_f2", "vqgan_f4"]
    before = plan_of("f_sweep", "smoke", changed(tokenizers=names))
    after = plan_of("f_sweep", "smoke", changed(tokenizers=[*names, "vqgan_f8"]))
    new = {folder for folder, job in after.jobs.items() if before.jobs.get(folder) != job}
    of_f8 = {folder for folder in new if "vqgan_f8" in folder}
    assert new - of_f8 == {"artifacts/smoke/evaluation/f_sweep"}
    assert {after.jobs[folder].stage for folder in of_f8} == {
        "tokenizers", "latents", "priors", "sampling", "evaluation",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"tokenizers": ["kmeans_f1", "vqgan_f4", "edges_f4"]}, "vqgan_f4 and edges_f4 have the same f"),
        ({"tokenizers": ["kmeans_f1", "vqgan_f3"]}, r"no file conf/tokenizers/vqgan_f3\.yaml; choose one of"),
        ({"widnow": 8}, r"study\.rows\.FacesHQ\.stand_in of f_sweep: .*widnow"),
    ],
)
def test_a_row_that_makes_no_sense_is_one_line(row, message):
    with pytest.raises(TwostageError, match=message):
        plan_of("f_sweep", "smoke", changed(**row))


def test_a_learned_tokenizer_is_asked_for_as_before_and_pixels_by_their_own_verb():
    learned = asked("tokenizers.train", ("scale=smoke",)).job
    assert "kmeans" not in learned.config
    pixels = ("scale=smoke", "tokenizers=kmeans_f1")
    made = asked("tokenizers.cluster", pixels).job
    assert (made.verb, set(made.config)) == ("cluster", {"name", "map", "kmeans"})
    assert set(made.inputs) == {"data"}
    with pytest.raises(TwostageError, match=r"call tokenizers\.cluster"):
        asked("tokenizers.train", pixels)
    with pytest.raises(TwostageError, match=r"call tokenizers\.train, or choose tokenizers=kmeans_f1"):
        asked("tokenizers.cluster", ("scale=smoke",))
