"""How every table is written: all numbers as CSV, the rendered ones as Markdown."""

from pathlib import Path
from typing import Any

import pandas as pd

from twostage.runtime.artifacts import atomic_path
from twostage.runtime.job import Job


def write_tables(job: Job, numbers: pd.DataFrame, *printed: tuple[list[dict[str, str]], str]) -> None:
    """Writes NAME.csv, the numbers, and NAME.md, the lines of each rendered table above its caption.

    NAME is the job's variant. Cells stay as they are written (a sign says in which direction a difference goes); one
    that a line lacks is empty.
    """
    # Without, a column of whole numbers that a line lacks would be one of fractions, and 609922 be written 6.0992e+05.
    numbers = numbers.convert_dtypes()
    write_text(job.folder / f"{job.variant}.csv", numbers.to_csv(index=False, float_format="%.5g"))
    parts = []
    for lines, caption in printed:
        table = pd.DataFrame(lines).fillna("").to_markdown(index=False, disable_numparse=True)
        parts.append(f"{table}\n\n{caption}\n")
    write_text(job.folder / f"{job.variant}.md", "\n".join(parts))


def plain(value: Any) -> Any:
    """The cell of a setting: as it is, or "1.0 to 0.5" of one that goes linearly from a first to a last value."""
    if not isinstance(value, list):
        return value
    return value[0] if value[0] == value[1] else f"{value[0]} to {value[1]}"


def words(value: Any) -> str:
    """What `plain` says of a number, in a sentence."""
    found = plain(value)
    return found if isinstance(found, str) else f"{found:g}"


def write_text(path: Path, text: str) -> None:
    """Writes a rendered table."""
    with atomic_path(path) as temporary:
        temporary.write_text(text)
