"""Tab completion: `source <(twostage --completion bash)`. Commands, options, groups, keys and their values."""

import importlib
import shlex
from collections.abc import Iterable
from typing import Any

from twostage.commands.arguments import Parser
from twostage.commands.dispatch import COMMANDS, IMPORTS, NAMES
from twostage.config import composition
from twostage.config.reference import keys
from twostage.errors import TwostageError

# Bash breaks words at `=`, so its replies begin behind it; zsh does not.
SCRIPT = """\
_twostage() {{
    local IFS=$'\\n'
    COMPREPLY=($(twostage --complete {shell} "${{COMP_LINE:0:$COMP_POINT}}" 2>/dev/null))
}}
complete -o nospace -o default -F _twostage twostage
"""
ZSH = "autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\n"


def script(shell: str) -> str:
    """What a shell reads to complete `twostage`."""
    return (ZSH if shell == "zsh" else "") + SCRIPT.format(shell=shell)


def replies(shell: str, line: str) -> list[str]:
    """What may stand in place of the last word of a line, which may be empty, as the shell takes it."""
    try:
        words = shlex.split(line)[1:] + ([""] if line.endswith(" ") else [])
        found = [word for word in _candidates(words) if word.startswith(words[-1])] if words else []
    except (ValueError, TwostageError):
        return []
    # What waits for a value is followed by no space.
    ended = [word if word.endswith("=") else f"{word} " for word in found]
    return [word.partition("=")[2] for word in ended] if shell == "bash" and words and "=" in words[-1] else ended


def _candidates(words: list[str]) -> Iterable[str]:
    *before, word = words
    if not before:
        return [*NAMES, "--help", "--info", "--completion"]
    parser = _parser(before[0])
    if parser is None:
        return []
    if before[-1] in parser.options and (choices := parser.options[before[-1]]):
        return choices
    if word.startswith("-"):
        return parser.options
    if "=" in word:
        name = word.partition("=")[0]
        return [f"{name}={value}" for value in _values(name)]
    names = composition.options("study") if before[0] in ("plan", "redraw") else []
    return [*names, *(f"{word}=" for word in _names(parser.groups))]


def _parser(command: str) -> Parser | None:
    """The arguments of a command that reads configs; None for another one."""
    if command in COMMANDS:
        module: Any = importlib.import_module(f"twostage.{COMMANDS[command][0]}")
        made: Parser | None = module.parser() if hasattr(module, "parser") else None
        return made
    from twostage.commands import run

    return run.verb_parser(command, command) if command in NAMES and command not in IMPORTS else None


def _names(groups: Iterable[str]) -> Iterable[str]:
    return [name for group in groups for name in (group, *(key.name for key in keys(group)))]


def _values(name: str) -> Iterable[str]:
    """What a group or a key may be, as far as it is known."""
    group, dot, _ = name.partition(".")
    if group not in composition.groups():
        return []
    return next((key.choices for key in keys(group) if key.name == name), ()) if dot else composition.options(group)
