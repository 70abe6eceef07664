"""Drawing whole code grids at once from a SUNDAE prior, along its chain.

Source: McKinney & Willcocks 2022, Sec. 3.4 and 3.6, after Savinov et al. 2022.
"""

# B samples, A of them not frozen, T image tokens, S condition tokens, D width, K tokens drawn in a step

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from twostage.config.schema import ChainConfig
from twostage.errors import TwostageError
from twostage.priors.linear import packed
from twostage.priors.sundae import SAMPLING, Sundae, codes_at, noise_of


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
        if not all(0 < temperature < math.inf for temperature in self.temperature):
            raise TwostageError(
                f"chain.temperature from {_words(self.temperature)} is not positive or not finite; set e.g. 0.7"
            )
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
        self._streams = [noise_of(seed, SAMPLING, n) for n in samples]

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
    condition_BS: torch.Tensor | None = None,
    given_BT: torch.Tensor | None = None,
    redrawn_BT: np.ndarray | None = None,
    watch: Callable[[int, torch.Tensor], None] | None = None,
) -> Chains:
    """Runs a chain for every stream, from uniform codes on; row-major.

    `condition_BS`: int64, for conditional priors. To inpaint: `given_BT`, int64, are kept where `redrawn_BT`, bool, is
    false. `watch` is called with the number of steps done and all states, int64 [B, T], before the first step and after
    each.
    Raises TwostageError if condition codes do not fit the model.
    """
    _check_condition(model, condition_BS, len(streams))
    states = States(model, streams, condition_BS, given_BT, redrawn_BT)
    active_A = np.flatnonzero(states.redrawn_BT.any(1))
    steps_B = np.zeros(len(streams), np.int64)
    if watch:
        watch(0, states.index_BT)
    with packed(model, states.index_BT.numel()):
        for step in range(schedule.steps):
            if not len(active_A):
                break
            changed_A = states.step(active_A, *schedule.at(step))
            steps_B[active_A] += 1
            if watch:
                watch(step + 1, states.index_BT)
            if step >= schedule.min_steps:
                active_A = active_A[changed_A.cpu().numpy()]
    return Chains(states.index_BT, steps_B)


class States:
    """The states `index_BT` of B chains, int64 [B, T] on the model's device; arguments as those of `denoise`."""

    def __init__(
        self,
        model: Sundae,
        streams: Streams,
        condition_BS: torch.Tensor | None,
        given_BT: torch.Tensor | None,
        redrawn_BT: np.ndarray | None,
    ) -> None:
        self.model, self.streams, self.device = model, streams, next(model.parameters()).device
        self.condition_BS = None if condition_BS is None else condition_BS.to(self.device)
        shape = (len(streams), model.tokens.num_tokens)
        self.redrawn_BT = np.ones(shape, bool) if redrawn_BT is None else redrawn_BT
        self.index_BT = streams.codes(model.tokens.num_codes, model.tokens.num_tokens).to(self.device)
        if given_BT is not None:
            kept_BT = torch.from_numpy(~self.redrawn_BT).to(self.device)
            self.index_BT = torch.where(kept_BT, given_BT.to(self.device), self.index_BT)

    def step(self, active_A: np.ndarray, temperature: float, proportion: float) -> torch.Tensor:
        """Takes some chains one step on; returns which of them changed, bool [A]."""
        choose_AT, uniform_AT = self.streams.uniforms(active_A, self.index_BT.shape[1])
        chosen_AT = (choose_AT < proportion) & self.redrawn_BT[active_A]
        row_A = self._to_device(active_A)
        before_AT = self.index_BT[row_A]
        # What is left of the samples takes its own conditions along.
        condition_AS = None if self.condition_BS is None else self.condition_BS[row_A]
        feature_AD = self.model.features(before_AT, condition_AS).flatten(0, 1)
        # The head is needed for the tokens that are drawn, and for no other.
        place_K = self._to_device(np.flatnonzero(chosen_AT))
        logits_KV = self.model.head(feature_AD[place_K]) / temperature
        code_K = codes_at(logits_KV, self._to_device(uniform_AT[chosen_AT]))
        after_AT = before_AT.flatten().index_copy(0, place_K, code_K).view_as(before_AT)
        self.index_BT[row_A] = after_AT
        return (after_AT != before_AT).any(1)

    def _to_device(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array).to(self.device)


def _check_condition(model: Sundae, condition_BS: torch.Tensor | None, num_samples: int) -> None:
    if condition_BS is not None and len(condition_BS) != num_samples:
        raise TwostageError(
            f"{len(condition_BS)} conditions for {num_samples} samples; give one condition for every sample"
        )
    model.check_condition(condition_BS)
