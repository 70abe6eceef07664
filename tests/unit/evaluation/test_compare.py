import numpy as np
import pytest
from scipy import stats

from twostage.errors import TwostageError
from twostage.evaluation.compare import Curve, Summary, compare_seed


def curve(step, seconds, nll):
    return Curve(np.array(step, float), np.array(seconds, float), np.array(nll, float))


PIXELSNAIL = curve([0, 10, 20], [0, 3, 6], [6.0, 5.5, 5.2])


def test_a_faster_transformer_is_read_beyond_the_equal_steps():
    gpt = curve([0, 10, 20, 30, 40], [0, 2, 4, 5, 7], [6.0, 5.6, 5.3, 5.2, 5.0])
    row = compare_seed(gpt, PIXELSNAIL)
    assert row["transformer_steps"] == 5.3
    assert row["transformer_time"] == pytest.approx(5.1)  # halfway between 5 s and 7 s
    assert row["difference_steps"] == pytest.approx(5.3 - 5.2)
    assert row["difference_time"] == pytest.approx(5.1 - 5.2)


def test_a_slower_transformer_is_read_before_the_equal_steps():
    gpt = curve([0, 10, 20], [0, 6, 12], [6.0, 5.6, 5.3])
    row = compare_seed(gpt, PIXELSNAIL)
    assert row["transformer_steps"] == 5.3
    assert row["transformer_time"] == 5.6


def test_a_run_that_ends_too_early_is_refused():
    with pytest.raises(TwostageError, match=r"ends after 4\.0 s, asked for its NLL at 6\.0 s"):
        compare_seed(curve([0, 20], [0, 4], [6.0, 5.3]), PIXELSNAIL)
    with pytest.raises(TwostageError, match="no evaluation at step 20"):
        compare_seed(curve([0, 15], [0, 9], [6.0, 5.3]), PIXELSNAIL)


def test_the_interval_is_students_t():
    values = [1.0, 2.0, 4.0]
    summary = Summary.of(values)
    low, high = stats.t.interval(0.95, 2, loc=np.mean(values), scale=stats.sem(values))
    assert (summary.ci95_low, summary.ci95_high) == pytest.approx((low, high))
    assert summary.std == pytest.approx(np.std(values, ddof=1))


def test_one_seed_has_no_spread():
    with pytest.raises(TwostageError, match="at least two seeds"):
        Summary.of([1.0])
