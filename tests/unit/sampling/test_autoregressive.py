"""Samples follow the model's distribution, by whichever road and in whichever order."""

import numpy as np
import pytest
import torch

from twostage.errors import TwostageError
from twostage.latents.dataset import TokenSpace
from twostage.latents.orderings import ordering
from twostage.sampling import Draw, sample, uniform_table
from twostage.sampling.autoregressive import fill
from twostage.sampling.whole import Streams

CLASSES = TokenSpace(3, (1, 1))
SPACES = {
    "unconditional": TokenSpace(11, (4, 4)),
    "spatial": TokenSpace(11, (4, 4), TokenSpace(7, (4, 4))),
    "class": TokenSpace(11, (4, 4), CLASSES),
}


def table(number, tokens, seed=0):
    return uniform_table(number, tokens.num_tokens, torch.Generator().manual_seed(seed))


def condition_of(tokens, number):
    if tokens.condition is None:
        return None
    shape = (number, tokens.condition.num_tokens)
    return torch.randint(tokens.condition.num_codes, shape, generator=torch.Generator().manual_seed(9))


def plain_loop(model, uniform_BT, draw, condition_BS):
    """One whole forward pass for every token."""
    index_BT = torch.zeros(uniform_BT.shape, dtype=torch.int64)
    with torch.no_grad():
        for t in range(uniform_BT.shape[1]):
            index_BT[:, t] = draw.codes(model(index_BT, condition_BS)[:, t], uniform_BT[:, t])
    return index_BT


@pytest.mark.parametrize("draw", [Draw(), Draw(0.7, top_k=4), Draw(1.3, top_p=0.8)], ids=["all", "top_k", "top_p"])
@pytest.mark.parametrize("space", SPACES)
def test_the_cache_draws_what_whole_forward_passes_draw(space, draw, small_gpt):
    tokens = SPACES[space]
    model, condition_BS = small_gpt(tokens), condition_of(tokens, 6)
    index_BRW = sample(model, table(6, tokens), draw, condition_BS)
    assert index_BRW.shape == (6, 4, 4)
    assert torch.equal(index_BRW.flatten(1), plain_loop(model, table(6, tokens), draw, condition_BS))
    assert not torch.equal(index_BRW, sample(model, table(6, tokens, seed=1), draw, condition_BS))


def test_pixelsnail_draws_what_its_forward_passes_say(small_pixelsnail):
    tokens = SPACES["spatial"]
    model, condition_BS = small_pixelsnail(tokens), condition_of(tokens, 4)
    index_BRW = sample(model, table(4, tokens), Draw(), condition_BS)
    assert torch.equal(index_BRW.flatten(1), plain_loop(model, table(4, tokens), Draw(), condition_BS))


@pytest.mark.parametrize("architecture", ["gpt", "pixelsnail"])
def test_samples_have_the_frequencies_of_the_model(architecture, small_gpt, small_pixelsnail):
    tokens = TokenSpace(3, (1, 2))
    model = {"gpt": small_gpt, "pixelsnail": small_pixelsnail}[architecture](tokens).float()
    pairs = torch.cartesian_prod(torch.arange(3), torch.arange(3))
    log_p = model(pairs).log_softmax(-1).gather(-1, pairs[..., None]).sum((1, 2))
    index_BT = sample(model, table(20_000, tokens)).flatten(1)
    share = torch.bincount(index_BT[:, 0] * 3 + index_BT[:, 1], minlength=9) / 20_000
    torch.testing.assert_close(share, log_p.exp(), atol=0.015, rtol=0)
    assert log_p.exp().max() > 0.2, "a uniform model would prove little"


@pytest.mark.parametrize("architecture", ["gpt", "pixelsnail"])
def test_given_tokens_are_kept_and_the_rest_is_drawn_as_if_they_had_been(architecture, small_gpt, small_pixelsnail):
    tokens = SPACES["spatial"]
    model = {"gpt": small_gpt, "pixelsnail": small_pixelsnail}[architecture](tokens)
    condition_BS = condition_of(tokens, 5)
    whole_BT = sample(model, table(5, tokens), Draw(), condition_BS).flatten(1)
    for number in (0, 1, 8, 15, 16):
        completed = sample(model, table(5, tokens), Draw(), condition_BS, given_BG=whole_BT[:, :number])
        assert torch.equal(completed.flatten(1), whole_BT)
    other_BG = (whole_BT[:, :8] + 1) % 11
    completed_BT = sample(model, table(5, tokens), Draw(), condition_BS, given_BG=other_BG).flatten(1)
    assert torch.equal(completed_BT[:, :8], other_BG)
    assert not torch.equal(completed_BT[:, 8:], whole_BT[:, 8:])


@pytest.mark.parametrize("architecture", ["gpt", "pixelsnail"])
def test_what_is_filled_sees_what_comes_before_and_nothing_after(architecture, small_gpt, small_pixelsnail):
    tokens = SPACES["spatial"]
    model = {"gpt": small_gpt, "pixelsnail": small_pixelsnail}[architecture](tokens)
    condition_BS = condition_of(tokens, 5)
    given_BT = torch.randint(11, (5, 16), generator=torch.Generator().manual_seed(3))
    redrawn_BT = np.zeros((5, 16), bool)
    redrawn_BT[:, [4, 5, 9]] = True
    redrawn_BT[0, 9] = False  # each grid has a mask of its own

    def filled(given_BT, redrawn_BT=redrawn_BT):
        chains = fill(model, Draw(), Streams(0, range(5)), condition_BS, given_BT, redrawn_BT)
        assert torch.equal(chains.index_BT[~redrawn_BT], given_BT[~redrawn_BT])
        assert chains.steps_B.tolist() == redrawn_BT.sum(1).tolist()
        return chains.index_BT

    found_BT = filled(given_BT)
    after_BT, before_BT = given_BT.clone(), given_BT.clone()
    after_BT[:, 10:] = (after_BT[:, 10:] + 1) % 11
    before_BT[:, :4] = (before_BT[:, :4] + 1) % 11
    assert torch.equal(filled(after_BT)[redrawn_BT], found_BT[redrawn_BT])
    assert not torch.equal(filled(before_BT)[redrawn_BT], found_BT[redrawn_BT])
    assert torch.equal(filled(given_BT, np.zeros((5, 16), bool)), given_BT)
    # With nothing given, it draws what is drawn without a mask.
    uniform_BT = torch.from_numpy(Streams(0, range(5)).uniforms(np.arange(5), 16)[0])
    whole_BT = sample(model, uniform_BT, Draw(), condition_BS).flatten(1)
    assert torch.equal(filled(given_BT, np.ones((5, 16), bool)), whole_BT)


def test_a_mask_lies_where_it_is_in_the_image_whatever_the_order(small_gpt):
    model = small_gpt(SPACES["unconditional"])
    model.ordering = "spiral_out"
    order_T = ordering("spiral_out", 4, 4)
    given_BT = torch.randint(11, (5, 16), generator=torch.Generator().manual_seed(3))
    redrawn_BT = np.zeros((5, 16), bool)
    redrawn_BT[:, order_T[8]] = True
    last_BT = given_BT.clone()
    last_BT[:, order_T[9:]] = 0
    first, second = (
        fill(model, Draw(), Streams(0, range(5)), None, codes, redrawn_BT) for codes in (given_BT, last_BT)
    )
    assert torch.equal(first.index_BT[:, order_T[8]], second.index_BT[:, order_T[8]])
    assert torch.equal(first.index_BT[~redrawn_BT], given_BT[~redrawn_BT])


def test_grids_come_back_row_major_from_any_order(small_gpt):
    tokens = SPACES["unconditional"]
    model, order_T = small_gpt(tokens), np.random.default_rng(0).permutation(16)
    sequence_BT = sample(model, table(5, tokens)).flatten(1)
    index_BT = sample(model, table(5, tokens), order_T=order_T).flatten(1)
    assert torch.equal(index_BT[:, order_T], sequence_BT)
    half = sample(model, table(5, tokens), given_BG=index_BT[:, order_T[:8]], order_T=order_T)
    assert torch.equal(half.flatten(1), index_BT)


def test_no_sample_depends_on_its_batch(small_gpt):
    tokens = SPACES["unconditional"]
    model, uniform_BT = small_gpt(tokens), table(7, tokens)
    together = sample(model, uniform_BT)
    apart = torch.cat([sample(model, uniform_BT[:3]), sample(model, uniform_BT[3:])])
    assert torch.equal(together, apart)


def test_a_temperature_near_zero_takes_the_likeliest(small_gpt):
    model, tokens = small_gpt(SPACES["unconditional"]), SPACES["unconditional"]
    cold = sample(model, table(3, tokens), Draw(temperature=1e-6))
    assert torch.equal(cold, sample(model, table(3, tokens, seed=1), Draw(top_k=1)))


def test_what_does_not_fit_the_prior_is_refused(small_gpt, small_pixelsnail):
    tokens = SPACES["class"]
    model, condition_BS = small_gpt(tokens), condition_of(tokens, 2)
    with pytest.raises(TwostageError, match=r"top_k=12 is larger than the vocabulary of 11 codes"):
        sample(model, table(2, tokens), Draw(top_k=12), condition_BS)
    with pytest.raises(TwostageError, match="2 conditions for 3 samples"):
        sample(model, table(3, tokens), Draw(), condition_BS)
    with pytest.raises(TwostageError, match="needs condition codes"):
        sample(model, table(2, tokens))
    with pytest.raises(TwostageError, match="must be a permutation of the 16"):
        sample(model, table(2, tokens), Draw(), condition_BS, order_T=np.zeros(16, np.int64))
    with pytest.raises(TwostageError, match="only the row-major order"):
        sample(
            small_pixelsnail(SPACES["unconditional"]), table(2, SPACES["unconditional"]), order_T=np.arange(16)[::-1]
        )
    with pytest.raises(ValueError, match="uniform numbers"):
        sample(model, table(2, tokens)[:, :3], Draw(), condition_BS)


def test_a_model_of_another_order_is_sampled_in_it(small_gpt):
    tokens = SPACES["unconditional"]
    model = small_gpt(tokens)
    sequence_BT = sample(model, table(5, tokens)).flatten(1)
    model.ordering = "spiral_out"
    index_BT = sample(model, table(5, tokens)).flatten(1)
    assert torch.equal(index_BT[:, ordering("spiral_out", 4, 4)], sequence_BT)
