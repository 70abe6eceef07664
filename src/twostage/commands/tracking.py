"""Trackers: what jobs measure, for those who watch it in TensorBoard or MLflow. None by default.

No config and no result of a job knows of them, so they change no fingerprint and no weight.
"""

import contextlib
import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from twostage.commands.console import log
from twostage.errors import TwostageError
from twostage.planning import made
from twostage.runtime.artifacts import read_json
from twostage.runtime.job import Job

# The key `tracker` -> the package that it needs.
LIBRARIES = {"none": None, "tensorboard": "tensorboard", "mlflow": "mlflow"}
# How a run of Snakemake tells it to its jobs.
VARIABLE = "TWOSTAGE_TRACKER"
EVENTS = Path("build/tensorboard")
# Images of the tune split that a tokenizer's grid shows.
SHOWN = 8


def choose(word: str) -> None:
    """Has the jobs of this process, and of those that it starts, tell this tracker.

    Raises TwostageError for an unknown one, or if its package is not installed.
    """
    if word not in LIBRARIES:
        raise TwostageError(f"tracker={word} is unknown; choose {', '.join(LIBRARIES)}")
    package = LIBRARIES[word]
    if package is not None and importlib.util.find_spec(package) is None:
        raise TwostageError(f"tracker={word} needs the package {package}; pip install --group trackers")
    os.environ[VARIABLE] = word


class Tracker(Protocol):
    """Where numbers and pictures of one job go."""

    def numbers(self, values: dict[str, float], step: int) -> None:
        """Scalars of one step."""

    def picture(self, name: str, image_HWC: np.ndarray, step: int) -> None:
        """A picture: uint8 [H, W, 3], or [H, W, 1] if it is grey."""

    def close(self, *, ended_well: bool) -> None:
        """Nothing comes after this."""


class TensorBoard:
    """An event file in build/tensorboard/, in a folder of the job's name.

    A job that is made again, or goes on, tells its curve from the start, so the file replaces an earlier one.
    """

    def __init__(self, job: Job) -> None:
        from torch.utils.tensorboard import SummaryWriter

        folder = EVENTS / made.place(job)
        shutil.rmtree(folder, ignore_errors=True)
        self.writer = SummaryWriter(str(folder))
        self.writer.add_text("config", "\n".join(f"    {key}: {value}" for key, value in _flat(job.config).items()))

    def numbers(self, values: dict[str, float], step: int) -> None:
        """See Tracker."""
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)
        self.writer.flush()

    def picture(self, name: str, image_HWC: np.ndarray, step: int) -> None:
        """See Tracker."""
        self.writer.add_image(name, image_HWC, step, dataformats="HWC")

    def close(self, *, ended_well: bool) -> None:  # noqa: ARG002
        """See Tracker."""
        self.writer.close()


class MLflow:
    """A run of MLflow's standard client, in the experiment "twostage". MLFLOW_TRACKING_URI says where, and the other
    variables of MLflow hold as well.
    """

    def __init__(self, job: Job) -> None:
        import mlflow

        self.mlflow = mlflow
        if "MLFLOW_EXPERIMENT_NAME" not in os.environ:
            mlflow.set_experiment("twostage")
        mlflow.start_run(run_name=made.job_id(job), tags={"scale": job.scale, "verb": job.name})
        mlflow.log_params(_flat(job.config))

    def numbers(self, values: dict[str, float], step: int) -> None:
        """See Tracker."""
        self.mlflow.log_metrics(values, step=step)

    def picture(self, name: str, image_HWC: np.ndarray, step: int) -> None:
        """See Tracker."""
        self.mlflow.log_image(image_HWC, key=name, step=step)

    def close(self, *, ended_well: bool) -> None:
        """See Tracker."""
        self.mlflow.end_run("FINISHED" if ended_well else "FAILED")


@contextlib.contextmanager
def tracked(job: Job) -> Iterator[None]:
    """While the block runs, every new row of a training's curve goes to the tracker that was chosen, with a grid of
    reconstructions if a tokenizer is trained; then the job's metrics and pictures.

    A tracker that fails is given up with a warning: no job ends for it.
    """
    word = os.environ.get(VARIABLE, "none")
    choose(word)
    if word == "none":
        yield
        return
    told = _Told(job, TensorBoard if word == "tensorboard" else MLflow)
    ended_well = False
    try:
        with told.trainings():
            yield
        told.results()
        ended_well = True
    finally:
        told.tell(lambda tracker: tracker.close(ended_well=ended_well))


class _Told:
    def __init__(self, job: Job, kind: Callable[[Job], Tracker]) -> None:
        self.job, self.kind = job, kind
        self.tracker: Tracker | None = None
        self.given_up = False

    def tell(self, what: Callable[[Tracker], None]) -> None:
        if self.given_up:
            return
        try:
            self.tracker = self.tracker or self.kind(self.job)
            what(self.tracker)
        except Exception as error:  # of a library, a disk or a server: the job's result depends on none of them
            log.warning("the tracker failed (%s: %s); the job goes on without it", type(error).__name__, error)
            self.given_up = True

    @contextlib.contextmanager
    def trainings(self) -> Iterator[None]:
        """Listens at every evaluation point of every loop, where it asks whether it has reached its end."""
        from twostage.runtime.training import Loop

        train, num_told = Loop.run, dict[Loop, int]()

        def run(loop: Loop, until: Callable[[Loop], bool]) -> None:
            def listening(loop: Loop) -> bool:
                rows = loop.curve[num_told.get(loop, 0) :]
                num_told[loop] = len(loop.curve)
                if rows:
                    self.tell(lambda tracker: self._rows(tracker, loop, rows))
                return until(loop)

            train(loop, listening)

        Loop.run = run  # type: ignore[assignment, method-assign]
        try:
            yield
        finally:
            Loop.run = train  # type: ignore[method-assign]

    def _rows(self, tracker: Tracker, loop: Any, rows: list[dict[str, float]]) -> None:
        # A sweep has several loops, each with a label of its own.
        part = loop.label.removeprefix(self.job.variant).strip()
        for row in rows:
            values = {f"{part}/{name}" if part else name: value for name, value in row.items() if name != "step"}
            tracker.numbers(values, int(row["step"]))
        if self.job.name == "tokenizers.train":
            tracker.picture("reconstructions", _reconstructions(loop.task), loop.step)

    def results(self) -> None:
        """The numbers of metrics.json, and the pictures that the job made."""
        path = self.job.folder / "metrics.json"
        metrics = read_json(path) if path.exists() else {}
        numbers = {key: value for key, value in metrics.items() if type(value) in (int, float)}
        step = numbers.get("steps", 0)
        self.tell(lambda tracker: tracker.numbers({f"metrics/{key}": value for key, value in numbers.items()}, step))
        for name in self.job.files:
            if name.endswith(".png"):
                image_HWC = np.asarray(Image.open(self.job.folder / name).convert("RGB"))
                self.tell(partial(_show, Path(name).stem, image_HWC, step))


def _show(name: str, image_HWC: np.ndarray, step: int, tracker: Tracker) -> None:
    tracker.picture(name, image_HWC, step)


def _reconstructions(task: Any) -> np.ndarray:
    """Held-out images of a tokenizer's task over its reconstructions, uint8 [H, W, C]. Labels are grey levels.

    As `task.evaluate`, it draws no random number, and the next step sets the mode of the networks.
    """
    import torch

    from twostage.tokenizers import as_bytes

    tokenizer = task.models.tokenizer.eval()
    image_BCHW = tokenizer.prepare(task.data.tune_NHWC[:SHOWN])
    with torch.no_grad():
        output_BCHW = tokenizer.to_image(tokenizer(image_BCHW)[0])
    rows = [image_BCHW, output_BCHW]
    if tokenizer.kind == "labels":
        rows = [each.argmax(1, keepdim=True) * (2 / max(each.shape[1] - 1, 1)) - 1 for each in rows]
    return np.concatenate([np.concatenate(list(as_bytes(row)), axis=1) for row in rows])


def _flat(config: dict[str, Any], before: str = "") -> dict[str, Any]:
    """A config's leaves by their dotted keys."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        found |= _flat(value, f"{before}{key}.") if isinstance(value, dict) else {f"{before}{key}": value}
    return found
