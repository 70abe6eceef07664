"""The training loop: steps, evaluation points, checkpoints, exact resume, seeding, progress, curves.

A task does the mathematics; the loop does everything around it. Batches are a pure function of the seed and the step,
so a checkpoint needs no data position other than its step.

Several processes (`runtime.processes`) share each batch: a step's batch, its random numbers and the state after it do
not depend on their number. So a run may go on with another number of them. Dropout alone differs: each process draws
its own.
"""

import functools
import hashlib
import logging
import math
import os
import pickle
import random
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
import torch
from tqdm import tqdm

from twostage.config.schema import LoopConfig
from twostage.errors import TwostageError
from twostage.runtime import launch, processes
from twostage.runtime.artifacts import atomic_path, sha256_file

log = logging.getLogger(__name__)


class Diverged(TwostageError):
    """A loss became NaN or infinite. A sweep records it and continues; every other run ends."""


class Task(Protocol):
    """What the loop trains."""

    def step(self, step: int) -> dict[str, torch.Tensor]:
        """One optimizer update on the batch of this step. Returns scalars of this process's part, `loss` among them."""
        ...

    def evaluate(self) -> dict[str, float]:
        """Scalars on held-out data, the same in all processes. Must not change the state or the random generators."""
        ...

    def state(self) -> dict[str, Any]:
        """Models and optimizers as nested dicts of tensors and plain values, whole in the first process."""
        ...

    def load_state(self, state: dict[str, Any]) -> None:
        """Restores what `state` returned."""
        ...


def device() -> torch.device:
    """The device of this process: TWOSTAGE_DEVICE if set (the workflow sets it by scale), else torch's accelerator.

    Without one, and on MPS, it is the CPU: MPS has no float64, in which codes are drawn and likelihoods summed.
    """
    if named := os.environ.get("TWOSTAGE_DEVICE"):
        return torch.device(named)
    found = torch.accelerator.current_accelerator(check_available=True)
    return torch.device("cpu") if found is None or found.type == "mps" else found


def to_device(tensor: torch.Tensor, target: torch.device, pin_memory: bool) -> torch.Tensor:
    """The tensor, of the CPU, on a device. `pin_memory`: to CUDA by page-locked memory, without a wait."""
    if pin_memory and target.type == "cuda":
        return tensor.pin_memory().to(target, non_blocking=True)
    return tensor.to(target)


def autocast(precision: str) -> torch.autocast:
    """The autocast of a `LoopConfig.precision` on this process's device. Raises TwostageError for an unknown one."""
    match precision:
        case "float32":
            return torch.autocast(device().type, enabled=False)
        case "bfloat16":
            return torch.autocast(device().type, dtype=torch.bfloat16)
        case other:
            raise TwostageError(f"loop.precision={other} is unknown; choose float32 or bfloat16")


def seed_everything(seed: int) -> None:
    """Seeds Python, NumPy and torch. Flushes denormal numbers, which make convolutions on CPUs several times slower."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    # Does the same as use_deterministic_algorithms(True, warn_only=True), which would load an unused compiler in 1.3 s.
    torch.set_deterministic_debug_mode("warn")
    # Our code never reads uninitialized memory, and filling it costs 6 % of a tokenizer's step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.set_flush_denormal(True)


def batch_positions(num_examples: int, batch_size: int, seed: int, step: int) -> np.ndarray:
    """Positions of the examples of one step, int64 [batch_size]: shuffled epochs without replacement, cut into batches.

    A pure function of its arguments. Raises TwostageError if there are fewer examples than one batch.
    """
    batches_per_epoch = num_examples // batch_size
    if batches_per_epoch == 0:
        raise TwostageError(
            f"{num_examples} training examples are fewer than batch_size={batch_size}; lower batch_size"
        )
    epoch, batch = divmod(step, batches_per_epoch)
    order = _epoch_order(num_examples, seed, epoch)
    return order[batch * batch_size : (batch + 1) * batch_size]


def own_parts(config: LoopConfig) -> list[slice]:
    """The rows of a step's batch whose gradients this process adds up, part after part; all parts have equal sizes.

    Raises TwostageError if the batch cannot be divided.
    """
    own = processes.own_part(config.batch_size, "batch_size")
    size, rest = divmod(own.stop - own.start, config.accumulate)
    if rest:
        raise TwostageError(
            f"loop.accumulate={config.accumulate} does not divide the {own.stop - own.start} examples of a process; "
            "choose a divisor"
        )
    return [slice(start, start + size) for start in range(own.start, own.stop, size)]


@dataclass(frozen=True)
class EvaluatedRows:
    """The rows of a held-out batch that this process passes through a model, of which it counts the last ones.

    All processes pass equally many, because a sharded model needs all of them at each pass.
    """

    rows: slice
    num_counted: int

    @classmethod
    def of(cls, num_rows: int) -> "EvaluatedRows":
        """Each row is counted in one process."""
        size = -(-num_rows // launch.count())
        first = launch.rank() * size
        end = min(first + size, num_rows)
        return cls(slice(end - size, end), max(end - first, 0))


# Redrawing the permutation of an epoch at every step would cost more than a step of a small model. Two are cached,
# because the two priors of `priors.pace` step in turn.
@functools.lru_cache(maxsize=2)
def _epoch_order(num_examples: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch)).permutation(num_examples)


def warmed_up(learning_rate: float, warmup_steps: int, step: int) -> float:
    """The learning rate of a step (counted from 0): linear over the first `warmup_steps`, then constant."""
    return learning_rate * min(1.0, (step + 1) / max(warmup_steps, 1))


def training_clock() -> float:
    """Seconds of training so far, measured so that other jobs on the machine have little influence.

    On a CPU: the process's own CPU time. A job has one thread, so alone on its core this equals wall time. On an
    accelerator: wall time after a synchronisation, since a job owns its device.
    """
    if device().type == "cpu":
        return time.process_time()
    torch.accelerator.synchronize(device())
    return time.perf_counter()


DIGEST_BYTES = 64


def write_checkpoint(path: Path, state: Any) -> None:
    """Writes tensors and plain values with `torch.save`, and appends the hex sha256 of the file.

    torch checks no checksum, so it would load flipped bits as weights. Of several processes, the first one writes.
    """
    if not launch.is_first():
        return
    with atomic_path(path) as temporary:
        torch.save(state, temporary)
        digest = sha256_file(temporary)
        with open(temporary, "a") as file:
            file.write(digest)


def read_checkpoint(path: Path) -> Any:
    """Reads what `write_checkpoint` wrote, onto the CPU. Unpickles only tensors and plain values.

    Raises TwostageError if the file is missing or if any byte has changed.
    """
    if not path.exists():
        raise TwostageError(f"{path} is missing; delete {path.parent} to start again")
    with open(path, "rb") as file:
        if not _is_whole(file, path.stat().st_size - DIGEST_BYTES):
            raise TwostageError(f"{path} is not a complete checkpoint; delete it to start again")
        file.seek(0)
        try:
            return torch.load(file, weights_only=True, map_location="cpu")
        except pickle.UnpicklingError as error:
            raise TwostageError(
                f"{path} contains objects that a checkpoint must not have; delete it to start again"
            ) from error


def _is_whole(file: BinaryIO, num_bytes: int) -> bool:
    """Whether the file's last bytes are the sha256 of its first `num_bytes`."""
    digest = hashlib.sha256()
    while num_bytes > 0:
        part = file.read(min(num_bytes, 1 << 20))
        digest.update(part)
        num_bytes -= len(part)
    return file.read() == digest.hexdigest().encode()


class Loop:
    """Trains a task, starting from its last checkpoint.

    `curve` has one row per evaluation point: `step`, `train_seconds` (cumulative, training only), the means of the
    step's scalars since the last point, and the task's evaluation.
    """

    def __init__(self, task: Task, config: LoopConfig, scratch: Path, label: str) -> None:
        self.task, self.config, self.label = task, config, label
        self.scratch = scratch
        self.step, self.train_seconds = 0, 0.0
        self.curve: list[dict[str, float]] = []
        self._sums: dict[str, tuple[float, int]] = {}
        self._draw_apart()
        if processes.from_first(self._checkpoint.exists()):
            self._resume()
        else:
            self._evaluate()

    @property
    def _checkpoint(self) -> Path:
        return self.scratch / "checkpoint.pt"

    def run(self, until: Callable[["Loop"], bool]) -> None:
        """Trains until `until(loop)` is true at an evaluation point. Raises Diverged if a loss is NaN or infinite."""
        budget = self.config.steps if self.step < self.config.steps else None
        with tqdm(
            desc=self.label, initial=self.step, total=budget, unit="step", disable=launch.hides_bars()
        ) as progress:
            while not (self._at_evaluation_point() and until(self)):
                self._train_one_step(progress)
                if self._at_evaluation_point():
                    self._evaluate()
                if self.step % self.config.checkpoint_every == 0:
                    self.save()
        self.save()

    def _at_evaluation_point(self) -> bool:
        return self.step % self.config.evaluate_every == 0 or self.step == self.config.steps

    def _train_one_step(self, progress: "tqdm[Any]") -> None:
        start = training_clock()
        scalars = processes.means(self.task.step(self.step))
        self.train_seconds += training_clock() - start
        self._check(scalars, self.step + 1)
        for name, value in scalars.items():
            total, count = self._sums.get(name, (0.0, 0))
            self._sums[name] = (total + value, count + 1)
        self.step += 1
        progress.set_postfix_str(f"loss {scalars['loss']:.3f}", refresh=False)
        progress.update()

    def _check(self, scalars: dict[str, float], step: int) -> None:
        for name, value in scalars.items():
            if not math.isfinite(value):
                raise Diverged(
                    f"{self.label}: {name} is {value} at step {step}; the last good state is kept in "
                    f"{self.scratch}; lower the learning rate or set loop.precision=float32"
                )

    def _evaluate(self) -> None:
        means = {name: total / count for name, (total, count) in self._sums.items()}
        evaluation = self.task.evaluate()
        self._check(evaluation, self.step)
        row = {"step": self.step, "train_seconds": self.train_seconds, **means, **evaluation}
        self.curve.append(row)
        self._sums = {}
        log.info("%s: %s", self.label, "  ".join(f"{name} {value:.5g}" for name, value in row.items()))

    def save(self) -> None:
        """Writes the checkpoint: models, optimizers, random number generators, data position and curve."""
        state = {
            "task": self.task.state(),
            "step": self.step,
            "train_seconds": self.train_seconds,
            "curve": self.curve,
            "sums": self._sums,
            "torch_rng": torch.get_rng_state(),
            "device_rng": _device_rng(),
        }
        write_checkpoint(self._checkpoint, state)

    def _draw_apart(self) -> None:
        """Gives each process but the first, whose generator is stored, dropout of its own."""
        if not launch.is_first():
            words = np.random.SeedSequence((self.config.seed, self.step, launch.rank())).generate_state(1, np.uint64)
            torch.manual_seed(int(words[0] >> np.uint64(1)))

    def _resume(self) -> None:
        state = read_checkpoint(self._checkpoint)
        try:
            self.task.load_state(state["task"])
            self.step, self.train_seconds = state["step"], state["train_seconds"]
            self.curve, self._sums = state["curve"], state["sums"]
            torch.set_rng_state(state["torch_rng"])
            device_rng = state["device_rng"]
        except (RuntimeError, LookupError, ValueError, TypeError, AttributeError) as error:
            # torch lists every mismatched tensor on a line of its own.
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise TwostageError(
                f"{self._checkpoint} is not a checkpoint of this run ({reason}); delete it to start again"
            ) from error
        if device().type != "cpu" and device_rng is not None:
            torch.get_device_module(device()).set_rng_state(device_rng, *_card())
        self._draw_apart()
        log.info("%s: resumed at step %d", self.label, self.step)

    def discard(self) -> None:
        """Removes the scratch folder. Call it after the job's outputs are written."""
        if launch.is_first():
            shutil.rmtree(self.scratch)


def _device_rng() -> torch.Tensor | None:
    if device().type == "cpu":
        return None
    state: torch.Tensor = torch.get_device_module(device()).get_rng_state(*_card())
    return state


def _card() -> list[torch.device]:
    """The card that TWOSTAGE_DEVICE names, such as cuda:1; none: the current one."""
    return [] if device().index is None else [device()]
