"""Entropy and perplexity of code counts."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twostage.latents.statistics import code_statistics


def test_uniform_counts_have_the_perplexity_of_the_codes_used():
    statistics = code_statistics(np.array([5, 0, 5, 5, 0]))
    assert statistics["codes_used"] == 3
    assert statistics["perplexity"] == pytest.approx(3)


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=50).filter(any))
def test_entropy_lies_between_zero_and_that_of_uniform_codes(counts):
    statistics = code_statistics(np.array(counts))
    assert 0 <= statistics["unigram_entropy_nats"] <= math.log(statistics["codes_used"]) + 1e-9


def test_no_codes_are_refused():
    with pytest.raises(ValueError, match="no codes"):
        code_statistics(np.zeros(4, int))
