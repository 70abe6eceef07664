"""The record of one result: what every job behind it was made of, where and at what cost, gathered from their own."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twostage import cli
from twostage.artifacts import read_json, sha256_json, write_json
from twostage.plan import PROVENANCE, Job

Record = dict[str, Any]

PER_JOB = ("job", "config_sha256", "code_sha256", "commit", "finished", "wall_seconds", "cpu_seconds", "peak_memory_mb")


@dataclass
class ProvenanceConfig:
    """Nothing to choose."""


def provenance(_: ProvenanceConfig, job: Job) -> None:
    """Writes collected.json. A list holds each value once: two commits in it mean that the jobs ran at two commits."""
    records = [read_json(Path(folder) / PROVENANCE) for folder in job.inputs.values()]
    write_json(job.folder / "collected.json", {"result": job.variant.rpartition(".")[0], **collect(records)})


def collect(records: list[Record]) -> Record:
    """One record out of those of several jobs. Seconds are summed over jobs, memory is that of the largest process."""
    return {
        "scale": _each(records, "scale"),
        "commit": _each(records, "commit"),
        "uncommitted_changes": any(record["uncommitted_changes"] for record in records),
        "lock_sha256": _each(records, "lock_sha256"),
        "config_sha256": sha256_json([record["config_sha256"] for record in records]),
        "data_sha256": _files(records, "data."),
        "weights_sha256": _files(records, "weights."),
        "python": _each(records, "python"),
        "versions": {name: sorted({record["versions"][name] for record in records}) for name in records[0]["versions"]},
        "device": _each(records, "device"),
        "threads": _each(records, "threads"),
        "num_jobs": len(records),
        "cpu_seconds": sum(record["cpu_seconds"] for record in records),
        "wall_seconds_of_all_jobs": sum(record["wall_seconds"] for record in records),
        "peak_memory_mb": max(record["peak_memory_mb"] for record in records),
        "jobs": [{name: record[name] for name in PER_JOB} for record in records],
    }


def _each(records: list[Record], name: str) -> list[Any]:
    return list(dict.fromkeys(record[name] for record in records))


def _files(records: list[Record], stage: str) -> dict[str, dict[str, str]]:
    """Checksums of the files of every job of a stage, by variant."""
    chosen = [record for record in records if record["job"].startswith(stage)]
    return {record["job"].partition(" ")[2]: record["files_sha256"] for record in chosen}


def main() -> None:
    """Entry point of `python -m twostage.figures.provenance`."""
    cli.run("figures.provenance", ProvenanceConfig, provenance)


if __name__ == "__main__":
    main()
