"""SUNDAE's chain: its schedule, what is drawn, what freezes, and what is not computed."""

import numpy as np
import pytest
import torch

from twostage.config.schema import SundaeConfig
from twostage.errors import TwostageError
from twostage.latents.dataset import TokenSpace
from twostage.priors.sundae import Sundae, codes_at
from twostage.sampling.denoising import Schedule, Streams, denoise

NUM_CODES, T = 7, 16
PLAIN = TokenSpace(NUM_CODES, (4, 4))
CLASSES = TokenSpace(NUM_CODES, (4, 4), TokenSpace(3, (1, 1), map="class"))
EDGES = TokenSpace(NUM_CODES, (4, 4), TokenSpace(5, (4, 4), map="edges"))


@pytest.fixture
def model():
    """Double precision, so that no way of batching moves a draw."""
    return build(PLAIN)


def build(tokens, spread=0.4):
    torch.manual_seed(0)
    model = Sundae(SundaeConfig(16, 2, 8, [1, 1, 1], 4, "patches", "axial", 0.0, 2), tokens).double().eval()
    for name, parameter in model.named_parameters():
        if "norm" not in name:
            torch.nn.init.normal_(parameter, std=spread)
    return model


def schedule(steps=12, min_steps=2, temperature=(1.0, 1.0), proportion=(0.5, 0.5)):
    return Schedule(steps, min_steps, temperature, proportion)


def run(model, number=6, seed=0, chain=None, **more):
    """Chains and the history [S + 1, B, T] of their states."""
    states = []

    def watch(step, index_BT):
        states.append(index_BT.clone())

    chains = denoise(model, chain or schedule(), Streams(seed, range(number)), watch=watch, **more)
    return chains, torch.stack(states)


def plain_chain(model, chain, seed, number, condition_BS=None):
    """One sample after another, every step through the whole model, all tokens drawn and the rest thrown away."""
    finals, steps = [], []
    for sample in range(number):
        stream = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(2, sample)))
        state_T = torch.from_numpy(stream.integers(0, NUM_CODES, T))
        done = 0
        for step in range(chain.steps):
            share = step / max(chain.steps - 1, 1)
            temperature = chain.temperature[0] * (1 - share) + chain.temperature[1] * share
            proportion = chain.proportion[0] * (1 - share) + chain.proportion[1] * share
            choose_T, uniform_T = torch.from_numpy(stream.random((2, T), np.float32))
            with torch.no_grad():
                logits_TV = model(state_T[None], None if condition_BS is None else condition_BS[sample : sample + 1])[0]
            new_T = torch.where(choose_T < proportion, codes_at(logits_TV / temperature, uniform_T), state_T)
            frozen = step >= chain.min_steps and torch.equal(new_T, state_T)
            state_T, done = new_T, done + 1
            if frozen:
                break
        finals.append(state_T)
        steps.append(done)
    return torch.stack(finals), np.array(steps)


@pytest.mark.parametrize(
    "chain",
    [
        schedule(),
        schedule(proportion=(1.0, 1.0), temperature=(1.0, 0.05)),
        schedule(proportion=(0.2, 0.9), temperature=(0.3, 0.8)),
        schedule(steps=1, min_steps=0),
        schedule(steps=12, min_steps=12, proportion=(0.05, 0.05)),
    ],
)
def test_batched_chains_are_those_of_the_plain_algorithm(model, chain):
    found, _ = run(model, chain=chain)
    expected_BT, steps_B = plain_chain(model, chain, 0, 6)
    assert torch.equal(found.index_BT, expected_BT)
    assert (found.steps_B == steps_B).all()


def test_frozen_samples_never_change_and_are_not_computed(model, monkeypatch):
    """A cold chain of a model that prefers one code comes to rest; what rests is not seen by the model again."""
    model.head.bias.data[2] += 4
    computed = []
    whole = model.features
    monkeypatch.setattr(model, "features", lambda index, classes: computed.append(len(index)) or whole(index, classes))
    chain = schedule(steps=40, min_steps=3, temperature=(0.1, 0.1), proportion=(0.5, 0.5))
    found, history_SBT = run(model, number=8, chain=chain)
    assert found.steps_B.min() >= 4
    assert found.steps_B.max() < 40, "all froze: the chain stopped early"
    assert len(set(found.steps_B)) > 2, "equal lengths would prove little"
    assert sum(computed) == found.steps_B.sum() < 8 * len(computed)
    assert len(computed) == found.steps_B.max() == len(history_SBT) - 1
    for sample, steps in enumerate(found.steps_B):
        after = history_SBT[steps - 1 :, sample]
        assert torch.equal(after, after[:1].expand_as(after))


def test_nothing_freezes_before_the_minimum_of_steps(model):
    chain = schedule(steps=9, min_steps=9, temperature=(0.01, 0.01), proportion=(0.7, 0.7))
    assert run(model, chain=chain)[0].steps_B.tolist() == 6 * [9]
    assert run(model, chain=schedule(steps=9, min_steps=4, temperature=(0.01, 0.01)))[0].steps_B.min() >= 5


def test_a_step_draws_about_the_proportion_anew(model):
    """An untrained model at a high temperature: six of seven draws are another code than before."""
    chain = schedule(steps=5, min_steps=5, temperature=(1e6, 1e6), proportion=(0.25, 0.75))
    _, history_SBT = run(model, number=400, chain=chain)
    changed_S = (history_SBT[1:] != history_SBT[:-1]).double().mean((1, 2)) * NUM_CODES / (NUM_CODES - 1)
    torch.testing.assert_close(changed_S, torch.linspace(0.25, 0.75, 5, dtype=torch.float64), atol=0.03, rtol=0)


def test_the_first_state_is_uniform(model):
    _, history_SBT = run(model, number=2000, chain=schedule(steps=1, min_steps=1))
    share_V = torch.bincount(history_SBT[0].flatten(), minlength=NUM_CODES) / history_SBT[0].numel()
    torch.testing.assert_close(share_V, torch.full((NUM_CODES,), 1 / NUM_CODES), atol=0.01, rtol=0)


def test_one_step_of_all_tokens_has_the_frequencies_of_the_model(model):
    """From one state, kept by hand: the draws of each token have its softmax's frequencies."""
    number = 3000
    given_BT = torch.randint(NUM_CODES, (1, T)).expand(number, T)
    chain = schedule(steps=1, min_steps=1, temperature=(0.7, 0.7), proportion=(1.0, 1.0))
    streams = Streams(0, range(number))
    streams.codes = lambda num_codes, num_tokens: given_BT.clone()
    found = denoise(model, chain, streams)
    expected_TV = (model(given_BT[:1])[0] / 0.7).softmax(-1).float()
    share_TV = torch.nn.functional.one_hot(found.index_BT, NUM_CODES).float().mean(0)
    torch.testing.assert_close(share_TV, expected_TV.detach(), atol=0.04, rtol=0)
    assert expected_TV.max() > 0.3, "a uniform model would prove little"


def test_no_chain_depends_on_its_batch_and_seeds_decide(model):
    together, _ = run(model, number=6)
    apart = [denoise(model, schedule(), Streams(0, part)).index_BT for part in (range(2), range(2, 6))]
    assert torch.equal(together.index_BT, torch.cat(apart))
    assert not torch.equal(together.index_BT, run(model, seed=1)[0].index_BT)


@pytest.mark.parametrize("tokens", [CLASSES, EDGES])
def test_every_sample_keeps_the_condition_of_its_own_while_others_freeze(tokens):
    model = build(tokens)
    model.head.bias.data[2] += 2  # a code to come to rest at
    condition_BS = torch.randint(tokens.condition.num_codes, (6, tokens.condition.num_tokens))
    chain = schedule(steps=20, temperature=(0.05, 0.05), proportion=(0.7, 0.7))
    found = denoise(model, chain, Streams(0, range(6)), condition_BS)
    assert len(set(found.steps_B)) > 1, "some froze before others"
    assert torch.equal(found.index_BT, plain_chain(model, chain, 0, 6, condition_BS)[0])
    exchanged = denoise(model, chain, Streams(0, range(6)), condition_BS.roll(1, 0))
    assert not torch.equal(found.index_BT, exchanged.index_BT), "the conditions decide"


# ---- inpainting


def test_codes_that_are_not_masked_stay_in_every_state(model):
    given_BT = torch.randint(NUM_CODES, (6, T))
    redrawn_BT = np.random.default_rng(0).random((6, T)) < 0.4
    _, history_SBT = run(model, given_BT=given_BT, redrawn_BT=redrawn_BT)
    kept_SBT = torch.from_numpy(~redrawn_BT).expand_as(history_SBT)
    assert torch.equal(history_SBT[kept_SBT], given_BT.expand_as(history_SBT)[kept_SBT])
    assert (history_SBT[-1] != given_BT)[torch.from_numpy(redrawn_BT)].double().mean() > 0.5


def test_masked_codes_start_from_noise_not_from_what_they_were(model):
    redrawn_BT = np.ones((6, T), bool)
    first, second = (run(model, given_BT=torch.full((6, T), code), redrawn_BT=redrawn_BT)[1] for code in (0, 3))
    assert torch.equal(first, second)
    assert torch.equal(first, run(model)[1]), "all masked: as if nothing were given"


def test_masked_codes_are_drawn_with_the_rest_in_sight(model):
    redrawn_BT = np.tile(np.arange(T) >= 8, (6, 1))
    cold = schedule(steps=12, temperature=(0.05, 0.05), proportion=(1.0, 1.0))
    results = [
        run(model, given_BT=torch.full((6, T), code), redrawn_BT=redrawn_BT, chain=cold)[1][-1, :, 8:]
        for code in (0, 3)
    ]
    assert not torch.equal(*results)


def test_an_image_without_masked_codes_is_not_computed(model, monkeypatch):
    computed = []
    whole = model.features
    monkeypatch.setattr(model, "features", lambda index, classes: computed.append(len(index)) or whole(index, classes))
    given_BT = torch.randint(NUM_CODES, (6, T))
    redrawn_BT = np.zeros((6, T), bool)
    redrawn_BT[2, 5] = True
    found, _ = run(model, given_BT=given_BT, redrawn_BT=redrawn_BT)
    assert set(computed) == {1}
    assert found.steps_B[[0, 1, 3, 4, 5]].tolist() == 5 * [0]


# ---- what is refused


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"min_steps": 13}, r"chain\.steps=12 and chain\.min_steps=13; .* min_steps at most steps"),
        ({"steps": 0, "min_steps": 0}, r"chain\.steps=0"),
        ({"temperature": (1.0, 0.0)}, r"chain\.temperature from 1\.0 to 0\.0 must be positive"),
        ({"temperature": (float("nan"), 1.0)}, "must be positive"),
        ({"temperature": (1.0, float("nan"))}, "must be positive"),
        ({"temperature": (1.0, float("inf"))}, "and finite"),
        ({"proportion": (0.0, 0.5)}, r"chain\.proportion from 0\.0 to 0\.5 must be in \(0, 1\]"),
        ({"proportion": (0.5, 1.2)}, "must be in"),
    ],
)
def test_impossible_chains_are_refused(changes, named):
    with pytest.raises(TwostageError, match=named):
        schedule(**changes)


def test_conditions_that_do_not_fit_are_refused(model):
    with pytest.raises(TwostageError, match="2 conditions for 6 samples"):
        run(build(CLASSES), condition_BS=torch.tensor([[0], [1]]))
    with pytest.raises(TwostageError, match=r"class 5 is out of range; choose from 0 to 2"):
        run(build(CLASSES), condition_BS=torch.tensor([[0], [1], [2], [0], [1], [5]]))
    with pytest.raises(TwostageError, match=r"edges code 5 is out of range; choose from 0 to 4"):
        run(build(EDGES), condition_BS=torch.full((6, 16), 5))
    for tokens in (CLASSES, EDGES):
        with pytest.raises(TwostageError, match="needs condition codes"):
            run(build(tokens))
