"""The plans of the ablations that compare image tokenizers: Fig. 9, Table 5 and the warm-up of Sec. A."""

import pytest

from tests.unit.conftest import SCALES, stage
from twostage.config import composition
from twostage.errors import TwostageError
from twostage.planning.whole import plan_of

pytestmark = pytest.mark.usefixtures("repository_conf")
ABLATIONS = ["vqgan_vs_vqvae", "codebook_size", "warmup"]


def trained(plan):
    return {variant: job.config for variant, job in stage(plan, "tokenizers.train").items()}


def changed(**changes):
    """A compose whose experiment is changed."""

    def compose(overrides):
        tree = composition.compose(overrides)
        if tree["experiment"]:
            tree["experiment"] |= changes
        return tree

    return compose


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", ABLATIONS)
def test_every_row_is_trained_reconstructed_and_given_an_rfid(name, scale):
    plan = plan_of(name, scale)
    tokenizers = set(trained(plan))
    assert set(stage(plan, "evaluation.reconstruct")) == tokenizers
    assert set(stage(plan, "evaluation.rfid")) == {f"rfid.{variant}" for variant in tokenizers}
    # The real images' features are computed once.
    assert len(stage(plan, "evaluation.features")) == 1
    (summary,) = stage(plan, "evaluation.tokenizer_ablation").values()
    assert len(tokenizers) == len(summary.config["rows"]) >= 2
    (figure,) = stage(plan, "figures.tokenizer_ablation").values()
    assert figure.files == [f"{name}.{kind}" for kind in ("csv", "md", "pdf", "png")]
    assert set(figure.inputs) == {"summary", *summary.config["rows"]}


@pytest.mark.parametrize("scale", SCALES)
def test_a_vqvae_is_a_vqgan_but_for_its_name_and_loss(scale):
    vqgan, vqvae = trained(plan_of("vqgan_vs_vqvae", scale)).values()
    assert {key for key in vqgan if vqgan[key] != vqvae[key]} == {"name", "loss"}
    loss = vqvae["loss"]
    assert (loss["reconstruction"], loss["perceptual"], loss["early_perceptual"]) == ("l2", "none", "none")
    assert loss["adversarial"] == "none"


@pytest.mark.parametrize("scale", SCALES)
def test_tokenizers_of_two_sizes_differ_in_codes_and_the_patience_with_them(scale):
    plan = plan_of("codebook_size", scale)
    configurations = list(trained(plan).values())
    assert [config["quantizer"]["num_codes"] for config in configurations] == plan.experiment["values"]
    alike = [config | {"name": "", "quantizer": None} for config in configurations]
    assert all(config == alike[0] for config in alike)
    for quantizer in (config["quantizer"] for config in configurations):
        varied = {key for key, value in quantizer.items() if value != configurations[0]["quantizer"][key]}
        assert varied <= {"num_codes", "revive_after"}
        assert quantizer["revive_after"] / quantizer["num_codes"] == pytest.approx(
            configurations[0]["quantizer"]["revive_after"] / configurations[0]["quantizer"]["num_codes"], rel=0.01
        )


@pytest.mark.parametrize("scale", SCALES)
def test_warm_ups_differ_in_their_length_alone(scale):
    plan = plan_of("warmup", scale)
    configurations = list(trained(plan).values())
    starts = [config["loss"]["adversarial_start"] for config in configurations]
    assert starts == plan.experiment["values"]
    assert max(starts) <= configurations[0]["loop"]["steps"]
    for config in configurations:
        alike = config["loss"] | {"adversarial_start": 0}
        assert config | {"name": "", "loss": alike} == configurations[0] | {"name": "", "loss": alike}


def test_the_usual_tokenizer_is_the_one_that_table1_trains():
    table1 = plan_of("table1", "laptop")
    for name in ("vqgan_vs_vqvae", "codebook_size"):
        shared = trained(plan_of(name, "laptop"))["cifar10.vqgan_f4"]
        assert shared == trained(table1)["cifar10.vqgan_f4"]
    assert list(trained(plan_of("codebook_size", "laptop"))) == [
        "cifar10.vqgan_f4_k128", "cifar10.vqgan_f4", "cifar10.vqgan_f4_k2048",
    ]  # fmt: skip
    # A shorter budget, so a baseline of its own.
    assert "cifar10.vqgan_f4" not in trained(plan_of("warmup", "laptop"))
    assert list(trained(plan_of("warmup", "paper"))) == [
        "imagenet.vqgan_f16_start0", "imagenet.vqgan_f16_start100000", "imagenet.vqgan_f16",
        "imagenet.vqgan_f16_start500000",
    ]  # fmt: skip


def test_the_papers_table5_is_planned_as_printed():
    (summary,) = stage(plan_of("codebook_size", "paper"), "evaluation.tokenizer_ablation").values()
    assert summary.config["rows"] == ["1024", "16384"]
    assert summary.config["paper_rows"] == [
        {"label": "1024", "rfid": 7.94, "rfid_train": 10.54},
        {"label": "16384", "rfid": 4.98, "rfid_train": 7.41},
    ]
    assert trained(plan_of("codebook_size", "paper"))["imagenet.vqgan_f16_k16384"]["quantizer"]["revive_after"] == 320


def test_one_more_size_adds_its_own_jobs_and_changes_only_the_summary():
    before = plan_of("codebook_size", "smoke")
    after = plan_of("codebook_size", "smoke", changed(values=[*before.experiment["values"], 48]))
    different = {folder.removeprefix("artifacts/smoke/") for folder, job in after.jobs.items()
                 if before.jobs.get(folder) != job}  # fmt: skip
    assert different == {
        "tokenizers/cifar10.vqgan_f4_k48", "evaluation/cifar10.vqgan_f4_k48", "evaluation/rfid.cifar10.vqgan_f4_k48",
        "evaluation/codebook_size", "figures/codebook_size",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("codebook_size", [64], r"codebook_size is 64; name two or more whole numbers of at least 2, once each"),
        ("codebook_size", [64, 64], "once each"),
        ("codebook_size", [64, 1], "at least 2"),
        ("codebook_size", [64, "many"], "is 64, many; name"),
        ("warmup", [0, 21], r"warmup is 0, 21; name two or more whole numbers from 0 to 20"),
        ("warmup", [0, 5.5], "whole numbers"),
    ],
)
def test_values_that_make_no_ablation_are_one_line(name, values, message):
    with pytest.raises(TwostageError, match=message):
        plan_of(name, "smoke", changed(values=values))


def test_a_tokenizer_of_maps_is_refused():
    rows = {"IN": {"stand_in": {"data": "cifar10", "tokenizer": "edges_f4"}}}
    with pytest.raises(TwostageError, match="codebook_size compares image tokenizers, edges_f4"):
        plan_of("codebook_size", "smoke", changed(rows=rows))
