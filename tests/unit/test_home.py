"""Paths of a user who does not exist are one line, wherever a person may type a path."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from twostage import api
from twostage.commands import sample
from twostage.config import composition, plugins
from twostage.config.composition import compose
from twostage.errors import TwostageError
from twostage.home import home
from twostage.planning import made, prompt
from twostage.runtime.job import Job

NOBODY = "~no_such_user/x"


def test_a_home_folder_takes_the_place_of_its_sign(monkeypatch):
    monkeypatch.setenv("HOME", "/somewhere")
    assert home("~/a") == Path("/somewhere/a")
    assert home(Path("a/~b")) == Path("a/~b")


def brings(**config):
    return Job("data", "prepare", "mine", "smoke", config, {}, "out", [])


@pytest.mark.parametrize(
    "ask",
    [
        lambda: home(NOBODY),
        lambda: composition.add_folder(Path(NOBODY)),
        lambda: composition.add_study(Path(f"{NOBODY}.yaml")),
        lambda: plugins.load(Path(f"{NOBODY}.py")),
        lambda: sample.folder_of(NOBODY),
        lambda: sample.verb_of((f"prior={NOBODY}",)),
        lambda: api.load_tokenizer(NOBODY),
        lambda: api.load_prior(NOBODY),
        lambda: made.brought(brings(source="folder", root=NOBODY, index=None, validation_index=None)),
        lambda: made.brought(brings(condition_file=NOBODY)),
        lambda: prompt._given("prior", NOBODY, ()),
    ],
)
def test_a_user_without_a_home_folder_is_one_line(ask):
    with pytest.raises(TwostageError, match=r"no home folder for ~no_such_user; write the whole path") as caught:
        ask()
    assert "\n" not in str(caught.value)


PATHS = [
    ("data=folder", "data.root"),
    ("data=folder", "data.index"),
    ("data=folder", "data.validation_index"),
    ("data=cifar10", "sampling.condition_file"),
    ("data=cifar10", "sampling.denoising.condition_file"),
    ("data=cifar10", "sampling.inpainting.mask_file"),
]


@pytest.mark.parametrize(("data", "key"), PATHS)
@pytest.mark.parametrize(
    ("text", "said"),
    [("''", "is not set: its text is empty"), ("'  '", "is not set: its text is empty"), (f"'{NOBODY}'", "no home fo")],
)
def test_every_path_of_a_config_is_looked_at_before_any_work(data, key, text, said):
    with pytest.raises(TwostageError, match=rf"{key}.*{said}"):
        compose((data, f"{key}={text}"))


@pytest.mark.parametrize("arguments", [["--info"], ["fetch", "cifar10"]])
def test_a_cache_of_nobody_is_one_line(arguments):
    env = os.environ | {"TWOSTAGE_CACHE": NOBODY}
    found = subprocess.run([sys.executable, "-m", "twostage", *arguments], capture_output=True, text=True, env=env)
    assert found.returncode == 1
    assert found.stderr.startswith(f"error: TWOSTAGE_CACHE={NOBODY}: no home folder for ~no_such_user")
    assert found.stderr.count("\n") == 1
