"""A job is one run of one verb: its name, its config, its inputs and the files it must write."""

import functools
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from twostage.runtime.artifacts import sha256_file, sha256_json
from twostage.runtime.fingerprint import code_sha256

Tree = dict[str, Any]

# Lies beside the job's files: its record and those of the jobs it depends on (`twostage.planning.provenance`).
PROVENANCE = "provenance.json"


@dataclass(frozen=True)
class Job:
    """One run of one verb: its inputs, its output files and its slice of the config.

    `inputs` maps names to the folders of upstream variants. `out` is the job's own folder, and `files` are the names of
    the files that it must write there. `choices` selects the code in the fingerprint: config keys -> their values in
    the config of this job and of the jobs that it reads; None if unknown. It is not part of the job's checksum.
    `plugins`: paths of the user's files whose words the job names.
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
    plugins: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Of its verb, "priors.train"."""
        return f"{self.stage}.{self.verb}"

    @property
    def folder(self) -> Path:
        """The job's own artifact folder."""
        return Path(self.out)

    def as_json(self) -> Tree:
        """The fields. A job without plugins is stored as it was before there were any."""
        return {key: value for key, value in asdict(self).items() if key != "plugins" or value}

    @property
    def sha12(self) -> str:
        """Twelve hex digits of the checksum of everything the job is asked to do."""
        asked = {key: value for key, value in asdict(self).items() if key not in ("choices", "plugins")}
        return sha256_json(asked)[:12]

    @functools.cached_property
    def scratch(self) -> Path:
        """Folder for checkpoints. It is undeclared, because Snakemake deletes the declared outputs of a failed job.

        Its name depends on the config, the code and the content of the inputs, so that a job never resumes from the
        checkpoint of another model. Hashed once, since inputs do not change while a job runs.
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
        return code_sha256(self.name, self.choices, self.plugins)

    def upstream(self, name: str) -> Path:
        """Folder of the upstream variant that this job calls `name`."""
        return Path(self.inputs[name])
