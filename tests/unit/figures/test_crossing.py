import matplotlib.pyplot as plt
import pytest

from tests.unit.figures.conftest import assert_same_files_twice
from twostage.config.schema import FiguresConfig
from twostage.figures.crossing import CrossingConfig, crossing
from twostage.planning.verbs import VERBS
from twostage.runtime.artifacts import read_csv, write_json
from twostage.runtime.job import Job

RIVALS = ("gpt", "pixelsnail")
LOOK = FiguresConfig(style="neurips2024", palette={"gpt": "#0072B2", "pixelsnail": "#D55E00"}, png_dpi=50)


def gap(last, ahead_from, found):
    end = {"mean": last, "std": 0.01, "ci95_low": last - 0.1, "ci95_high": last + 0.1, "p": 0.1, "p_holm": 0.2}
    per_seed = {"0": [last + 0.2, last], "1": [last + 0.4, last]}
    return {
        "budget": [25000.0, 50000.0], "per_seed": per_seed, "ahead_from": ahead_from, "at_half": last + 0.3,
        "at_end": end, "extrapolated": found,
    }  # fmt: skip


def row(label, grid, last, ahead_from, found, million=0.54):
    cost = {"num_parameters": million * 1e6, "learning_rate": 0.004, "learning_rate_at_edge": True,
            "seconds_per_step": 0.1, "gflops_per_step": 12.0}  # fmt: skip
    curve = {"step": [0, 50, 100], "train_seconds": [0, 5, 10], "nll": [6.2, 5.4, 5.1]}
    law = {"floor": 5.0, "drop": 0.1, "power": 1.0, "end_step": 100.0, "at_edge": label == "8x8-small", "missed": -0.02}
    return {
        "row": label, "data": "cifar10", "seeds": [0, 1], "steps": 100, "unigram_entropy_nats": 5.9, "grid": grid,
        "batch_size": 16, "epochs": 1.25, "curves": {f"{name}.seed{seed}": curve for name in RIVALS for seed in (0, 1)},
        "cost": dict.fromkeys(RIVALS, cost), "nll": {name: {"mean": 5.1, "std": 0.02} for name in RIVALS},
        "gaps": {axis: gap(last, ahead_from, found) for axis in ("steps", "seconds", "gflops")},
        "laws": dict.fromkeys(RIVALS, law),
    }  # fmt: skip


@pytest.fixture
def made(tmp_path):
    never = {"gpt_leads": False, "changes_at": None, "low": 40000.0, "high": None, "share_of_draws": 0.1}
    later = {"gpt_leads": False, "changes_at": 100_000.0, "low": 75000.0, "high": None, "share_of_draws": 0.9}
    lost = {"gpt_leads": True, "changes_at": 200_000.0, "low": 100_000.0, "high": 250_000.0, "share_of_draws": 1.0}
    rows = [row("8x8-small", [8, 8], 0.06, None, never), row("8x8-large", [8, 8], 0.03, None, later),
            row("16x16-large", [16, 16], -0.05, 25000.0, lost, million=310)]  # fmt: skip
    write_json(tmp_path / "in/metrics.json", {"scale": "smoke", "farthest": 30, "draws": 200, "rows": rows})
    files = [name.format(variant="crossing") for name in VERBS["figures.crossing"].files]
    inputs = {"crossing": str(tmp_path / "in")}
    return Job("figures", "crossing", "crossing", "smoke", {}, inputs, str(tmp_path / "out"), files)


def test_the_table_tells_the_gap_and_who_is_ahead_from_where(made):
    assert_same_files_twice(crossing, CrossingConfig("they are ahead (Sec. 4.1)", LOOK), made)
    small, _, large = read_csv(made.folder / "crossing.csv")
    assert (small["row"], small["grid"], small["num_seeds"], small["epochs"]) == ("8x8-small", "8x8", "2", "1.25")
    assert float(small["difference_seconds"]) == 0.06
    assert float(small["difference_steps_p_holm"]) == 0.2
    assert (small["ahead_from_steps"], float(large["ahead_from_steps"])) == ("", 25000)
    assert (small["extrapolated_changes_at_gflops"], float(small["extrapolated_low_gflops"])) == ("", 40000)
    assert (float(large["gpt_law_missed"]), float(large["gpt_nll"]), large["gpt_nll_std"]) == (-0.02, 5.1, "0.02")
    text = (made.folder / "crossing.md").read_text()
    first, second, third = (next(line for line in text.splitlines() if f"| {name} " in line)
                            for name in ("8x8-small", "8x8-large", "16x16-large"))  # fmt: skip
    for said in ("0.54 / 0.54", "1.25", "0.004!", "50,000", "+0.360", "+0.060 [-0.040, +0.160], p 0.2", "not yet",
                 "behind up to 30 (10% change)", "-0.020! / -0.020!"):  # fmt: skip
        assert said in first, said
    assert "takes the lead at 2 [1.5, > 30]" in second
    for said in ("310.00 / 310.00", "25,000", "loses the lead at 4 [2, 5]"):
        assert said in third, said
    assert "Paper: they are ahead (Sec. 4.1)." in text
    assert "corrected for the 6 Δ" in text


def test_operations_are_told_in_the_unit_of_the_figure(made):
    crossing(CrossingConfig("", LOOK), made)
    text = (made.folder / "crossing.md").read_text()
    operations = next(line for line in text.splitlines() if "TFLOP" in line and "16x16-large" in line)
    assert "| 50 " in operations
    assert "| 25 " in operations


def test_the_titles_of_the_panels_can_be_read_at_every_size(made, monkeypatch):
    titles = []

    def seen(figure, *_):
        titles.extend(axes.get_title() for axes in figure.axes)
        plt.close(figure)

    monkeypatch.setattr("twostage.figures.crossing.save", seen)
    crossing(CrossingConfig("", LOOK), made)
    assert titles[:3] == ["8x8 tokens, 0.54 / 0.54 M\n1.25 epochs"] * 2 + ["16x16 tokens, 310 / 310 M\n1.25 epochs"]
