"""One key scales all text."""

import matplotlib as mpl
import pytest

from twostage.config.schema import FiguresConfig
from twostage.figures.style import points, style

SIZES = ("font.size", "axes.labelsize", "axes.titlesize", "xtick.labelsize", "ytick.labelsize", "legend.fontsize")


def sizes(font_size):
    config = FiguresConfig("neurips2024", {}, 200, font_size)
    with style(config, rows=1, columns=1, panel_ratio=1):
        return [mpl.rcParams[name] for name in SIZES] + [points(4.5)]


def test_without_the_key_sizes_are_as_they_were():
    assert sizes(None) == [7, 7, 7, 6, 6, 7, 4.5]


def test_all_sizes_grow_in_proportion():
    assert sizes(14) == pytest.approx([2 * size for size in sizes(None)])
