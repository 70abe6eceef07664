"""What a job chooses: words of its config, and of those of the jobs that it reads, that its code branches on."""

import dataclasses
import functools
from collections.abc import Iterable, Iterator
from typing import Any

from twostage.config import schema

# Config key -> the values that it has, as `twostage.runtime.fingerprint` takes them.
Choices = dict[str, list[str | None]]

# Choices of verbs whose types stand beside them; and keys of lists of such words.
_MORE = frozenset({"quantity"})
_LISTS = {"orderings": "ordering", "quantities": "quantity"}
# Not a choice, whatever it is one of: everything has a name, and few of them are a config's.
_NO_CHOICE = frozenset({"name"})


@functools.cache
def keys() -> frozenset[str]:
    """Config keys that hold one of some words."""
    kinds = [kind for kind in vars(schema).values() if dataclasses.is_dataclass(kind)]
    fields = [each for kind in kinds for each in dataclasses.fields(kind)]
    return frozenset(each.name for each in fields if _is_choice(each)) - _NO_CHOICE | _MORE


def _is_choice(field: "dataclasses.Field[Any]") -> bool:
    return "choices" in field.metadata and "once" not in field.metadata


def choices_of(config: Any) -> Choices:
    """The choices in a config, at any depth."""
    return _sorted(_pairs(config))


def joined(parts: Iterable[Choices | None]) -> Choices | None:
    """All values of all parts. None, nothing known, if a part is."""
    known = list(parts)
    pairs = [(key, value) for part in known if part is not None for key, values in part.items() for value in values]
    return None if None in known else _sorted(pairs)


def _pairs(config: Any) -> Iterator[tuple[str, str | None]]:
    if isinstance(config, list):
        for each in config:
            yield from _pairs(each)
    if isinstance(config, dict):
        for key, value in config.items():
            if key in keys() and isinstance(value, str | None):
                yield key, value
            elif key in _LISTS and isinstance(value, list):
                # An empty list is a choice too: of nothing.
                yield from ((_LISTS[key], word) for word in value or [None])
            else:
                yield from _pairs(value)


def _sorted(pairs: Iterable[tuple[str, str | None]]) -> Choices:
    found: dict[str, set[str | None]] = {}
    for key, value in pairs:
        found.setdefault(key, set()).add(value)
    return {key: sorted(found[key], key=str) for key in sorted(found)}
