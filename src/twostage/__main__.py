"""`python -m twostage trace TABLE ROW [COLUMN]`: what asks about results. Verbs are modules of the stages."""

import argparse
from pathlib import Path

from twostage import cli, trace


def main() -> None:
    """Command line: prints the jobs behind a cell of a table."""
    parser = argparse.ArgumentParser(prog="python -m twostage", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    asked = commands.add_parser("trace", help="the jobs behind a cell: learning rates, seeds, steps, commits")
    asked.add_argument("table", type=Path, help="such as results/table1.csv")
    asked.add_argument("row", help="such as IN: the row's name in the table")
    asked.add_argument("column", nargs="?", help="such as transformer_steps: a column of the .csv")
    asked.add_argument("--configs", action="store_true", help="print the config of each job as well")
    arguments = parser.parse_args()
    with cli.one_line_errors():
        cli.start_log(None)
        print(trace.trace(arguments.table, arguments.row, arguments.column, arguments.configs))


if __name__ == "__main__":
    main()
