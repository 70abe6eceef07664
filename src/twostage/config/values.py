"""Ranges and choices of config values. Each field declares its own; `check` checks them all."""

import dataclasses
import functools
import math
import re
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any

from omegaconf import MISSING

from twostage.config import plugins
from twostage.errors import TwostageError
from twostage.home import home

# Folder names are built from several such names. A file name may have 255 bytes, so each gets a quarter.
LONGEST_NAME = 64
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")
# Control characters and surrogates. U+DC80 to U+DCFF encode the bytes of a file name that is not UTF-8.
_UNPRINTABLE = re.compile("[\x00-\x1f\ud800-\udc7f\udd00-\udfff]")
# No run reaches this count. numpy and torch count up to 2^63.
_MOST = 2**31 - 1


def at_least(least: float, default: Any = MISSING) -> Any:
    """A number of at least `least`; in a list, every number."""
    return dataclasses.field(default=default, metadata={"least": least})


def above(bound: float, default: Any = MISSING) -> Any:
    """A number above `bound`; in a list, every number."""
    return dataclasses.field(default=default, metadata={"above": bound})


def between(least: float, most: float, default: Any = MISSING) -> Any:
    """A number from `least` to `most`."""
    return dataclasses.field(default=default, metadata={"least": least, "most": most})


def share(default: Any = MISSING) -> Any:
    """A number from 0 to 1."""
    return dataclasses.field(default=default, metadata={"least": 0, "most": 1})


def one_of(*choices: str, default: Any = MISSING) -> Any:
    """One of some words."""
    return dataclasses.field(default=default, metadata={"choices": choices})


def some_of(*choices: str) -> Any:
    """A list of some words, each at most once; empty by default."""
    return dataclasses.field(default_factory=list, metadata={"choices": choices, "once": True})


def folder_name(default: Any = MISSING) -> Any:
    """A word that is used as a folder name."""
    return dataclasses.field(default=default, metadata={"name": True})


def brought(default: Any = None) -> Any:
    """The path of a file or folder that the user brings."""
    return dataclasses.field(default=default, metadata={"path": True})


def option(field: Any) -> Any:
    """A field that configs leave out while it has its default, so that jobs that do not use it keep their names."""
    return dataclasses.field(default=field.default, metadata={**field.metadata, "is_option": True})


# The types of a dataclass's fields. To find them anew takes a tenth of the time of a plan.
# `check` does without, as every job counts it as its code.
_hints: Callable[[Any], dict[str, Any]] = functools.cache(typing.get_type_hints)


def without_unused(kind: Any, values: Any) -> Any:
    """The values of the dataclass `kind`, as plain dicts, without each `option` that has its default."""
    if not dataclasses.is_dataclass(kind) or not isinstance(values, dict):
        return values
    hints = _hints(kind)
    defaults = {each.name: each.default for each in dataclasses.fields(kind) if "is_option" in each.metadata}
    return {
        key: without_unused(without_none(hints[key]), value) if key in hints else value
        for key, value in values.items()
        if key not in defaults or value != defaults[key]
    }


def check(kind: Any, values: Any, key: str, said: str) -> None:
    """Raises TwostageError for the first value that its field does not allow: one line that begins with `said`.

    `values` are those of the dataclass `kind`, as plain dicts. Other kinds are not checked. Missing values pass.
    """
    for wrong in _wrong(kind, values, key):
        raise TwostageError(f"{said}: {wrong}")


def check_paths(kind: Any, values: Any, key: str, said: str) -> None:
    """Raises TwostageError, one line that begins with `said`, for a path of the user's that is blank, or of no user.

    Arguments as of `check`. It stands apart from `check`, which every job counts as its code.
    """
    if not dataclasses.is_dataclass(kind) or not isinstance(values, dict):
        return
    hints = _hints(kind)
    for field in dataclasses.fields(kind):
        value, name = values.get(field.name), f"{key}.{field.name}"
        check_paths(without_none(hints[field.name]), value, name, said)
        if "path" not in field.metadata or value is None or value == MISSING:
            continue
        if not value.strip():
            raise TwostageError(
                f"{said}: {name} is not set: its text is empty, as from an unset variable of the shell; give a path, "
                "or leave the key out"
            )
        try:
            home(value)
        except TwostageError as error:
            raise TwostageError(f"{said}: {name}={error}") from error


def _wrong(kind: Any, values: Any, key: str) -> Iterator[str]:
    if key == "scale" and isinstance(values, dict):
        yield from _wrong_name(values.get("name"), "scale.name")
    if not dataclasses.is_dataclass(kind) or not isinstance(values, dict):
        return
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        value, inner = values.get(field.name), without_none(hints[field.name])
        if value is None or value == MISSING:
            continue
        yield from _wrong(inner, value, f"{key}.{field.name}")
        yield from _wrong_value(field.metadata, value, f"{key}.{field.name}")


def range_of(rule: typing.Mapping[str, Any]) -> str:
    """The range of a field, such as "at least 1"; empty if it has none."""
    if "most" in rule:
        return f"from {rule['least']} to {rule['most']}"
    if "above" in rule:
        return f"above {rule['above']}"
    return f"at least {rule['least']}" if "least" in rule else ""


def hint_of(schema: Any, key: str) -> Any:
    """The type of a dotted key of a dataclass, without `| None`; None if the key or its type is unknown."""
    hint = without_none(schema)
    for part in key.split("."):
        if dataclasses.is_dataclass(hint):
            hint = _hints(hint).get(part)
        elif typing.get_origin(hint) is dict:
            hint = typing.get_args(hint)[1]
        else:
            return None
        hint = without_none(hint)
    return hint


def without_none(hint: Any) -> Any:
    """The type without None: int for `int | None`."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return next(each for each in typing.get_args(hint) if each is not type(None))
    return hint


def _wrong_value(rule: typing.Mapping[str, Any], value: Any, key: str) -> Iterator[str]:
    parts = value if isinstance(value, list) else [value]
    for part in parts:
        if isinstance(part, float) and not math.isfinite(part):
            yield f"{key} is {part}; set a finite number"
        if isinstance(part, int) and abs(part) > _MOST:
            yield f"{key} is {part}; set a number of at most {_MOST}"
        if isinstance(part, int | float) and not _within(rule, part):
            said = range_of(rule)
            yield f"{key} is {part}; set a number {'of ' if said.startswith('at') else ''}{said}"
        choices = (*rule.get("choices", ()), *plugins.words(key.rpartition(".")[2]))
        if "choices" in rule and part not in choices:
            yield f"{key} is {part}; choose {'some' if 'once' in rule else 'one'} of {', '.join(choices)}"
        if "name" in rule:
            yield from _wrong_name(part, key)
        if isinstance(part, str) and _UNPRINTABLE.search(part):
            yield f"{key} is {part!r}; remove characters that cannot be printed"
    if "once" in rule and len(set(parts)) < len(parts):
        yield f"{key} is {', '.join(map(str, parts))}; name each once"


def _within(rule: typing.Mapping[str, Any], number: float) -> bool:
    return (
        number >= rule.get("least", -math.inf)
        and number > rule.get("above", -math.inf)
        and number <= rule.get("most", math.inf)
    )


def _wrong_name(value: Any, key: str) -> Iterator[str]:
    if not isinstance(value, str) or not _NAME.fullmatch(value) or len(value) > LONGEST_NAME:
        yield (
            f"{key} is {value!r:.100}; it is used as a folder name: use 1 to {LONGEST_NAME} letters (a-z), digits and "
            "_ . + -, and begin with a letter, digit or _"
        )
