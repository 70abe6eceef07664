"""The reference that --help prints: groups, their options, and their keys with types and ranges."""

import dataclasses
import textwrap
import typing
from collections.abc import Iterator
from typing import Any

from omegaconf import MISSING

from twostage.config import composition
from twostage.config.schema import Config
from twostage.config.values import hint_of, range_of, without_none


class Key(typing.NamedTuple):
    """A dotted config key, a short description of its values, and the words it may be if those are fixed.

    `default` is that of an option, which configs leave out while it has it; MISSING for all other keys.
    """

    name: str
    said: str
    choices: tuple[str, ...] = ()
    default: Any = MISSING


def reference(groups: tuple[str, ...]) -> str:
    """The options of some groups, then all their keys, one per line."""
    lines = [line for group in groups for line in _options_of(group)]
    # Scales have no schema; their files list the keys.
    found = [key for group in groups if _has_schema(group) for key in keys(group)]
    width = max((len(key.name) for key in found), default=0)
    listed = [f"  {key.name:{width}}  {key.said}" for key in found]
    return "\n".join(["groups, GROUP=OPTION:", *lines, "keys, KEY=VALUE:", *listed])


def _options_of(group: str) -> list[str]:
    text = f"{', '.join(composition.options(group))} (default {composition.default(group)})"
    return textwrap.wrap(text, 108, initial_indent=f"  {group:10} ", subsequent_indent=" " * 13)


def _has_schema(group: str) -> bool:
    return dataclasses.is_dataclass(hint_of(Config, group))


def keys(group: str) -> Iterator[Key]:
    """All keys of a group that hold a value, in the order of the schema."""
    return _keys(hint_of(Config, group), group) if _has_schema(group) else _untyped(group)


def _keys(kind: Any, name: str) -> Iterator[Key]:
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        hint, key = hints[field.name], f"{name}.{field.name}"
        if dataclasses.is_dataclass(without_none(hint)):
            yield from _keys(without_none(hint), key)
        else:
            choices = ("true", "false") if hint is bool else field.metadata.get("choices", ())
            default = field.default if "is_option" in field.metadata else MISSING
            yield Key(key, _said(hint, field.metadata), choices, default)


def _said(hint: Any, rule: typing.Mapping[str, Any]) -> str:
    plain = without_none(hint)
    kind = "list" if typing.get_origin(plain) is list else getattr(plain, "__name__", str(plain))
    parts = [" | ".join(rule["choices"]) if "choices" in rule else _of(plain), range_of(rule)]
    said = ", ".join(part for part in parts if part)
    said = f"list of {said}" if kind == "list" else said
    return said if hint is plain else f"{said}, or null"


def _of(hint: Any) -> str:
    """The type of a list's elements; other types unchanged."""
    inner = typing.get_args(hint)[0] if typing.get_origin(hint) is list else hint
    return _of(inner) if inner is not hint else str(getattr(hint, "__name__", hint))


def _untyped(group: str) -> Iterator[Key]:
    """Keys of a group without a schema, read from its default option."""
    values = composition.compose()[group] or {}
    return (Key(name, type(value).__name__) for name, value in _leaves(values, group))


def _leaves(tree: Any, name: str) -> Iterator[tuple[str, Any]]:
    if not isinstance(tree, dict):
        yield name, tree
        return
    for key, value in tree.items():
        yield from _leaves(value, f"{name}.{key}")
