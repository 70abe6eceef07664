"""Parses the overrides that a person types, `group=option` and `key=value`, with Hydra's parser.

The only module that imports hydra. Text values keep the characters as typed: a dataset may be called 1.10.
"""

import itertools
import json
import re
import shlex
from collections.abc import Callable, Sequence
from typing import Any, get_args, get_origin

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from twostage.config.errors import first_line
from twostage.config.trees import Change
from twostage.config.values import hint_of
from twostage.errors import TwostageError

_KEY = re.compile(r"(\+{0,2})([A-Za-z_][\w.]*)=(.*)", re.DOTALL)
ONE_RUN = "a run takes one value per key. To sweep, add --multirun/-m, which runs the command once for each value"


def expanded(overrides: Sequence[str], schema: type, options: Callable[[str], list[str]]) -> list[tuple[str, ...]]:
    """The runs of a sweep: every combination of the values of its overrides. The last override varies fastest.

    `options` lists the files of a group, for glob(). Arguments that are no key of `schema`, such as prior=DIR, stay
    unchanged. Raises TwostageError, one line, for what cannot be parsed, and for an interval, which is not finite.
    """
    parts = [_values_of(override, schema, options) for override in overrides]
    return list(itertools.product(*parts))


def _values_of(override: str, schema: type, options: Callable[[str], list[str]]) -> list[str]:
    match = _KEY.fullmatch(override)
    if match is None or hint_of(schema, match[2].partition(".")[0]) is None:
        return [override]
    plus, key, raw = match[1], match[2], match[3].strip()
    hint, shown = hint_of(schema, key) if "." in key else str, _printable(override)
    try:
        parsed = _read(f"{key}={raw}")
    except (HydraException, OmegaConfBaseException, RecursionError) as error:
        raise TwostageError(f"{shown}: cannot be read; {_mend(key, raw, hint)}") from error
    if not parsed.is_sweep_override():
        return [override]
    if not parsed.is_discrete_sweep():
        raise TwostageError(f"{shown}: cannot sweep over an interval; write key=1,2,3 or key=range(1,4)")
    # Hydra expands glob() only with its own config loader.
    if isinstance(found := parsed.value(), Glob):
        if not (names := found.filter(options(key))):
            raise TwostageError(f"{shown}: no option of {key} matches; choose from {', '.join(options(key))}")
        return [f"{plus}{key}={name}" for name in names]
    if any(_has_number_for_text(value, hint) for value in parsed.sweep_iterator()):
        raise TwostageError(f'{shown}: {key} must be text, not a number; quote each value, as in \'{key}="a","b"\'')
    return [f"{plus}{key}={value}" for value in parsed.sweep_string_iterator()]


def changes(overrides: Sequence[str], schema: type) -> list[Change]:
    """The changes to a tree of `schema` that the overrides ask for.

    Raises TwostageError, one line, for an override that cannot be parsed; it shows the correct quoting if there is one.
    """
    found = [_change(override, schema) for override in overrides]
    groups = [change.key for change in found if "." not in change.key]
    if twice := [group for group in groups if groups.count(group) > 1]:
        raise TwostageError(f"{twice[0]} is chosen twice: {' '.join(overrides)}; choose one")
    return found


def _change(override: str, schema: type) -> Change:
    match = _KEY.fullmatch(override)
    shown = _printable(override)
    if match is None or ".." in match[2] or match[2].endswith("."):
        raise TwostageError(f"{shown}: write group=option or key=value, with dots between a key's parts")
    plus, key, raw = match[1], match[2], match[3].strip()
    # The option of a group is text, even if it looks like a number.
    hint = hint_of(schema, key) if "." in key else str
    try:
        value = _parsed(f"{key}={raw}", key, raw, hint, shown)
        text = json.dumps(_as_typed(value, key, raw, hint, shown))
    except (TypeError, ValueError) as error:
        raise TwostageError(f"{shown}: {first_line(error)}") from error
    return Change(key, text, shown, may_add=bool(plus))


def _parsed(override: str, key: str, raw: str, hint: Any, shown: str) -> Any:
    """The value as Hydra's grammar reads it."""
    try:
        parsed = _read(override)
    except (HydraException, OmegaConfBaseException, RecursionError) as error:
        raise TwostageError(f"{shown}: cannot be read; {_mend(key, raw, hint)}") from error
    if parsed.is_sweep_override():
        raise TwostageError(f"{shown}: {ONE_RUN}{_or_quoted(key, raw, hint)}")
    return parsed.value()


def _read(override: str) -> Override:
    return OverridesParser.create().parse_override(override)


def _as_typed(value: Any, key: str, raw: str, hint: Any, shown: str) -> Any:
    """A text value as it was typed: the grammar would read 1.10 as the number 1.1."""
    if hint is str and isinstance(value, bool | int | float) and not re.match(r"\w+\(", raw):
        return raw
    if _has_number_for_text(value, hint):
        raise TwostageError(f"{shown}: {key} must be text; {_mend(key, raw, hint)}")
    return value


def _has_number_for_text(value: Any, hint: Any) -> bool:
    if get_origin(hint) is list and isinstance(value, list):
        return any(_has_number_for_text(part, get_args(hint)[0]) for part in value)
    if isinstance(value, dict):
        of_parts = {part: hint_of(hint, str(part)) for part in value}
        return any(_has_number_for_text(value[part], of_part) for part, of_part in of_parts.items())
    return hint is str and isinstance(value, bool | int | float)


def _mend(key: str, raw: str, hint: Any) -> str:
    if get_origin(hint) is list:
        return f"write {_quoted_list(key, raw)}" if _quoted_list(key, raw) else f"write a list as '{key}=[a,b]'"
    quoted = _quoted(key, raw)
    if hint is str and quoted:
        return f"write {quoted}"
    return f"write a plain value, or quote text inside the shell's quotes: '{key}=\"some text\"'"


def _or_quoted(key: str, raw: str, hint: Any) -> str:
    if get_origin(hint) is list and (quoted := _quoted_list(key, raw)):
        return f"; as one list, {quoted}"
    if hint is str and (quoted := _quoted(key, raw)):
        return f"; as one text, {quoted}"
    return ""


def _quoted(key: str, raw: str) -> str | None:
    """The override, quoted for a shell, that sets the key to exactly the text `raw`; None if there is none."""
    return _proven(f"{key}={_in_quotes(raw)}", raw)


def _quoted_list(key: str, raw: str) -> str | None:
    """The same for a list, with each part in quotes as it was typed."""
    inner = raw.removeprefix("[").removesuffix("]")
    parts = [part.strip() for part in inner.split(",")]
    if not inner or any(sign in inner for sign in "[]{}\"'\\"):
        return None
    return _proven(f"{key}=[{','.join(_in_quotes(part) for part in parts)}]", parts)


def override_of(key: str, value: Any) -> str:
    """The override that sets a key to a value of a resolved config."""
    return f"{key}={_typed(value)}"


def _typed(value: Any) -> str:
    match value:
        case str():
            # Escape "${", which would refer to another key, and the backslashes before it.
            return _in_quotes(re.sub(r"(\\*)\$\{", r"\1\1\\${", value))
        case list():
            return f"[{','.join(map(_typed, value))}]"
        case dict():
            return "{" + ",".join(f"{key}:{_typed(part)}" for key, part in value.items()) + "}"
        case _:
            return json.dumps(value)


def _in_quotes(text: str) -> str:
    # Only backslashes before a quote need escaping.
    escaped = re.sub(r'(\\*)"', r'\1\1\\"', text)
    return '"' + re.sub(r"(\\+)$", r"\1\1", escaped) + '"'


def _proven(override: str, meant: Any) -> str | None:
    try:
        is_meant = _read(override).value() == meant
    except (HydraException, OmegaConfBaseException, RecursionError):
        return None
    return shlex.quote(override) if is_meant and override.isprintable() else None


def _printable(text: str) -> str:
    return text if text.isprintable() else ascii(text)[1:-1]
