"""`twostage COMMAND ...`, or `python -m twostage COMMAND ...`: the verbs of all stages, and what asks about results."""

import argparse
import importlib
import sys

from twostage.commands.console import one_line_errors, start_log
from twostage.commands.dispatch import COMMANDS, IMPORTS, NAMES
from twostage.commands.environment import require_cache


def main() -> None:
    """Runs one command. `twostage COMMAND --help` says what it takes."""
    with one_line_errors():
        start_log(None)
        require_cache()
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
    # Before torch is loaded: --help and mistakes in what was typed need none of it.
    run.run_verb(name, run.verb_arguments(name))


def _chosen(arguments: list[str]) -> tuple[str, list[str]]:
    if arguments and arguments[0] in NAMES:
        return arguments[0], arguments[1:]
    lines = [f"  {name:12}{about}" for name, (_, about) in COMMANDS.items()]
    verbs = [name for name in NAMES if name not in COMMANDS]
    epilog = "\n".join(["commands:", *lines, "verbs:", *(f"  {name}" for name in verbs)])
    parser = argparse.ArgumentParser(
        "twostage", description=__doc__, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", metavar="COMMAND", choices=NAMES, help="one of those below")
    parser.add_argument("--info", action="store_true", help="print versions, paths, device and threads, and exit")
    parser.add_argument("--completion", choices=["bash", "zsh"], help="print the script of tab completion, and exit")
    _answer(parser, arguments)
    raise SystemExit(2)


def _answer(parser: argparse.ArgumentParser, arguments: list[str]) -> None:
    """What is asked for without a command; exits."""
    match arguments:
        case ["--info"]:
            from twostage.commands.info import info

            with one_line_errors():
                print(info())
        case ["--completion", "bash" | "zsh" as shell]:
            from twostage.commands.completion import script

            print(script(shell), end="")
        case ["--complete", "bash" | "zsh" as shell, line]:
            from twostage.commands.completion import replies

            print("".join(f"{reply}\n" for reply in replies(shell, line)), end="")
        case _:
            parser.parse_args(arguments)
            return
    raise SystemExit(0)


if __name__ == "__main__":
    main()
