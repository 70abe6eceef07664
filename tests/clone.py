"""A clone of the working tree in a temporary folder, in which tests may edit, run and break things."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


class Clone:
    def __init__(self, folder):
        self.folder = folder

    @classmethod
    def of_the_working_tree(cls, folder):
        """A git repository whose one commit holds what is tracked here, results aside, at scale smoke, whose results it
        keeps in results/.
        """
        tracked = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        ).stdout.splitlines()  # fmt: skip
        for name in tracked:
            if (ROOT / name).is_file() and not name.startswith("results/"):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, folder / name)
        clone = cls(folder)
        clone.edit("params.yaml", "scale: laptop", "scale: smoke")
        clone.edit("params.yaml", "committed: laptop", "committed: smoke")
        clone.ask("git", "init", "--quiet")
        clone.commit("The working tree")
        return clone

    def clone(self, folder):
        """`git clone` into `folder`."""
        self.ask("git", "clone", "--quiet", str(self.folder), str(folder))
        return Clone(folder)

    def commit(self, message):
        self.ask("git", "add", "--all")
        self.ask("git", "commit", "--quiet", "--message", message)

    def ask(self, *command):
        """The output of a command that must succeed."""
        return self._succeed(*command).stdout

    def log_of(self, *command):
        """All that a command says that must succeed; Snakemake names the rules that it runs on stderr."""
        result = self._succeed(*command)
        return result.stdout + result.stderr

    def _succeed(self, *command):
        result = self.run(*command)
        assert result.returncode == 0, f"{command}: {result.stdout[-3000:]}{result.stderr[-3000:]}"
        return result

    @property
    def environment(self):
        return os.environ | {
            # The copy's own sources, so that a test may edit them.
            "PYTHONPATH": str(self.folder / "src"),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            **{
                f"GIT_{who}_{what}": "tester@example.org"
                for who in ("AUTHOR", "COMMITTER")
                for what in ("NAME", "EMAIL")
            },
        }

    def run(self, *command):
        return subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )

    def start(self, *command):
        """A process group of its own, so that a test can kill all of it."""
        return subprocess.Popen(
            command, cwd=self.folder, env=self.environment, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def snakemake(self, *arguments, scale="smoke"):
        return self.run("snakemake", "--cores", "2", "--config", f"scale={scale}", "--", *arguments)

    def dry_run(self, *arguments, scale="smoke"):
        """The plan."""
        return self.ask("snakemake", "-n", "--config", f"scale={scale}", "--", *arguments)

    def plan_after(self, name, old, new, *targets):
        """What a dry run would do after an edit, which is taken back."""
        self.edit(name, old, new)
        try:
            return self.dry_run(*targets)
        finally:
            self.edit(name, new, old)

    def edit(self, name, old, new):
        path = self.folder / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))
