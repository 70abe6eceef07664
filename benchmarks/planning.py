"""How long a plan takes: `snakemake -n` of a target, as it is and after one changed line of conf/.

    python benchmarks/planning.py [--target results/table1.csv] [--repeats 3]

Runs in a copy of the clone, whose files it edits. Prints medians of process CPU seconds, those of children included.
"""

import argparse
import resource
import shutil
import statistics
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
COPIED = ("Snakefile", "params.yaml", "workflow", "conf", "src", "results", "docs", "profiles")
# A file of conf/ and what a comment is added to.
EDITS = {
    "as it is": None,
    "conf/scale changed": "conf/scale/laptop.yaml",
    "conf/figures changed": "conf/figures/default.yaml",
}


def cpu_seconds(command: list[str], folder: Path) -> float:
    """User and system seconds of a command that must succeed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", default="results/table1.csv")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    command = ["snakemake", "-n", arguments.target]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name in COPIED:
            source = ROOT / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
        cpu_seconds(command, folder)
        for label, edited in EDITS.items():
            measured = []
            for number in range(arguments.repeats):
                if edited:
                    with open(folder / edited, "a") as file:
                        file.write(f"# edit {number}\n")
                measured.append(cpu_seconds(command, folder))
            print(f"{label}: {statistics.median(measured):.2f} s of CPU time")


if __name__ == "__main__":
    main()
