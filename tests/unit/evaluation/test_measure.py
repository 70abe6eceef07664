"""A quantity with a function of its own: what that may return, and what a plugin's mistake says."""

import json

import numpy as np
import pytest
import torch

from twostage.config import plugins
from twostage.errors import TwostageError
from twostage.evaluation.measure import MeasureConfig, measure
from twostage.evaluation.quantities import QUANTITIES, Quantity
from twostage.latents.orderings import ordering

PLUGIN = """
import numpy as np
from twostage.evaluation.quantities import Quantity, add_quantity
from twostage.latents.orderings import add_ordering

def fails(*given):
    return [][3]

add_quantity("mine", Quantity("mine", "", "{format}", "neither", role="prior", measure=fails))
add_ordering("mine", fails)
"""


@pytest.fixture
def plugin(tmp_path):
    path = tmp_path / "mine.py"
    yield path
    plugins.forget(path)


class Job:
    def __init__(self, folder):
        self.folder, self.inputs = folder, {}


def measured(value, tmp_path, monkeypatch):
    quantity = Quantity("mine", "", ".3f", "neither", role="prior", measure=lambda folders: value)
    monkeypatch.setitem(QUANTITIES, "mine", quantity)
    measure(MeasureConfig("mine"), Job(tmp_path))
    return json.loads((tmp_path / "metrics.json").read_text())


@pytest.mark.parametrize("value", [3, 0.5, np.float32(0.5), np.int64(3)])
def test_a_finite_number_is_stored(value, tmp_path, monkeypatch):
    assert measured(value, tmp_path, monkeypatch) == {"mine": value}


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), "x", None, True, 1 + 2j, np.zeros(3), torch.tensor(3.5)], ids=str
)
def test_what_is_no_finite_number_is_refused_and_nothing_is_stored(value, tmp_path, monkeypatch):
    with pytest.raises(TwostageError, match=r"^quantity mine is .*; its function must return a finite number$"):
        measured(value, tmp_path, monkeypatch)
    assert not list(tmp_path.iterdir())


def test_an_error_of_a_plugin_names_its_line(plugin, tmp_path):
    plugin.write_text(PLUGIN.replace("{format}", ".3f"))
    plugins.load(plugin)
    for run in (lambda: measure(MeasureConfig("mine"), Job(tmp_path)), lambda: ordering("mine", 2, 2)):
        with pytest.raises(TwostageError, match=r"mine\.py: line 7: IndexError: list index out of range; mend it$"):
            run()


def test_an_error_of_ours_keeps_its_traceback(tmp_path, monkeypatch):
    quantity = Quantity("mine", "", ".3f", "neither", role="prior", measure=lambda folders: [][3])
    monkeypatch.setitem(QUANTITIES, "mine", quantity)
    with pytest.raises(IndexError):
        measure(MeasureConfig("mine"), Job(tmp_path))


def test_a_format_of_no_number_is_refused_when_the_plugin_is_loaded(plugin):
    plugin.write_text(PLUGIN.replace("{format}", "zzz"))
    with pytest.raises(TwostageError, match="quantity mine has format 'zzz'"):
        plugins.load(plugin)
