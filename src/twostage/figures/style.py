"""How every figure looks and is saved: same input, same bytes."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from tueplots import bundles

from twostage.config.schema import FiguresConfig
from twostage.errors import TwostageError
from twostage.runtime.artifacts import atomic_path

# Matplotlib reads the date of its files from here; a fixed one makes equal figures equal files.
os.environ.setdefault("SOURCE_DATE_EPOCH", "0")

# Size of labels and titles where the config says none.
USUAL_POINTS = 7


@contextlib.contextmanager
def style(config: FiguresConfig, rows: int, columns: int, panel_ratio: float) -> Iterator[None]:
    """Matplotlib settings of the chosen tueplots bundle for a grid of panels. Raises TwostageError if it is unknown."""
    bundle = getattr(bundles, config.style, None)
    if bundle is None:
        raise TwostageError(f"figures.style={config.style} is no tueplots bundle; try neurips2024 or icml2024")
    settings = bundle(usetex=False, nrows=rows, ncols=columns)
    width = settings["figure.figsize"][0]
    size = config.font_size or USUAL_POINTS
    settings |= {
        "figure.figsize": (width, width / columns * panel_ratio * rows),
        "svg.hashsalt": "twostage",
        "font.family": "DejaVu Sans",  # comes with matplotlib, so figures look the same on every machine
        "font.size": size,
        "axes.labelsize": size,
        "axes.titlesize": size,
        "xtick.labelsize": size * 6 / USUAL_POINTS,
        "ytick.labelsize": size * 6 / USUAL_POINTS,
        "legend.fontsize": size,
    }
    with mpl.rc_context(settings):
        yield


def points(usual: float) -> float:
    """A size of text that is `usual` at the usual font size: inside `style`, in proportion to the config's."""
    return usual * mpl.rcParams["font.size"] / USUAL_POINTS


def save(figure: Figure, folder: Path, name: str, png_dpi: int) -> None:
    """Writes NAME.pdf and NAME.png and closes the figure."""
    for extension in ("pdf", "png"):
        with atomic_path(folder / f"{name}.{extension}") as temporary:
            figure.savefig(temporary, format=extension, dpi=png_dpi)
    plt.close(figure)
