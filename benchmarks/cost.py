"""Holds the estimates of `twostage plan --estimate` against finished runs: python benchmarks/cost.py ARTIFACTS...

ARTIFACTS is a folder artifacts/<scale>/. Every job that trained on one core and whose record this version reads is
estimated anew from its config and compared with its CPU seconds and its peak memory.
"""

import argparse
import collections
from pathlib import Path
from statistics import median

import pandas as pd

from twostage.errors import TwostageError
from twostage.estimate.jobs import Core, Estimates
from twostage.runtime.artifacts import read_json
from twostage.runtime.job import PROVENANCE, Job


def jobs_of(folder: Path) -> tuple[dict[str, Job], dict[str, dict]]:
    """The jobs that the records of a run tell of, and their records, by folder."""
    records = {}
    for path in sorted(folder.glob(f"*/*/{PROVENANCE}")):
        record = read_json(path)
        records |= {each["folder"]: each for each in record.pop("rests_on").values() if "config" in each}
        records[record["folder"]] = record
    at = {record["job"]: place for place, record in records.items()}
    jobs = {}
    for place, record in records.items():
        name, _, variant = record["job"].partition(" ")
        stage, verb = name.split(".")
        inputs = {key: at.get(each, each) for key, each in record["inputs"].items()}
        jobs[place] = Job(stage, verb, variant, record["scale"], record["config"], inputs, place, [])
    return jobs, records


def main() -> None:
    """Prints a row for each kind of job."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("artifacts", nargs="+", type=Path)
    found, skipped = collections.defaultdict(list), collections.Counter()
    for folder in parser.parse_args().artifacts:
        jobs, records = jobs_of(folder)
        estimates = Estimates(jobs)
        for place, job in jobs.items():
            try:
                cost = estimates.of(place)
            except (TwostageError, KeyError):
                skipped[job.scale, job.name] += 1
                continue
            if cost is not None:
                record = records[place]
                seconds = cost.cpu_seconds(Core()) / record["cpu_seconds"]
                memory = cost.cpu_bytes(Core()) / 1e6 / record["peak_memory_mb"]
                kind = job.config.get("architecture", "")
                found[job.scale, f"{job.name} {kind}".strip()].append((seconds, memory, record["cpu_seconds"]))
    lines = []
    for (scale, kind), pairs in sorted(found.items()):
        seconds, memory = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        lines.append(
            {
                "scale": scale,
                "job": kind,
                "jobs": len(pairs),
                "measured seconds": f"{median(pair[2] for pair in pairs):.0f}",
                "seconds: estimate / measured": f"{median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})",
                "within 30 %": sum(abs(each - 1) <= 0.3 for each in seconds),
                "memory: estimate / measured": f"{median(memory):.2f} ({min(memory):.2f} to {max(memory):.2f})",
                "within 20 %": sum(abs(each - 1) <= 0.2 for each in memory),
            }
        )
    print(pd.DataFrame(lines).to_markdown(index=False, disable_numparse=True))
    for (scale, name), number in skipped.items():
        print(f"{number} of {name} at scale {scale} have a config of another version")


if __name__ == "__main__":
    main()
