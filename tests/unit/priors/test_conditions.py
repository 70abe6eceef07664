"""One interface for conditions: every architecture takes a class, and codes of image and condition never collide."""

import numpy as np
import pytest
import torch

from twostage.config.schema import GPTConfig, LoopConfig
from twostage.errors import TwostageError
from twostage.latents.coordinates import coordinate_codes
from twostage.latents.dataset import Split, TokenSpace
from twostage.priors.gpt import GPT
from twostage.priors.model import build
from twostage.priors.task import new_task

ARCHITECTURES = ("gpt", "pixelsnail", "sundae", "absorbing")
IMAGE, CLASS = (2, 2), TokenSpace(3, (1, 1), map="class")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_class_changes_every_logit(architecture, prior_config):
    torch.manual_seed(0)
    model = build(prior_config(architecture), TokenSpace(5, (4, 4), CLASS)).eval()
    index_BT = torch.randint(5, (1, 16)).expand(3, -1)
    logits_BTV = model(index_BT, torch.arange(3)[:, None])
    for other in (1, 2):
        assert ((logits_BTV[0] - logits_BTV[other]).abs().amax(-1) > 0).all()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_class_can_be_learned_and_only_image_codes_count(architecture, prior_config):
    # The class is the image: code c everywhere. Without it, 1.1 nats a token are the least.
    label_N = np.arange(30) % 3
    split = Split(np.repeat(label_N[:, None], 16, 1).astype(np.uint16), label_N[:, None].astype(np.uint16))
    config = prior_config(architecture, loop=LoopConfig(40, 10, 40, 40, 0, "float32"), learning_rate=1e-2)
    torch.manual_seed(0)
    task = new_task(build(config, TokenSpace(3, (4, 4), CLASS)), config, 1e-2, split, split)
    before = task.evaluate()[task.score]
    for step in range(60):
        task.step(step)
    # Per image token, with the first one in it.
    assert before == pytest.approx(np.log(3), abs=0.3)
    assert task.evaluate()[task.score] < 0.2


@pytest.mark.parametrize(
    "condition", [CLASS, TokenSpace(7, (4, 4), map="edges"), TokenSpace(16, (4, 4), map="coordinates")]
)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_condition_codes_are_one_row_an_image_and_neither_missing_nor_too_many(architecture, condition, prior_config):
    index_BT = torch.randint(5, (2, 16))
    condition_BS = torch.randint(condition.num_codes, (2, condition.num_tokens))
    model = build(prior_config(architecture), TokenSpace(5, (4, 4), condition)).eval()
    logits_BTV = model(index_BT, condition_BS)
    assert logits_BTV.shape == (2, 16, 5)
    # Each image has its own.
    torch.testing.assert_close(model(index_BT[1:], condition_BS[1:]), logits_BTV[1:])
    # Neither is a row of one image stretched over all, nor are there too few or too long ones.
    index_BT = torch.randint(5, (4, 16))
    for shape in ((1, condition.num_tokens), (3, condition.num_tokens), (4, condition.num_tokens + 1), (4,)):
        wrong = torch.zeros(shape, dtype=torch.int64)
        expected = rf"expected \(4, {condition.num_tokens}\), one row per image; give .* of {condition.map}"
        with pytest.raises(TwostageError, match=expected):
            model(index_BT, wrong)
    with pytest.raises(TwostageError, match="a conditional prior needs condition codes"):
        model(index_BT)
    plain = build(prior_config(architecture), TokenSpace(5, (4, 4))).eval()
    with pytest.raises(TwostageError, match="an unconditional one takes none"):
        plain(index_BT, condition_BS)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_prior_trains_with_coordinates(architecture, prior_config):
    place_NS = np.repeat(coordinate_codes((4, 4), 4, 16).astype(np.uint16).reshape(1, -1), 12, axis=0)
    split = Split((place_NS // 4).astype(np.uint16), place_NS)
    config = prior_config(architecture, loop=LoopConfig(10, 6, 10, 10, 0, "float32"), learning_rate=3e-2)
    torch.manual_seed(0)
    task = new_task(build(config, TokenSpace(4, (4, 4), TokenSpace(16, (4, 4), map="coordinates"))), config, 3e-2,
                     split, split)  # fmt: skip
    before = task.evaluate()[task.score]
    for step in range(8):
        task.step(step)
    assert task.evaluate()[task.score] < before


def test_equal_codes_of_image_and_condition_have_tables_of_their_own():
    model = GPT(GPTConfig(8, 1, 2, 0.0), TokenSpace(5, IMAGE, TokenSpace(7, IMAGE)))
    assert model.codes.weight.shape == (5, 8)
    assert model.condition_codes.weight.shape == (7, 8)
    tables = {model.codes.weight.data_ptr(), model.condition_codes.weight.data_ptr()}
    assert len(tables) == 2


def test_they_share_one_table_when_asked_as_released_weights_do():
    torch.manual_seed(0)
    model = GPT(GPTConfig(8, 1, 2, 0.0, shared_condition_codes=True), TokenSpace(5, IMAGE, TokenSpace(7, IMAGE)))
    assert model.condition_codes is None
    assert model.codes.weight.shape == (7, 8)
    assert model.head.weight.shape == (5, 8)
    index_BT, condition_BS = torch.tensor([[1, 2, 3, 4]]), torch.tensor([[6, 0, 1, 2]])
    before = model(index_BT, condition_BS)
    assert before.shape == (1, 4, 5)
    # Code 1 is the condition's and the image's: one row moves both.
    with torch.no_grad():
        model.codes.weight[1] += 1
    assert not torch.equal(model(index_BT, condition_BS)[:, 0], before[:, 0])
    with pytest.raises(TwostageError, match="a conditional prior needs condition codes"):
        model(index_BT)


@pytest.mark.parametrize("architecture", ["pixelsnail", "sundae", "absorbing"])
def test_a_condition_that_lies_on_another_grid_is_refused(architecture, prior_config):
    with pytest.raises(TwostageError, match=r"a class or a condition on the grid of the image \(4, 4\), got \(2, 2\)"):
        build(prior_config(architecture), TokenSpace(5, (4, 4), TokenSpace(7, (2, 2))))
