"""Turns the long error messages of OmegaConf, PyYAML and Hydra's parser into one line."""

from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError, YAMLError

# Raised by OmegaConf: for a bad value, and for a file that is not valid YAML.
UNREADABLE = (OmegaConfBaseException, YAMLError)


def first_line(error: BaseException) -> str:
    """First line of the error message; the error's type if there is no message."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def place(error: BaseException, group: str = "") -> str:
    """What is wrong and where: the line in the file, or the dotted key of the value."""
    if isinstance(error, RecursionError) or "RecursionError" in str(error):
        return f"a value of {group} refers to itself"
    if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    key = getattr(error, "full_key", None)
    if not key:
        return first_line(error)
    return f"{key if str(key).startswith(f'{group}.') else f'{group}.{key}'}: {first_line(error)}"
