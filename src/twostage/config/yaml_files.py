"""Reads YAML that people write. A key that occurs twice is an error: PyYAML would silently take the last one."""

import functools
from pathlib import Path
from typing import Any

import yaml
from omegaconf._utils import get_yaml_loader

from twostage.config.errors import place
from twostage.errors import TwostageError

# PyYAML raises any of these for a value that its tag does not fit, such as `!!bool maybe`.
_UNFIT = (ValueError, LookupError, AttributeError, TypeError)
# Keys << and =, which have no value.
_SIGNS = ("tag:yaml.org,2002:merge", "tag:yaml.org,2002:value")


def read_yaml(path: Path, said: str = "") -> Any:
    """What a YAML file holds; None if it is empty. `said`: the file's name in errors, by default its path.

    Raises TwostageError, one line, for a file that cannot be read, is not UTF-8 or YAML, or names a key twice.
    """
    said = said or str(path)
    return parsed_yaml(read_text(path, said), said)


def read_text(path: Path, said: str) -> str:
    """The text of a file that a person writes. Raises TwostageError, one line, if there is none in UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise TwostageError(f"{said} is no UTF-8 text (byte {error.start}); save it as UTF-8") from error
    except OSError as error:
        raise TwostageError(f"{said} cannot be read ({error.strerror}); it must be a readable YAML file") from error


def parsed_yaml(text: str, said: str) -> Any:
    """What YAML text holds; None if it is empty. Raises TwostageError, one line that begins with `said`."""
    try:
        return yaml.load(text, loader())
    except RecursionError as error:
        raise TwostageError(f"{said} nests lists or keys too deeply to be read; nest them less") from error
    except yaml.YAMLError as error:
        raise TwostageError(f"{said}: {place(error)}; it must be YAML that names each key once") from error
    except _UNFIT as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise TwostageError(
            f"{said} has a value that is none ({reason}); quote it, or remove its tag (!!...)"
        ) from error


@functools.cache
def loader() -> type[yaml.CSafeLoader]:
    """Reads YAML as OmegaConf does (1e-4 is a number), but with PyYAML's C parser, in a tenth of the time."""

    class Loader(yaml.CSafeLoader):
        def __init__(self, stream: str) -> None:
            super().__init__(stream)
            self.flattened: set[int] = set()

        def flatten_mapping(self, node: yaml.MappingNode) -> None:
            # Once merged, a key may stand there twice: the mapping's own, and the one that it replaces.
            if id(node) not in self.flattened:
                self.flattened.add(id(node))
                self.refuse_twins(node)
            super().flatten_mapping(node)

        def refuse_twins(self, node: yaml.MappingNode) -> None:
            found = set()
            for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
                # 1 and 0x1 are one key.
                value = key.value if key.tag in _SIGNS else self.construct_object(key)
                if value in found:
                    problem = f"key {key.value} occurs twice"
                    raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
                found.add(value)

    Loader.yaml_implicit_resolvers = get_yaml_loader().yaml_implicit_resolvers
    return Loader
