"""`twostage models`: what every printed model has and takes: parameters beside the paper's, memory, seconds."""

import argparse
from pathlib import Path

from twostage.commands.console import one_line_errors
from twostage.commands.paths import writable_folder


def parser() -> argparse.ArgumentParser:
    """The command's own arguments."""
    found = argparse.ArgumentParser(prog="twostage models", description=__doc__)
    found.add_argument(
        "--results", type=writable_folder, default=Path("results"), help="where the table goes (default: results)"
    )
    return found


def main() -> None:
    """Writes models.csv and models.md."""
    with one_line_errors():
        arguments = parser().parse_args()
        from twostage.estimate.models import printed_models, write

        write(printed_models(), arguments.results)
    print(f"{arguments.results / 'models.md'}")
