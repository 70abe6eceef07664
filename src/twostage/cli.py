"""The command line of every verb: a job's resolved config, or Hydra overrides typed by a person; one-line errors."""

import argparse
import errno
import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from twostage import plan, provenance
from twostage.artifacts import read_json
from twostage.configs import compose, parse
from twostage.errors import TwostageError
from twostage.jobs import Job

C = TypeVar("C")
log = logging.getLogger("twostage")


def run(name: str, kind: type[C], work: Callable[[C, Job], None]) -> None:
    """Runs the verb `name` ("priors.train"): reads its job, logs, and calls `work(config, job)`.

    A TwostageError or a full disk becomes one line on stderr and exit status 1.
    """
    arguments = _arguments(name)
    with one_line_errors():
        start_log(arguments.log)
        job = _job(name, arguments)
        config = parse(kind, job.config)
        if arguments.cfg:
            print(json.dumps(job.config, indent=2))
            return
        origin = provenance.origin(job)
        work(config, job)
        provenance.write_record(job, origin)
        name_pictures(job)


def name_pictures(job: Job) -> None:
    """Logs the paths of the pictures that the job made: what a person looks for in the last line."""
    for file in job.files:
        if file.endswith(".png"):
            log.info("%s", job.folder / file)


def run_import(name: str, about: str | None, work: Callable[[Path, Path, Path], None]) -> None:
    """Runs the converter `name` ("priors.import_released"): reads which released files it shall convert into which
    folder, logs, and calls `work(config, checkpoint, out)`. Errors as in `run`.
    """
    parser = argparse.ArgumentParser(prog=f"python -m twostage.{name}", description=about)
    parser.add_argument("--config", type=Path, required=True, help="the released .yaml or .json")
    parser.add_argument("--checkpoint", type=Path, required=True, help="the released .ckpt or .pt")
    parser.add_argument("--out", type=Path, required=True, help="folder for model.safetensors and config.json")
    arguments = parser.parse_args()
    with one_line_errors():
        start_log(None)
        work(arguments.config, arguments.checkpoint, arguments.out)


class one_line_errors:  # noqa: N801 - a context manager reads as a phrase
    """Context manager: an error that is meant for the user is logged as one line, and the process exits with 1."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        """Turns the user's errors into one line; every other error keeps its traceback."""
        if isinstance(error, TwostageError):
            self._exit(str(error))
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            self._exit(f"the disk is full while writing {error.filename or 'an artifact'}; free some space, run again")
        if isinstance(error, PermissionError):
            self._exit(
                f"no permission for {error.filename}; change its owner, or set TWOSTAGE_CACHE to a folder of yours"
            )

    def _exit(self, line: str) -> None:
        log.error("error: %s", " ".join(line.split()))
        raise SystemExit(1)


def _arguments(name: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=f"python -m twostage.{name}",
        description=f"Runs {name} of one variant. Either --config with a job that snakemake resolved, or Hydra "
        "overrides such as: priors=pixelsnail data=cifar10 scale=smoke priors.learning_rate=1e-3",
    )
    parser.add_argument("overrides", nargs="*", help="group=choice or key=value of conf/, in Hydra's syntax")
    parser.add_argument("--config", type=Path, help="a resolved job (build/configs/...json)")
    parser.add_argument("--log", type=Path, help="also write the log to this file")
    parser.add_argument("--cfg", choices=["job"], help="print the job's config and exit")
    return parser.parse_args()


def _job(name: str, arguments: argparse.Namespace) -> Job:
    if arguments.config is not None:
        if arguments.overrides:
            raise TwostageError("either --config or overrides, not both")
        try:
            return Job(**read_json(arguments.config))
        except TypeError as error:
            raise TwostageError(f"{arguments.config} is not a job of this version; ask snakemake again") from error
    _refuse_foreign_values(name, arguments.overrides)
    job = plan.job_at_prompt(name, compose(tuple(arguments.overrides)))
    missing = [folder for folder in job.inputs.values() if not Path(folder).is_dir()]
    if missing and not arguments.cfg:
        raise TwostageError(f"{name} needs {missing[0]}/, not made yet; ask snakemake for the job or run that stage")
    return job


def _refuse_foreign_values(name: str, overrides: list[str]) -> None:
    """A verb reads what earlier stages stored, so a value of theirs on its command line would change nothing."""
    stage = name.split(".")[0]
    for override in overrides:
        group, dot, _ = override.split("=")[0].lstrip("+~").partition(".")
        # What a prior is conditioned on says which prior is sampled from.
        named = override.startswith(("data.name=", "priors.condition="))
        if dot and group not in (stage, "scale") and not named:
            raise TwostageError(f"{override} is a choice of the stage {group}, not of {stage}; run that stage with it")


def start_log(path: Path | None) -> None:
    """Logs to stderr, and to the file as well."""
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(path))
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=handlers, force=True)
