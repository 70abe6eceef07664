"""`twostage check data=NAME data.root=DIR`: what a local copy of a dataset lacks."""

import sys

from twostage.commands.arguments import Parser, parsed
from twostage.commands.console import one_line_errors
from twostage.config.composition import compose, parse
from twostage.config.schema import DataConfig
from twostage.data.check import check
from twostage.errors import TwostageError


def parser() -> Parser:
    """What the command takes."""
    about = "Says what a local copy of a dataset lacks, for example: data=imagenet data.root=/data/imagenet"
    return Parser("check", about, ("data", "scale"))


def main() -> None:
    """Command line of the verb: exit status 1, and a line for every problem, if the copy is not whole."""
    overrides = tuple(parsed(parser()).overrides)
    with one_line_errors():
        # Names of files may be no text.
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
        config = parse(DataConfig, compose(overrides)["data"])
        found, problems = check(config)
        print("\n".join([*found, *(f"problem: {problem}" for problem in problems)]))
        if problems:
            raise TwostageError(f"{config.root} is no whole copy of {config.name}: {len(problems)} problems, see above")
        print(f"{config.root} is a whole copy of {config.name}, as far as conf/data/ and docs/datasets.md say")
