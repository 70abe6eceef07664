"""Absorbing diffusion: what is masked, what every token sees, the losses, and that the bound is one."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from tests.unit.priors.conftest import NUM_CODES, prior_config
from twostage import priors
from twostage.config.schema import AbsorbingConfig, HourglassConfig, TransformerConfig
from twostage.errors import TwostageError
from twostage.latents.dataset import Split, TokenSpace, open_latents
from twostage.priors.absorbing import Absorbing, BoundMasks, Masks, mean_over_masked
from twostage.priors.model import build, store, trained_format
from twostage.priors.task import AbsorbingTask, new_task
from twostage.runtime import training
from twostage.runtime.scores import BOUND

PLAIN = TokenSpace(NUM_CODES, (4, 4))
EDGES = TokenSpace(NUM_CODES, (4, 4), TokenSpace(NUM_CODES, (4, 4), map="edges"))
CLASSES = TokenSpace(NUM_CODES, (4, 4), TokenSpace(3, (1, 1), map="class"))
NETWORKS = ["transformer", "hourglass"]


def sizes(network="transformer", loss="reweighted", num_steps=None, width=16):
    shape = HourglassConfig(width, 2, 8, [1, 1, 1], 4, "patches", "axial", dropout=0.0)
    return AbsorbingConfig(network, TransformerConfig(width, 2, 2, 0.0), shape, num_steps, loss)


def small(tokens=PLAIN, **changes):
    torch.manual_seed(0)
    model = Absorbing(sizes(**changes), tokens).eval()
    for name, parameter in model.named_parameters():
        if "norm" not in name:
            torch.nn.init.normal_(parameter, std=0.4)
    return model


def make_task(latents, config=None, **changes):
    config = prior_config("absorbing", absorbing=config or sizes(), **changes)
    training.seed_everything(config.loop.seed)
    opened = open_latents(latents)
    return new_task(build(config, opened.tokens), config, 1e-2, opened.split("train"), opened.split("validation"))


# ---- the network


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("tokens", [PLAIN, CLASSES, EDGES])
def test_it_gives_logits_of_the_vocabulary_and_takes_one_code_more(network, tokens):
    model = small(tokens, network=network)
    condition = tokens.condition
    condition_BS = None if condition is None else torch.randint(condition.num_codes, (3, condition.num_tokens))
    index_BT = torch.full((3, 16), model.mask_code)
    assert model.mask_code == NUM_CODES
    assert model(index_BT, condition_BS).shape == (3, 16, NUM_CODES)


@pytest.mark.parametrize("network", NETWORKS)
def test_every_position_sees_every_other(network):
    model = small(network=network).double()
    index_BT = torch.randint(NUM_CODES, (1, 16))
    for place in range(16):
        other_BT = index_BT.clone()
        other_BT[0, place] = model.mask_code
        assert ((model(other_BT) - model(index_BT)).abs().amax((0, 2)) > 1e-9).all()


@pytest.mark.parametrize("network", NETWORKS)
def test_the_code_of_a_map_is_added_at_its_own_place(network):
    model, plain = small(EDGES, network=network), small(network=network)
    shared = {name: tensor for name, tensor in model.state_dict().items() if name != "condition_codes.weight"}
    plain.load_state_dict(shared)
    model.condition_codes.weight.data = model.codes.weight.data[:-1] - model.codes.weight.data[-1]
    map_BT = torch.randint(NUM_CODES, (3, 16))
    torch.testing.assert_close(model(torch.full_like(map_BT, model.mask_code), map_BT), plain(map_BT))


def test_a_network_without_sizes_is_named():
    config = AbsorbingConfig("hourglass", TransformerConfig(16, 2, 2, 0.0), None, None, "reweighted")
    with pytest.raises(TwostageError, match=r"network=hourglass needs its sizes; set priors\.absorbing\.hourglass"):
        Absorbing(config, PLAIN)
    with pytest.raises(
        TwostageError, match=r"priors=absorbing draws all tokens at once, got priors\.ordering=spiral_in"
    ):
        build(prior_config("absorbing", ordering="spiral_in"), PLAIN)


@pytest.mark.parametrize("network", NETWORKS)
def test_a_stored_prior_is_the_same_again(network, tmp_path):
    model = small(CLASSES, network=network)
    store(tmp_path, trained_format(prior_config("absorbing", absorbing=model.config), CLASSES), model.state_dict())
    prior = priors.load(tmp_path)
    index_BT = torch.randint(NUM_CODES + 1, (2, 16))
    with torch.inference_mode():
        torch.testing.assert_close(
            prior.logits(index_BT, class_B=torch.tensor([0, 2])), model(index_BT, torch.tensor([[0], [2]]))
        )
    with pytest.raises(TwostageError, match=rf"tokens in \[0, {NUM_CODES + 1}\]"):
        prior.logits(torch.tensor([[NUM_CODES + 1] + 15 * [0]]), class_B=torch.tensor([0]))


# ---- what is masked


def test_every_step_is_as_likely_and_masks_its_share():
    masks = Masks.draw(np.random.default_rng(0), torch.zeros(4000, 50), 5)
    assert (torch.bincount(masks.step_B)[1:] / 4000 - 1 / 5).abs().max() < 0.02
    for step in range(1, 6):
        share_B = masks.masked_BT[masks.step_B == step].double().mean(1)
        assert abs(share_B.mean() - step / 5) < 0.01
        # Independent coins, so not the same number of tokens in every image.
        assert float(share_B.var()) == pytest.approx(step / 5 * (1 - step / 5) / 50, rel=0.2, abs=1e-9)
    assert masks.masked_BT[masks.step_B == 5].all()


def test_only_masked_tokens_are_in_the_loss(latents):
    """Logits of visible tokens may be anything: neither the loss nor a gradient depends on them."""
    task = make_task(latents)
    nll_BT = task._masked_nll(task.train, np.arange(4), torch.zeros(4, 16, dtype=torch.bool))
    assert not nll_BT.any()
    masked_BT = torch.rand(4, 16) < 0.5
    nll_BT = task._masked_nll(task.train, np.arange(4), masked_BT)
    assert torch.equal(nll_BT > 0, masked_BT)
    image_BT = torch.from_numpy(task.train.image_NT[:4].astype(np.int64))
    logits_BTV = task.model(torch.where(masked_BT, task.model.mask_code, image_BT))
    whole_BT = functional.cross_entropy(logits_BTV.flatten(0, 1), image_BT.flatten(), reduction="none").view(4, 16)
    torch.testing.assert_close(nll_BT, whole_BT * masked_BT)


def test_masked_tokens_are_hidden(latents):
    """What a masked token is moves no prediction."""
    task = make_task(latents)
    seen = []
    features = task.model.features
    task.model.features = lambda index, condition: seen.append(index) or features(index, condition)
    masked_BT = torch.rand(4, 16) < 0.5
    task._masked_nll(task.train, np.arange(4), masked_BT)
    image_BT = torch.from_numpy(task.train.image_NT[:4].astype(np.int64))
    assert torch.equal(seen[0] == task.model.mask_code, masked_BT)
    assert torch.equal(seen[0][~masked_BT], image_BT[~masked_BT])


# ---- the losses


def test_the_losses_are_the_sums_of_the_paper():
    """Of all steps and masks, each with its probability: the mean loss is the sum that the equation says."""
    num_steps, num_tokens = 3, 2
    nll_MT = torch.rand(2**num_tokens, num_tokens)  # whatever a mask makes of the cross-entropies
    patterns_MT = torch.tensor(list(itertools.product([False, True], repeat=num_tokens)))
    expected = dict.fromkeys(("reweighted", "elbo"), 0.0)
    found = dict.fromkeys(expected, 0.0)
    for step in range(1, num_steps + 1):
        for nll_T, masked_T in zip(nll_MT, patterns_MT, strict=True):
            number = int(masked_T.sum())
            chance = (step / num_steps) ** number * (1 - step / num_steps) ** (num_tokens - number)
            terms = chance * float((nll_T * masked_T).sum())
            expected["elbo"] += terms / step / num_tokens
            expected["reweighted"] += (num_steps - step + 1) / num_steps * terms / num_steps / num_tokens
            masks = Masks(torch.tensor([step]), masked_T[None], num_steps)
            for kind in found:
                found[kind] += chance / num_steps * float(masks.loss((nll_T * masked_T)[None], kind))
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("loss", ["reweighted", "elbo"])
def test_a_step_descends_its_loss(loss, latents):
    task = make_task(latents, sizes(loss=loss))
    positions_B = np.arange(4)
    value = task._backward(positions_B, slice(None), step=7, num_parts=1)
    image_BT = torch.from_numpy(task.train.image_NT[:4].astype(np.int64))
    rng = np.random.default_rng(np.random.SeedSequence(0, spawn_key=(0, 7)))
    masks = Masks.draw(rng, image_BT, 16)
    logits_BTV = task.model(torch.where(masks.masked_BT, NUM_CODES, image_BT))
    nll_BT = functional.cross_entropy(logits_BTV.flatten(0, 1), image_BT.flatten(), reduction="none").view(4, 16)
    weight_B = (17 - masks.step_B) / 16 if loss == "reweighted" else 16 / masks.step_B
    expected = (weight_B[:, None] * nll_BT * masks.masked_BT).sum() / 64
    torch.testing.assert_close(value, expected.detach())
    for parameter, gradient in zip(
        task.model.parameters(), torch.autograd.grad(expected, list(task.model.parameters())), strict=True
    ):
        torch.testing.assert_close(parameter.grad, gradient, atol=1e-6, rtol=1e-4)


def test_the_masks_of_a_step_depend_on_the_seed_and_the_step_alone(latents):
    def losses(steps):
        task = make_task(latents)
        return [task._backward(np.arange(4), slice(None), step, 1).item() for step in steps]

    assert losses([3, 1])[1] == losses([1, 1])[1] != losses([2, 1])[0]


# ---- the bound


def conditionals(num_codes, num_tokens, consistent, seed=0):
    """p(token i = v | what is not masked), as a function of an image with masks (-1): of one joint, or of none."""
    rng = np.random.default_rng(seed)
    joint = rng.dirichlet(np.full(num_codes**num_tokens, 0.5)).reshape(num_tokens * (num_codes,))
    tables = {}

    def given(seen, place):
        if not consistent:
            return tables.setdefault((seen, place), rng.dirichlet(np.ones(num_codes)))
        chosen = joint[tuple(slice(None) if code < 0 else slice(code, code + 1) for code in seen)]
        other = tuple(axis for axis in range(num_tokens) if axis != place)
        found = chosen.sum(axis=other)
        return found / found.sum()

    return joint, given


def exact_bound(image, given, num_steps):
    """(bound) per token, by all steps and all masks."""
    total = 0.0
    for step in range(1, num_steps + 1):
        for masked in itertools.product([False, True], repeat=len(image)):
            number = sum(masked)
            chance = (step / num_steps) ** number * (1 - step / num_steps) ** (len(image) - number)
            total += chance / step * sum(nll_of(image, masked, given))
    return total / len(image)


def nll_of(image, masked, given):
    seen = tuple(-1 if hidden else code for code, hidden in zip(image, masked, strict=True))
    return [-math.log(given(seen, place)[code]) if masked[place] else 0.0 for place, code in enumerate(image)]


def likelihood(image, given, num_steps):
    """p(image) of what the reverse process draws in so many steps, by all ways in which it can unmask the image."""

    def from_state(seen, step):
        masked = [place for place, code in enumerate(seen) if code < 0]
        if not masked:
            return 1.0
        if step == 0:
            return 0.0
        total = 0.0
        for unmasked in itertools.product([False, True], repeat=len(masked)):
            chosen = [place for place, now in zip(masked, unmasked, strict=True) if now]
            chance = (1 / step) ** len(chosen) * (1 - 1 / step) ** (len(masked) - len(chosen))
            if chance:
                after = tuple(image[place] if place in chosen else code for place, code in enumerate(seen))
                drawn = math.prod(given(seen, place)[image[place]] for place in chosen)
                total += chance * drawn * from_state(after, step - 1)
        return total

    return from_state(tuple(-1 for _ in image), num_steps)


@pytest.mark.parametrize("consistent", [True, False])
@pytest.mark.parametrize("num_steps", [1, 2, 3, 6])
def test_the_bound_is_at_least_the_nll_of_what_is_drawn(consistent, num_steps):
    """For every image, for conditionals of a joint distribution and for any others."""
    _, given = conditionals(3, 3, consistent)
    images = list(itertools.product(range(3), repeat=3))
    nll = {image: -math.log(likelihood(image, given, num_steps)) / 3 for image in images}
    assert sum(math.exp(-3 * value) for value in nll.values()) == pytest.approx(1)
    for image in images:
        assert exact_bound(image, given, num_steps) >= nll[image] - 1e-12


def test_with_true_conditionals_and_many_steps_the_bound_is_the_nll():
    joint, given = conditionals(3, 2, consistent=True)
    for image in itertools.product(range(3), repeat=2):
        nll = -math.log(joint[image]) / 2
        gaps = [exact_bound(image, given, num_steps) - nll for num_steps in (10, 100, 1000)]
        assert abs(gaps[2]) < 1e-2
        assert abs(gaps[2]) < abs(gaps[1]) / 5 < abs(gaps[0]) / 25


@pytest.mark.parametrize(("num_tokens", "num_steps"), [(2, 2), (3, 3), (3, 2), (2, 5)])
def test_the_estimate_is_exact_in_the_mean_over_its_masks(num_tokens, num_steps):
    """Every step, every certain token and every mask of the others, each with its probability: no sampling."""
    _, given = conditionals(3, num_tokens, consistent=False)
    image = tuple(np.random.default_rng(1).integers(0, 3, num_tokens))
    total = 0.0
    for step, certain in itertools.product(range(1, num_steps + 1), range(num_tokens)):
        for masked in itertools.product([False, True], repeat=num_tokens):
            if masked[certain]:
                number = sum(masked) - 1
                chance = (step / num_steps) ** number * (1 - step / num_steps) ** (num_tokens - 1 - number)
                nll_BT = torch.tensor([nll_of(image, masked, given)])
                mean = float(mean_over_masked(nll_BT, torch.tensor([masked])))
                total += chance * mean / (num_steps * num_tokens)
    assert total == pytest.approx(exact_bound(image, given, num_steps))


@pytest.mark.parametrize("num_steps", [1, 2, 3, 7])
def test_the_masks_that_are_drawn_have_those_probabilities(num_steps):
    """The mean over many of them is the bound, to a few standard errors."""
    _, given = conditionals(3, 3, consistent=False)
    number, image = 20_000, (0, 2, 1)
    masked_BT = BoundMasks(number, 3, num_steps, np.random.default_rng(0)).of(np.arange(number))
    assert masked_BT.any(1).all()
    nll = {masked: nll_of(image, masked, given) for masked in itertools.product([False, True], repeat=3)}
    nll_BT = torch.tensor([nll[tuple(masked_T)] for masked_T in masked_BT.tolist()])
    found_B = mean_over_masked(nll_BT, masked_BT)
    error = float(found_B.std()) / math.sqrt(number)
    assert float(found_B.mean()) == pytest.approx(exact_bound(image, given, num_steps), abs=4 * error + 1e-6)


def test_the_evaluation_is_that_estimate_and_depends_on_no_batch_seed_or_state(latents):
    loop = prior_config("absorbing").loop
    first = make_task(latents)
    other = make_task(latents, loop=type(loop)(**{**vars(loop), "seed": 5, "batch_size": 3}))
    other.model.load_state_dict(first.model.state_dict())
    assert isinstance(first, AbsorbingTask)
    before = torch.get_rng_state()
    assert list(first.evaluate()) == [BOUND]
    assert first.evaluate() == first.evaluate()
    assert first.evaluate() == pytest.approx(other.evaluate())
    assert torch.equal(before, torch.get_rng_state())
    assert first.evaluate()[BOUND] == pytest.approx(np.log(NUM_CODES), abs=0.2)


def test_a_prior_that_knows_the_conditionals_is_scored_by_their_bound(tmp_path):
    """Two tokens of three codes: the estimate over many held-out images against the exact value."""
    joint, given = conditionals(3, 2, consistent=True)
    images = list(itertools.product(range(3), repeat=2))
    drawn_N = np.random.default_rng(2).choice(9, 6000, p=joint.flatten())
    image_NT = np.array(images, np.uint16)[drawn_N]
    config = prior_config("absorbing", absorbing=sizes(), loop=prior_config("gpt").loop)
    config.loop.batch_size = 500
    task = new_task(build(config, TokenSpace(3, (1, 2))), config, 1e-2, *2 * [Split(image_NT, None)])
    seen = itertools.product((0, 1, 2, -1), repeat=2)
    table = torch.tensor(np.array([[given((-1, b), 0), given((a, -1), 1)] for a, b in seen])).log()
    task.model.features = lambda index_BT, _: table[index_BT[:, 0] * 4 + index_BT[:, 1]]
    task.model.head = torch.nn.Identity()
    expected_N = np.array([exact_bound(image, given, 2) for image in images])[drawn_N]
    found = task.evaluate()[BOUND]
    assert found == pytest.approx(expected_N.mean(), abs=0.02)
    assert found > -np.log(joint.flatten()[drawn_N]).mean() / 2


# ---- training


@pytest.mark.parametrize("network", NETWORKS)
def test_training_lowers_the_bound(network, latents):
    task = make_task(latents, sizes(network))
    first = task.evaluate()[BOUND]
    for step in range(60):
        task.step(step)
    assert task.evaluate()[BOUND] < first - 0.4


def test_training_sees_the_map_of_each_image_place_by_place():
    map_NT = np.random.default_rng(0).integers(0, NUM_CODES, (96, 16)).astype(np.uint16)
    split = Split(map_NT, map_NT)
    config = prior_config("absorbing", absorbing=sizes())
    training.seed_everything(0)
    task = new_task(build(config, EDGES), config, 3e-2, split, Split(map_NT[:16], map_NT[:16]))
    before = task.evaluate()[BOUND]
    for step in range(60):
        task.step(step)
    assert task.evaluate()[BOUND] < 0.4 < before - 1
