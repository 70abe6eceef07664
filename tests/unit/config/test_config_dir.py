"""Configs of the user's outside of the repository: --config-dir."""

import pytest

from twostage.config import composition
from twostage.errors import TwostageError


@pytest.fixture
def mine(tmp_path, monkeypatch, repository_conf):
    """A folder for files GROUP/NAME.yaml; what is added is forgotten after the test."""
    monkeypatch.setattr(composition, "_added", [])

    def write(path, text):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
        return tmp_path

    return write


def test_a_file_is_an_option_beside_those_of_the_repository_and_may_build_on_them(mine):
    composition.add_folder(mine("priors/wide.yaml", "defaults: [gpt, _self_]\ngpt: {width: 96}\n"))
    assert composition.compose(("priors=wide",))["priors"]["gpt"]["width"] == 96
    assert {"wide", "gpt"} <= set(composition.options("priors"))


def test_two_files_of_one_name_are_an_error_that_names_both(mine):
    folder = mine("priors/gpt.yaml", "defaults: [_self_]\n")
    with pytest.raises(TwostageError) as error:
        composition.add_folder(folder)
    assert str(folder / "priors/gpt.yaml") in str(error.value)
    assert str(composition.CONF / "priors/gpt.yaml") in str(error.value)


def test_a_mistake_in_a_file_is_named_by_its_path(mine):
    folder = mine("priors/broken.yaml", "warmup_steps: much\n")
    composition.add_folder(folder)
    with pytest.raises(TwostageError, match=str(folder / "priors/broken.yaml")):
        composition.compose(("priors=broken",))


@pytest.mark.parametrize("path", ["prior/wide.yaml", "wide.yaml"])
def test_a_folder_without_groups_is_refused(mine, path):
    folder = mine(path, "{}")
    with pytest.raises(TwostageError, match="has no config files"):
        composition.add_folder(folder)
