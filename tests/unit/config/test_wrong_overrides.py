"""Five hundred wrong command lines, drawn at random out of the schema: each is one line, and never a traceback."""

import contextlib
import dataclasses
import logging
import sys
import typing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from twostage.commands import run
from twostage.config import composition, schema
from twostage.config.values import hint_of
from twostage.errors import TwostageError

EXAMPLES = 500


def keys_of(kind, prefix):
    """Every dotted key of a dataclass, those of its parts included."""
    for field in dataclasses.fields(kind):
        key = f"{prefix}.{field.name}" if prefix else field.name
        yield key
        inner = hint_of(kind, field.name)
        if dataclasses.is_dataclass(inner):
            yield from keys_of(inner, key)


KEYS = sorted(keys_of(schema.Config, ""))
NUMBERS = [key for key in KEYS if hint_of(schema.Config, key) in (int, float)]
REQUIRED = [key for key in NUMBERS if "None" not in str(typing.get_type_hints(
    hint_of(schema.Config, key.rpartition(".")[0]))[key.rpartition(".")[2]])]  # fmt: skip
GROUPS = [field.name for field in dataclasses.fields(schema.Config)]
ODD = st.text(st.characters(exclude_categories=()), min_size=1, max_size=20)
WORD = st.text("abcdefghijklmnop_", min_size=1, max_size=8)
BRACKETS = st.text("[]{}()\"'\\,:", min_size=1, max_size=8)


def joined(*parts):
    return st.tuples(*parts).map("".join)


# What is wrong whatever the rest is.
WRONG = st.one_of(
    joined(st.sampled_from(NUMBERS), st.just("="), WORD.map(lambda word: f"x{word}")),
    joined(st.sampled_from(NUMBERS), st.sampled_from(["=-1e400", "=9" + "9" * 30, "=nan", "=[]", "={}", "={a:1}"])),
    joined(st.sampled_from(REQUIRED), st.just("=null")),
    joined(st.sampled_from(KEYS), st.just(".zzz"), WORD, st.just("=1")),
    joined(st.sampled_from(GROUPS), st.just(".zzz"), WORD, st.just("="), ODD),
    joined(st.sampled_from(GROUPS), st.just("=zzz"), ODD),
    joined(st.just("zzz"), WORD, st.sampled_from(["=", ".size=", "@here="]), ODD),
    joined(
        st.sampled_from(KEYS), st.just("=${"), st.sampled_from(["zzz:1}", "scale.zzz}", "zzz", "oc.env:ZZZ_UNSET}"])
    ),
    joined(st.sampled_from(NUMBERS), st.just("="), BRACKETS),
    joined(st.just("~"), st.sampled_from(KEYS)),
    joined(st.sampled_from(KEYS), st.just("=${"), st.sampled_from(KEYS).map(lambda key: f"{key}.zzz}}")),
    # What may be right by chance, and is then told apart by its exit status.
    joined(st.sampled_from(KEYS), st.sampled_from(["=", "+=", "@x=", ".0=", "..=", ""]), ODD),
    joined(st.sampled_from(["", "+", "++", "~", "=", "."]), ODD),
    joined(st.sampled_from(KEYS), st.just("="), BRACKETS),
)


@pytest.fixture
def call(monkeypatch, tmp_path, capfd):
    monkeypatch.chdir(tmp_path)

    def typed(*arguments):
        monkeypatch.setattr(sys, "argv", ["data.prepare", "--cfg", "job", *arguments])
        try:
            run.run("data.prepare", schema.DataConfig, lambda config, job: None)
            code = 0
        except SystemExit as stop:
            code = stop.code
        logging.shutdown()
        return code, capfd.readouterr().err

    return typed


@pytest.mark.usefixtures("repository_conf")
def test_no_wrong_override_is_a_traceback(call, tmp_path, monkeypatch):
    codes = []
    # The files of conf/ are read once for all.
    trees = composition.trees()
    monkeypatch.setattr(composition, "trees", lambda: trees)

    @settings(max_examples=EXAMPLES, derandomize=True, deadline=None, database=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(WRONG)
    def refused_in_one_line(override):
        if override.startswith("-"):
            return
        # A verb refuses most keys of other stages before it reads their values: here they are read.
        with contextlib.suppress(TwostageError):
            composition.compose(("scale=smoke", override))
        code, said = call("scale=smoke", override)
        codes.append(code)
        if code:
            assert code == 1
            assert said.startswith("error: ")
            assert len(said.splitlines()) == 1, said

    refused_in_one_line()
    assert len(codes) >= EXAMPLES * 0.95
    assert sum(map(bool, codes)) > len(codes) * 0.8
    assert list(tmp_path.iterdir()) == []
