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


@contextlib.contextmanager
def style(config: FiguresConfig, rows: int, columns: int, panel_ratio: float) -> Iterator[None]:
    """Matplotlib settings of the chosen tueplots bundle for a grid of panels. Raises TwostageError if it is unknown."""
    bundle = getattr(bundles, config.style, None)
    if bundle is None:
        raise TwostageError(f"figures.style={config.style} is no tueplots bundle; try neurips2024 or icml2024")
    settings = bundle(usetex=False, nrows=rows, ncols=columns)
    width = settings["figure.figsize"][0]
    settings |= {
        "figure.figsize": (width, width / columns * panel_ratio * rows),
        "svg.hashsalt": "twostage",
        "font.family": "DejaVu Sans",  # comes with matplotlib, so figures look the same on every machine
        "font.size": 7,
        "axes.labelsize": 7,
        "axes.titlesize": 7,
        "xtick.labelsize": 6,
        "ytick.labelsize": 6,
        "legend.fontsize": 7,
    }
    with mpl.rc_context(settings):
        yield


def save(figure: Figure, folder: Path, name: str, png_dpi: int) -> None:
    """Writes NAME.pdf and NAME.png and closes the figure."""
    for extension in ("pdf", "png"):
        with atomic_path(folder / f"{name}.{extension}") as temporary:
            figure.savefig(temporary, format=extension, dpi=png_dpi)
    plt.close(figure)
