"""Composed trees are kept, and composed again when anything that they depend on changes."""

import shutil
from pathlib import Path

import pytest
from hydra._internal.sources_registry import SourcesRegistry

from twostage import configs
from twostage.errors import TwostageError
from twostage.trees import files_composed, kept

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


OVERRIDES = [
    ("scale=smoke", "experiment=orderings"),
    ("scale=laptop", "data=fashion_mnist", "tokenizers=segmentation_f4"),
    ("scale=paper", "data=ffhq", "tokenizers=low_resolution_f2", "priors=sundae_ffhq256", "priors.loop.seed=1"),
]


@pytest.mark.parametrize("overrides", OVERRIDES)
def test_a_tree_depends_on_the_files_that_hydra_reads(overrides, monkeypatch):
    read = set()
    files = SourcesRegistry.instance().resolve("file")
    load = files.load_config

    def spied(source, config_path):
        if source.provider == "main":
            read.add(configs.CONF / source._normalize_file_name(config_path))
        return load(source, config_path)

    monkeypatch.setattr(files, "load_config", spied)
    configs._composed(overrides)
    assert set(files_composed(configs.CONF, overrides)) == read


def test_an_edit_of_another_option_composes_nothing_again(conf, monkeypatch):
    first = configs.compose(("scale=smoke", "priors=sundae_mnist"))
    (conf / "priors/gpt.yaml").unlink()
    monkeypatch.setattr(configs, "_composed", None)
    assert configs.compose(("scale=smoke", "priors=sundae_mnist")) == first


def test_what_an_option_builds_on_is_among_what_its_tree_depends_on(conf):
    composed = configs.compose(("scale=smoke", "priors=sundae_mnist"))
    path = conf / "priors/sundae.yaml"
    path.write_text(path.read_text().replace("gradient_clip: ", "gradient_clip: 1", 1))
    again = configs.compose(("scale=smoke", "priors=sundae_mnist"))
    assert again["priors"]["gradient_clip"] != composed["priors"]["gradient_clip"]
