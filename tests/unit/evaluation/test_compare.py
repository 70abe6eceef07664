import numpy as np
import pytest
from scipy import stats

from twostage.errors import TwostageError
from twostage.evaluation.compare import CompareConfig, Curve, compare, compare_seed
from twostage.evaluation.statistics import Summary
from twostage.planning.verbs import VERBS
from twostage.runtime.artifacts import read_json, write_csv, write_json
from twostage.runtime.job import Job
from twostage.runtime.scores import NLL


def curve(step, nll):
    return Curve(np.array(step, float), np.array(nll, float))


PIXELSNAIL = curve([0, 10, 20], [6.0, 5.5, 5.2])


def test_a_faster_transformer_is_read_beyond_the_equal_steps():
    gpt = curve([0, 10, 20, 30, 40], [6.0, 5.6, 5.3, 5.2, 5.0])
    row = compare_seed(gpt, PIXELSNAIL, 1.75)
    assert row["transformer_steps"] == 5.3
    assert row["transformer_time"] == pytest.approx(5.1)  # at step 35, halfway between 30 and 40
    assert row["difference_steps"] == pytest.approx(5.3 - 5.2)
    assert row["difference_time"] == pytest.approx(5.1 - 5.2)


def test_a_slower_transformer_is_read_before_the_equal_steps():
    gpt = curve([0, 10, 20], [6.0, 5.6, 5.3])
    row = compare_seed(gpt, PIXELSNAIL, 0.5)
    assert row["transformer_steps"] == 5.3
    assert row["transformer_time"] == 5.6


def test_a_run_that_ends_too_early_is_refused():
    with pytest.raises(TwostageError, match=r"ends at step 20, asked for its NLL at step 30\.0"):
        compare_seed(curve([0, 20], [6.0, 5.3]), PIXELSNAIL, 1.5)
    with pytest.raises(TwostageError, match="no evaluation at step 20"):
        compare_seed(curve([0, 15], [6.0, 5.3]), PIXELSNAIL, 0.5)


def test_the_interval_is_students_t():
    values = [1.0, 2.0, 4.0]
    summary = Summary.of(values)
    low, high = stats.t.interval(0.95, 2, loc=np.mean(values), scale=stats.sem(values))
    assert (summary.ci95_low, summary.ci95_high) == pytest.approx((low, high))
    assert summary.std == pytest.approx(np.std(values, ddof=1))


def test_one_seed_has_no_spread():
    with pytest.raises(TwostageError, match="at least two seeds"):
        Summary.of([1.0])


HOW = {"threads": 1, "clock": "process CPU time"}


def write_run(folder, end_nll, seconds_per_step=0.1, **changes):
    """What a training leaves of twenty steps."""
    metrics = {"num_parameters": 1000, "learning_rate": 0.002, "learning_rate_at_edge": False, **HOW}
    write_json(folder / "metrics.json", metrics | changes)
    points = [(step, 6.0 + (end_nll - 6.0) * step / 20) for step in (0, 10, 20)]
    write_csv(
        folder / "curve.csv",
        [{"step": step, "train_seconds": seconds_per_step * step, NLL: nll} for step, nll in points],
    )
    return str(folder)


def compared(tmp_path, slow_run=0.1, **changes):
    """A row of two seeds, the transformer taking twice as long a step; `changes` are of PixelSNAIL's second run.

    `slow_run`: seconds per step that its first run took, as beside busy neighbours.
    """
    inputs = {}
    for seed in (0, 1):
        inputs[f"gpt.seed{seed}"] = write_run(tmp_path / f"gpt.seed{seed}", 5.0)
        inputs[f"pixelsnail.seed{seed}"] = write_run(tmp_path / f"pixelsnail.seed{seed}", 5.2 + seed / 10, slow_run)
    write_run(tmp_path / "pixelsnail.seed1", 5.3, **changes)
    write_json(tmp_path / "latents/metadata.json", {"splits": {"validation": {"unigram_entropy_nats": 6.0}}})
    pace = {"seconds_ratio": 0.5, "seconds_ratio_ci95_low": 0.4, "seconds_ratio_ci95_high": 0.6}
    pace |= {"seconds_per_step": {"own": 0.2, "rival": 0.1}, "gflops_per_step": {"own": 8.0, "rival": 5.0}}
    write_json(tmp_path / "pace/metrics.json", pace | HOW)
    inputs |= {name: str(tmp_path / name) for name in ("latents", "pace")}
    job = Job(
        "evaluation", "compare", "v", "smoke", {}, inputs, str(tmp_path / "out"), VERBS["evaluation.compare"].files
    )
    compare(CompareConfig("RIN", "cifar10", None, "cifar10", [0, 1]), job)
    return read_json(job.folder / "metrics.json")


def test_a_row_has_both_differences_and_what_a_step_costs(tmp_path):
    metrics = compared(tmp_path)
    assert metrics["nll_nats_per_token"]["difference_steps"]["mean"] == pytest.approx(-0.25)
    # PixelSNAIL's 20 steps take as long as 10 of the transformer's.
    assert metrics["nll_nats_per_token"]["transformer_time"]["mean"] == pytest.approx(5.5)
    cost = metrics["cost"]
    assert [cost[kind]["seconds_per_step"] for kind in ("gpt", "pixelsnail")] == pytest.approx([0.2, 0.1])
    assert [cost[kind]["gflops_per_step"] for kind in ("gpt", "pixelsnail")] == [8.0, 5.0]
    assert metrics["curves"]["gpt.seed0"]["train_seconds"] == pytest.approx([0, 2, 4])
    assert metrics["curves"]["pixelsnail.seed1"]["train_seconds"] == pytest.approx([0, 1, 2])


def test_the_spread_of_the_ratio_is_carried_over_to_the_difference(tmp_path):
    pace = compared(tmp_path)["pace"]
    assert [pace[f"seconds_ratio{end}"] for end in ("", "_ci95_low", "_ci95_high")] == [0.5, 0.4, 0.6]
    # The transformer stands at steps 8 and 12: 5.6 and 5.4 against a mean of 5.25.
    differences = [pace[f"difference_time_at_ratio_{end}"] for end in ("low", "high")]
    assert differences == pytest.approx([5.6 - 5.25, 5.4 - 5.25])


def test_what_slowed_a_run_down_moves_no_number(tmp_path):
    assert compared(tmp_path / "alone") == compared(tmp_path / "beside_others", slow_run=0.17)


@pytest.mark.parametrize(("key", "value", "other"), [("threads", 2, 1), ("clock", "wall time", "process CPU time")])
def test_a_pace_that_was_measured_unlike_the_runs_is_refused(tmp_path, key, value, other):
    with pytest.raises(TwostageError, match=rf"pixelsnail\.seed1 has {key} {value}, pace has {other}"):
        compared(tmp_path, **{key: value})
    assert not (tmp_path / "out").exists()
