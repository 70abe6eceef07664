"""SUNDAE: corruption, unrolling, conditions, and what one training step and its evaluation are."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from tests.unit.priors.conftest import NUM_CODES, prior_config
from twostage import priors
from twostage.config.schema import SundaeConfig
from twostage.errors import TwostageError
from twostage.latents.dataset import Split, TokenSpace, open_latents
from twostage.priors.model import build, store, trained_format
from twostage.priors.sundae import Noise, Sundae, codes_at, unrolled
from twostage.priors.task import DenoisingTask, new_task
from twostage.runtime import training
from twostage.runtime.scores import DENOISING

CLASSES = TokenSpace(NUM_CODES, (4, 4), TokenSpace(3, (1, 1), map="class"))
PLAIN = TokenSpace(NUM_CODES, (4, 4))
EDGES = TokenSpace(NUM_CODES, (4, 4), TokenSpace(NUM_CODES, (4, 4), map="edges"))


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
    loss = task._backward(positions_B, slice(None), step=7, num_parts=1)
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
        return [task._backward(np.arange(4), slice(None), step, 1).item() for step in steps]

    assert losses([3, 1])[1] == losses([1, 1])[1] != losses([2, 1])[0]


def test_no_unroll_is_refused(latents):
    with pytest.raises(TwostageError, match="unrolls=0 trains nothing"):
        make_task(latents, sundae=SundaeConfig(16, 2, 8, [1, 1, 1], 4, "patches", "axial", 0.0, 0))


# ---- conditions


def test_a_class_is_added_to_every_input():
    model = small(CLASSES)
    index_BT = torch.randint(NUM_CODES, (2, 16))
    logits_BTV = model(index_BT, torch.tensor([[2], [0]]))
    table = model.condition_codes.weight.data.clone()
    model.condition_codes.weight.data.zero_()
    model.codes.weight.data += table[2]
    torch.testing.assert_close(model(index_BT[:1], torch.tensor([[1]])), logits_BTV[:1])


@pytest.mark.parametrize("resampling", ["patches", "sequence", "released"])
def test_the_code_of_a_map_is_added_at_its_own_place(resampling):
    """A model whose map's code turns code 0 into another one is, given zeros, the plain model of the map's codes."""
    model, plain = small(EDGES, resampling=resampling), small(resampling=resampling)
    shared = {name: tensor for name, tensor in model.state_dict().items() if name != "condition_codes.weight"}
    plain.load_state_dict(shared)
    model.condition_codes.weight.data = model.codes.weight.data - model.codes.weight.data[0]
    map_BT = torch.randint(NUM_CODES, (3, 16))
    torch.testing.assert_close(model(torch.zeros_like(map_BT), map_BT), plain(map_BT))


@pytest.mark.parametrize("resampling", ["patches", "sequence", "released"])
def test_without_mixing_a_code_of_a_map_moves_the_logits_of_its_place_alone(resampling):
    model = small(EDGES, resampling=resampling)
    for name, parameter in model.named_parameters():
        if "attention.out" in name or "shorten" in name or "lengthen.project" in name or "lengthen.out" in name:
            parameter.data.zero_()
    index_BT, map_BT = torch.randint(NUM_CODES, (2, 1, 16)).unbind()
    before_TV = model(index_BT, map_BT)[0]
    for place in range(16):
        other_BT = map_BT.clone()
        other_BT[0, place] = (map_BT[0, place] + 1) % NUM_CODES
        moved_T = ((model(index_BT, other_BT)[0] - before_TV).abs().amax(-1) > 1e-4).nonzero().flatten()
        assert moved_T.tolist() == [place]


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
    class_B1 = torch.arange(3)[:, None]
    assert torch.equal(task.model.eval()(noise_BT, class_B1).argmax(-1), class_B1.expand(3, 16))


def test_training_sees_the_map_of_each_image_place_by_place():
    """Images that are their maps, of independent codes: nothing but the map at the very place tells a code."""
    map_NT = np.random.default_rng(0).integers(0, NUM_CODES, (96, 16)).astype(np.uint16)
    split = Split(map_NT, map_NT)
    config = prior_config("sundae")
    training.seed_everything(0)
    task = new_task(build(config, EDGES), config, 3e-2, split, Split(map_NT[:16], map_NT[:16]))
    before = task.evaluate()[DENOISING]
    for step in range(40):
        task.step(step)
    assert task.evaluate()[DENOISING] < 0.3 < before - 1
    unseen_BT = torch.randint(NUM_CODES, (5, 16))
    found_BT = task.model.eval()(torch.randint(NUM_CODES, (5, 16)), unseen_BT).argmax(-1)
    assert (found_BT == unseen_BT).double().mean() > 0.9


def test_conditions_must_be_given_where_they_are_wanted_and_only_there(tmp_path):
    index_BT = torch.zeros(1, 16, dtype=torch.int64)
    for model in (small(CLASSES), small(EDGES)):
        with pytest.raises(TwostageError, match="needs condition codes"):
            model(index_BT)
    with pytest.raises(TwostageError, match="an unconditional one takes none"):
        small()(index_BT, torch.zeros(1, 1, dtype=torch.int64))
    for tokens, shape in ((EDGES, (1, 1)), (EDGES, (1, 8)), (CLASSES, (1, 16)), (CLASSES, (1,))):
        with pytest.raises(
            TwostageError, match=r"expected \(1, (16|1)\), one row per image; .* codes of (edges|class)"
        ):
            small(tokens)(index_BT, torch.zeros(shape, dtype=torch.int64))
    with pytest.raises(TwostageError, match=r"a condition on the grid of the image \(4, 4\), got \(2, 2\)"):
        small(TokenSpace(NUM_CODES, (4, 4), TokenSpace(3, (2, 2), map="edges")))


def stored(folder, tokens):
    model = small(tokens)
    store(folder, trained_format(prior_config("sundae", sundae=model.config), tokens), model.state_dict())
    return priors.load(folder), model


def test_a_finished_prior_takes_a_class_by_either_name_and_refuses_what_it_does_not_know(tmp_path):
    index_BT = torch.zeros(1, 16, dtype=torch.int64)
    prior, model = stored(tmp_path / "classes", CLASSES)
    expected = model(index_BT, torch.tensor([[2]]))
    for given in ({"class_B": torch.tensor([2])}, {"condition_BS": torch.tensor([[2]])}):
        torch.testing.assert_close(prior.logits(index_BT, **given), expected)
    torch.testing.assert_close(prior.logits(index_BT, torch.tensor([2])), expected)
    with pytest.raises(TwostageError, match="a prior has one condition"):
        prior.logits(index_BT, torch.tensor([[2]]), class_B=torch.tensor([2]))
    for wrong in (3, -1):
        with pytest.raises(TwostageError, match=rf"class {wrong} is out of range; choose from 0 to 2"):
            prior.logits(index_BT, torch.tensor([wrong]))
    prior, model = stored(tmp_path / "edges", EDGES)
    map_BT = torch.randint(NUM_CODES, (1, 16))
    torch.testing.assert_close(prior.logits(index_BT, map_BT), model(index_BT, map_BT))
    map_BT[0, 5] = NUM_CODES
    with pytest.raises(TwostageError, match=r"edges code 11 is out of range; choose from 0 to 10"):
        prior.logits(index_BT, map_BT)


def test_an_ordering_is_refused(prior_config):
    with pytest.raises(TwostageError, match=r"priors=sundae draws all tokens at once, got priors\.ordering=spiral_in"):
        build(prior_config("sundae", ordering="spiral_in"), PLAIN)
