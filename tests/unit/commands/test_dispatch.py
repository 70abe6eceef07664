"""Every name of the command line leads to its function."""

import dataclasses
import importlib
import inspect

import pytest

from twostage.commands.dispatch import COMMANDS, IMPORTS, config_of, work_of
from twostage.planning.verbs import VERBS


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_its_own_function_of_a_config_and_a_job(verb):
    work = work_of(verb)
    assert work.__module__ == f"twostage.{verb}"
    assert len(inspect.signature(work).parameters) == 2
    assert dataclasses.is_dataclass(config_of(work))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_can_be_called(command):
    assert callable(importlib.import_module(f"twostage.{COMMANDS[command][0]}").main)


@pytest.mark.parametrize("name", IMPORTS)
def test_every_converter_can_be_called(name):
    assert callable(importlib.import_module(f"twostage.{name}").convert)
