"""The common parts of drawing whole code grids at once: random numbers per sample, initial states, logits."""

# B samples, A of them, T image tokens, S condition tokens, V vocabulary, K tokens drawn in a step

from dataclasses import dataclass

import numpy as np
import torch

from twostage.errors import TwostageError
from twostage.priors.denoiser import Denoiser
from twostage.priors.noise import SAMPLING, noise_of


class Streams:
    """Random numbers, one stream per sample. The chain of a sample depends only on the seed and the sample's number.

    So it does not depend on the batch or on other samples that froze. Numbers are the same on every device.
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
    """The results of B chains: their last states int64 [B, T], and the number of steps of each."""

    index_BT: torch.Tensor
    steps_B: np.ndarray


class States:
    """The states `index_BT` of B chains, int64 [B, T] on the model's device.

    They start as `first_BT`. Where `redrawn_BT`, bool, is false, codes are those of `given_BT` and never change.
    """

    def __init__(
        self,
        model: Denoiser,
        first_BT: torch.Tensor,
        condition_BS: torch.Tensor | None,
        given_BT: torch.Tensor | None,
        redrawn_BT: np.ndarray | None,
    ) -> None:
        self.model, self.device = model, next(model.parameters()).device
        self.condition_BS = None if condition_BS is None else condition_BS.to(self.device)
        self.redrawn_BT = np.ones(first_BT.shape, bool) if redrawn_BT is None else redrawn_BT
        self.index_BT = first_BT.to(self.device)
        if given_BT is not None:
            kept_BT = torch.from_numpy(~self.redrawn_BT).to(self.device)
            self.index_BT = torch.where(kept_BT, given_BT.to(self.device), self.index_BT)

    def logits(self, active_A: np.ndarray, chosen_AT: np.ndarray) -> torch.Tensor:
        """Logits [K, V] of the chosen tokens of some chains, in order, given the current states of these chains."""
        row_A = self.to_device(active_A)
        # The remaining samples keep their conditions.
        condition_AS = None if self.condition_BS is None else self.condition_BS[row_A]
        feature_AD = self.model.features(self.index_BT[row_A], condition_AS).flatten(0, 1)
        # The head is needed only for the drawn tokens.
        return self.model.head(feature_AD[self.to_device(np.flatnonzero(chosen_AT))])

    def replace(self, active_A: np.ndarray, chosen_AT: np.ndarray, code_K: torch.Tensor) -> torch.Tensor:
        """Writes codes to the chosen tokens; returns which chains changed, bool [A]."""
        row_A = self.to_device(active_A)
        before_AT = self.index_BT[row_A]
        place_K = self.to_device(np.flatnonzero(chosen_AT))
        after_AT = before_AT.flatten().index_copy(0, place_K, code_K).view_as(before_AT)
        self.index_BT[row_A] = after_AT
        return (after_AT != before_AT).any(1)

    def to_device(self, array: np.ndarray) -> torch.Tensor:
        """An array, as a tensor on the device of the states."""
        return torch.from_numpy(array).to(self.device)


def require_fitting(model: Denoiser, condition_BS: torch.Tensor | None, num_samples: int) -> None:
    """Raises TwostageError if there is not one condition per sample in the model's range."""
    if condition_BS is not None and len(condition_BS) != num_samples:
        raise TwostageError(f"{len(condition_BS)} conditions for {num_samples} samples; give one condition per sample")
    model.check_condition(condition_BS)
