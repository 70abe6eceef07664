"""`twostage redraw`: the committed tables and figures, from the metrics that git keeps."""

import logging
import shutil
import sys
from pathlib import Path

import pytest

from twostage.commands import redraw
from twostage.config import composition
from twostage.errors import TwostageError
from twostage.runtime.artifacts import read_csv

ROOT = Path(__file__).parents[3]
# One of the smallest, and where its metrics lie.
STUDY = "sundae_steps"
METRICS = f"results/evaluation/{STUDY}"


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """A clone without artifacts, as far as redraw reads it, whose whole plan all tests share: it takes seconds."""
    folder = tmp_path_factory.mktemp("clone")
    shutil.copytree(ROOT / "conf", folder / "conf")
    shutil.copy(ROOT / "params.yaml", folder / "params.yaml")
    return folder


@pytest.fixture
def clone(planned, monkeypatch):
    """That clone with the committed metrics of one study."""
    monkeypatch.chdir(planned)
    monkeypatch.setattr(composition, "CONF", planned / "conf")
    for name in ("results", "drawn"):
        shutil.rmtree(name, ignore_errors=True)
    shutil.copytree(ROOT / METRICS, METRICS)
    return planned


@pytest.fixture
def call(clone, monkeypatch, capfd):
    def typed(*words):
        monkeypatch.setattr(sys, "argv", ["twostage redraw", *words])
        with pytest.raises(SystemExit) as stop:
            redraw.main()
        logging.shutdown()
        return stop.value.code, capfd.readouterr().err

    return typed


def files(folder):
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def test_it_draws_the_committed_files_byte_for_byte(call, clone):
    code, said = call(STUDY, "--out", "drawn")
    drawn = files(clone / "drawn")
    assert (code, len(said.splitlines())) == (0, len(drawn))
    assert {f"{STUDY}.csv", f"{STUDY}.md", f"figures/{STUDY}.pdf", f"figures/{STUDY}.png"} <= set(drawn)
    assert all((ROOT / "results" / name).read_bytes() == content for name, content in drawn.items())


def test_another_font_size_changes_figures_and_no_number(call, clone):
    assert call(STUDY, "figures.font_size=9")[0] == 0
    assert read_csv(clone / f"results/{STUDY}.csv") == read_csv(ROOT / f"results/{STUDY}.csv")
    png = f"figures/{STUDY}.png"
    assert (clone / "results" / png).read_bytes() != (ROOT / "results" / png).read_bytes()


def test_without_a_name_it_draws_what_there_are_metrics_of(call, clone):
    code, said = call("--out", "drawn")
    assert code == 0
    assert "no metrics yet of table1" in said
    assert f"figures/{STUDY}.png" in files(clone / "drawn")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("sundae_step",), "no study sundae_step; name some of"),
        (("edges",), "is missing: git keeps no metrics of edges yet"),
        ((STUDY, "edges"), "no metrics of edges"),
        ((STUDY, "priors=gpt"), "no figure reads"),
        ((STUDY, "figures.font_size=0"), "figures.font_size"),
        ((STUDY, "figures.style=beautiful"), "figures.style=beautiful"),
        ((STUDY, "-m", "figures.font_size=7,9"), "add --out DIR"),
    ],
)
def test_a_mistake_is_one_line_and_draws_nothing(call, clone, words, said):
    before = files(clone / "results")
    code, printed = call(*words)
    assert code == 1
    assert len(printed.splitlines()) == 1
    assert said in printed
    assert files(clone / "results") == before


def test_a_file_in_place_of_a_folder_of_figures_is_told_before_anything_is_drawn(call, clone):
    (clone / "drawn").mkdir()
    (clone / "drawn/figures").touch()
    code, said = call(STUDY, "--out", "drawn")
    assert (code, len(said.splitlines())) == (1, 1)
    assert "drawn/figures is no folder" in said
    assert list(files(clone / "drawn")) == ["figures"]


def test_damaged_metrics_replace_nothing(call, clone):
    call(STUDY)
    before = files(clone / "results")
    path = clone / METRICS / "metrics.json"
    path.write_text(path.read_text()[:-30])
    code, said = call(STUDY)
    assert code == 1
    assert f"{STUDY} is not drawn" in said
    assert {name: content for name, content in files(clone / "results").items() if "metrics" not in name} == {
        name: content for name, content in before.items() if "metrics" not in name
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "does not say whose metrics git keeps; write the line committed: SCALE, one of laptop"),
        ("- committed: laptop", "does not say whose metrics"),
        ("committed", "does not say whose metrics"),
        ("scale: laptop", "does not say whose metrics"),
        ("committed:", "does not say whose metrics"),
        ("committed: [laptop]", "does not say whose metrics"),
        ("committed: decade", "does not say whose metrics"),
        ("scale: laptop\n\tcommitted: laptop", "line 2: found a tab"),
        ("committed: laptop\ncommitted: smoke", "line 2: key committed occurs twice"),
        ("committed: \xe9", "is no UTF-8 text"),
    ],
)
def test_params_that_name_no_committed_scale_are_one_line(text, message, tmp_path, monkeypatch):
    (tmp_path / "params.yaml").write_bytes(text.encode("latin-1"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(composition, "CONF", ROOT / "conf")
    with pytest.raises(TwostageError, match=f"^params.yaml:? {message}") as caught:
        redraw.committed_scale()
    assert "\n" not in str(caught.value)
