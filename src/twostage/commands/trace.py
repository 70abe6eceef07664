"""Which jobs made a number of a table: their learning rates, seeds, steps, commits and configs.

Reads what git keeps, `results/NAME.csv` and `results/NAME.provenance.json`, so it needs no artifacts.
"""

import argparse
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tabulate import tabulate

from twostage.commands.console import one_line_errors, start_log
from twostage.config.composition import CONF
from twostage.errors import TwostageError
from twostage.planning.results import Record, read_mapping, read_table_record
from twostage.planning.whole import plan_of
from twostage.runtime.artifacts import read_csv, sha256_json
from twostage.runtime.job import Job

# What every job's record says.
OF_JOB = ("job", "scale", "commit", "uncommitted_changes", "config_sha256")


def trace(table: Path, row: str, column: str | None, with_configs: bool = False) -> str:
    """Text: the cell's value (the whole row without a column), and a line for every job that it rests on.

    `row` is a value of the table's first column that names one row, or of any other column. Raises TwostageError if
    the table has no record, no such row or no such column.
    """
    path = table.with_suffix(".provenance.json")
    if not table.is_file() or not path.is_file():
        missing = table if not table.is_file() else path
        raise TwostageError(f"{missing} is missing; name a table of results/ with its record beside it")
    record = read_table_record(path, (*OF_JOB, "rests_on"), OF_JOB)
    cell = _cell(read_csv(table), table, row, column)
    records = {**record["rests_on"], record["job"]: _without_the_rest(record)}
    _completed(records, table.stem)
    behind = _behind(records, record["job"], row)
    rates = Rates(table.parent, records)
    lines = [_line(records[name], rates) for name in behind]
    parts = [f"{table}, row {row}{cell}, scale {record['scale']}", tabulate(lines, headers="keys", tablefmt="plain")]
    parts += [json.dumps({name: records[name].get("config") for name in behind}, indent=2)] if with_configs else []
    return "\n".join([*parts, *_unknown([records[name] for name in behind])])


def _without_the_rest(record: Record) -> Record:
    return {key: value for key, value in record.items() if key not in ("rests_on", "total")}


def _cell(rows: list[dict[str, str]], table: Path, row: str, column: str | None) -> str:
    """ ": COLUMN = VALUE" of the row. Raises TwostageError if several lines have the name, and other values."""
    if not row:
        raise TwostageError(f"the row's name is empty; name one of {table}, such as {next(iter(rows[0].values()))}")
    named_so = next(
        ([line for line in rows if line[name] == row] for name in rows[0] if row in (line[name] for line in rows)), []
    )
    if not named_so:
        named = ", ".join(dict.fromkeys(next(iter(line.values())) for line in rows))
        raise TwostageError(f"{table} has no row {row}; its rows: {named}")
    if column is None:
        return ""
    if column not in rows[0]:
        raise TwostageError(f"{table} has no column {column}; its columns: {', '.join(rows[0])}")
    if len({line[column] for line in named_so}) > 1:
        apart = next(name for name in rows[0] if len({line[name] for line in named_so}) == len(named_so))
        others = ", ".join(line[apart] for line in named_so)
        raise TwostageError(f"{table} has {len(named_so)} lines of {row}; name one by its {apart}: {others}")
    return f": {column} = {named_so[0][column]}"


def _completed(records: dict[str, Record], study: str) -> None:
    """Adds to records of versions that kept neither config nor inputs what the plan of this clone says of a job of that
    name: its config, if it has the recorded hash, and its inputs, as far as the record knows them.
    """
    if all("config" in record for record in records.values()):
        return
    scale = next(iter(records.values()))["scale"]
    # Tables without a file of their own belong to Table 1.
    name = study if (CONF / f"study/{study}.yaml").is_file() else "table1"
    planned = plan_of(name, scale).jobs
    recorded = {folder: _recorded_as(job, records) for folder, job in planned.items()}
    for folder, job in planned.items():
        record = records.get(recorded[folder], {"config": None})
        inputs = {key: recorded[each] for key, each in job.inputs.items()}
        if "config" in record:
            continue
        record["planned"] = True
        if record["config_sha256"] == sha256_json(job.config):
            record["config"] = job.config
        # What a job reads today may not have been there yet.
        record["inputs"] = {key: name for key, name in inputs.items() if name in records}


def _recorded_as(job: Job, records: dict[str, Record]) -> str:
    """The name of a job's record. What sums up or draws a study had a verb of its own before there were studies."""
    if job.stage in ("evaluation", "figures") and _name(job) not in records:
        of_old = [name for name in records if re.fullmatch(rf"{job.stage}\.\w+ {re.escape(job.variant)}", name)]
        return of_old[0] if len(of_old) == 1 else _name(job)
    return _name(job)


def _name(job: Job) -> str:
    return f"{job.name} {job.variant}"


def _behind(records: dict[str, Record], last: str, row: str) -> list[str]:
    """The jobs behind a row, in the order in which they ran: of the evaluation that the row is named after, if there is
    one, otherwise of the whole table.
    """
    own = [name for name in records if _is_of_row(name, row)]
    # Without its inputs, nothing is known of an evaluation but that all came before the table.
    starts = own if own and all("inputs" in records[name] for name in own) else [last]
    if "inputs" not in records[starts[0]]:
        return list(records)
    wanted: set[str] = set()
    waiting = list(starts)
    while waiting:
        name = waiting.pop()
        if name in records and name not in wanted:
            wanted.add(name)
            waiting += records[name].get("inputs", {}).values()
    return [name for name in records if name in wanted]


def _is_of_row(name: str, row: str) -> bool:
    verb, _, variant = name.partition(" ")
    return verb.startswith("evaluation.") and (variant == row or variant.endswith(f".{row}"))


class Rates:
    """Learning rates that sweeps chose: of the records, and where they do not say, of the stored evaluations."""

    def __init__(self, results: Path, records: dict[str, Record]) -> None:
        self.records = records
        self.measured = {
            name: list(_rates(read_mapping(path)))
            for name in records
            if (path := results / "evaluation" / name.partition(" ")[2] / "metrics.json").is_file()
        }

    def of(self, record: Record) -> Any:
        """The rate that the job trained with; "?" if nothing says so, "" of a job that trains nothing."""
        config = record.get("config") or {}
        said = record.get("facts", {}).get("learning_rate") or config.get("learning_rate")
        if said is not None or not record["job"].startswith("priors."):
            return "" if said is None else said
        tunes = (self.records.get(name, {}) for name in record.get("inputs", {}).values())
        chosen = {tune["facts"]["learning_rate"] for tune in tunes if "learning_rate" in tune.get("facts", {})}
        found = chosen or self._stored(record["job"])
        return found.pop() if len(found) == 1 else "?"

    def _stored(self, job: str) -> set[float]:
        """The rates that evaluations of this job stored; if they name architectures or seeds, those of its own."""
        readers = [name for name, record in self.records.items() if self._reads(record, job)]
        rates = [rate for name in readers for rate in self.measured.get(name, [])]
        own = {rate for place, rate in rates if set(place) & set(job.split("."))}
        return own or {rate for _, rate in rates}

    def _reads(self, record: Record, job: str) -> bool:
        """Whether a record's job reads the other, or a prior whose rate the other chose."""
        inputs = record.get("inputs", {}).values()
        trained = [self.records.get(name, {}).get("inputs", {}) for name in inputs if name.startswith("priors.")]
        return job in inputs or any(job in tuned.values() for tuned in trained)


def _rates(tree: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], float]]:
    """Every learning rate in stored metrics, with the keys that lead to it."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            if key == "learning_rate" and isinstance(value, float):
                yield place, value
            yield from _rates(value, (*place, key))


def _line(record: Record, rates: Rates) -> dict[str, Any]:
    config, facts = record.get("config") or {}, record.get("facts", {})
    loop, named = config.get("loop") or {}, re.search(r"\.seed(\d+)$", record["job"])
    return {
        "job": record["job"],
        "learning rate": rates.of(record),
        "seed": facts.get("seed", loop.get("seed", config.get("seed", named[1] if named else ""))),
        "steps": facts.get("steps", loop.get("steps", "")),
        "commit": (record["commit"] or "no commit")[:7] + (" + changes" if record["uncommitted_changes"] else ""),
        "config": record["config_sha256"][:12],
    }


def _unknown(behind: list[Record]) -> Iterator[str]:
    """A sentence each on what the records do not say, and who says it instead."""
    if any("planned" in record for record in behind):
        yield (
            "The record kept no configs and inputs: inputs are as this clone plans them, rates as results/evaluation/ "
            "has them, configs this clone's where their hash is the recorded one."
        )
    lost = sum("config" not in record for record in behind)
    if lost:
        yield f"Of {lost} jobs this clone has another config now: check out their commits to see what they were asked."


def main() -> None:
    """Command line: prints the jobs behind a cell of a table."""
    parser = argparse.ArgumentParser("twostage trace", description=__doc__)
    parser.add_argument("table", type=Path, help="such as results/table1.csv")
    parser.add_argument("row", help="such as IN: the row's name in the table")
    parser.add_argument("column", nargs="?", help="such as transformer_steps: a column of the .csv")
    parser.add_argument("--configs", action="store_true", help="print the config of each job as well")
    arguments = parser.parse_args()
    with one_line_errors():
        start_log(None)
        print(trace(arguments.table, arguments.row, arguments.column, arguments.configs))
