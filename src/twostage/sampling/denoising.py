"""Draws whole code grids from a SUNDAE prior, along its chain.

Source: McKinney & Willcocks 2022, Sec. 3.4 and 3.6, after Savinov et al. 2022.
"""

# B samples, A of them not frozen, T image tokens, S condition tokens

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from twostage.config.schema import ChainConfig
from twostage.errors import TwostageError
from twostage.priors.linear import packed
from twostage.priors.sundae import Sundae, codes_at
from twostage.sampling.whole import Chains, States, Streams, require_fitting


@dataclass(frozen=True)
class Schedule:
    """The number of steps of a chain, and for each step its temperature and the share of tokens that it draws.

    After `min_steps` steps, a sample that a step does not change freezes. Frozen samples cost nothing.
    Raises TwostageError for invalid numbers.
    """

    steps: int
    min_steps: int
    temperature: tuple[float, float]  # at the first step and at the last
    proportion: tuple[float, float]

    def __post_init__(self) -> None:
        if self.steps < 1 or not 0 <= self.min_steps <= self.steps:
            raise TwostageError(
                f"chain.steps={self.steps} and chain.min_steps={self.min_steps}; steps must be at least 1, and "
                "min_steps at most steps"
            )
        if not all(0 < temperature < math.inf for temperature in self.temperature):
            raise TwostageError(
                f"chain.temperature from {_words(self.temperature)} must be positive and finite; set e.g. 0.7"
            )
        if not all(0 < share <= 1 for share in self.proportion):
            raise TwostageError(f"chain.proportion from {_words(self.proportion)} must be in (0, 1]; set e.g. 0.5")

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
        """Temperature and proportion of a step, counted from 0, linearly interpolated from start to end."""
        share = step / max(self.steps - 1, 1)
        first, last = zip(self.temperature, self.proportion, strict=True)
        return first[0] + share * (last[0] - first[0]), first[1] + share * (last[1] - first[1])


def _words(ends: tuple[float, float]) -> str:
    return f"{ends[0]} to {ends[1]}"


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
    """Runs one chain per stream, starting from uniform codes; row-major.

    `condition_BS`: int64, for conditional priors. To inpaint: `given_BT`, int64, are kept where `redrawn_BT`, bool, is
    false. `watch` is called with the number of steps done and all states, int64 [B, T], before the first step and after
    each.
    Raises TwostageError if condition codes do not match the model.
    """
    require_fitting(model, condition_BS, len(streams))
    first_BT = streams.codes(model.tokens.num_codes, model.tokens.num_tokens)
    states = States(model, first_BT, condition_BS, given_BT, redrawn_BT)
    active_A = np.flatnonzero(states.redrawn_BT.any(1))
    steps_B = np.zeros(len(streams), np.int64)
    if watch:
        watch(0, states.index_BT)
    with packed(model, states.index_BT.numel()):
        for step in range(schedule.steps):
            if not len(active_A):
                break
            changed_A = step_on(states, streams, active_A, *schedule.at(step))
            steps_B[active_A] += 1
            if watch:
                watch(step + 1, states.index_BT)
            if step >= schedule.min_steps:
                active_A = active_A[changed_A.cpu().numpy()]
    return Chains(states.index_BT, steps_B)


def step_on(
    states: States, streams: Streams, active_A: np.ndarray, temperature: float, proportion: float
) -> torch.Tensor:
    """Runs one step of some chains; returns which of them changed, bool [A]."""
    choose_AT, uniform_AT = streams.uniforms(active_A, states.index_BT.shape[1])
    chosen_AT = (choose_AT < proportion) & states.redrawn_BT[active_A]
    logits_KV = states.logits(active_A, chosen_AT) / temperature
    return states.replace(active_A, chosen_AT, codes_at(logits_KV, states.to_device(uniform_AT[chosen_AT])))
