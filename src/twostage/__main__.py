"""`twostage COMMAND ...`, or `python -m twostage COMMAND ...`: the verbs of all stages, and what asks about results."""

import argparse
import importlib
import sys
from collections.abc import Callable
from typing import Any, get_type_hints

from twostage.planning.verbs import FILES

# Command -> module and function that reads its own arguments; `about` is its line of `twostage --help`.
COMMANDS = {
    "trace": ("commands.trace", "the jobs behind a cell of a table: learning rates, seeds, steps, commits"),
    "verify": ("commands.verify", "do the committed results hold?"),
    "from_data": ("commands.from_data", "everything from a folder of pictures to samples"),
    "check": ("commands.check", "what a local copy of a dataset lacks"),
    "fetch": ("commands.fetch", "fills the cache of downloads"),
    "cards": ("commands.cards", "prints docs/datasets.md"),
}
# Converters of released files.
IMPORTS = ("tokenizers.import_released", "priors.import_released")


def main() -> None:
    """Runs one command. `twostage COMMAND --help` says what it takes."""
    name, arguments = _chosen(sys.argv[1:])
    sys.argv = [f"twostage {name}", *arguments]
    if name in COMMANDS:
        importlib.import_module(f"twostage.{COMMANDS[name][0]}").main()
        return
    from twostage.commands import run

    if name in IMPORTS:
        module = importlib.import_module(f"twostage.{name}")
        run.run_import(name, module.__doc__, module.convert)
        return
    work = work_of(name)
    run.run(name, config_of(work), work)


def work_of(verb: str) -> Callable[[Any, Any], None]:
    """The function of a verb ("priors.train"), which has the verb's name."""
    work: Callable[[Any, Any], None] = getattr(importlib.import_module(f"twostage.{verb}"), verb.split(".")[1])
    return work


def config_of(work: Callable[[Any, Any], None]) -> Any:
    """The dataclass of a verb's configs: the type of its first parameter."""
    return get_type_hints(work)["config"]


def _chosen(arguments: list[str]) -> tuple[str, list[str]]:
    known = (*COMMANDS, *FILES, *IMPORTS)
    if arguments and arguments[0] in known:
        return arguments[0], arguments[1:]
    lines = [f"  {name:12}{about}" for name, (_, about) in COMMANDS.items()]
    epilog = "\n".join(["commands:", *lines, "verbs:", *(f"  {name}" for name in (*FILES, *IMPORTS))])
    parser = argparse.ArgumentParser(
        prog="twostage", description=__doc__, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", metavar="COMMAND", choices=known, help="one of those below")
    parser.parse_args(arguments)
    raise SystemExit(2)


if __name__ == "__main__":
    main()
