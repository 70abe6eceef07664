"""What every command that reads configs takes beside its own arguments: overrides, and the options that Hydra has."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twostage.commands.console import one_line_errors, start_log
from twostage.config import composition


class Parser(argparse.ArgumentParser):
    """The arguments of a command; its help lists the options and keys of the groups that the command reads."""

    def __init__(self, command: str, about: str, groups: tuple[str, ...]) -> None:
        self.options: dict[str, tuple[str, ...]] = {}  # "--cfg" -> the words that it takes, if only some
        shape = argparse.RawDescriptionHelpFormatter
        super().__init__(f"twostage {command}", description=about, formatter_class=shape, allow_abbrev=False)
        self.command, self.groups = command, groups
        self.add_argument(
            "overrides", nargs="*", metavar="KEY=VALUE", help="group=option or key=value of conf/, in Hydra's syntax"
        )
        self.add_argument(
            "-m", "--multirun", action="store_true", help="sweep: one run for each of key=1,2 or key=range(1,4)"
        )
        self.add_argument("--dry", action="store_true", help="with -m: print the runs and start none")
        self.add_argument(
            "--config-dir", type=Path, metavar="DIR", help="files DIR/GROUP/NAME.yaml are options beside those of conf/"
        )
        self.add_argument("--info", action="store_true", help="print versions, paths, device and threads, and exit")

    def add_argument(self, *names: Any, **settings: Any) -> argparse.Action:
        """As every parser's, but the options are kept for completion."""
        words = tuple(settings.get("choices", ()))
        self.options |= {name: words for name in names if name.startswith("--")}
        return super().add_argument(*names, **settings)

    def format_help(self) -> str:
        """The usual help, and the reference of the groups: read from conf/ only when asked for."""
        # Lines of the reference are read beside each other, so none is wrapped anew.
        from twostage.config.reference import reference

        with one_line_errors():
            self.epilog = reference(self.groups)
        return super().format_help()


def parsed(parser: Parser, check: Callable[[argparse.Namespace], None] | None = None) -> argparse.Namespace:
    """What was typed, once it has passed the `check`, which raises TwostageError for what does not go together.

    Answers --info and --cfg tree, runs all runs of a --multirun, and exits after each.
    """
    with one_line_errors():
        start_log(None)
        arguments = parser.parse_intermixed_args()
        if arguments.dry and not arguments.multirun:
            parser.error("--dry goes with --multirun")
        if arguments.config_dir is not None:
            composition.add_folder(arguments.config_dir)
        if check is not None:
            check(arguments)
        if arguments.info:
            from twostage.commands.info import info

            print(info())
            raise SystemExit(0)
        if arguments.multirun:
            from twostage.commands.sweep import sweep

            raise SystemExit(sweep(parser.command, arguments))
        if getattr(arguments, "cfg", None) == "tree":
            from twostage.planning.prompt import without_folders

            print(json.dumps(composition.compose(without_folders(arguments.overrides)), indent=2))
            raise SystemExit(0)
    return arguments


def names_and_overrides(arguments: argparse.Namespace) -> tuple[list[str], tuple[str, ...]]:
    """The words without a `=`, such as the name of a study, and the overrides."""
    words: list[str] = arguments.overrides
    return [word for word in words if "=" not in word], tuple(word for word in words if "=" in word)
