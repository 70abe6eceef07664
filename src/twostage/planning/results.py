"""Reads what git keeps in results/ beside the tables: records of what made them, and metrics. Files may be damaged."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from twostage.errors import TwostageError
from twostage.runtime.artifacts import read_json

Record = dict[str, Any]

_NOTHING = type(None)
# What records say, and of which types. Older versions did not record all of these.
KINDS: dict[str, tuple[type, ...]] = {
    "job": (str,),
    "scale": (str,),
    "commit": (str, _NOTHING),
    "uncommitted_changes": (bool, _NOTHING),
    "config_sha256": (str,),
    "code_sha256": (str,),
    "cpu_seconds": (int, float),
    "config": (dict, _NOTHING),
    "facts": (dict,),
    "inputs": (dict,),
    "files_sha256": (dict,),
    "rests_on": (dict,),
    "versions": (dict,),
    "total": (dict,),
}


def read_mapping(path: Path) -> dict[str, Any]:
    """A JSON file that holds keys with values. Raises TwostageError, one line, for one that is missing or damaged."""
    found = read_json(path)
    if not isinstance(found, dict):
        raise TwostageError(f"{path} holds {found!r:.60}, not keys with values; make it again, or take it from git")
    return found


def read_table_record(path: Path, needed: Iterable[str], behind: Iterable[str] = ()) -> Record:
    """The record of a table. It has the keys `needed`, and every record that it rests on the keys `behind`.

    Raises TwostageError, one line, if the file is missing or damaged.
    """
    record = read_mapping(path)
    require_record(record, needed, str(path))
    if behind := tuple(behind):
        for name, one in record["rests_on"].items():
            require_record(one, behind, f"{path}, rests_on {name}")
    return record


def require_record(record: Any, needed: Iterable[str], said: str) -> None:
    """Raises TwostageError, one line that begins with `said`, unless it is a record with the keys `needed`, in which
    every known key has a value of its type.
    """
    mend = "make the table again, or take the record from git"
    if not isinstance(record, dict):
        raise TwostageError(f"{said} holds {record!r:.60}, which is no record of a job; {mend}")
    if absent := [key for key in needed if key not in record]:
        raise TwostageError(f"{said} has no {absent[0]}, so it is no whole record of a job; {mend}")
    for key in (key for key in KINDS if key in record):
        if not isinstance(record[key], KINDS[key]):
            raise TwostageError(f"{said} has the {key} {record[key]!r:.60}, which no record of a job has; {mend}")
    if wrong := [name for name in record.get("inputs", {}).values() if not isinstance(name, str)]:
        raise TwostageError(f"{said} has an input {wrong[0]!r:.60}, which is no name of a job; {mend}")
