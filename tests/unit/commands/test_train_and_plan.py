"""`twostage train` and `twostage plan`."""

import sys
from pathlib import Path

import pytest

from twostage.__main__ import main
from twostage.commands.train import verb_of
from twostage.config import composition
from twostage.runtime.artifacts import write_json

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
    assert any(line.split() == ["to", "do", "?", "data.prepare", "cifar10"] for line in lines)
    assert lines[-2].split()[-1] == "edges"
    number = len(lines) - 1
    assert lines[-1] == f"{number} jobs, 0 made, {number} to do: 0 s of CPU time, and {number} jobs of unknown cost"


def test_plan_takes_a_cost_from_the_jobs_own_record_or_from_those_of_its_verb(call, tmp_path):
    earlier = {
        "priors.tune other": {"job": "priors.tune other", "scale": "smoke", "finished": "1", "cpu_seconds": 120},
        "latents.encode x": {"job": "latents.encode x", "scale": "laptop", "finished": "1", "cpu_seconds": 9},
    }
    own = {"job": "data.prepare cifar10", "scale": "smoke", "finished": "1", "cpu_seconds": 7.4}
    write_json(tmp_path / "results/smoke/x.provenance.json", own | {"rests_on": earlier})
    write_json(tmp_path / "artifacts/smoke/data/y/provenance.json", own | {"finished": "2", "cpu_seconds": 8})
    _, printed = call("plan", "gpt_dropout", "scale=smoke")
    lines = [line.split(maxsplit=2)[2] for line in printed.out.splitlines()[:-1]]
    assert any(line.startswith("8 s  data.prepare") for line in lines)
    assert any(line.startswith("~2.0 min  priors.tune") for line in lines)
    assert any(line.startswith("?  latents.encode") for line in lines)
    assert ": 2.1 min of CPU time, and" in printed.out.splitlines()[-1]


def test_plan_takes_a_study_by_its_path(call, tmp_path, monkeypatch):
    monkeypatch.setattr(composition, "_studies", {})
    text = (ROOT / "conf/study/gpt_dropout.yaml").read_text().replace("name: gpt_dropout", "name: mine")
    (tmp_path / "mine.yaml").write_text(text)
    code, printed = call("plan", "mine.yaml", "scale=smoke")
    assert code == 0
    assert printed.out.splitlines()[-2].split()[-2:] == ["figures.study", "mine"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("plan", "egdes"), "no study egdes"),
        (("plan", "edges", "depth"), "no study edges depth"),
        (("plan", "none.yaml"), "none.yaml; name a file that ends in .yaml"),
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
