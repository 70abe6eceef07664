"""How tables, figures and claims write the value of a varied key. Imports little, as every plan reads it."""

from typing import Any


def word(value: Any) -> str:
    """The value of a varied key as tables and figures write it; of a mapping, its keys and their values."""
    match value:
        case None:
            return "none"
        case float():
            return f"{value:g}"
        case dict():
            return ", ".join(f"{key} {word(each)}" for key, each in value.items())
        case list():
            return ", ".join(map(word, value))
        case _:
            return str(value)
