import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from twostage.errors import TwostageError
from twostage.runtime import training
from twostage.tokenizers.step import Phase
from twostage.tokenizers.task import (
    FEWEST_JUDGED,
    MapData,
    TokenizerTask,
    build_models,
    discriminator_learning_rate,
    learning_rate,
)

from .conftest import RandomPerceptual, small_config


def task(data_folder, perceptual=None, **changes) -> TokenizerTask:
    config = small_config(**changes)
    training.seed_everything(config.loop.seed)
    data = MapData.open(data_folder, config.map)
    return TokenizerTask(config, build_models(config, data, perceptual), data)


def loop(made: TokenizerTask, scratch) -> training.Loop:
    return training.Loop(made, made.config.loop, scratch, "test")


def run(data_folder, scratch, until, **changes) -> tuple[TokenizerTask, training.Loop]:
    made = task(data_folder, **changes)
    running = loop(made, scratch)
    running.run(until=lambda loop: loop.step >= until)
    return made, running


def tensors(made: TokenizerTask) -> dict[str, torch.Tensor]:
    state = made.state()
    flat = {f"{name}.{key}": value for name, part in state["modules"].items() for key, value in part.items()}
    for name, optimizer in state["optimizers"].items():
        for number, moments in optimizer["state"].items():
            flat |= {f"{name}.{number}.{key}": value for key, value in moments.items()}
    return flat


@pytest.mark.parametrize("learned_by", ["gradient", "ema"])
def test_resumed_equals_uninterrupted_bit_for_bit(learned_by, data_folder, tmp_path):
    changes = {"quantizer__learned_by": learned_by, "dropout": 0.2}
    whole, whole_loop = run(data_folder, tmp_path / "whole", 6, **changes)
    run(data_folder, tmp_path / "parts", 3, **changes)
    torch.manual_seed(1234)
    parts, parts_loop = run(data_folder, tmp_path / "parts", 6, **changes)
    expected, found = tensors(whole), tensors(parts)
    assert expected.keys() == found.keys()
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []
    for row, other in zip(whole_loop.curve, parts_loop.curve, strict=True):
        assert {**row, "train_seconds": 0} == {**other, "train_seconds": 0}


def test_discriminator_trains_after_the_warm_up_only(data_folder):
    made = task(data_folder, loss__adversarial_start=2)
    before = copy.deepcopy(made.models.discriminator.state_dict())
    for step in range(2):
        assert "discriminator" not in made.step(step)
    assert all(torch.equal(before[name], tensor) for name, tensor in made.models.discriminator.state_dict().items())
    scalars = made.step(2)
    assert scalars["adaptive_weight"] > 0
    assert not torch.equal(before["0.weight"], made.models.discriminator.state_dict()["0.weight"])


def test_discriminator_learns_ahead_from_reconstructions_that_do_not_learn_from_it(data_folder):
    changes = {"loss__adversarial_start": 2, "discriminator__steps_ahead": 1}
    made, plain = task(data_folder, **changes), task(data_folder, loss__adversarial="none")
    phases = [made.phase(step) for step in range(4)]
    assert phases == [Phase.RECONSTRUCTION, Phase.AHEAD, Phase.ADVERSARIAL, Phase.ADVERSARIAL]
    plain.models.tokenizer.load_state_dict(made.models.tokenizer.state_dict())
    before = copy.deepcopy(made.models.discriminator.state_dict())
    for step in range(2):
        scalars = made.step(step)
        plain.step(step)
    assert "discriminator" in scalars
    assert "adaptive_weight" not in scalars
    assert not torch.equal(before["0.weight"], made.models.discriminator.state_dict()["0.weight"])
    ahead, without = made.models.tokenizer.state_dict(), plain.models.tokenizer.state_dict()
    assert all(torch.equal(ahead[name], tensor) for name, tensor in without.items())


@pytest.mark.parametrize("adversarial", ["hinge", "log", "non_saturating"])
def test_stabilised_training_resumes_bit_for_bit(adversarial, data_folder, tmp_path):
    changes = {"loss__adversarial": adversarial, "loss__adversarial_start": 2, "discriminator__steps_ahead": 1}
    changes |= {"discriminator__augment": True, "discriminator__lecam": 0.1, "loss__adaptive": False}
    whole, _ = run(data_folder, tmp_path / "whole", 6, **changes)
    run(data_folder, tmp_path / "parts", 3, **changes)
    torch.manual_seed(1234)
    parts, _ = run(data_folder, tmp_path / "parts", 6, **changes)
    expected, found = tensors(whole), tensors(parts)
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []
    assert expected["lecam.mean_real"] != 0


def test_a_fixed_weight_is_the_one_of_the_config(data_folder):
    made = task(data_folder, loss__adversarial_start=0, loss__adaptive=False, loss__adversarial_weight=0.1)
    assert made.step(0)["adaptive_weight"] == pytest.approx(0.1)


def test_the_adaptive_weight_has_a_bound(data_folder):
    free = task(data_folder, loss__adversarial_start=0).step(0)["adaptive_weight"]
    made = task(data_folder, loss__adversarial_start=0, loss__adaptive_max=float(free) / 2)
    assert made.step(0)["adaptive_weight"] == pytest.approx(float(free) / 2)


@pytest.mark.parametrize(
    ("accuracy", "warning"), [(0.5, "at chance (it knows 50 %"), (0.8, None), (1.0, "wins outright (it knows 100 %")]
)
def test_a_discriminator_that_is_of_no_use_is_told(accuracy, warning, data_folder, caplog):
    made = task(data_folder)
    made.accuracies.extend([torch.tensor(accuracy)] * FEWEST_JUDGED)
    made.evaluate()
    assert [warning in record.getMessage() for record in caplog.records] == ([True] if warning else [])
    made.evaluate()
    assert len(caplog.records) == (1 if warning else 0)


def test_training_lowers_the_loss_and_evaluation_leaves_no_trace(data_folder):
    made = task(data_folder, perceptual=RandomPerceptual(), loss__adversarial="none", learning_rate=5e-3)
    first = made.evaluate()
    for step in range(60):
        made.step(step)
    before, random = copy.deepcopy(tensors(made)), torch.get_rng_state()
    last = made.evaluate()
    assert last["tune_reconstruction"] < 0.9 * first["tune_reconstruction"]
    assert last["tune_perceptual"] < first["tune_perceptual"]
    assert last["tune_psnr"] > first["tune_psnr"]
    assert 1 <= last["tune_perplexity"] <= last["tune_codes_used"] <= 16
    assert torch.equal(random, torch.get_rng_state())
    assert all(torch.equal(before[name], tensor) for name, tensor in tensors(made).items())


@pytest.mark.parametrize(
    ("name", "reconstruction"), [("segmentation", "cross_entropy"), ("edges", "binary_cross_entropy"), ("edges", "l1")]
)
def test_maps_are_learned_without_a_discriminator(name, reconstruction, data_folder):
    changes = {"loss__reconstruction": reconstruction, "loss__adversarial": "none", "learning_rate": 5e-3}
    made = task(data_folder, map=name, **changes)
    assert made.models.discriminator is None
    first = made.evaluate()
    for step in range(80):
        made.step(step)
    last = made.evaluate()
    assert last["tune_reconstruction"] < 0.9 * first["tune_reconstruction"]
    assert last["tune_accuracy"] > first["tune_accuracy"]
    assert made.codebook_use()["codes_used"] > 1


def test_the_rate_warms_up_holds_and_falls_along_a_cosine_to_zero(data_folder):
    config = replace(task(data_folder).config, learning_rate=1.0, warmup_steps=4, decay_from=10)
    config = replace(config, loop=replace(config.loop, steps=20))
    rates = [learning_rate(config, step) for step in (0, 1, 3, 9, 10, 15, 20)]
    assert rates == pytest.approx([0.25, 0.5, 1, 1, 1, 0.5, 0])
    assert learning_rate(replace(config, decay_from=None), 19) == 1


def test_an_adversarial_phase_has_rates_of_its_own(data_folder):
    config = replace(task(data_folder).config, learning_rate=1.0, decay_from=4, adversarial_learning_rate=0.2)
    config = replace(config, loop=replace(config.loop, steps=16), loss=replace(config.loss, adversarial_start=8))
    config = replace(config, discriminator=replace(config.discriminator, learning_rate=0.5))
    steps = (0, 4, 6, 8, 12, 16)
    assert [learning_rate(config, step) for step in steps] == pytest.approx([1, 1, 0.6, 0.2, 0.1, 0])
    assert [discriminator_learning_rate(config, step) for step in steps] == pytest.approx([0.5] * 4 + [0.25, 0])
    constant = replace(config, decay_from=None)
    assert [learning_rate(constant, step) for step in steps] == pytest.approx([1, 1, 1, 0.2, 0.2, 0.2])
    assert [discriminator_learning_rate(constant, step) for step in steps] == [0.5] * 6
    # Paper scale: one rate for all, as released.
    released = replace(constant, adversarial_learning_rate=None)
    assert [learning_rate(released, step) for step in steps] == [1] * 6
    # A phase that never comes: the rate falls to the other one at the end.
    never = replace(config, loss=replace(config.loss, adversarial_start=100))
    assert [learning_rate(never, step) for step in (4, 10, 16)] == pytest.approx([1, 0.6, 0.2])


def test_flips_are_a_pure_function_of_the_step(data_folder):
    made = task(data_folder)
    assert torch.equal(made.batch(3), made.batch(3))
    positions = training.batch_positions(40, 4, 0, 3)
    stored_BCHW = made.models.tokenizer.prepare(made.data.train_NHWC[positions])
    flipped = [
        [torch.equal(image, stored), torch.equal(image, stored.flip(-1))]
        for image, stored in zip(made.batch(3), stored_BCHW, strict=True)
    ]
    assert all(sum(either) == 1 for either in flipped)
    kept = [
        torch.equal(image, stored)
        for step in range(10)
        for image, stored in zip(
            made.batch(step),
            made.models.tokenizer.prepare(made.data.train_NHWC[training.batch_positions(40, 4, 0, step)]),
            strict=True,
        )
    ]
    assert 10 < sum(kept) < 30


def test_bfloat16_trains_in_float32_weights(data_folder):
    made = task(data_folder, loop__precision="bfloat16", loss__adversarial_start=0)
    plain = task(data_folder, loss__adversarial_start=0)
    scalars, exact = made.step(0), plain.step(0)
    assert all(value.isfinite() for value in scalars.values())
    torch.testing.assert_close(scalars["loss"].float(), exact["loss"], rtol=0.05, atol=0.02)
    assert {parameter.dtype for parameter in made.models.tokenizer.parameters()} == {torch.float32}
    with pytest.raises(TwostageError, match=r"loop\.precision=float8 is unknown; choose float32 or bfloat16"):
        task(data_folder, loop__precision="float8").step(0)


def test_a_collapsed_codebook_is_an_error_with_a_mend(data_folder):
    made = task(data_folder)
    made.step(0)
    with torch.no_grad():
        made.models.tokenizer.quantizer.codebook_KD[1:] = 1e3
    with pytest.raises(TwostageError, match=r"collapsed: 1 of 16 codes used.*perplexity 1\.0.*init=data"):
        made.codebook_use()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"map": "depth"}, "dataset toy has the maps image, edges, segmentation"),
        ({"num_downsamplings": 5, "channel_multipliers": [1] * 5}, "divisible by 32, got 16x16"),
        ({"map": "edges", "loss__perceptual": "vgg"}, "needs 3 channels, but edges has 1"),
        ({"loss__reconstruction": "cross_entropy"}, "needs labels, but image is colour"),
        ({"discriminator": None}, "loss.adversarial=hinge needs a discriminator, but tokenizers.discriminator is null"),
        ({"discriminator__layers": 3}, "needs sides of 24 pixels, got 16"),
    ],
)
def test_configs_that_do_not_fit_the_data_are_named(changes, message, data_folder):
    with pytest.raises(TwostageError, match=message):
        task(data_folder, **changes)


def test_the_map_is_read_as_stored(data_folder):
    data = MapData.open(data_folder, "segmentation")
    assert (data.kind, data.num_channels, len(data.train_NHWC), len(data.tune_NHWC)) == ("labels", 5, 40, 24)
    assert data.train_NHWC.dtype == np.uint8
