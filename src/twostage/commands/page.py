"""`twostage page`: results/index.html, the page to open after a run, from what lies in results/."""

import argparse
from pathlib import Path

from twostage.commands.console import one_line_errors
from twostage.commands.paths import writable_folder
from twostage.page.build import write


def parser() -> argparse.ArgumentParser:
    """The command's own arguments."""
    found = argparse.ArgumentParser(prog="twostage page", description=__doc__)
    found.add_argument(
        "--results", type=writable_folder, default=Path("results"), help="results of one scale (default: results)"
    )
    return found


def main() -> None:
    """Writes the page, and prints where it lies and how large it is."""
    with one_line_errors():
        arguments = parser().parse_args()
        path = write(arguments.results)
    print(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")
