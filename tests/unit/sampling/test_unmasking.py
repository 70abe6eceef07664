"""Drawing from absorbing diffusion: every token once, at a random step, given what was drawn before."""

import numpy as np
import pytest
import torch

from twostage.config.schema import AbsorbingConfig, HourglassConfig, TransformerConfig
from twostage.errors import TwostageError
from twostage.latents.dataset import TokenSpace
from twostage.priors.absorbing import Absorbing
from twostage.sampling.draw import Draw
from twostage.sampling.unmasking import num_steps_of, unmask
from twostage.sampling.whole import Streams

NUM_CODES, T = 7, 16
PLAIN = TokenSpace(NUM_CODES, (4, 4))
CLASSES = TokenSpace(NUM_CODES, (4, 4), TokenSpace(3, (1, 1), map="class"))
EDGES = TokenSpace(NUM_CODES, (4, 4), TokenSpace(5, (4, 4), map="edges"))


def build(tokens, network="transformer", spread=0.4):
    """Double precision, so that no way of batching moves a draw."""
    torch.manual_seed(0)
    shape = HourglassConfig(16, 2, 8, [1, 1, 1], 4, "patches", "axial", 0.0)
    config = AbsorbingConfig(network, TransformerConfig(16, 2, 2, 0.0), shape, None, "reweighted")
    model = Absorbing(config, tokens).double().eval()
    for name, parameter in model.named_parameters():
        if "norm" not in name:
            torch.nn.init.normal_(parameter, std=spread)
    return model


@pytest.fixture(params=["transformer", "hourglass"])
def model(request):
    return build(PLAIN, request.param)


def run(model, number=6, seed=0, steps=T, temperature=1.0, **more):
    """Chains and the history [S + 1, B, T] of their states."""
    states = []

    def watch(step, index_BT):
        assert step == len(states)
        states.append(index_BT.clone())

    chains = unmask(model, steps, Draw(temperature), Streams(seed, range(number)), watch=watch, **more)
    return chains, torch.stack(states)


@torch.no_grad()
def plain(model, steps, seed, number, temperature=1.0, condition_BS=None):
    """One sample after another, one step after another, the whole model every time."""
    finals = []
    for sample in range(number):
        stream = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(2, sample)))
        when_T, uniform_T = stream.random((2, T), np.float32).astype(np.float64)
        state_T = torch.full((T,), NUM_CODES)
        condition_1S = None if condition_BS is None else condition_BS[sample : sample + 1]
        for step in range(steps):
            cumulative_TV = (model(state_T[None], condition_1S)[0] / temperature).softmax(-1).cumsum(-1)
            before_T = state_T.clone()
            for place in np.flatnonzero(np.floor(when_T * steps) == step):
                assert before_T[place] == NUM_CODES
                threshold = uniform_T[place] * float(cumulative_TV[place, -1])
                state_T[place] = min(int((cumulative_TV[place] <= threshold).sum()), NUM_CODES - 1)
        finals.append(state_T)
    return torch.stack(finals)


@pytest.mark.parametrize(("steps", "temperature"), [(16, 1.0), (16, 0.3), (5, 1.0), (2, 0.7), (1, 1.0)])
def test_batched_draws_are_those_of_the_plain_algorithm(model, steps, temperature):
    found, _ = run(model, steps=steps, temperature=temperature)
    assert torch.equal(found.index_BT, plain(model, steps, 0, 6, temperature))


@pytest.mark.parametrize("steps", [1, 3, 7, 16])
def test_every_token_is_unmasked_exactly_once(model, steps):
    found, history_SBT = run(model, steps=steps)
    assert len(history_SBT) == steps + 1
    assert (history_SBT[0] == model.mask_code).all()
    assert (found.index_BT < NUM_CODES).all()
    assert torch.equal(history_SBT[-1], found.index_BT)
    changed_SBT = history_SBT[1:] != history_SBT[:-1]
    assert (changed_SBT.sum(0) == 1).all()
    # Nothing is computed where nothing is drawn.
    assert found.steps_B.tolist() == changed_SBT.any(2).sum(0).tolist()


def test_a_step_unmasks_the_share_that_is_expected_at_random_places(model):
    _, history_SBT = run(model, number=2000, steps=4)
    masked_SBT = history_SBT == model.mask_code
    # 1/4 of the tokens a step, at every place and independently: 4 of 16, with the variance of coins.
    share_ST = masked_SBT.double().mean(1)
    torch.testing.assert_close(share_ST, torch.linspace(1, 0, 5).double()[:, None].expand(5, T), atol=0.05, rtol=0)
    number_B = (masked_SBT[0] & ~masked_SBT[1]).sum(1).double()
    assert float(number_B.mean()) == pytest.approx(4, abs=0.15)
    assert float(number_B.var()) == pytest.approx(16 * 0.25 * 0.75, rel=0.15)


def test_one_step_has_the_frequencies_of_the_model_at_its_temperature(model):
    number = 4000
    found, _ = run(model, number, steps=1, temperature=0.7)
    index_BT = torch.full((1, T), model.mask_code)
    expected_TV = (model(index_BT)[0] / 0.7).softmax(-1)
    share_TV = torch.nn.functional.one_hot(found.index_BT, NUM_CODES).double().mean(0)
    torch.testing.assert_close(share_TV, expected_TV.detach(), atol=0.04, rtol=0)
    assert expected_TV.max() > 0.3, "a uniform model would prove little"


def test_no_sample_depends_on_its_batch_and_seeds_decide(model):
    together, _ = run(model, number=6, steps=5)
    apart = [unmask(model, 5, Draw(1.0), Streams(0, part)).index_BT for part in (range(2), range(2, 6))]
    assert torch.equal(together.index_BT, torch.cat(apart))
    assert torch.equal(together.index_BT, run(model, number=6, steps=5)[0].index_BT)
    assert not torch.equal(together.index_BT, run(model, seed=1, steps=5)[0].index_BT)


@pytest.mark.parametrize("tokens", [CLASSES, EDGES])
def test_every_sample_keeps_the_condition_of_its_own(tokens):
    model = build(tokens)
    condition_BS = torch.randint(tokens.condition.num_codes, (6, tokens.condition.num_tokens))
    found, _ = run(model, condition_BS=condition_BS)
    assert torch.equal(found.index_BT, plain(model, T, 0, 6, condition_BS=condition_BS))
    exchanged, _ = run(model, condition_BS=condition_BS.roll(1, 0))
    assert not torch.equal(found.index_BT, exchanged.index_BT), "the conditions decide"


def test_kept_codes_are_never_masked_and_the_rest_is_drawn_once(model):
    given_BT = torch.randint(NUM_CODES, (6, T))
    redrawn_BT = np.random.default_rng(0).random((6, T)) < 0.4
    redrawn_BT[3] = False
    _, history_SBT = run(model, given_BT=given_BT, redrawn_BT=redrawn_BT, steps=4)
    kept_SBT = torch.from_numpy(~redrawn_BT).expand_as(history_SBT)
    assert torch.equal(history_SBT[kept_SBT], given_BT.expand_as(history_SBT)[kept_SBT])
    redrawn = torch.from_numpy(redrawn_BT)
    assert (history_SBT[0][redrawn] == model.mask_code).all()
    assert ((history_SBT[1:] != history_SBT[:-1]).sum(0)[redrawn] == 1).all()
    assert (history_SBT[-1] < NUM_CODES).all()


def test_masked_codes_are_drawn_with_the_rest_in_sight(model):
    redrawn_BT = np.tile(np.arange(T) >= 8, (6, 1))
    results = [
        run(model, temperature=0.05, given_BT=torch.full((6, T), code), redrawn_BT=redrawn_BT)[1][-1, :, 8:]
        for code in (0, 3)
    ]
    assert not torch.equal(*results)


def test_what_was_under_the_mask_does_not_matter(model):
    redrawn_BT = np.ones((6, T), bool)
    first, second = (run(model, given_BT=torch.full((6, T), code), redrawn_BT=redrawn_BT)[1] for code in (0, 3))
    assert torch.equal(first, second)
    assert torch.equal(first, run(model)[1]), "all masked: as if nothing were given"


def test_an_image_without_masked_codes_is_not_computed(model, monkeypatch):
    computed = []
    whole = model.features
    monkeypatch.setattr(model, "features", lambda index, classes: computed.append(len(index)) or whole(index, classes))
    redrawn_BT = np.zeros((6, T), bool)
    redrawn_BT[2, 5] = True
    found, _ = run(model, given_BT=torch.randint(NUM_CODES, (6, T)), redrawn_BT=redrawn_BT)
    assert computed == [1]
    assert found.steps_B.tolist() == [0, 0, 1, 0, 0, 0]


def test_steps_are_as_many_as_tokens_and_never_more():
    model = build(PLAIN)
    assert num_steps_of(model, None) == T
    assert [num_steps_of(model, steps) for steps in (1, 5, T)] == [1, 5, T]
    for steps in (0, T + 1):
        with pytest.raises(TwostageError, match=rf"unmasking\.steps={steps}, .* has 16 tokens, .* set 1 to 16"):
            num_steps_of(model, steps)


def test_conditions_that_do_not_fit_are_refused():
    with pytest.raises(TwostageError, match="2 conditions for 6 samples"):
        run(build(CLASSES), condition_BS=torch.tensor([[0], [1]]))
    with pytest.raises(TwostageError, match=r"class 5 is out of range; choose from 0 to 2"):
        run(build(CLASSES), condition_BS=torch.tensor([[0], [1], [2], [0], [1], [5]]))
    with pytest.raises(TwostageError, match="needs condition codes"):
        run(build(CLASSES))
