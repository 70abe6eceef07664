"""Tables and figures of rejection and overfitting: every promised file, what was measured, same input same bytes."""

from tests.unit.evaluation.conftest import folder, inception  # noqa: F401
from tests.unit.evaluation.test_overfitting import studied
from tests.unit.evaluation.test_rejection import evaluate  # noqa: F401
from tests.unit.figures.conftest import assert_same_files_twice
from twostage.config.schema import FiguresConfig
from twostage.figures.overfitting import OverfittingConfig, overfitting
from twostage.figures.rejection import RejectionConfig, rejection
from twostage.planning.verbs import VERBS
from twostage.runtime.artifacts import read_csv
from twostage.runtime.job import Job

PALETTE = dict.fromkeys(("conditional", "unconditional", "reconstruction", "real", "pixelsnail"), "#0072B2")
LOOK = FiguresConfig(style="neurips2024", palette=PALETTE, png_dpi=50)


def job(tmp_path, verb, variant, summary):
    files = [name.format(variant=variant) for name in VERBS[f"figures.{verb}"].files]
    return Job("figures", verb, variant, "smoke", {}, {"summary": str(summary)}, str(tmp_path / "figure"), files)


def test_rejection_tells_every_setting_and_the_papers(tmp_path, evaluate, folder):  # noqa: F811
    evaluate()
    paper = [{"k": "mixed", "p": 1.0, "acceptance_rate": 0.05, "fid": 5.88, "is": 304.8, "is_std": 3.6}]
    made = job(tmp_path, "rejection", "rejection", folder / "out")
    assert_same_files_twice(rejection, RejectionConfig("as printed", paper, LOOK), made)
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
    assert_same_files_twice(overfitting, OverfittingConfig("unclear", LOOK), made)
    rows = {row["images"]: row for row in read_csv(made.folder / "overfitting.csv")}
    assert list(rows) == ["early_stopping", "to_the_end", "validation"]
    assert (rows["early_stopping"]["steps"], rows["to_the_end"]["steps"], rows["validation"]["steps"]) == (
        "20", "60", "",
    )  # fmt: skip
    assert float(rows["to_the_end"]["nearest_lpips"]) < float(rows["validation"]["nearest_lpips"])
    assert [rows[images]["fid"] for images in rows] == ["90", "91", ""]
    assert [rows[images]["train_nll_nats_per_token"] for images in rows] == ["4", "1", ""]
    assert "24 training images" in (made.folder / "overfitting.md").read_text()
