"""The costs of a plan as lines to read and as rows of results/plan.csv."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from twostage.claims.claim import claims
from twostage.estimate.jobs import CARDS, Card, Core, Cost, Estimates, studies_of
from twostage.planning.made import job_id
from twostage.runtime.job import Job

Devices = Sequence[Card | Core]


def devices(gpus_per_job: int) -> Devices:
    """What the jobs of a scale run on: cards, or cores at a scale without GPUs."""
    return CARDS if gpus_per_job else (Core(),)


def rows(jobs: Mapping[str, Job], on: Devices) -> list[dict[str, Any]]:
    """A row for each job whose cost is known, with the studies that share it; then sums per study, paper and plan."""
    estimates, studies = Estimates(jobs), studies_of(jobs)
    costs = {folder: cost for folder in jobs if (cost := estimates.of(folder)) is not None}
    found = [_row(jobs[folder], cost, studies, on) for folder, cost in costs.items()]
    for name, folders in studies.items():
        found.append(_sum(f"study {name}", folders, costs, on))
    papers: dict[str, set[str]] = {}
    for claim in claims():
        papers.setdefault(claim.paper, set()).update(studies.get(claim.study, ()))
    for paper, folders in papers.items():
        found.append(_sum(f"paper {paper}", folders, costs, on))
    return [*found, _sum("all", costs, costs, on)]


def _row(job: Job, cost: Cost, studies: Mapping[str, set[str]], on: Devices) -> dict[str, Any]:
    core = next((device for device in on if isinstance(device, Core)), None)
    return {
        "job": job_id(job),
        "scale": job.scale,
        "studies": sum(job.out in folders for folders in studies.values()),
        "parameters": cost.step.parameters,
        "gflops_per_step": f"{cost.step.flops / 1e9:.4g}",
        "batch_size": cost.batch_size,
        "steps": round(cost.steps),
        "optimizer_gb": f"{cost.step.state_bytes / 1e9:.3g}",
        "activations_gb": f"{cost.step.live_bytes / 1e9:.3g}",
        **({} if core is None else {"process_gb": f"{cost.cpu_bytes(core) / 1e9:.3g}"}),
        "disk_gb": f"{cost.disk_bytes / 1e9:.3g}",
        **_hours(on, cost),
        "change": "; ".join(advice for card in on if isinstance(card, Card) and (advice := cost.advice(card))),
    }


def _hours(on: Devices, *costs: Cost) -> dict[str, str]:
    return {f"{device.name}_hours": f"{sum(cost.hours(device) for cost in costs):.4g}" for device in on}


def _sum(name: str, folders: Iterable[str], costs: Mapping[str, Cost], on: Devices) -> dict[str, Any]:
    """A job that several studies share counts once in each, and once in their sum."""
    known = [costs[folder] for folder in folders if folder in costs]
    return {
        "job": name,
        "studies": "",
        "disk_gb": f"{sum(cost.disk_bytes for cost in known) / 1e9:.3g}",
        **_hours(on, *known),
    }


def _gigabytes(row: Mapping[str, Any]) -> float:
    """On a card what a step takes; on a core the whole process."""
    return float(row.get("process_gb") or float(row["optimizer_gb"]) + float(row["activations_gb"]))


def lines(found: list[dict[str, Any]], on: Devices) -> list[str]:
    """The same to read: hours on each device, memory, and the key to change where a card is too small."""
    said = [f"{'hours: ' + ' / '.join(device.name for device in on):34} {'memory':>8}  job"]
    for row in found:
        hours = " / ".join(row[f"{device.name}_hours"] for device in on)
        memory = f"{_gigabytes(row):.1f} GB" if "optimizer_gb" in row else ""
        change = f"  does not fit {row['change']}" if row.get("change") else ""
        said.append(f"{hours:34} {memory:>8}  {row['job']}{change}")
    return said
