"""The plans of the studies on SUNDAE priors."""

import pytest

from tests.unit.conftest import SCALES, stage
from twostage.config import composition, schema
from twostage.config.composition import parse
from twostage.config.schema import PriorConfig
from twostage.errors import TwostageError
from twostage.planning.prompt import asked
from twostage.planning.whole import plan_of
from twostage.sampling.denoising import Schedule

pytestmark = pytest.mark.usefixtures("repository_conf")
CHAINS = ["sundae_steps", "sundae_proportion", "sundae_temperature"]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("study", CHAINS)
def test_sweeps_train_nothing_that_the_table_does_not(study, scale):
    table, sweep = plan_of("sundae_vs_autoregressive", scale), plan_of(study, scale)
    for verb in ("train", "tune", "timed", "pace"):
        shared = stage(table, f"priors.{verb}")
        assert all(shared[variant] == job for variant, job in stage(sweep, f"priors.{verb}").items())


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("study", CHAINS)
def test_only_what_varies_varies_in_a_sweep(study, scale):
    plan = plan_of(study, scale)
    keys = [*plan.study["vary"], *plan.study.get("zip", {})]
    varied = {key.rpartition(".")[2] for key in keys}
    by_prior = {}
    for job in stage(plan, "sampling.denoise").values():
        by_prior.setdefault(job.inputs["prior"], []).append(job.config["chain"])
    assert len(by_prior) == len(stage(plan, "priors.train"))
    for chains in by_prior.values():
        assert len(chains) == len({str(chain) for chain in chains}) >= 2
        rest = [{key: value for key, value in chain.items() if key not in varied} for chain in chains]
        assert all(other == rest[0] for other in rest)
        for chain in chains:
            schedule = Schedule.of(parse(schema.ChainConfig, chain))
            assert schedule.min_steps <= schedule.steps
            for end in ("proportion", "temperature"):
                assert f"{end}_start" not in varied or chain[f"{end}_start"] == chain[f"{end}_end"]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("study", [*CHAINS, "sundae_vs_autoregressive"])
def test_every_set_has_as_many_samples_and_real_images(study, scale):
    plan = plan_of(study, scale)
    jobs = stage(plan, "evaluation.samples").values()
    assert len({str(job.config) for job in jobs}) == 1
    for job in jobs:
        assert job.config["images"] <= plan.jobs[job.inputs["samples"]].config["num_images"]
        assert job.config["kid_subset_size"] < job.config["images"]
    # Of every dataset the same real images.
    assert len({job.inputs["real"] for job in jobs}) == len(stage(plan, "data.prepare")) - (scale == "paper")


def test_the_transformers_are_those_of_other_studies_and_one_that_trains_as_long():
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
def test_inpainted_images_are_held_against_the_real_ones_that_were_encoded(scale):
    plan = plan_of("sundae_inpainting", scale)
    (summary,) = stage(plan, "evaluation.sundae_inpainting").values()
    drawn = stage(plan, "sampling.inpaint").values()
    assert {plan.jobs[job.inputs["latents"]].inputs["data"] for job in drawn} == {summary.inputs["data"]}


def test_the_transformer_beside_sundae_trains_for_as_long_and_draws_the_same_parts():
    plan = plan_of("sundae_inpainting", "laptop")
    (summary,) = stage(plan, "evaluation.sundae_inpainting").values()
    sundae, transformer = (plan.jobs[summary.inputs[f"prior.{name}"]] for name in ("SUNDAE", "transformer"))
    assert (sundae.name, transformer.name) == ("priors.train", "priors.timed")
    assert transformer.inputs["rival"] == sundae.out
    for mask in ("block", "random"):
        by_sundae, causal = (plan.jobs[summary.inputs[f"{mask}.{name}"]] for name in ("SUNDAE", "transformer"))
        assert (by_sundae.inputs["prior"], causal.inputs["prior"]) == (sundae.out, transformer.out)
        assert by_sundae.inputs["latents"] == causal.inputs["latents"]
        # Each has the settings of its own way to draw, and no others.
        assert (causal.config["chain"], causal.config["temperature"]) == (None, 0.4)
        assert not {"temperature", "unmasking"} & {*by_sundae.config}
        others = ("chain", "temperature")
        assert {key: value for key, value in by_sundae.config.items() if key not in others} == {
            key: value for key, value in causal.config.items() if key not in others
        }


def test_sundae_inpaints_at_two_temperatures_with_all_else_equal():
    plan = plan_of("sundae_inpainting", "laptop")
    (summary,) = stage(plan, "evaluation.sundae_inpainting").values()
    for mask in ("block", "random"):
        usual, warmer = (plan.jobs[summary.inputs[f"{mask}.{name}"]] for name in ("SUNDAE", "SUNDAE at temperature 1"))
        assert usual.inputs == warmer.inputs
        assert usual.config["chain"]["temperature_start"] == usual.config["chain"]["temperature_end"] == 0.4
        held = {"temperature_start": 1.0, "temperature_end": 1.0}
        assert warmer.config == usual.config | {"chain": usual.config["chain"] | held}


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("key", ["resampling", "rotary"])
def test_runs_of_an_hourglass_differ_in_one_choice_and_the_seed(key, scale):
    plan = plan_of(f"hourglass_{key}", scale)
    runs = list(stage(plan, "priors.train").values())
    varied = plan.study["vary"][f"priors.sundae.{key}"]
    assert len(runs) == len(varied) * len(plan.study["seeds"])
    assert {run.config["sundae"][key] for run in runs} == set(varied)
    for run in runs:
        rest = run.config | {"loop": run.config["loop"] | {"seed": 0}, "sundae": run.config["sundae"] | {key: ""}}
        assert rest == runs[0].config | {"sundae": runs[0].config["sundae"] | {key: ""}}
        assert run.inputs == runs[0].inputs
    assert len(stage(plan, "priors.tune")) == 1
    assert {run.config["loop"]["steps"] for run in runs} == {plan.tree["scale"]["study"]["sundae"]["hourglass_steps"]}


def test_hourglasses_may_train_for_longer_and_share_the_prior_that_is_sampled_from():
    compose = composition.trees()

    def longer(overrides):
        return compose((*overrides, "scale.study.sundae.hourglass_steps=2000"))

    plan = plan_of("hourglass_rotary", "laptop", longer)
    runs = stage(plan, "priors.train")
    assert {run.config["loop"]["steps"] for run in runs.values()} == {2000}
    sampled = stage(plan_of("sundae_vs_autoregressive", "laptop"), "priors.train")
    shared = "cifar10.vqgan_f4.sundae.steps2000.seed0"
    assert runs[shared] == sampled[shared]


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
    released = {"temperature_start": 0.9, "temperature_end": 0.9, "proportion_start": 1.0, "proportion_end": 1.0}
    steps = 12 if scale == "smoke" else 50
    assert drawn.config["chain"] == released | {"steps": steps, "min_steps": 10}


def test_a_grey_tokenizer_is_made_by_its_own_verb():
    overrides = ("scale=smoke", "tokenizers=greys_f1", "data=fashion_mnist")
    job = asked("tokenizers.greys", overrides).job
    assert (job.verb, job.config) == ("greys", {"name": "greys_f1", "map": "image"})
    with pytest.raises(TwostageError, match=r"call tokenizers\.greys, or choose tokenizers=kmeans_f1"):
        asked("tokenizers.cluster", overrides)
