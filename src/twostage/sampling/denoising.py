"""Drawing whole code grids at once from a SUNDAE prior, along its chain.

Source: McKinney & Willcocks 2022, Sec. 3.4 and 3.6, after Savinov et al. 2022.
"""

# B samples, A of them not frozen, T image tokens, D width, K tokens drawn in a step

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from twostage.configs import ChainConfig
from twostage.errors import TwostageError
from twostage.priors.sundae import Sundae, codes_at


@dataclass(frozen=True)
class Schedule:
    """How many steps a chain has, and at which temperature and for which share of the tokens each of them draws.

    A sample that a step leaves as it is freezes, once `min_steps` steps are done; frozen samples cost nothing.
    Raises TwostageError for numbers that describe no chain.
    """

    steps: int
    min_steps: int
    temperature: tuple[float, float]  # at the first step and at the last
    proportion: tuple[float, float]

    def __post_init__(self) -> None:
        if self.steps < 1 or not 0 <= self.min_steps <= self.steps:
            raise TwostageError(
                f"chain.steps={self.steps} and chain.min_steps={self.min_steps}; a chain has 1 step or more, and no "
                "more minimum steps than steps"
            )
        if not min(self.temperature) > 0:
            raise TwostageError(f"chain.temperature from {_words(self.temperature)} is not positive; set e.g. 0.7")
        if not all(0 < share <= 1 for share in self.proportion):
            raise TwostageError(f"chain.proportion from {_words(self.proportion)} is no share in (0, 1]; set e.g. 0.5")

    @classmethod
    def of(cls, config: ChainConfig) -> "Schedule":
        """The schedule of a config."""
        return cls(
            config.steps,
            config.min_steps,
            (config.temperature_start, config.temperature_end),
            (config.proportion_start, config.proportion_end),
        )

    def at(self, step: int) -> tuple[float, float]:
        """Temperature and proportion of a step, counted from 0: on a line from start to end."""
        share = step / max(self.steps - 1, 1)
        first, last = zip(self.temperature, self.proportion, strict=True)
        return first[0] + share * (last[0] - first[0]), first[1] + share * (last[1] - first[1])


def _words(ends: tuple[float, float]) -> str:
    return f"{ends[0]} to {ends[1]}"


class Streams:
    """Random numbers for samples, a stream for each: its chain depends on the seed and its own number alone.

    So it depends neither on the batch it is in nor on which others froze, and numbers are the same on every device.
    """

    def __init__(self, seed: int, samples: range) -> None:
        self._streams = [np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(n,))) for n in samples]

    def __len__(self) -> int:
        return len(self._streams)

    def codes(self, num_codes: int, num_tokens: int) -> torch.Tensor:
        """Uniform codes of all samples, int64 [B, T]."""
        return torch.from_numpy(np.stack([stream.integers(0, num_codes, num_tokens) for stream in self._streams]))

    def uniforms(self, active_A: np.ndarray, num_tokens: int) -> tuple[np.ndarray, np.ndarray]:
        """Two numbers in [0, 1) for each token of some samples, float32 [A, T] each."""
        drawn = np.stack([self._streams[sample].random((2, num_tokens), np.float32) for sample in active_A])
        return drawn[:, 0], drawn[:, 1]


@dataclass(frozen=True)
class Chains:
    """What came of B chains: their last states int64 [B, T], and through how many steps each went."""

    index_BT: torch.Tensor
    steps_B: np.ndarray


@torch.inference_mode()
def denoise(
    model: Sundae,
    schedule: Schedule,
    streams: Streams,
    class_B: torch.Tensor | None = None,
    given_BT: torch.Tensor | None = None,
    redrawn_BT: np.ndarray | None = None,
    watch: Callable[[int, torch.Tensor], None] | None = None,
) -> Chains:
    """Runs a chain for every stream, from uniform codes on; row-major.

    `class_B`: int64, for conditional priors. To inpaint: `given_BT`, int64, are kept where `redrawn_BT`, bool, is
    false. `watch` is called with the number of steps done and all states, int64 [B, T], before the first step and after
    each.
    Raises TwostageError if classes do not fit the model.
    """
    _check_classes(model, class_B, len(streams))
    T, device = model.tokens.num_tokens, next(model.parameters()).device
    class_B = None if class_B is None else class_B.to(device)
    index_BT = streams.codes(model.tokens.num_codes, T).to(device)
    active_A = np.arange(len(streams))
    if redrawn_BT is not None and given_BT is not None:
        index_BT = torch.where(torch.from_numpy(redrawn_BT).to(device), index_BT, given_BT.to(device))
        active_A = np.flatnonzero(redrawn_BT.any(1))
    steps_B = np.zeros(len(streams), np.int64)
    if watch:
        watch(0, index_BT)
    for step in range(schedule.steps):
        if not len(active_A):
            break
        temperature, proportion = schedule.at(step)
        choose_AT, uniform_AT = streams.uniforms(active_A, T)
        chosen_AT = choose_AT < proportion
        if redrawn_BT is not None:
            chosen_AT &= redrawn_BT[active_A]
        rows_A = torch.from_numpy(active_A).to(device)
        before_AT, class_A = index_BT[rows_A], None if class_B is None else class_B[rows_A]
        after_AT = _redraw(model, before_AT, class_A, chosen_AT, uniform_AT[chosen_AT], temperature)
        index_BT[rows_A] = after_AT
        steps_B[active_A] += 1
        if watch:
            watch(step + 1, index_BT)
        if step >= schedule.min_steps:
            active_A = active_A[(after_AT != before_AT).any(1).cpu().numpy()]
    return Chains(index_BT, steps_B)


def _redraw(
    model: Sundae,
    index_AT: torch.Tensor,
    class_A: torch.Tensor | None,
    chosen_AT: np.ndarray,
    uniform_K: np.ndarray,
    temperature: float,
) -> torch.Tensor:
    """The states int64 [A, T] with the K chosen tokens drawn anew, each at its number in [0, 1)."""
    place_K = torch.from_numpy(np.flatnonzero(chosen_AT)).to(index_AT.device)
    # The head is needed for the tokens that are drawn, and for no other.
    feature_KD = model.features(index_AT, class_A).flatten(0, 1)[place_K]
    code_K = codes_at(model.head(feature_KD) / temperature, torch.from_numpy(uniform_K).to(index_AT.device))
    return index_AT.flatten().index_copy(0, place_K, code_K).view_as(index_AT)


def _check_classes(model: Sundae, class_B: torch.Tensor | None, num_samples: int) -> None:
    if class_B is not None and len(class_B) != num_samples:
        raise TwostageError(f"{len(class_B)} classes for {num_samples} samples; give one class for every sample")
    model.check_classes(class_B)
