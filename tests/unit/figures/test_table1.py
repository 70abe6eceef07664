from dataclasses import asdict

import pytest
from scipy import stats

from tests.unit.figures.conftest import assert_same_files_twice
from twostage.config.schema import FiguresConfig
from twostage.errors import TwostageError
from twostage.evaluation.statistics import Summary
from twostage.figures.table1 import Table1Config, table1
from twostage.planning.verbs import VERBS
from twostage.runtime.artifacts import read_csv, write_json
from twostage.runtime.job import Job

PAPER = {key: {"transformer_steps": 4.78, "transformer_time": 4.84, "pixelsnail": 4.96} for key in ("RIN", "D-RIN")}
LOOK = FiguresConfig(style="neurips2024", palette={"gpt": "#0072B2", "pixelsnail": "#D55E00"}, png_dpi=50)


def summary(*values):
    return asdict(Summary.of(values))


def row(label, condition):
    points = {"step": [0, 10, 20], "train_seconds": [0, 1.5, 3.0]}
    return {
        "row": label, "scale": "smoke", "data": "cifar10_animals", "condition": condition, "tune_on": "IN", "steps": 20,
        "seeds": [0, 1], "unigram_entropy_nats": 5.5, "cost": {
            "gpt": {"num_parameters": 500_000, "learning_rate": 0.004, "learning_rate_at_edge": True,
                    "seconds_per_step": 0.1, "gflops_per_step": 12.0},
            "pixelsnail": {"num_parameters": 510_000, "learning_rate": 0.002, "learning_rate_at_edge": False,
                           "seconds_per_step": 0.15, "gflops_per_step": 20.0},
        },
        "pace": {"seconds_ratio": 1.5, "seconds_ratio_ci95_low": 1.48, "seconds_ratio_ci95_high": 1.51,
                 "difference_time_at_ratio_low": -0.14, "difference_time_at_ratio_high": -0.16},
        "nll_nats_per_token": {
            "transformer_steps": summary(5.0, 5.1), "transformer_time": summary(4.9, 5.0),
            "pixelsnail": summary(5.0, 5.2), "difference_steps": summary(0.0, -0.1),
            "difference_time": summary(-0.1, -0.2),
        },
        "per_seed": [{"difference_steps": 0.0, "difference_time": -0.1},
                     {"difference_steps": -0.1, "difference_time": -0.2}],
        "curves": {f"{a}.seed{s}": points | {"nll": [6.2, 5.4, 5.0 + s / 10]} for a in ("gpt", "pixelsnail")
                   for s in (0, 1)},
    }  # fmt: skip


@pytest.fixture
def job(tmp_path):
    inputs = {}
    for label, condition in (("RIN", None), ("D-RIN", "edges_f4")):
        inputs[label] = str(tmp_path / label)
        write_json(tmp_path / label / "metrics.json", row(label, condition))
    out = str(tmp_path / "out")
    return Job("figures", "table1", "table1", "smoke", {}, inputs, out, VERBS["figures.table1"].files)


def test_writes_every_promised_file_with_the_papers_numbers_beside_ours(job):
    table1(Table1Config(["RIN", "D-RIN"], PAPER, LOOK), job)
    assert sorted(path.name for path in job.folder.iterdir()) == sorted(job.files)
    rows = read_csv(job.folder / "table1.csv")
    assert [line["row"] for line in rows] == ["RIN", "D-RIN"]
    assert float(rows[0]["transformer_steps"]) == pytest.approx(5.05)
    assert float(rows[0]["difference_time"]) == pytest.approx(-0.15)
    assert float(rows[0]["paper_pixelsnail"]) == 4.96
    assert rows[0]["scale"] == "smoke"
    ratio = [float(rows[0][f"seconds_ratio{end}"]) for end in ("", "_ci95_low", "_ci95_high")]
    assert ratio == [1.5, 1.48, 1.51]
    assert [float(rows[0][f"difference_time_at_ratio_{end}"]) for end in ("low", "high")] == [-0.14, -0.16]
    assert [float(rows[0][f"{name}_gflops_per_step"]) for name in ("gpt", "pixelsnail")] == [12, 20]
    markdown = (job.folder / "table1.md").read_text()
    assert "5.050 ± 0.071" in markdown
    # Four differences: 0.2048 four times for the first two of equal p, and 1 for the others.
    assert "-0.150 [-0.785, +0.485], p 0.82" in markdown
    assert float(rows[0]["difference_time_p_holm"]) == pytest.approx(
        4 * stats.ttest_1samp([-0.1, -0.2], 0).pvalue, 1e-4
    )
    assert float(rows[0]["difference_steps_p_holm"]) == 1
    assert "4.78 / 4.84 / 4.96" in markdown
    assert "1.500 [1.480, 1.510]" in markdown
    assert "12 / 20" in markdown
    assert "cifar10 animals given edges" in markdown
    latex = (job.folder / "table1.tex").read_text()
    assert r"\toprule" in latex
    assert r"5.050 $\pm$ 0.071" in latex


def test_same_input_same_bytes(job):
    assert_same_files_twice(table1, Table1Config(["RIN", "D-RIN"], PAPER, LOOK), job)


def test_an_unknown_style_is_named(job):
    look = FiguresConfig(style="nurips", palette=LOOK.palette, png_dpi=50)
    with pytest.raises(TwostageError, match=r"figures\.style=nurips is no tueplots bundle"):
        table1(Table1Config(["RIN"], PAPER, look), job)
