"""One code from one row of logits."""

import pytest
import torch

from twostage.errors import TwostageError
from twostage.sampling.draw import Draw, uniform_table

PROBABILITY_V = torch.tensor([0.05, 0.4, 0.15, 0.1, 0.3])


def shares(draw, logits_V, number=20_000):
    uniform_B = uniform_table(number, 1, torch.Generator().manual_seed(0))[:, 0]
    return torch.bincount(draw.codes(logits_V.expand(number, -1), uniform_B), minlength=len(logits_V)) / number


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_codes_have_the_frequencies_of_the_softmax(temperature):
    expected = (PROBABILITY_V.log() / temperature).softmax(0)
    found = shares(Draw(temperature), PROBABILITY_V.log())
    torch.testing.assert_close(found, expected, atol=0.012, rtol=0)


def test_every_uniform_number_has_the_code_of_the_inverse_distribution():
    uniform_B = torch.tensor([0.0, 0.049, 0.051, 0.449, 0.451, 0.599, 0.601, 0.699, 0.701, 1 - 1e-12]).double()
    drawn = Draw().codes(PROBABILITY_V.log().expand(len(uniform_B), -1), uniform_B)
    assert drawn.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_top_k_leaves_the_k_likeliest_in_proportion():
    found = shares(Draw(top_k=2), PROBABILITY_V.log())
    torch.testing.assert_close(found, torch.tensor([0, 0.4, 0, 0, 0.3]) / 0.7, atol=0.012, rtol=0)


def test_top_1_is_the_argmax():
    logits_BV = torch.randn(500, 30, generator=torch.Generator().manual_seed(0))
    uniform_B = uniform_table(500, 1, torch.Generator().manual_seed(1))[:, 0]
    assert torch.equal(Draw(top_k=1).codes(logits_BV, uniform_B), logits_BV.argmax(-1))


@pytest.mark.parametrize(
    ("top_p", "kept"),
    [(0.01, {1}), (0.39, {1}), (0.41, {1, 4}), (0.69, {1, 4}), (0.71, {1, 4, 2}), (0.96, {0, 1, 2, 3, 4})],
)
def test_top_p_keeps_the_smallest_set_that_reaches_p(top_p, kept):
    kept_V = Draw(top_p=top_p).probabilities(PROBABILITY_V.log()[None])[0] > 0
    assert set(kept_V.nonzero()[:, 0].tolist()) == kept


def test_no_smaller_set_reaches_p():
    logits_BV = 3 * torch.randn(200, 40, generator=torch.Generator().manual_seed(0)).double()
    probability_BV = logits_BV.softmax(-1)
    kept_BV = Draw(top_p=0.8).probabilities(logits_BV) > 0
    for probability_V, kept_V in zip(probability_BV, kept_BV, strict=True):
        size = int(kept_V.sum())
        best = probability_V.sort(descending=True).values
        assert best[:size].sum() >= 0.8 > best[: size - 1].sum()
        assert probability_V[kept_V].min() >= probability_V[~kept_V].max()


def test_top_p_of_one_keeps_every_code():
    torch.testing.assert_close(shares(Draw(top_p=1.0), PROBABILITY_V.log()), shares(Draw(), PROBABILITY_V.log()))


def test_top_p_counts_within_top_k():
    # Of the two likeliest, 4/7 and 3/7, the first alone reaches a half.
    assert Draw(top_k=2, top_p=0.5).probabilities(PROBABILITY_V.log()[None])[0].nonzero().tolist() == [[1]]


def test_codes_of_no_probability_are_never_drawn():
    logits_V = torch.full((6,), -torch.inf)
    logits_V[3] = 0
    assert shares(Draw(), logits_V)[3] == 1


def test_a_longer_table_begins_with_the_shorter_one():
    shorter, longer = (uniform_table(number, 5, torch.Generator().manual_seed(3)) for number in (7, 40))
    assert torch.equal(longer[:7], shorter)
    assert longer.dtype == torch.float64


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"top_p": 0.0}, r"sampling\.top_p=0\.0 must be in \(0, 1\]"),
        ({"top_p": 1.5}, r"sampling\.top_p=1\.5"),
        ({"top_k": 0}, r"sampling\.top_k=0 must be at least 1"),
        ({"temperature": 0.0}, r"sampling\.temperature=0\.0 must be above 0.*top_k=1"),
        ({"temperature": float("nan")}, "must be above 0"),
    ],
)
def test_impossible_choices_are_refused(values, named):
    with pytest.raises(TwostageError, match=named):
        Draw(**values)


def test_a_top_k_larger_than_the_vocabulary_is_refused():
    Draw(top_k=5).check(5)
    with pytest.raises(TwostageError, match=r"sampling\.top_k=6 is larger than the vocabulary of 5 codes"):
        Draw(top_k=6).check(5)
