"""Config trees out of `conf/`, and a job's own slice of one as its dataclass."""

import functools
import os
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import OmegaConf

from twostage.config.errors import UNREADABLE, first_line
from twostage.config.schema import Config
from twostage.config.trees import Trees
from twostage.config.values import check
from twostage.errors import TwostageError

CONF = Path("conf")
T = TypeVar("T")


def parse(kind: type[T], values: dict[str, Any]) -> T:
    """`values` as an instance of the dataclass `kind`.

    Raises TwostageError if a key is unknown or missing, or a value has the wrong type or is out of its range.
    """
    try:
        merged = OmegaConf.merge(OmegaConf.structured(kind), values)
        parsed: T = OmegaConf.to_object(merged)  # type: ignore[assignment]
    except UNREADABLE as error:
        raise TwostageError(f"{kind.__name__}: {first_line(error)}") from error
    check(kind, OmegaConf.to_container(merged), kind.__name__, "config")
    return parsed


def trees() -> Trees:
    """Composes the trees of a plan out of `conf/` and the environment as they are now."""
    files = [(str(path), path.stat()) for path in sorted(CONF.rglob("*.yaml")) if path.is_file()]
    state = tuple((path, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns) for path, stat in files)
    return _trees(CONF, state, frozenset(os.environ.items()))


@functools.lru_cache(maxsize=4)
def _trees(conf: Path, state: tuple[Any, ...], environment: frozenset[tuple[str, str]]) -> Trees:  # noqa: ARG001
    """One for every state, as what it has read and resolved is good for all who ask while nothing changes."""
    return Trees(conf, Config)


def compose(overrides: tuple[str, ...] = ()) -> dict[str, Any]:
    """The resolved config tree of `conf/config.yaml` under overrides that a person types, as plain dicts.

    Its experiment is None if no override chooses one. Raises TwostageError, one line, for an unknown group, option or
    key, and for a value of the wrong type or out of its range.
    """
    # Hydra's parser takes a third of a second to import, which a plan has no need of.
    from twostage.config.overrides import changes

    return trees().tree(changes(overrides, Config))
