"""Are the artifacts of two runs the same? What a clock decided is left out, key by key, and listed here."""

import csv
import json
import re
from pathlib import Path

# Written by Snakemake and by the logger: times, and where a resumed run took up. And the seconds of a pace's rounds.
UNCOMPARED = {"log.txt", "benchmark.tsv", "rounds.csv"}

# Keys of JSON at any depth, and columns of CSV: measured seconds, and what follows from them.
MEASURED = re.compile(
    r"\w*seconds\w*|tokens_per_second|peak_memory_mb|finished|num_rounds"
    # Where a folder lay when it was made: a job may be tried on another disk.
    r"|folder"
    # The transformer trains on until PixelSNAIL's measured time: its last step, and its NLL read off at that time.
    r"|last_step|(transformer|difference)_time\w*"
    # Holm's correction takes the comparisons at equal time with the others.
    r"|difference_steps_p_holm"
)

# Tables and drawings that print measured seconds; their numbers lie in the CSV beside them, which is compared.
DRAWN_FROM_SECONDS = re.compile(r"table1(\.md|\.tex|_curves\.pdf|_curves\.png)")

# Of these files a record's checksum hashes measured seconds too; the files themselves are compared, key by key.
HASHED_WITH_SECONDS = re.compile(rf".*\.(json|csv)|{DRAWN_FROM_SECONDS.pattern}")


def files(root: Path) -> set[str]:
    """The names of all files of a tree that are compared; one that a killed writer left is among them."""
    paths = (path for path in root.rglob("*") if path.is_file() and path.name not in UNCOMPARED)
    return {str(path.relative_to(root)) for path in paths}


def differences(one: Path, other: Path) -> list[str]:
    """One line for every file of two trees that differs, with the first places where it does."""
    ours, theirs = files(one), files(other)
    lines = [f"{name}: only in {one if name in ours else other}" for name in sorted(ours ^ theirs)]
    for name in sorted(ours & theirs):
        found = _unlike_files(one / name, other / name)
        if found:
            lines.append(f"{name}: {'; '.join(found[:3])}")
    return lines


def _unlike_files(one: Path, other: Path) -> list[str]:
    if DRAWN_FROM_SECONDS.fullmatch(one.name) or one.read_bytes() == other.read_bytes():
        return []
    match one.suffix:
        case ".json":
            return _unlike(json.loads(one.read_bytes()), json.loads(other.read_bytes()), "")
        case ".csv":
            return _unlike_rows(_rows(one), _rows(other), _is_timed(one))
        case _:
            return ["other bytes"]


def _unlike(one, other, where: str) -> list[str]:
    """Where two JSON values differ in what no clock decided."""
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [
            line
            for at, (ours, theirs) in enumerate(zip(one, other, strict=True))
            for line in _unlike(ours, theirs, f"{where}.{at}")
        ]
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return [] if one == other else [f"{where or 'all'}: {str(one)[:60]} and {str(other)[:60]}"]
    left_out = HASHED_WITH_SECONDS if where.endswith("files_sha256") else MEASURED
    if "step" in one and "nll" in one:
        one, other = _common_steps(one, other)
    lines = []
    for name in sorted(one.keys() | other.keys()):
        if left_out.fullmatch(name):
            continue
        if name in one and name in other:
            lines += _unlike(one[name], other[name], f"{where}.{name}")
        else:
            lines.append(f"{where}.{name}: in one alone")
    return lines


def _common_steps(one: dict, other: dict) -> tuple[dict, dict]:
    """Two curves whose lengths were measured, cut to the steps that both have."""
    length = min(len(one["step"]), len(other["step"]))
    return tuple({key: values[:length] for key, values in curve.items()} for curve in (one, other))


def _rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return [
            {key: value for key, value in row.items() if not MEASURED.fullmatch(key)} for row in csv.DictReader(file)
        ]


def _is_timed(curve: Path) -> bool:
    """Whether the curve is of a run that was matched in time: as long as a measured ratio said."""
    record = curve.with_name("provenance.json")
    return record.exists() and json.loads(record.read_bytes())["job"].startswith("priors.timed ")


def _unlike_rows(one: list[dict[str, str]], other: list[dict[str, str]], of_any_length: bool) -> list[str]:
    if len(one) != len(other) and not of_any_length:
        return [f"{len(one)} rows and {len(other)}"]
    return [f"row {number}: {a} and {b}" for number, (a, b) in enumerate(zip(one, other, strict=False)) if a != b]
