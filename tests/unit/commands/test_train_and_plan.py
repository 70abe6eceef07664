"""`twostage train` and `twostage plan`."""

import sys
from pathlib import Path

import pytest

from twostage.__main__ import main
from twostage.commands.train import verb_of
from twostage.config import composition

ROOT = Path(__file__).parents[3]


@pytest.mark.usefixtures("repository_conf")
@pytest.mark.parametrize(
    ("overrides", "verb"),
    [
        ((), "priors.train"),
        (("priors=sundae",), "priors.train"),
        (("data=cifar10", "scale=smoke"), "priors.train"),
        (("tokenizers=vqgan_f2",), "tokenizers.train"),
        (("tokenizers.learning_rate=1e-3",), "tokenizers.train"),
        (("tokenizers=kmeans_f1",), "tokenizers.cluster"),
        (("tokenizers=greys_f1", "data=fashion_mnist"), "tokenizers.greys"),
        (("tokenizers=vqgan_f2", "priors=gpt"), "priors.train"),
        (("tokenizers=vqgan_f2", "priors.loop.seed=1"), "priors.train"),
        (("tokenizer=/a/folder",), "priors.train"),
    ],
)
def test_train_is_of_the_prior_unless_only_a_tokenizer_is_chosen(overrides, verb):
    assert verb_of(overrides) == verb


@pytest.fixture
def call(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(composition, "CONF", ROOT / "conf")

    def typed(*words):
        monkeypatch.setattr(sys, "argv", ["twostage", *words])
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code
        return code, capsys.readouterr()

    return typed


def test_train_prints_the_config_of_its_verb(call):
    code, printed = call("train", "tokenizers=greys_f1", "scale=smoke", "--cfg", "job")
    assert code == 0
    assert '"name": "greys_f1"' in printed.out
    assert "tokenizers.greys" in printed.err


def test_plan_prints_a_line_for_each_job_and_their_number(call):
    code, printed = call("plan", "edges", "scale=smoke")
    lines = printed.out.splitlines()
    assert code == 0
    assert any(line.split() == ["to", "do", "data.prepare", "cifar10"] for line in lines)
    assert lines[-2].split() == ["to", "do", "figures.conditional", "edges"]
    assert lines[-1] == f"{len(lines) - 1} jobs, 0 of them made"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("plan", "egdes"), "no experiment egdes"),
        (("plan", "edges", "depth"), "no experiment edges depth"),
        (("plan", "edges", "priors=gpt"), "reads the scale alone"),
        (("plan", "edges", "scale=huge"), "scale/huge"),
        (("train", "tokenizers=vqgan"), "tokenizers/vqgan"),
        (("sample", "priors=lstm"), "priors/lstm"),
        (("redraw", "edges"), "params.yaml"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(call, tmp_path, words, said):
    code, printed = call(*words)
    assert code == 1
    assert len(printed.err.splitlines()) == 1
    assert said in printed.err
    assert list(tmp_path.iterdir()) == []


def test_info_names_versions_and_folders(call):
    code, printed = call("--info")
    named = dict(line.split(maxsplit=1) for line in printed.out.splitlines())
    assert code == 0
    assert {"python", "torch", "hydra-core", "package", "conf", "device", "threads", "cache"} <= set(named)
    assert Path(named["conf"]) == ROOT / "conf"


@pytest.mark.parametrize("command", ["train", "sample", "plan", "redraw", "check", "from_data", "priors.train"])
def test_help_lists_groups_and_keys(call, command):
    code, printed = call(command, "--help")
    assert code == 0
    assert "groups, GROUP=OPTION:" in printed.out
    assert "--config-dir" in printed.out
