"""The command line of every verb: a job's resolved config, or Hydra overrides typed by a person; one-line errors."""

import argparse
import contextlib
import errno
import json
import logging
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

from twostage.config.composition import parse
from twostage.config.overrides import add_overrides
from twostage.errors import TwostageError
from twostage.planning import made, prompt, provenance
from twostage.runtime.artifacts import NOT_WRITABLE, read_json
from twostage.runtime.job import PROVENANCE, Job

C = TypeVar("C")
log = logging.getLogger("twostage")


def run(name: str, kind: type[C], work: Callable[[C, Job], None]) -> None:
    """Runs the verb `name` ("priors.train"): reads its job, logs, and calls `work(config, job)`.

    A TwostageError or a full disk becomes one line on stderr and exit status 1. Any other error keeps its traceback, of
    which a copy goes to the log. What is asked for by hand and lies there already is not made again.
    """
    arguments = _arguments(name)
    with one_line_errors():
        start_log(arguments.log)
        asked = _asked(name, arguments)
        job = asked.job
        config = parse(kind, job.config)
        if arguments.cfg:
            print(json.dumps(job.config, indent=2))
            return
        if arguments.config is None:
            made.require_inputs(job, asked.jobs, asked.how)
        else:
            made.verify_inputs(job)
        with locked(job):
            # Snakemake takes away what it has made anew; another process may have made it meanwhile.
            if made.is_made(job, asked.jobs):
                log.info("%s is made already, just so; delete it to make it again", job.out)
            else:
                if arguments.log is None:
                    start_log(job.folder / "log.txt")
                _work(config, job, work)
            name_pictures(job)


def _work(config: C, job: Job, work: Callable[[C, Job], None]) -> None:
    # A folder that is being written has no record, so that nobody takes it for whole.
    (job.folder / PROVENANCE).unlink(missing_ok=True)
    made.unfinished(job).parent.mkdir(parents=True, exist_ok=True)
    made.unfinished(job).touch()
    origin = provenance.origin(job)
    work(config, job)
    provenance.write_record(job, origin)
    made.unfinished(job).unlink(missing_ok=True)


@contextlib.contextmanager
def locked(job: Job) -> Iterator[None]:
    """While the block runs, no other process of this clone writes the job's folder."""
    folder = Path("build/locks") / made.place(job)
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{folder}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.info("another process is making %s; waiting for it", job.out)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def name_pictures(job: Job) -> None:
    """Logs the paths of the pictures that the job made: what a person looks for in the last line."""
    for file in job.files:
        if file.endswith(".png"):
            log.info("%s", job.folder / file)


def run_import(name: str, about: str | None, work: Callable[[Path, Path, Path], None]) -> None:
    """Runs the converter `name` ("priors.import_released"): reads which released files it shall convert into which
    folder, logs, and calls `work(config, checkpoint, out)`. Errors as in `run`.
    """
    parser = argparse.ArgumentParser(prog=f"python -m twostage {name}", description=about)
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
        if isinstance(error, KeyboardInterrupt):
            self._exit("stopped; the same command goes on, a training from its last checkpoint", 130)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            self._exit(f"the disk is full while writing {error.filename or 'an artifact'}; free some space, run again")
        if isinstance(error, OSError) and error.errno in NOT_WRITABLE:
            self._exit(
                f"no permission for {error.filename} ({error.strerror}); make it readable and writable for you, or "
                "work in a folder of your own"
            )
        if isinstance(error, Exception):
            _keep_traceback(error)

    def _exit(self, line: str, status: int = 1) -> None:
        log.error("error: %s", " ".join(line.split()))
        raise SystemExit(status)


def _keep_traceback(error: Exception) -> None:
    """To the log file; Python prints it on stderr, too."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler) and handler.stream is not None:
            handler.stream.write("".join(traceback.format_exception(error)))
            handler.flush()


def _arguments(name: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=f"python -m twostage {name}",
        description=f"Runs {name} of one variant. Either --config with a job that snakemake resolved, or Hydra "
        "overrides such as: priors=pixelsnail data=cifar10 scale=smoke priors.learning_rate=1e-3. prior=DIR and "
        "tokenizer=DIR name trained models to use.",
    )
    add_overrides(parser)
    parser.add_argument("--out", type=Path, help="the folder to write, outside of artifacts/")
    parser.add_argument("--config", type=Path, help="a resolved job (build/configs/...json)")
    parser.add_argument("--log", type=Path, help="also write the log to this file")
    parser.add_argument("--cfg", choices=["job"], help="print the job's config and exit")
    return parser.parse_args()


def _asked(name: str, arguments: argparse.Namespace) -> prompt.Asked:
    if arguments.config is None:
        return prompt.asked(name, tuple(arguments.overrides), arguments.out)
    if arguments.overrides or arguments.out:
        raise TwostageError("either --config or overrides and --out, not both")
    try:
        return prompt.Asked(Job(**read_json(arguments.config)), {})
    except TypeError as error:
        raise TwostageError(f"{arguments.config} is not a job of this version; ask snakemake again") from error


def start_log(path: Path | None) -> None:
    """Logs to stderr, and to the file as well."""
    # A log file on a full disk would answer every line with a traceback of its own; the console still has the line.
    logging.raiseExceptions = False
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Names of files may be no text: stderr escapes such bytes by itself.
        handlers.append(logging.FileHandler(path, encoding="utf-8", errors="backslashreplace"))
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=handlers, force=True)
