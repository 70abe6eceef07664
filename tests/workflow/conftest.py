"""A copy of the tracked files in a temporary folder: what a fresh clone holds, with edits allowed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


class Clone:
    def __init__(self, folder):
        self.folder = folder
        tracked = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        ).stdout.splitlines()  # fmt: skip
        for name in tracked:
            if (ROOT / name).is_file() and not name.startswith("results/"):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, folder / name)

    def run(self, *command, **options):
        environment = os.environ | {
            # The copy's own sources, so that a test may edit them.
            "PYTHONPATH": str(self.folder / "src"),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False, **options
        )

    def snakemake(self, *arguments, scale="smoke", cores=2):
        return self.run("snakemake", "--cores", str(cores), "--config", f"scale={scale}", "--", *arguments)

    def dry_run(self, *arguments, scale="smoke"):
        result = self.run("snakemake", "-n", "--config", f"scale={scale}", "--", *arguments)
        assert result.returncode == 0, result.stderr
        return result.stdout

    def edit(self, name, old, new):
        path = self.folder / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))


@pytest.fixture(scope="session")
def new_clone(tmp_path_factory):
    return lambda: Clone(tmp_path_factory.mktemp("clone"))
