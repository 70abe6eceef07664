"""`--multirun`: one command for each combination of values, one after the other."""

import argparse
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from twostage.commands.console import log
from twostage.config import composition
from twostage.config.overrides import expanded
from twostage.config.schema import Config
from twostage.errors import TwostageError
from twostage.planning.prompt import without_folders

# Options that are of the sweep itself, and those that name what a run writes: these get the number of the run.
OWN = ("overrides", "multirun", "dry", "info")
WRITTEN = ("out", "log")


def sweep(command: str, arguments: argparse.Namespace) -> int:
    """Runs `twostage COMMAND` once for each combination; with --dry prints the commands. The exit status.

    A run that fails is named at the end, and the others run. Raises TwostageError, one line, before any of them if the
    overrides of one are wrong.
    """
    runs = commands(command, arguments)
    if arguments.dry:
        print("\n".join(_typed(words) for words in runs))
        return 0
    failed = [words for number, words in enumerate(runs, start=1) if not _succeeds(words, f"{number}/{len(runs)}")]
    for words in failed:
        log.error("failed: %s", _typed(words))
    return 1 if failed else 0


def commands(command: str, arguments: argparse.Namespace) -> list[list[str]]:
    """The words of every run's command, behind `twostage`."""
    options = {key: value for key, value in vars(arguments).items() if key not in OWN and value not in (None, False)}
    if "config" in options:
        raise TwostageError("--multirun goes with overrides; a resolved job, --config, is one run")
    sweeps = expanded(arguments.overrides, Config, composition.options)
    for overrides in sweeps:
        composition.compose(tuple(each for each in without_folders(overrides) if "=" in each))
    return [[command, *overrides, *_flags(options, number)] for number, overrides in enumerate(sweeps)]


def _flags(options: dict[str, Any], number: int) -> list[str]:
    """Options as typed; what is written has the run's number before its ending: x.0.png."""
    words: list[str] = []
    for key, value in options.items():
        path = Path(str(value))
        shown = path.with_name(f"{path.stem}.{number}{path.suffix}") if key in WRITTEN else value
        words += [f"--{key.replace('_', '-')}", str(shown)]
    return words


def _succeeds(words: list[str], place: str) -> bool:
    log.info("[%s] %s", place, _typed(words))
    # A process of its own, as if it was typed: nothing of one run is left in the next.
    return subprocess.run([sys.executable, "-m", "twostage", *words], check=False).returncode == 0


def _typed(words: list[str]) -> str:
    return shlex.join(["twostage", *words])
