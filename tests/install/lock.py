"""requirements.lock, read as pip reads it."""

import functools
import re
from dataclasses import dataclass
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Entry:
    """One package of the lock: `text` is its line without hashes, `requirement` what that line says."""

    text: str
    requirement: Requirement

    @property
    def name(self) -> str:
        return canonicalize_name(self.requirement.name)

    @property
    def version(self) -> str:
        return str(self.requirement.specifier).removeprefix("==")

    def holds(self, environment: dict[str, str]) -> bool:
        """Whether the entry is for this environment, a dict of marker names and values."""
        return self.requirement.marker is None or self.requirement.marker.evaluate(environment)


@functools.cache
def entries() -> list[Entry]:
    lines = re.findall(r"^(\S.*?) \\$", (ROOT / "requirements.lock").read_text(), flags=re.MULTILINE)
    return [Entry(line, Requirement(line)) for line in lines]


def locked(environment: dict[str, str] | None = None) -> dict[str, Entry]:
    """Name -> entry, of those that `environment` installs; by default that of this Python."""
    environment = environment or dict(default_environment())
    return {entry.name: entry for entry in entries() if entry.holds(environment)}
