"""A job is one run of one verb: what it is called, what it is asked, what it reads and what it must write."""

import functools
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from twostage.runtime.artifacts import sha256_file, sha256_json
from twostage.runtime.fingerprint import code_sha256

Tree = dict[str, Any]

# Beside every job's files: its record, and those of the jobs that it rests on (`twostage.planning.provenance`).
PROVENANCE = "provenance.json"


@dataclass(frozen=True)
class Job:
    """One run of one verb: what it reads, what it must write, and its own slice of the config.

    `inputs` maps a name to the folder of an upstream variant, `out` is the job's own folder and `files` the names of
    the files that it must write there. `choices`, what its code counts by: config keys -> their values in its config
    and in those of the jobs that it reads; None if that is not known. It is no part of what the job is asked.
    """

    stage: str
    verb: str
    variant: str
    scale: str
    config: Tree
    inputs: dict[str, str]
    out: str
    files: list[str]
    choices: dict[str, list[str | None]] | None = None

    @property
    def folder(self) -> Path:
        """The job's own artifact folder."""
        return Path(self.out)

    @property
    def sha12(self) -> str:
        """Twelve hex digits that change with anything the job was asked to do."""
        return sha256_json({key: value for key, value in asdict(self).items() if key != "choices"})[:12]

    @functools.cached_property
    def scratch(self) -> Path:
        """Undeclared folder for checkpoints: Snakemake deletes a failed job's outputs, but not this.

        Keyed by what was asked, by the code that answers and by the content of what it reads, so that no checkpoint
        of another model is taken up. Hashed once: a job's inputs do not change while it runs.
        """
        code = self.code_sha256
        read = {
            f"{folder}/{name}": sha256_file(Path(folder) / name)
            for folder in self.inputs.values()
            for name in ("metadata.json", "metrics.json", "model.safetensors")
            if (Path(folder) / name).exists()
        }
        return Path("build/scratch") / self.stage / self.variant / f"{self.sha12}.{sha256_json([code, read])[:12]}"

    @property
    def code_sha256(self) -> str:
        """Checksum of the code that the job runs."""
        return code_sha256(f"{self.stage}.{self.verb}", self.choices)

    def upstream(self, name: str) -> Path:
        """Folder of the upstream variant that this job knows as `name`."""
        return Path(self.inputs[name])
