"""The plans of the studies that compare image tokenizers: Fig. 9, Table 5 and the warm-up of Sec. A."""

import json

import pytest

from tests.unit.conftest import SCALES, stage
from twostage.config import composition
from twostage.config.schema import TokenizerConfig
from twostage.planning.whole import plan_of

pytestmark = pytest.mark.usefixtures("repository_conf")
ABLATIONS = ["vqgan_vs_vqvae", "codebook_size", "warmup"]
NUM_CODES, START = "tokenizers.quantizer.num_codes", "scale.tokenizers.image.adversarial_start"


def trained(plan):
    return {variant: job.config for variant, job in stage(plan, "tokenizers.train").items()}


def first_seed(plan):
    return {name: config for name, config in trained(plan).items() if config["loop"]["seed"] == 0}


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", ABLATIONS)
def test_every_run_is_trained_reconstructed_and_given_an_rfid(name, scale):
    plan = plan_of(name, scale)
    tokenizers = set(trained(plan))
    assert set(stage(plan, "evaluation.reconstruct")) == tokenizers
    assert set(stage(plan, "evaluation.rfid")) == {f"rfid.{variant}" for variant in tokenizers}
    # The real images' features are computed once.
    assert len(stage(plan, "evaluation.features")) == 1
    assert not stage(plan, "priors.train")
    (table,) = stage(plan, "evaluation.collect").values()
    assert len(tokenizers) == len(table.config["points"]) >= 2


@pytest.mark.parametrize("scale", SCALES)
def test_a_vqvae_is_a_vqgan_but_for_its_name_and_loss(scale):
    vqgan, vqvae = first_seed(plan_of("vqgan_vs_vqvae", scale)).values()
    assert {key for key in vqgan if vqgan[key] != vqvae[key]} == {"name", "loss"}
    loss = vqvae["loss"]
    assert (loss["reconstruction"], loss["perceptual"], loss["early_perceptual"]) == ("l2", "none", "none")
    assert loss["adversarial"] == "none"


@pytest.mark.parametrize("scale", SCALES)
def test_tokenizers_of_two_sizes_differ_in_codes_and_the_patience_with_them(scale):
    plan = plan_of("codebook_size", scale)
    configurations = list(first_seed(plan).values())
    assert [config["quantizer"]["num_codes"] for config in configurations] == plan.study["zip"][NUM_CODES]
    alike = [config | {"name": "", "quantizer": None} for config in configurations]
    assert all(config == alike[0] for config in alike)
    for quantizer in (config["quantizer"] for config in configurations):
        varied = {key for key, value in quantizer.items() if value != configurations[0]["quantizer"][key]}
        assert varied <= {"num_codes", "revive_after"}
        if scale == "paper":
            assert (quantizer["init"], quantizer["revive_after"]) == ("uniform", None)
        else:
            assert quantizer["revive_after"] / quantizer["num_codes"] == pytest.approx(
                configurations[0]["quantizer"]["revive_after"] / configurations[0]["quantizer"]["num_codes"], rel=0.01
            )


@pytest.mark.parametrize("scale", SCALES)
def test_after_every_warm_up_the_discriminator_has_equal_steps(scale):
    plan = plan_of("warmup", scale)
    by_loss = {}
    for config in trained(plan).values():
        by_loss.setdefault(config["loss"]["adversarial"], []).append(config)
    assert len(by_loss) == len(plan.study["vary"]["tokenizers"])
    for configurations in by_loss.values():
        assert [config["loss"]["adversarial_start"] for config in configurations] == plan.study["zip"][START]
        assert len({config["loop"]["steps"] - config["loss"]["adversarial_start"] for config in configurations}) == 1
        first = configurations[0]
        for config in configurations:
            loss = config["loss"] | {"adversarial_start": first["loss"]["adversarial_start"]}
            loop = config["loop"] | {"steps": first["loop"]["steps"]}
            assert config | {"name": first["name"], "loss": loss, "loop": loop} == first


@pytest.mark.parametrize("scale", ["smoke", "workstation", "paper"])
def test_studies_of_reconstructions_share_the_tokenizer_of_table1_where_its_discriminator_learns(scale):
    table1 = trained(plan_of("table1", scale))
    for name in ("vqgan_vs_vqvae", "codebook_size", "discriminator"):
        shared = first_seed(plan_of(name, scale))
        assert any(table1.get(variant) == config for variant, config in shared.items()), name


@pytest.mark.parametrize("scale", SCALES)
def test_studies_of_reconstructions_share_their_tokenizers_seed_by_seed(scale):
    vqgans = {
        json.dumps(config)
        for config in trained(plan_of("vqgan_vs_vqvae", scale)).values()
        if config["loss"]["adversarial"] == "hinge"
    }
    assert len(vqgans) == len(plan_of("vqgan_vs_vqvae", scale).study["seeds"])
    whole = {}
    for name in ABLATIONS:
        whole |= trained(plan_of(name, scale))
    assert vqgans <= {json.dumps(config) for config in trained(plan_of("codebook_size", scale)).values()}
    # No training stands there under two names.
    assert len({json.dumps(config) for config in whole.values()}) == len(whole)


def test_at_laptop_the_discriminator_of_these_studies_has_more_steps_than_table1s():
    usual = trained(plan_of("table1", "laptop"))["cifar10.vqgan_f4"]
    assert usual["loop"]["steps"] - usual["loss"]["adversarial_start"] == 50
    for config in first_seed(plan_of("codebook_size", "laptop")).values():
        assert config["loop"]["steps"] - config["loss"]["adversarial_start"] == 1000
        assert config["discriminator"]["learning_rate"] == config["adversarial_learning_rate"]


def test_the_warm_ups_of_the_paper_have_names_of_their_own():
    assert list(trained(plan_of("warmup", "paper"))) == [
        "imagenet.vqgan_f16_start0", "imagenet.vqgan_f16_start50000", "imagenet.vqgan_f16_start100000",
        "imagenet.vqgan_f16_start200000",
    ]  # fmt: skip


def test_the_papers_table5_is_planned_as_printed():
    sizes = {name: config["quantizer"] for name, config in trained(plan_of("codebook_size", "paper")).items()}
    assert {name: size["num_codes"] for name, size in sizes.items()} == {
        "imagenet.vqgan_f16": 1024,
        "imagenet.vqgan_f16_k16384": 16384,
    }


@pytest.mark.parametrize("scale", SCALES)
def test_settings_of_a_search_start_from_one_tokenizer_and_take_equal_steps(scale):
    plan = plan_of("discriminator_search", scale)
    jobs = stage(plan, "tokenizers.train")
    first = jobs.pop("imagenet.perceptual_f16" if scale == "paper" else "cifar10.perceptual_f4")
    assert "starts_from" not in first.config
    assert len(jobs) == 6 * len(plan.study["seeds"])
    for job in jobs.values():
        # As the verb will read it: names have a longest length.
        composition.parse(TokenizerConfig, job.config)
        assert (job.inputs["start"], job.config["starts_from"]) == (first.out, first.config["name"])
        assert job.config["quantizer"] == first.config["quantizer"]
    assert len({json.dumps(job.config["loop"] | {"seed": 0}) for job in jobs.values()}) == 1
    without = [job for job in jobs.values() if job.config["loss"]["adversarial"] == "none"]
    assert len(without) == len(plan.study["seeds"])
