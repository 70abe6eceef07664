"""Composed trees are kept, and composed again when anything that they depend on changes."""

import shutil
from pathlib import Path

import pytest

from twostage import configs
from twostage.errors import TwostageError
from twostage.trees import folder_sha256, kept

CONF = Path(__file__).parents[2] / "conf"


@pytest.fixture
def conf(tmp_path, monkeypatch):
    """A copy of conf/ that a test may edit."""
    shutil.copytree(CONF, tmp_path / "conf")
    monkeypatch.setattr(configs, "CONF", tmp_path / "conf")
    return tmp_path / "conf"


def test_a_tree_is_composed_once_and_again_after_an_edit(conf, monkeypatch):
    asked = []
    composed = configs._composed
    monkeypatch.setattr(configs, "_composed", lambda overrides: asked.append(overrides) or composed(overrides))
    first = configs.compose(("scale=smoke",))
    assert configs.compose(("scale=smoke",)) == first
    assert len(asked) == 1
    text = (conf / "scale/smoke.yaml").read_text()
    (conf / "scale/smoke.yaml").write_text(text.replace("num_codes: 64", "num_codes: 65", 1))
    assert configs.compose(("scale=smoke",))["scale"]["tokenizers"]["num_codes"] == 65
    assert len(asked) == 2


def test_no_caller_can_change_what_is_kept(conf):
    configs.compose(("scale=smoke",))["scale"]["name"] = "mine"
    assert configs.compose(("scale=smoke",))["scale"]["name"] == "smoke"


def test_what_cannot_be_composed_is_not_kept(conf):
    for _ in range(2):
        with pytest.raises(TwostageError, match="Could not override"):
            configs.compose(("scale=smoke", "prior=gpt"))
    assert not (conf.parent / "build/trees").exists()


def test_a_first_value_reads_as_all_later_ones(tmp_path):
    for _ in range(2):
        assert kept(tmp_path / "sub/value.json", lambda: {1: (2.5, None)}) == {"1": [2.5, None]}
    assert [path.name for path in (tmp_path / "sub").iterdir()] == ["value.json"]


def test_a_renamed_file_is_another_folder(tmp_path):
    (tmp_path / "a").write_text("text")
    before = folder_sha256(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert folder_sha256(tmp_path) != before
