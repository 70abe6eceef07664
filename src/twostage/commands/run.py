"""The command line of every verb: a job's resolved config, or Hydra overrides typed by a person."""

import argparse
import contextlib
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

from twostage.commands import tracking
from twostage.commands.arguments import Parser, parsed
from twostage.commands.console import one_line_errors, start_log
from twostage.commands.dispatch import config_of, work_of
from twostage.commands.environment import require_device
from twostage.commands.paths import writable, writable_file, writable_folder
from twostage.config import plugins
from twostage.config.composition import parse
from twostage.errors import TwostageError
from twostage.planning import made, prompt, provenance
from twostage.planning.verbs import VERBS
from twostage.runtime import launch
from twostage.runtime.artifacts import read_json
from twostage.runtime.gpus import own_gpus
from twostage.runtime.job import PROVENANCE, Job

C = TypeVar("C")
# What the processes of torchrun ask the first one: is the folder made already?
MADE = "made"
log = logging.getLogger("twostage")


def run(name: str, kind: type[C], work: Callable[[C, Job], None], arguments: argparse.Namespace | None = None) -> None:
    """Runs the verb `name` ("priors.train"): reads its job, logs, and calls `work(config, job)`.

    `arguments`: of a parser like `verb_parser(name)`; by default, what was typed.

    A TwostageError, a full disk or an artifact that another run took away becomes one line on stderr and exit status 1.
    Any other error keeps its traceback, of which a copy goes to the log. What is asked for by hand and lies there
    already is not made again.
    """
    arguments = arguments or verb_arguments(name)
    with one_line_errors():
        start_log(arguments.log)
        if not launch.is_first():
            logging.getLogger().setLevel(logging.ERROR)
        if arguments.tracker is not None:
            tracking.choose(arguments.tracker)
        asked = _asked(name, arguments)
        job = asked.job
        config = parse(kind, job.config)
        if arguments.cfg == "job":
            print(json.dumps(job.config, indent=2))
            return
        if VERBS[name].gpu:
            require_device()
        if launch.count() > 1 and not VERBS[name].spread:
            raise TwostageError(f"{name} runs in one process, got {launch.count()}; start it without torchrun")
        if not launch.is_first():
            _take_part(name, config, job, work)
            return
        if arguments.config is None:
            made.require_inputs(job, asked.jobs, asked.how)
        else:
            made.verify_inputs(job)
        with locked(job):
            # Snakemake takes away what it has made anew; another process may have made it meanwhile.
            if launch.from_first(MADE, lambda: str(made.is_made(job, asked.jobs))) == str(True):
                log.info("%s is made already, just so; delete it to make it again", job.out)
            else:
                if arguments.log is None:
                    start_log(job.folder / "log.txt")
                with own_gpus() if VERBS[name].gpu else contextlib.nullcontext():
                    _work(config, job, work)
            name_pictures(job)


def _take_part(name: str, config: C, job: Job, work: Callable[[C, Job], None]) -> None:
    """What the other processes of torchrun do: the first one waits for the folder, looks at it and writes to it."""
    if launch.from_first(MADE, str) == str(True):
        return
    with own_gpus() if VERBS[name].gpu else contextlib.nullcontext():
        _together(config, job, work)


def _together(config: C, job: Job, work: Callable[[C, Job], None]) -> None:
    # It loads torch, which the verb's own module has loaded by now.
    from twostage.runtime.processes import joined

    with joined():
        work(config, job)


def make(asked: prompt.Asked) -> Path:
    """Makes the job and all that it rests on here, in order, but for what is made already; returns the job's folder.

    For jobs of no plan, whose inputs no rule of Snakemake's could name: one process, one GPU, no log of their own.
    """
    for job in (*asked.jobs.values(), asked.job):
        with locked(job):
            if not made.is_made(job, asked.jobs):
                work = work_of(job.name)
                with own_gpus() if VERBS[job.name].gpu else contextlib.nullcontext():
                    _work(parse(config_of(work), job.config), job, work)
    return asked.job.folder


def run_verb(name: str, arguments: argparse.Namespace) -> None:
    """`run` with the function of the verb `name`, and the config that the function takes."""
    work = work_of(name)
    run(name, config_of(work), work, arguments)


def _work(config: C, job: Job, work: Callable[[C, Job], None]) -> None:
    # A folder that is being written has no record, so that nobody takes it for whole.
    (job.folder / PROVENANCE).unlink(missing_ok=True)
    made.unfinished(job).parent.mkdir(parents=True, exist_ok=True)
    made.unfinished(job).touch()
    origin = provenance.origin(job)
    with tracking.tracked(job):
        _together(config, job, work)
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
    parser.add_argument(
        "--out", type=writable_folder, required=True, help="folder for model.safetensors and config.json"
    )
    with one_line_errors():
        start_log(None)
        arguments = parser.parse_args()
        work(arguments.config, arguments.checkpoint, arguments.out)


def verb_arguments(name: str) -> argparse.Namespace:
    """What was typed after the verb `name`."""
    return parsed(verb_parser(name, name))


def verb_parser(name: str, command: str, about: str = "") -> Parser:
    """The arguments of the verb `name`; of a `command` that stands for it, those without a resolved job."""
    resolved = "Either --config with a job that snakemake resolved, or Hydra overrides"
    parser = Parser(
        command,
        f"{about or f'Runs {name} of one variant. {resolved}'} such as: priors=pixelsnail data=cifar10 scale=smoke "
        "priors.learning_rate=1e-3. prior=DIR and tokenizer=DIR name trained models to use.",
        (*prompt.READS.get(name.split(".")[0], ()), "scale"),
    )
    parser.add_argument("--out", type=writable, help="the folder to write, outside of artifacts/")
    if name == command:
        parser.add_argument("--config", type=Path, help="a resolved job (build/configs/...json)")
    parser.set_defaults(config=None)
    parser.add_argument("--log", type=writable_file, help="also write the log to this file")
    parser.add_argument("--tracker", help=f"also tell what is measured to one of {', '.join(tracking.LIBRARIES)}")
    parser.add_argument("--cfg", choices=["job", "tree"], help="print the job's config, or the whole tree, and exit")
    return parser


def _asked(name: str, arguments: argparse.Namespace) -> prompt.Asked:
    if arguments.config is None:
        return prompt.asked(name, tuple(arguments.overrides), arguments.out)
    if arguments.overrides or arguments.out:
        raise TwostageError("either --config or overrides and --out, not both")
    try:
        job = Job(**read_json(arguments.config))
    except TypeError as error:
        raise TwostageError(f"{arguments.config} is not a job of this version; ask snakemake again") from error
    for path in job.plugins:
        plugins.load(Path(path))
    return prompt.Asked(job, {})
