import numpy as np
import pytest
from scipy import stats

from twostage.artifacts import read_json, write_csv, write_json
from twostage.errors import TwostageError
from twostage.evaluation.compare import CompareConfig, Curve, Summary, compare, compare_seed
from twostage.jobs import FILES, Job
from twostage.scores import NLL


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


def write_run(folder, seconds_per_step, end_nll, **changes):
    """What a training leaves of twenty steps."""
    metrics = {"num_parameters": 1000, "learning_rate": 0.002, "learning_rate_at_edge": False, "threads": 1,
               "clock": "process CPU time", "seconds_per_step": seconds_per_step}  # fmt: skip
    write_json(folder / "metrics.json", metrics | changes)
    points = [(step, 6.0 + (end_nll - 6.0) * step / 20) for step in (0, 10, 20)]
    write_csv(
        folder / "curve.csv",
        [{"step": step, "train_seconds": seconds_per_step * step, NLL: nll} for step, nll in points],
    )
    return str(folder)


def compared(tmp_path, **changes):
    """A row of two seeds, the transformer taking twice as long a step; `changes` are of PixelSNAIL's second run."""
    inputs = {}
    for seed in (0, 1):
        inputs[f"gpt.seed{seed}"] = write_run(tmp_path / f"gpt.seed{seed}", 0.2, 5.0)
        inputs[f"pixelsnail.seed{seed}"] = write_run(tmp_path / f"pixelsnail.seed{seed}", 0.1, 5.2 + seed / 10)
    write_run(tmp_path / "pixelsnail.seed1", 0.1, 5.3, **changes)
    write_json(tmp_path / "latents/metadata.json", {"splits": {"validation": {"unigram_entropy_nats": 6.0}}})
    inputs |= {"latents": str(tmp_path / "latents")}
    job = Job("evaluation", "compare", "v", "smoke", {}, inputs, str(tmp_path / "out"), FILES["evaluation.compare"])
    compare(CompareConfig("RIN", "cifar10", None, "cifar10", [0, 1], {}), job)
    return read_json(job.folder / "metrics.json")


def test_a_row_has_both_differences_and_what_a_step_costs(tmp_path):
    metrics = compared(tmp_path)
    assert metrics["nll_nats_per_token"]["difference_steps"]["mean"] == pytest.approx(-0.25)
    # At PixelSNAIL's 2 s the transformer stands at step 10.
    assert metrics["nll_nats_per_token"]["transformer_time"]["mean"] == pytest.approx(5.5)
    assert [metrics["cost"][kind]["seconds_per_step"] for kind in ("gpt", "pixelsnail")] == pytest.approx([0.2, 0.1])


@pytest.mark.parametrize(("key", "value", "other"), [("threads", 2, 1), ("clock", "wall time", "process CPU time")])
def test_times_that_were_measured_in_unlike_ways_are_refused(tmp_path, key, value, other):
    with pytest.raises(TwostageError, match=rf"pixelsnail\.seed1 has {key} {value}, gpt\.seed0 has {other}"):
        compared(tmp_path, **{key: value})
    assert not (tmp_path / "out").exists()
