"""Tables and figures of conditional synthesis: every promised file, what was measured in it, same input same bytes."""

import pytest

from tests.unit.evaluation.conftest import folder, inception  # noqa: F401
from tests.unit.evaluation.test_conditional import ABSORBING, CHAINS, SUNDAE, UNMASKED, evaluated
from tests.unit.evaluation.test_overfitting import studied
from tests.unit.evaluation.test_rejection import evaluate  # noqa: F401
from tests.unit.figures.conftest import assert_same_files_twice
from twostage.config.schema import FiguresConfig
from twostage.figures.conditional import ConditionalConfig, conditional
from twostage.figures.overfitting import OverfittingConfig, overfitting
from twostage.figures.rejection import RejectionConfig, rejection
from twostage.planning.verbs import FILES
from twostage.runtime.artifacts import read_csv, read_json, write_json
from twostage.runtime.job import Job

PALETTE = dict.fromkeys(("conditional", "unconditional", "reconstruction", "real", "pixelsnail"), "#0072B2")
LOOK = FiguresConfig(style="neurips2024", palette=PALETTE, png_dpi=50)


def job(tmp_path, verb, variant, summary):
    files = [name.format(variant=variant) for name in FILES[f"figures.{verb}"]]
    return Job("figures", verb, variant, "smoke", {}, {"summary": str(summary)}, str(tmp_path / "figure"), files)


@pytest.mark.parametrize("condition", ["edges", "class"])
def test_a_task_tells_both_models_with_their_spread(tmp_path, monkeypatch, condition):
    summary = evaluated(tmp_path, monkeypatch)
    metrics = read_json(summary.folder / "metrics.json")
    classifier = {"accuracy": 0.75, "images": 10} if condition == "class" else None
    write_json(summary.folder / "metrics.json", metrics | {"condition": condition, "classifier": classifier})
    made = job(tmp_path, "conditional", "edges", summary.folder)
    assert_same_files_twice(conditional, ConditionalConfig(LOOK), made)
    rows = {row["model"]: row for row in read_csv(made.folder / "edges.csv")}
    assert list(rows) == ["conditional", "unconditional", "reconstruction", "real"]
    assert float(rows["unconditional"]["edges_f1_std"]) > 0
    assert rows["real"]["lpips_to_truth"] == ""
    text = (made.folder / "edges.md").read_text()
    assert "edges agree (F1) ↑" in text
    assert "6 validation images, 2 samples of each under the condition" in text
    assert ("right of 0.750 of the 10 real" in text) == (condition == "class")


def test_a_task_by_sundae_tells_its_chain_and_no_likelihood(tmp_path, monkeypatch):
    summary = evaluated(tmp_path, monkeypatch, prior=SUNDAE, drawn=CHAINS, task="edges to image, by SUNDAE")
    made = job(tmp_path, "conditional", "edges_sundae", summary.folder)
    conditional(ConditionalConfig(LOOK), made)
    rows = {row["model"]: row for row in read_csv(made.folder / "edges_sundae.csv")}
    for model in ("conditional", "unconditional"):
        chosen = [rows[model][key] for key in ("steps", "chain_steps", "temperature", "proportion")]
        assert chosen == ["10", "30", "1.0 to 0.5", "0.5"]
        assert float(rows[model]["validation_denoising_nats_per_token"]) == 2.5
    assert rows["real"]["chain_steps"] == rows["real"]["temperature"] == ""
    assert not [name for name in rows["real"] if "nll" in name or name == "top_k"]
    text = (made.folder / "edges_sundae.md").read_text()
    assert "unrolled denoising cross-entropy [nats per token]" in text
    assert "NLL" not in text
    assert "chains of 30 steps at temperature 1.0 to 0.5 and proportion 0.5, 2 seeds" in text
    assert "no likelihood" in text
    assert "Paper (Esser et al. 2021; the prior: McKinney & Willcocks 2022)" in text
    assert "Edges to image, by SUNDAE at scale smoke: toy" in text


def test_a_task_by_absorbing_diffusion_tells_its_bound_as_one(tmp_path, monkeypatch):
    summary = evaluated(tmp_path, monkeypatch, prior=ABSORBING, drawn=UNMASKED, task="edges to image, unmasked")
    made = job(tmp_path, "conditional", "edges_absorbing", summary.folder)
    conditional(ConditionalConfig(LOOK), made)
    rows = {row["model"]: row for row in read_csv(made.folder / "edges_absorbing.csv")}
    for model in ("conditional", "unconditional"):
        assert [rows[model][key] for key in ("steps", "unmasking_steps", "temperature")] == ["10", "64", "1"]
        assert float(rows[model]["validation_bound_nats_per_token"]) == 2.75
    assert not [name for name in rows["real"] if "nll" in name or "denoising" in name]
    text = (made.folder / "edges_absorbing.md").read_text()
    assert "upper bound of the NLL [nats per token]" in text
    assert "unmasked in 64 steps at temperature 1, 2 seeds" in text
    assert "Paper (Esser et al. 2021; the prior: Bond-Taylor et al. 2021)" in text


def test_rejection_tells_every_setting_and_the_papers(tmp_path, evaluate, folder):  # noqa: F811
    metrics, _ = evaluate()
    paper = [{"k": "mixed", "p": 1.0, "acceptance_rate": 0.05, "fid": 5.88, "is": 304.8, "is_std": 3.6}]
    write_json(folder / "out/metrics.json", metrics | {"paper_rows": paper})
    made = job(tmp_path, "rejection", "rejection", folder / "out")
    assert_same_files_twice(rejection, RejectionConfig(LOOK), made)
    rows = {row["setting"]: row for row in read_csv(made.folder / "rejection.csv")}
    assert list(rows) == ["k 5", "all", "best", "paper, k mixed"]
    assert rows["best"]["acceptance"] == "0.25"
    assert float(rows["best"]["class_accuracy"]) == 1
    assert (rows["paper, k mixed"]["fid"], rows["paper, k mixed"]["precision"]) == ("5.88", "")
    text = (made.folder / "rejection.md").read_text()
    assert "304.8 ± 3.6" in text
    assert "of each setting 30 samples" in text.lower()
    assert "Inception Score is not measured" in text
    assert "mixed k has 120 samples; a row k ... is drawn from its part of them, 60." in text


def test_overfitting_tells_both_runs_and_what_was_never_seen(tmp_path, monkeypatch):
    made = job(tmp_path, "overfitting", "overfitting", studied(tmp_path, monkeypatch).folder)
    assert_same_files_twice(overfitting, OverfittingConfig(LOOK), made)
    rows = {row["images"]: row for row in read_csv(made.folder / "overfitting.csv")}
    assert list(rows) == ["early_stopping", "to_the_end", "validation"]
    assert (rows["early_stopping"]["steps"], rows["to_the_end"]["steps"], rows["validation"]["steps"]) == (
        "20", "60", "",
    )  # fmt: skip
    assert float(rows["to_the_end"]["nearest_lpips"]) < float(rows["validation"]["nearest_lpips"])
    assert "24 training images" in (made.folder / "overfitting.md").read_text()
