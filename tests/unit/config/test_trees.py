"""Trees of plans equal what Hydra composes, and depend on nothing but the files, the overrides and what these name."""

import copy
import itertools
import json
import os
import re

import hydra
import pytest
from hydra import initialize_config_dir
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from tests.unit.conftest import SCALES
from twostage.config import composition, schema
from twostage.config.trees import Trees
from twostage.config.values import without_unused
from twostage.errors import TwostageError
from twostage.planning.whole import whole_plan


def composed_by_hydra(conf, overrides):
    ConfigStore.instance().store(name="schema", node=schema.Config)
    with initialize_config_dir(str(conf.resolve()), version_base="1.3"):
        # Hydra's grammar has no quotes around the keys of a dict.
        typed = [re.sub(r'"(\w+)": ', r"\1: ", each) for each in overrides]
        config = hydra.compose("config", overrides=typed)
    OmegaConf.resolve(config)
    return without_unused(schema.Config, OmegaConf.to_container(config, resolve=True))


def asked_for(monkeypatch):
    """Overrides that the whole plans of all scales ask for, a study beside another choice: each choice of a group and
    each key at least once, whatever its value, as Hydra would take minutes for all trees.
    """
    chosen, seen = [], set()
    for scale in SCALES:
        asked = {}
        trees = composition.trees()

        def compose(overrides, trees=trees, asked=asked):
            asked[tuple(overrides)] = None
            return trees(overrides)

        with monkeypatch.context() as patched:
            patched.setattr(composition, "trees", lambda compose=compose: compose)
            whole_plan(scale)
        new = []
        for overrides in asked:
            kinds = {each.split("=")[0] if "." in each.split("=")[0] else each for each in overrides}
            if kinds - seen:
                new.append(overrides)
                seen |= kinds
        studies = [each[1:] for each in new if each[-1].startswith("study=")]
        others = [each for each in new if not each[-1].startswith("study=")]
        pairs = itertools.zip_longest(others, studies)
        chosen += [(other or (f"scale={scale}",)) + (study or ()) for other, study in pairs]
    return chosen


@pytest.mark.usefixtures("repository_conf")
def test_every_override_of_a_whole_plan_gives_hydras_tree(monkeypatch):
    trees = composition.trees()
    asked = asked_for(monkeypatch)
    assert {each[0] for each in asked} == {f"scale={scale}" for scale in SCALES}
    for overrides in asked:
        by_hydra = composed_by_hydra(composition.CONF, overrides)
        if not any(each.startswith("study=") for each in overrides):
            by_hydra["study"] = None
        # As text: the order of keys, and 1 against 1.0, count too.
        assert json.dumps(trees(overrides)) == json.dumps(by_hydra), overrides


def test_a_copy_of_a_config_has_flags_of_its_own():
    original = OmegaConf.create({"a": {"b": 1}})
    copied = copy.deepcopy(original)
    OmegaConf.set_readonly(copied.a, True)
    original.a.b = 2
    assert (original.a.b, copied.a.b) == (2, 1)


@pytest.mark.usefixtures("repository_conf")
def test_what_a_person_types_equals_hydras():
    overrides = ["scale=smoke", "data=folder", "data.root=/a/b", "data.maps=[edges,depth]", "priors=sundae_mnist",
                 "priors.sundae.depth=[1,1,1]", "sampling.seed=3", "tokenizers.loss={perceptual: none}",
                 "sampling.classes=[]", "tokenizers.quantizer.revive_after=null", "scale.tokenizers.image.steps=7",
                 "study=orderings"]  # fmt: skip
    assert json.dumps(composition.compose(tuple(overrides))) == json.dumps(
        composed_by_hydra(composition.CONF, overrides)
    )


@pytest.mark.usefixtures("repository_conf")
def test_an_option_is_in_the_config_of_those_alone_who_use_it():
    """A key that every job had would give every job another name."""
    assert "accumulate" not in composition.compose(("scale=smoke",))["priors"]["loop"]
    assert composition.compose(("priors.loop.accumulate=2",))["priors"]["loop"]["accumulate"] == 2
    assert "accumulate" not in composition.compose(("priors.loop.accumulate=1",))["tokenizers"]["loop"]
    loop = composition.compose(("scale=smoke",))["priors"]["loop"]
    assert composition.parse(schema.LoopConfig, loop).accumulate == 1


def test_no_caller_can_change_what_others_get(edited_conf):
    trees = composition.trees()
    trees(("scale=smoke",))["scale"]["data"]["size"] = 1
    assert trees(("scale=smoke",))["scale"]["data"]["size"] == 32


def test_an_environment_variable_is_read_anew(edited_conf, monkeypatch):
    for folder in ("/a", "/b"):
        monkeypatch.setenv("PICS", folder)
        assert composition.compose(("data=folder", "data.root=${oc.env:PICS}"))["data"]["root"] == folder
    path = edited_conf / "data/folder.yaml"
    path.write_text(path.read_text().replace("root: null", "root: ${oc.env:PICS}"))
    for folder in ("/c", "/d"):
        monkeypatch.setenv("PICS", folder)
        assert composition.trees()(("data=folder",))["data"]["root"] == folder
    assert not (edited_conf.parent / "build").exists()


def test_an_edit_changes_the_trees_of_what_builds_on_it(edited_conf):
    before = composition.compose(("scale=smoke", "priors=sundae_mnist"))
    path = edited_conf / "priors/sundae.yaml"
    path.write_text(path.read_text().replace("gradient_clip: ", "gradient_clip: 1", 1))
    after = composition.compose(("scale=smoke", "priors=sundae_mnist"))
    assert after["priors"]["gradient_clip"] != before["priors"]["gradient_clip"]
    assert after | {"priors": before["priors"]} == before


def test_a_value_that_refers_elsewhere_follows_a_change_there(edited_conf):
    trees = composition.trees()
    assert trees(("scale=smoke",))["sampling"]["condition_label_offset"] == 0
    assert trees(("scale=smoke", "data.label_offset=1"))["sampling"]["condition_label_offset"] == 1
    assert trees(('data.root="${priors.architecture}"',))["data"]["root"] == "gpt"
    assert trees(('data.root="${priors.architecture}"', "priors=pixelsnail"))["data"]["root"] == "pixelsnail"
    relative = ('data.root="${..priors.architecture}"',)
    assert trees((*relative, "priors=pixelsnail"))["data"]["root"] == "pixelsnail"
    assert trees(relative)["data"]["root"] == "gpt"
    # Two levels down, two dots still lead to the section itself, and three to another one.
    trees(('priors.sweep.steps="${..warmup_steps}"',))
    warmer = trees(('priors.sweep.steps="${..warmup_steps}"', "priors.warmup_steps=7"))
    assert warmer["priors"]["sweep"]["steps"] == 7
    deep = ('priors.sweep.steps="${...data.size}"',)
    assert trees(deep)["priors"]["sweep"]["steps"] == 32
    assert trees((*deep, "data.size=48"))["priors"]["sweep"]["steps"] == 48
    listed = ('priors.sweep.learning_rates=["${....data.size}"]',)
    assert trees(listed)["priors"]["sweep"]["learning_rates"] == [32]
    assert trees((*listed, "data.size=48"))["priors"]["sweep"]["learning_rates"] == [48]


def test_a_change_resolves_those_sections_again_that_read_it(edited_conf, monkeypatch):
    trees = composition.trees()
    trees(("scale=smoke",))
    resolved, resolve = [], Trees._resolved
    monkeypatch.setattr(
        Trees, "_resolved", lambda self, group, *more: resolved.append(group) or resolve(self, group, *more)
    )
    trees(("scale=smoke", "priors.loop.seed=7"))
    assert resolved == ["priors"]
    trees(("scale=smoke", "scale.study.seeds=[0,1,2]"))
    assert {"data", "priors", "tokenizers", "scale"} <= set(resolved[1:])


BROKEN = {
    "not YAML": "name: [cifar10",
    "a value of the wrong type": "name: cifar10\nsize: large\n",
    "an unknown key": "name: cifar10\nsides: 3\n",
    "a key twice": "name: cifar10\nname: cifar11\n",
    "a value out of its range": "name: cifar10\nsize: 0\n",
    "no keys": "- cifar10\n",
    "bytes": b"name: \xff\n",
    "an interpolation of nothing": "name: ${scale.nothing}\n",
    "a circle": "name: ${data.name}\n",
    "defaults of another kind": "defaults: [{/priors: gpt}, _self_]\n",
    "itself": "defaults: [mine, _self_]\n",
    "no such file": "defaults: [nothing, _self_]\n",
    "a package": "# @package _global_\nname: x\n",
    "a date of YAML": "name: !!binary aGVsbG8=\n",
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_one_line_that_names_it(edited_conf, text):
    (edited_conf / "data/mine.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(TwostageError, match=r"conf/data/(mine|nothing)\.yaml") as error:
        composition.compose(("data=mine",))
    assert len(str(error.value).splitlines()) == 1
    assert composition.compose(("data=cifar10",))["data"]["name"] == "cifar10"


def test_an_empty_file_of_an_older_version_is_not_read(edited_conf):
    os.makedirs(edited_conf.parent / "build/trees")
    (edited_conf.parent / "build/trees/x.json").touch()
    assert composition.compose(())["data"]["name"] == "cifar10"
