"""The plans of the experiments on SUNDAE priors."""

import re

import pytest

from tests.unit.conftest import SCALES, stage
from twostage.config import composition, schema
from twostage.config.composition import parse
from twostage.config.schema import PriorConfig
from twostage.errors import TwostageError
from twostage.planning.prompt import asked
from twostage.planning.whole import plan_of, whole_plan
from twostage.sampling.denoising import Schedule

pytestmark = pytest.mark.usefixtures("repository_conf")
CHAINS = ["sundae_steps", "sundae_proportion", "sundae_temperature"]


@pytest.mark.parametrize("experiment", CHAINS)
def test_the_papers_rows_have_numbers_for_what_varies(experiment):
    found = stage(plan_of(experiment, "laptop"), "evaluation.sample_sets").values()
    values = [row[job.config["varies"]] for job in found for row in job.config["paper_rows"]]
    assert all(isinstance(value, float) for value in values)
    assert values or experiment != "sundae_steps"


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("experiment", CHAINS)
def test_sweeps_train_nothing_that_the_table_does_not(experiment, scale):
    table, sweep = plan_of("sundae_vs_autoregressive", scale), plan_of(experiment, scale)
    for verb in ("train", "tune", "timed", "pace"):
        shared = stage(table, f"priors.{verb}")
        assert all(shared[variant] == job for variant, job in stage(sweep, f"priors.{verb}").items())


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("experiment", CHAINS)
def test_only_what_varies_varies_in_a_sweep(experiment, scale):
    plan = plan_of(experiment, scale)
    for summary in stage(plan, "evaluation.sample_sets").values():
        sets = range(len(summary.config["sets"]))
        samplings = [plan.jobs[summary.inputs[f"set{at}.sampling"]] for at in sets]
        held, varies = summary.config["held"], summary.config["varies"]
        assert len({job.out for job in samplings}) == len(samplings) >= 2
        assert len({job.inputs["prior"] for job in samplings}) == 1
        for job in samplings:
            schedule = Schedule.of(parse(schema.ChainConfig, job.config["chain"]))
            assert schedule.min_steps <= schedule.steps
        keys = {f"{name}{end}" for name in (held, varies) for end in ("", "_start", "_end")} | {"min_steps"}
        rest = [{key: value for key, value in job.config["chain"].items() if key not in keys} for job in samplings]
        assert all(other == rest[0] for other in rest)


@pytest.mark.parametrize("scale", SCALES)
def test_every_set_has_the_same_real_images_and_as_many_samples(scale):
    for experiment in (*CHAINS, "sundae_vs_autoregressive"):
        plan = plan_of(experiment, scale)
        for summary in stage(plan, "evaluation.sample_sets").values():
            folders = [folder for name, folder in summary.inputs.items() if name.endswith(".samples")]
            jobs = [plan.jobs[folder] for folder in folders]
            assert len({str(job.config) for job in jobs}) == len({job.inputs["real"] for job in jobs}) == 1
            for job in jobs:
                assert job.config["images"] <= plan.jobs[job.inputs["samples"]].config["num_images"]
                assert job.config["kid_subset_size"] < job.config["images"]


def test_the_transformers_are_those_of_other_experiments_and_one_that_trains_as_long():
    plan, orderings = plan_of("sundae_vs_autoregressive", "laptop"), plan_of("orderings", "laptop")
    for name in ("priors", "sampling"):
        shared = f"artifacts/laptop/{name}/cifar10.vqgan_f4.gpt.row_major.seed0"
        assert plan.jobs[shared] == orderings.jobs[shared]
    timed = stage(plan, "priors.timed")["cifar10.vqgan_f4.gpt.timed.seed0"]
    assert plan.jobs[timed.inputs["rival"]].config["architecture"] == "sundae"
    pace = plan.jobs[timed.inputs["pace"]]
    assert [pace.config[name]["architecture"] for name in ("own", "rival")] == ["gpt", "sundae"]
    (summary,) = stage(plan, "evaluation.sample_sets").values()
    assert summary.inputs["pace"] == pace.out
    assert plan.jobs[timed.inputs["tune"]].config["architecture"] == timed.config["architecture"] == "gpt"


def test_the_papers_rows_have_the_printed_data_and_sizes():
    plan = plan_of("sundae_vs_autoregressive", "paper")
    assert set(stage(plan, "evaluation.sample_sets")) == {
        f"sundae_vs_autoregressive.{row}" for row in ("FFHQ256", "CelebA", "FFHQ1024")
    }
    depths = {
        job.variant.split(".")[0]: parse(PriorConfig, job.config).sundae.depth
        for job in stage(plan, "priors.train").values()
        if job.config["architecture"] == "sundae"
    }
    assert depths == {"ffhq": [3, 16, 3], "celeba_hq": [2, 12, 2], "ffhq_1024": [2, 12, 2]}
    # A transformer would draw 1024 tokens one by one.
    assert not [variant for variant in stage(plan, "sampling.generate") if variant.startswith("ffhq_1024")]
    ways = {name: [job.config.get(name) for job in stage(plan, "sampling.denoise").values()] for name in
            ("chain", "unmasking")}  # fmt: skip
    assert {name: {way["steps"] for way in found if way} for name, found in ways.items()} == {
        "chain": {100, 200}, "unmasking": {100, 200},
    }  # fmt: skip
    (pixels,) = stage(plan_of("sundae_pixels", "paper"), "priors.train").values()
    assert (pixels.config["sundae"]["depth"], pixels.config["sundae"]["unrolls"]) == ([2, 8, 2], 2)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("key", ["resampling", "rotary"])
def test_runs_of_an_hourglass_differ_in_one_choice_and_the_seed(key, scale):
    plan = plan_of(f"hourglass_{key}", scale)
    runs = list(stage(plan, "priors.train").values())
    assert len(runs) == 2 * len(plan.experiment["seeds"])
    assert {run.config["sundae"][key] for run in runs} == set(plan.experiment["values"])
    for run in runs:
        rest = run.config | {"loop": run.config["loop"] | {"seed": 0}, "sundae": run.config["sundae"] | {key: ""}}
        assert rest == runs[0].config | {"sundae": runs[0].config["sundae"] | {key: ""}}
        assert run.inputs == runs[0].inputs
    assert len(stage(plan, "priors.tune")) == 1


@pytest.mark.parametrize("scale", SCALES)
def test_pixels_are_grey_levels_given_their_class(scale):
    plan = plan_of("sundae_pixels", scale)
    (prior,) = stage(plan, "priors.train").values()
    assert prior.variant == "fashion_mnist_28.greys_f1.given_class.sundae.seed0"
    assert plan.jobs[prior.inputs["latents"]].config["flips"] is False
    condition = plan.jobs[prior.inputs["condition"]]
    assert (condition.verb, condition.config["map"]) == ("plain", "class")
    assert stage(plan, "tokenizers.greys").keys() == {"fashion_mnist_28.greys_f1"}
    (drawn,) = stage(plan, "sampling.denoise").values()
    held_out = plan.jobs[prior.inputs["latents"]].config["validation_images"]
    assert held_out is None or drawn.config["num_images"] <= held_out


def test_a_grey_tokenizer_is_made_by_its_own_verb():
    overrides = ("scale=smoke", "tokenizers=greys_f1", "data=fashion_mnist")
    job = asked("tokenizers.greys", overrides).job
    assert (job.verb, job.config) == ("greys", {"name": "greys_f1", "map": "image"})
    with pytest.raises(TwostageError, match=r"call tokenizers\.greys, or choose tokenizers=kmeans_f1"):
        asked("tokenizers.cluster", overrides)


def changed(**chains):
    """A compose whose sweeps are others."""

    def compose(overrides):
        tree = composition.compose(overrides)
        if "chains" in (tree["experiment"] or {}):
            tree["experiment"]["chains"] |= chains
        return tree

    return compose


def test_one_value_more_adds_its_samples_and_changes_only_the_summary():
    before = plan_of("sundae_steps", "smoke", changed(values=[6, 12]))
    after = plan_of("sundae_steps", "smoke", changed(values=[6, 12, 24]))
    new = {folder for folder, job in after.jobs.items() if before.jobs.get(folder) != job}
    assert all("steps24" in folder or folder.endswith("evaluation/sundae_steps.FFHQ256") for folder in new)


@pytest.mark.parametrize(
    "wrong", [{"values": [6, 6]}, {"held": {}}, {"held": {"steps": [6]}}, {"held": {"top_k": [6]}}]
)
def test_a_sweep_that_makes_no_sense_is_one_line(wrong):
    with pytest.raises(TwostageError, match=re.escape("scale.experiment.sundae.chains.steps is")):
        plan_of("sundae_steps", "smoke", changed(**wrong))


@pytest.mark.parametrize("scale", SCALES)
def test_everything_fits_into_one_plan(scale):
    figures = stage(whole_plan(scale), "figures.sundae_chains")
    assert set(figures) == set(CHAINS)
