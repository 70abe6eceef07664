"""How far busy neighbours move what a PixelSNAIL step costs in steps of the transformer: `priors.pace` at scale laptop.

    OMP_NUM_THREADS=1 PYTHONPATH=src python benchmarks/pace.py

Measures the pace of Table 1's pair on random codes: with nothing started beside it, and beside two and three processes
that count, or that copy arrays larger than any cache. Beside it stands what the same steps say if each prior is timed
in a run of its own, one of them beside neighbours. Writes benchmarks/pace.json and fails if a ratio moves by 5 %.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from twostage.config.composition import compose, parse
from twostage.config.schema import PriorConfig
from twostage.latents.dataset import Split, TokenSpace
from twostage.priors.model import build
from twostage.priors.pace import ROUND, Ratio, alternate, flops_per_step
from twostage.priors.task import PriorTask, new_task
from twostage.runtime import training
from twostage.runtime.artifacts import write_json

BAR = 0.05
NEIGHBOURS = {
    "counting": "while True: pass",
    "copying": "import numpy as np\na = np.zeros(2**24)\nb = a.copy()\nwhile True: np.copyto(b, a)",
}


def task(architecture: str) -> PriorTask:
    """Table 1's prior of scale laptop on random codes."""
    tree = compose(("scale=laptop", f"priors={architecture}"))
    config = parse(PriorConfig, tree["priors"])
    codes = tree["scale"]["tokenizers"]["num_codes"]
    index_NT = np.random.default_rng(0).integers(0, codes, (1024, 64)).astype(np.uint16)
    training.seed_everything(0)
    split = Split(index_NT, None)
    return new_task(build(config, TokenSpace(codes, (8, 8))), config, 0.0, split, split)


@contextmanager
def busy(kind: str, number: int) -> Iterator[None]:
    """So many processes of a kind beside what runs inside."""
    command = [sys.executable, "-c", NEIGHBOURS.get(kind, "")]
    processes = [subprocess.Popen(command) for _ in range(number)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def measure(tasks: dict[str, PriorTask], rhythm: dict[str, Any]) -> dict[str, Any]:
    """The ratio, its interval and both priors' seconds per step."""
    load = os.getloadavg()[0]
    rounds = alternate({name: one.step for name, one in tasks.items()}, **rhythm)
    ratio = Ratio.of(rounds)
    found: dict[str, Any] = {
        "ratio": ratio.median,
        "ci95_low": ratio.low,
        "ci95_high": ratio.high,
        "num_rounds": len(rounds),
    }
    found |= {"load_before": load, "rounds": rounds}
    for name in ("own", "rival"):
        each = [one[name] / ROUND.count(name) for one in rounds]
        found |= {f"{name}_seconds_per_step": statistics.median(each), f"{name}_fastest": min(each)}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--max-rounds", type=int, default=None, help="as at scale laptop")
    parser.add_argument("--numbers", type=int, nargs="+", default=[2, 3], help="of neighbours")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/pace.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    tasks = {"own": task("gpt"), "rival": task("pixelsnail")}
    rhythm = compose(("scale=laptop",))["scale"]["priors"]["pace"]
    rhythm["max_rounds"] = arguments.max_rounds or rhythm["max_rounds"]
    conditions = {"alone": ("", 0)} | {f"{n} {kind}": (kind, n) for kind in NEIGHBOURS for n in arguments.numbers}
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in conditions}
    # In turn, so that what others do on the machine meanwhile falls on all conditions.
    for _ in range(arguments.repeats):
        for name, (kind, number) in conditions.items():
            with busy(kind, number):
                runs[name].append(measure(tasks, rhythm))
            print(name, *(f"{key} {value:.4g}" for key, value in runs[name][-1].items() if key != "rounds"), flush=True)
    reference = statistics.median(run["ratio"] for run in runs["alone"])
    moved = {name: max(abs(run["ratio"] / reference - 1) for run in found) for name, found in runs.items()}
    own_alone = statistics.median(run["own_seconds_per_step"] for run in runs["alone"])
    apart = {
        name: max(abs(run["rival_seconds_per_step"] / own_alone / reference - 1) for run in found)
        for name, found in runs.items()
    }
    result = {
        "threads": torch.get_num_threads(),
        "cores": len(os.sched_getaffinity(0)),
        "processor": platform.processor() or platform.machine(),
        "torch": torch.__version__,
        **rhythm,
        "gflops_per_step": {name: flops_per_step(one) / 1e9 for name, one in tasks.items()},
        "ratio_alone": reference,
        "largest_move_of_ratio": moved,
        "largest_move_if_timed_apart": apart,
        "runs": runs,
    }
    write_json(arguments.out, result)
    print(json.dumps({key: value for key, value in result.items() if key != "runs"}, indent=2))
    assert max(moved.values()) < BAR, f"the ratio moved by {max(moved.values()):.1%}"


if __name__ == "__main__":
    main()
