"""SUNDAE: corruption, unrolling, classes, and what one training step and its evaluation are."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from tests.unit.priors.conftest import NUM_CODES, prior_config
from twostage import priors, training
from twostage.configs import SundaeConfig
from twostage.errors import TwostageError
from twostage.latents.dataset import Split, TokenSpace, open_latents
from twostage.priors.model import build, store, trained_format
from twostage.priors.sundae import Noise, Sundae, codes_at, unrolled
from twostage.priors.task import DenoisingTask, new_task
from twostage.scores import DENOISING

CLASSES = TokenSpace(NUM_CODES, (4, 4), TokenSpace(3, (1, 1), map="class"))
PLAIN = TokenSpace(NUM_CODES, (4, 4))


def small(tokens=PLAIN, **changes):
    torch.manual_seed(0)
    sizes = {"width": 16, "num_heads": 2, "head_width": 8, "depth": [1, 1, 1], "shorten_factor": 4}
    sizes |= {"resampling": "patches", "rotary": "axial", "dropout": 0.0, "unrolls": 2}
    model = Sundae(SundaeConfig(**{**sizes, **changes}), tokens).eval()
    for name, parameter in model.named_parameters():
        if "norm" not in name:
            torch.nn.init.normal_(parameter, std=0.4)
    return model


def noise_for(index_BT, unrolls=2, seed=0):
    return Noise.draw(np.random.default_rng(seed), index_BT, NUM_CODES, unrolls)


def make_task(latents, **changes):
    config = prior_config("sundae", **changes)
    training.seed_everything(config.loop.seed)
    opened = open_latents(latents)
    parts = (1e-2, opened.split("train"), opened.split("validation"))
    return new_task(build(config, opened.tokens), config, *parts)


# ---- corruption


def test_every_image_is_corrupted_by_a_share_of_its_own():
    index_BT = torch.full((400, 400), NUM_CODES)  # no code of the vocabulary: what is replaced is seen
    noise = noise_for(index_BT)
    share_B = (noise.corrupt(index_BT) != index_BT).double().mean(1)
    # t of its tokens, up to the spread of 400 coins, ...
    assert (share_B - noise.threshold_B1[:, 0]).abs().max() < 5 * 0.5 / 20
    # ... with t uniform on [0, 1].
    quantile_B = share_B.sort().values
    assert (quantile_B - torch.linspace(0, 1, 400)).abs().max() < 0.1


def test_replacements_are_uniform_over_the_vocabulary():
    index_BT = torch.full((300, 100), NUM_CODES)
    corrupted_BT = noise_for(index_BT).corrupt(index_BT)
    counts = torch.bincount(corrupted_BT[corrupted_BT < NUM_CODES], minlength=NUM_CODES)
    assert (counts / counts.sum() - 1 / NUM_CODES).abs().max() < 0.01


def test_codes_have_the_frequencies_of_the_softmax():
    probability_V = torch.tensor([0.05, 0.4, 0.15, 0.1, 0.3])
    drawn_K = codes_at(probability_V.log().expand(20_000, -1), torch.rand(20_000))
    share_V = torch.bincount(drawn_K, minlength=5) / 20_000
    torch.testing.assert_close(share_V, probability_V, atol=0.015, rtol=0)


# ---- the chain


def test_each_step_reads_what_the_step_before_it_drew():
    model = small()
    index_BT = torch.randint(NUM_CODES, (5, 16))
    noise = noise_for(index_BT, unrolls=3)
    logits = list(unrolled(model, index_BT, None, noise))
    assert len(logits) == 3
    state_BT = noise.corrupt(index_BT)
    for step, logits_BTV in enumerate(logits):
        torch.testing.assert_close(logits_BTV, model(state_BT))
        if step < 2:
            drawn_K = codes_at(logits_BTV.flatten(0, 1), noise.uniform_UBT[step].flatten())
            state_BT = drawn_K.view(5, 16)


def test_steps_are_detached_from_each_other(monkeypatch):
    """The gradient of a step is that of its own pass: nothing flows through what was drawn, or through its pass."""
    model = small()
    index_BT = torch.randint(NUM_CODES, (3, 16))
    states = []
    whole = model.forward
    monkeypatch.setattr(model, "forward", lambda index, classes: states.append(index) or whole(index, classes))
    *_, last_BTV = unrolled(model, index_BT, None, noise_for(index_BT))
    assert not any(state.requires_grad for state in states)
    gradients = torch.autograd.grad(last_BTV.sum(), list(model.parameters()))
    alone = torch.autograd.grad(whole(states[-1], None).sum(), list(model.parameters()))
    for gradient, expected in zip(gradients, alone, strict=True):
        torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("unrolls", [1, 2, 3])
def test_a_step_has_the_gradient_of_the_mean_over_the_chain(unrolls, latents):
    """One backward pass a step of the chain, and their sum is that of Eq. 6."""
    sizes = SundaeConfig(16, 2, 8, [1, 1, 1], 4, "patches", "axial", dropout=0.0, unrolls=unrolls)
    task = make_task(latents, sundae=sizes)
    task.model.train()
    positions_B = np.arange(4)
    loss = task._backward(positions_B, step=7)
    found = [parameter.grad.clone() for parameter in task.model.parameters()]
    index_BT = torch.from_numpy(task.train.image_NT[:4].astype(np.int64))
    rng = np.random.default_rng(np.random.SeedSequence(0, spawn_key=(0, 7)))
    noise = Noise.draw(rng, index_BT, NUM_CODES, unrolls)
    stacked = torch.cat(list(unrolled(task.model, index_BT, None, noise)))
    expected = functional.cross_entropy(stacked.flatten(0, 1), index_BT.repeat(unrolls, 1).flatten())
    torch.testing.assert_close(loss, expected.detach())
    for gradient, plain in zip(found, torch.autograd.grad(expected, list(task.model.parameters())), strict=True):
        torch.testing.assert_close(gradient, plain, atol=1e-6, rtol=1e-4)


# ---- training


def test_evaluation_has_the_same_noise_for_every_seed_and_leaves_training_alone(latents):
    loop = prior_config("sundae").loop
    first = make_task(latents)
    other = make_task(latents, loop=type(loop)(**{**vars(loop), "seed": 5}))
    other.model.load_state_dict(first.model.state_dict())
    assert isinstance(first, DenoisingTask)
    before = torch.get_rng_state()
    assert first.evaluate() == first.evaluate() == other.evaluate()
    assert torch.equal(before, torch.get_rng_state())
    assert list(first.evaluate()) == [DENOISING]


def test_training_learns_to_denoise(latents):
    task = make_task(latents)
    first = task.evaluate()[DENOISING]
    assert first == pytest.approx(np.log(NUM_CODES), abs=0.2)
    for step in range(40):
        task.step(step)
    assert task.evaluate()[DENOISING] < first - 0.4


def test_the_noise_of_a_step_depends_on_the_seed_and_the_step_alone(latents):
    def losses(steps):
        task = make_task(latents, sundae=SundaeConfig(16, 2, 8, [1, 1, 1], 4, "patches", "axial", 0.0, 2))
        return [task._backward(np.arange(4), step).item() for step in steps]

    assert losses([3, 1])[1] == losses([1, 1])[1] != losses([2, 1])[0]


def test_no_unroll_is_refused(latents):
    with pytest.raises(TwostageError, match="unrolls=0 trains nothing"):
        make_task(latents, sundae=SundaeConfig(16, 2, 8, [1, 1, 1], 4, "patches", "axial", 0.0, 0))


# ---- classes


def test_a_class_is_added_to_every_input():
    model = small(CLASSES)
    index_BT = torch.randint(NUM_CODES, (2, 16))
    logits_BTV = model(index_BT, torch.tensor([2, 0]))
    table = model.classes.weight.data.clone()
    model.classes.weight.data.zero_()
    model.codes.weight.data += table[2]
    torch.testing.assert_close(model(index_BT[:1], torch.tensor([1])), logits_BTV[:1])


def test_training_sees_the_class_of_each_image(tmp_path):
    """Codes that the class alone decides are learned from nothing but the class."""
    class_N = np.random.default_rng(0).integers(0, 3, 96)
    image_NT = np.repeat(class_N[:, None], 16, axis=1).astype(np.uint16)
    split = Split(image_NT, class_N[:, None].astype(np.uint16))
    config = prior_config("sundae")
    training.seed_everything(0)
    task = new_task(build(config, CLASSES), config, 1e-2, split, split)
    for step in range(25):
        task.step(step)
    noise_BT = torch.randint(3, (3, 16))
    assert torch.equal(task.model.eval()(noise_BT, torch.arange(3)).argmax(-1), torch.arange(3)[:, None].expand(3, 16))


def test_classes_must_be_given_where_they_are_wanted_and_only_there(tmp_path):
    index_BT = torch.zeros(1, 16, dtype=torch.int64)
    with pytest.raises(TwostageError, match="needs a class for every image"):
        small(CLASSES)(index_BT)
    with pytest.raises(TwostageError, match="an unconditional one takes none"):
        small()(index_BT, torch.zeros(1, dtype=torch.int64))
    for other in (TokenSpace(3, (4, 4), map="edges"), TokenSpace(3, (1, 1), map="edges")):
        with pytest.raises(TwostageError, match="takes a class as its condition, got edges on a grid of"):
            small(TokenSpace(NUM_CODES, (4, 4), other))
    model = small(CLASSES)
    store(tmp_path, trained_format(prior_config("sundae", sundae=model.config), CLASSES), model.state_dict())
    prior = priors.load(tmp_path)
    torch.testing.assert_close(prior.logits(index_BT, class_B=torch.tensor([2])), model(index_BT, torch.tensor([2])))
    for wrong in (3, -1):
        with pytest.raises(TwostageError, match=rf"class {wrong} is outside the prior's range from 0 to 2"):
            prior.logits(index_BT, torch.tensor([wrong]))


def test_an_ordering_is_refused(prior_config):
    with pytest.raises(TwostageError, match=r"priors=sundae draws all tokens at once, got priors\.ordering=spiral_in"):
        build(prior_config("sundae", ordering="spiral_in"), PLAIN)
