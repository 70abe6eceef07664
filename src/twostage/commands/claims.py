"""`twostage claims`: the verdict of every claim of the two papers, from the tables in results/."""

import argparse
from pathlib import Path

from twostage.claims.board import VERDICTS, Board, write
from twostage.commands.console import one_line_errors
from twostage.commands.paths import writable_folder


def parser() -> argparse.ArgumentParser:
    """The command's own arguments."""
    found = argparse.ArgumentParser(prog="twostage claims", description=__doc__)
    found.add_argument(
        "--results", type=writable_folder, default=Path("results"), help="tables of one scale (default: results)"
    )
    return found


def main() -> None:
    """Writes claims.csv and claims.md beside the tables, and prints how many claims have which verdict."""
    with one_line_errors():
        arguments = parser().parse_args()
        board = Board.of(arguments.results)
        write(board, arguments.results)
    counts = board.counts()
    for name in VERDICTS:
        print(f"{counts[name]:3}  {name}")
    print(f"{arguments.results / 'claims.md'}")
