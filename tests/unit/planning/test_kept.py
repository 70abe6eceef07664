"""A plan that was made once is the plan, until a file that it depends on changes."""

import json
import subprocess
import sys

import pytest

from twostage.config import composition
from twostage.errors import TwostageError
from twostage.planning import kept as module
from twostage.planning.kept import kept_plan
from twostage.planning.whole import whole_plan


@pytest.fixture
def planned(monkeypatch):
    """The scales that were planned anew."""
    scales = []
    monkeypatch.setattr(module, "whole_plan", lambda scale, only: (scales.append(scale), whole_plan(scale, only))[1])
    return scales


def test_what_is_kept_is_the_whole_plan(edited_conf, planned):
    whole = whole_plan("smoke")
    for _ in range(2):
        kept = kept_plan("smoke")
        assert kept.jobs == whole.jobs
        assert list(kept.jobs) == list(whole.jobs)
        assert (kept.tree, kept.broken) == (whole.tree, {})
    assert planned == ["smoke"]


def test_a_changed_line_is_planned_anew(few_studies, planned):
    before = kept_plan("smoke")
    path = few_studies / "scale/smoke.yaml"
    path.write_text(path.read_text().replace("num_codes: ", "num_codes: 1", 1))
    after = kept_plan("smoke")
    assert planned == ["smoke", "smoke"]
    assert after.jobs != before.jobs


def test_a_look_at_some_studies_plans_these_alone_and_keeps_nothing(few_studies):
    for names in (["table1"], ["gpt_dropout"], ["table1", "orderings"]):
        some = kept_plan("smoke", only=lambda names=names: names)
        assert not (few_studies.parent / "build/plans").exists()
        assert {f"artifacts/smoke/figures/{name}" for name in names} <= set(some.jobs)
    whole = kept_plan("smoke").jobs
    assert len(some.jobs) < len(whole)
    summary = some.jobs.pop("artifacts/smoke/figures/summary")
    assert some.jobs == {folder: whole[folder] for folder in some.jobs}
    assert summary.inputs.items() < whole[summary.out].inputs.items()
    # What is kept is whole, and at hand.
    assert kept_plan("smoke", only=lambda: pytest.fail("there is a plan")).jobs == whole


def test_a_broken_study_that_is_looked_at_is_one_line(few_studies):
    path = few_studies / "study/orderings.yaml"
    path.write_text(path.read_text().replace("spiral_in]", "spiral_up]"))
    with pytest.raises(TwostageError, match=r"study orderings, row IN: .*spiral_up"):
        kept_plan("smoke", only=lambda: ["orderings"])


def test_a_broken_study_is_named_every_time(few_studies, planned):
    path = few_studies / "study/orderings.yaml"
    path.write_text(path.read_text().replace("spiral_in]", "spiral_up]"))
    assert [list(kept_plan("smoke").broken) for _ in range(2)] == [["orderings"]] * 2


@pytest.mark.parametrize("content", ["", "{", "[]", json.dumps({"key": "another"})])
def test_a_damaged_file_is_planned_anew(few_studies, planned, content):
    expected = kept_plan("smoke").jobs
    (few_studies.parent / "build/plans/smoke.json").write_text(content)
    assert kept_plan("smoke").jobs == expected


def test_what_the_environment_says_is_asked_every_time(few_studies, planned, monkeypatch):
    path = few_studies / "data/celeba_hq.yaml"
    path.write_text(path.read_text().replace("root: datasets/celeba_hq", "root: ${oc.env:PICS}"))
    for root in ("a", "b"):
        monkeypatch.setenv("PICS", root)
        kept_plan("smoke")
    assert planned == ["smoke", "smoke"]


def test_a_job_takes_the_plan_that_its_run_made_without_a_look_at_the_clone(few_studies, planned, monkeypatch):
    """Even one that the run itself would make anew, as a study is broken."""
    path = few_studies / "study/orderings.yaml"
    path.write_text(path.read_text().replace("spiral_in]", "spiral_up]"))
    before = kept_plan("smoke")
    path.write_text("")
    monkeypatch.setattr(module, "PACKAGE", None)
    of_job = kept_plan("smoke", of_run=True)
    assert (of_job.jobs, of_job.tree) == (before.jobs, before.tree)
    assert planned == ["smoke"]


def test_a_job_that_finds_no_plan_makes_one(few_studies, planned):
    assert kept_plan("smoke", of_run=True).jobs == whole_plan("smoke").jobs


def test_to_read_a_plan_needs_no_slow_library():
    """Jobs on other nodes import this twice each."""
    code = "import sys, twostage.rules.planned, twostage.planning.kept; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "twostage.planning.whole" in loaded
    assert {"scipy.stats", "torch"} & {*loaded} == set()


def test_the_plan_of_many_studies_has_a_name_that_a_file_may_have(few_studies, planned, tmp_path, monkeypatch):
    monkeypatch.setattr(composition, "_studies", {})
    text = (composition.PACKAGED / "study/gpt_dropout.yaml").read_text()
    for at in range(8):
        name = f"a_study_with_a_long_name_{at:07d}"
        (tmp_path / f"{name}.yaml").write_text(text.replace("name: gpt_dropout", f"name: {name}"))
        composition.add_study(tmp_path / f"{name}.yaml")
    assert kept_plan("smoke").jobs == kept_plan("smoke").jobs
    assert planned == ["smoke"]
