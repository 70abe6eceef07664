"""Studies of the user's that lie outside of the clone: named by their paths, and unseen by git."""

from collections.abc import Iterable
from pathlib import Path

from twostage.config import composition
from twostage.errors import TwostageError
from twostage.runtime.artifacts import atomic_path

IGNORED = "# Written by snakemake: results of studies outside of this clone, which git need not see.\n/.gitignore\n"


def add_studies(named: object) -> list[str]:
    """The names of the studies whose paths Snakemake was given: `--config study=a.yaml,b.yaml`, or a list.

    Raises TwostageError, one line, if one is no study file, or has the name of another one.
    """
    paths = named.split(",") if isinstance(named, str) else named
    if not isinstance(paths, list) or not paths or not all(isinstance(path, str) and path.strip() for path in paths):
        raise TwostageError(f"--config study={named} names no file; say study=mine.yaml, or study=a.yaml,b.yaml")
    return [composition.add_study(Path(path.strip())) for path in paths]


def ignore(results: Path, names: Iterable[str]) -> None:
    """Has git ignore these files below `results`, by a .gitignore there that ignores itself.

    Files that git keeps already stay kept.
    """
    path = results / ".gitignore"
    text = path.read_text() if path.exists() else IGNORED
    new = [f"/{name}" for name in names if f"/{name}" not in text.splitlines()]
    if new or not path.exists():
        with atomic_path(path) as partial:
            partial.write_text(text + "".join(f"{line}\n" for line in new))
