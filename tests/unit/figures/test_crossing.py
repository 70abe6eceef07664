import pytest

from tests.unit.figures.conftest import assert_same_files_twice
from twostage.config.schema import FiguresConfig
from twostage.figures.crossing import CrossingConfig, crossing
from twostage.planning.verbs import new_job
from twostage.runtime.artifacts import read_csv, write_json

LOOK = FiguresConfig(style="neurips2024", palette={"gpt": "#0072B2", "pixelsnail": "#D55E00"}, png_dpi=50)


def gap(last, ahead_from, found):
    end = {"mean": last, "std": 0.01, "ci95_low": last - 0.1, "ci95_high": last + 0.1, "p": 0.1, "p_holm": 0.2}
    per_seed = {"0": [last + 0.2, last], "1": [last + 0.4, last]}
    return {
        "budget": [50.0, 100.0],
        "per_seed": per_seed,
        "ahead_from": ahead_from,
        "at_end": end,
        "extrapolated": found,
    }


def row(label, grid, last, ahead_from, found):
    cost = {"num_parameters": 540_000, "learning_rate": 0.004, "learning_rate_at_edge": False,
            "seconds_per_step": 0.1, "gflops_per_step": 12.0}  # fmt: skip
    curve = {"step": [0, 50, 100], "train_seconds": [0, 5, 10], "nll": [6.2, 5.4, 5.1]}
    return {
        "row": label, "data": "cifar10", "seeds": [0, 1], "steps": 100, "unigram_entropy_nats": 5.9, "grid": grid,
        "curves": {f"{name}.seed{seed}": curve for name in ("gpt", "pixelsnail") for seed in (0, 1)},
        "cost": dict.fromkeys(("gpt", "pixelsnail"), cost),
        "gaps": {axis: gap(last, ahead_from, found) for axis in ("steps", "seconds", "gflops")},
        "laws": {name: {"floor": 5.0, "drop": 0.1, "power": 1.0, "end_step": 100.0, "missed": -0.02}
                 for name in ("gpt", "pixelsnail")},
    }  # fmt: skip


@pytest.fixture
def made(tmp_path):
    never = {"from": None, "share_of_draws": 0.1, "low": 4000.0, "high": None}
    known = {"from": 100.0, "share_of_draws": 1.0, "low": 100.0, "high": 250.0}
    rows = [row("8x8-small", [8, 8], 0.06, None, never), row("16x16-large", [16, 16], -0.05, 50.0, known)]
    write_json(tmp_path / "in/metrics.json", {"scale": "smoke", "farthest": 1000, "draws": 200, "rows": rows})
    job = new_job("figures.crossing", "crossing", {"scale": {"name": "smoke"}}, {}, {})
    job.inputs["crossing"] = str(tmp_path / "in")
    object.__setattr__(job, "out", str(tmp_path / "out"))
    return job


def test_the_table_tells_the_gap_and_who_is_ahead_from_where(made):
    assert_same_files_twice(crossing, CrossingConfig("they are ahead (Sec. 4.1)", LOOK), made)
    small, large = read_csv(made.folder / "crossing.csv")
    assert (small["row"], small["grid"], small["num_seeds"]) == ("8x8-small", "8x8", "2")
    assert float(small["difference_seconds"]) == 0.06
    assert float(small["difference_steps_p_holm"]) == 0.2
    assert (small["ahead_from_steps"], float(large["ahead_from_steps"])) == ("", 50)
    assert (small["extrapolated_from_gflops"], float(small["extrapolated_low_gflops"])) == ("", 4000)
    assert float(large["gpt_law_missed"]) == -0.02
    text = (made.folder / "crossing.md").read_text()
    assert "+0.060 [-0.040, +0.160], p 0.2" in text
    assert "not yet" in text
    assert "> 1000 [40, > 1000] budgets" in text
    assert "1 [1, 2.5] budgets" in text
    assert "Paper: they are ahead (Sec. 4.1)." in text
    # Linear between the budgets 50 and 100, whose gaps are 0.36 and 0.06.
    assert "+0.360" in text
