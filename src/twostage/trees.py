"""Trees of plain values, kept on disk under a name that says all they depend on."""

import functools
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml


def kept(path: Path, make: Callable[[], Any]) -> Any:
    """What JSON lies at `path`; if there is none, what `make` gives is kept there first."""
    if not path.exists():
        value = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        # A name of its own, as processes may make the same at once.
        partial = path.with_suffix(f".{os.getpid()}.partial")
        partial.write_text(json.dumps(value))
        partial.replace(path)
    return json.loads(path.read_bytes())


def files_composed(conf: Path, overrides: tuple[str, ...]) -> list[Path]:
    """The files that Hydra reads of `conf` under `overrides`: config.yaml, each group's option and what that builds on.

    An option without a file is left out: it cannot be composed, and nothing is kept of it.
    """
    root = conf / "config.yaml"
    chosen = {group: option for entry in _defaults(root) if isinstance(entry, dict) for group, option in entry.items()}
    for override in overrides:
        group, _, option = override.partition("=")
        if group in chosen:
            chosen[group] = option
    files = [root]
    for group, option in chosen.items():
        waiting = [option]
        while waiting:
            path = conf / group / f"{waiting.pop()}.yaml"
            if path.is_file() and path not in files:
                files.append(path)
                waiting += [entry for entry in _defaults(path) if isinstance(entry, str)]
    return files


def _defaults(path: Path) -> list[Any]:
    return _listed(path.read_text())


@functools.cache
def _listed(text: str) -> list[Any]:
    """What a file of Hydra's is built on, as group -> option or as an option of its own group."""
    # Few files have such a list, and to parse all of them would take longer than to hash them.
    if not re.search("^defaults:", text, re.MULTILINE):
        return []
    try:
        return list(yaml.safe_load(text)["defaults"])
    except yaml.YAMLError:
        # As without a file: Hydra says so.
        return []
