"""What a prior's training step and evaluation are; the same for every architecture."""

# B batch, T image tokens, S condition tokens, V vocabulary

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from twostage import training
from twostage.configs import PriorConfig
from twostage.errors import TwostageError
from twostage.latents.dataset import Split
from twostage.latents.orderings import ordering
from twostage.priors.model import Model
from twostage.training import warmed_up

# Name of the evaluation in curves and metrics, for either held-out split.
NLL = "validation_nll_nats_per_token"


class PriorTask:
    """Maximum likelihood of image codes, Esser et al. 2021, Eq. 8 and 9 (a `training.Task`).

    The examples of a step depend on the seed and the step alone: every architecture sees the same ones.
    """

    def __init__(self, model: Model, config: PriorConfig, learning_rate: float, train: Split, held_out: Split) -> None:
        self.device = training.device()
        self.model = model.to(self.device)
        self.config, self.learning_rate = config, learning_rate
        self.order_T = ordering(model.ordering, *model.tokens.grid)
        self.train, self.held_out = train, held_out
        self.optimiser = torch.optim.AdamW(
            decay_groups(model, config.weight_decay),
            lr=learning_rate,
            betas=(config.betas[0], config.betas[1]),
            fused=True,
        )

    def step(self, step: int) -> dict[str, torch.Tensor]:
        """One update on the batch of this step. `loss` is the mean NLL of its image tokens, nats."""
        loop = self.config.loop
        positions_B = training.batch_positions(len(self.train), loop.batch_size, loop.seed, step)
        for group in self.optimiser.param_groups:
            group["lr"] = warmed_up(self.learning_rate, self.config.warmup_steps, step)
        self.model.train()
        self.optimiser.zero_grad(set_to_none=True)
        loss = self._nll(self.train, positions_B).mean()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.config.gradient_clip, foreach=True)
        self.optimiser.step()
        return {"loss": loss.detach(), "gradient_norm": norm}

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Mean NLL in nats per image token over the whole held-out split, without dropout."""
        self.model.eval()
        total, batch_size = 0.0, self.config.loop.batch_size
        for start in range(0, len(self.held_out), batch_size):
            positions_B = np.arange(start, min(start + batch_size, len(self.held_out)))
            total += float(self._nll(self.held_out, positions_B).double().sum())
        return {NLL: total / self.held_out.image_NT.size}

    def _nll(self, split: Split, positions_B: np.ndarray) -> torch.Tensor:
        """NLL [B T] of every image token in the model's order, nats."""
        image_BT = self._gather(split.image_NT, positions_B)[:, self.order_T]
        condition_BS = None if split.condition_NS is None else self._gather(split.condition_NS, positions_B)
        with autocast(self.device, self.config.loop.precision):
            logits_BTV = self.model(image_BT, condition_BS)
        return functional.cross_entropy(logits_BTV.flatten(0, 1).float(), image_BT.flatten(), reduction="none")

    def _gather(self, index_NT: np.ndarray, positions_B: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(index_NT[positions_B].astype(np.int64)).to(self.device)

    def state(self) -> dict[str, Any]:
        """Model and optimiser."""
        return {"model": self.model.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Takes back what `state` gave."""
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])


def decay_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Optimiser groups: weights of linear and convolutional layers decay; biases, norms, embeddings and positions
    do not (released code).
    """
    decayed = {id(part.weight) for part in model.modules() if isinstance(part, nn.Linear | nn.Conv2d)}
    parameters = list(model.parameters())
    return [
        {"params": [p for p in parameters if id(p) in decayed], "weight_decay": weight_decay},
        {"params": [p for p in parameters if id(p) not in decayed], "weight_decay": 0.0},
    ]


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The autocast of a precision. Raises TwostageError for an unknown one."""
    match precision:
        case "float32":
            return torch.autocast(device.type, enabled=False)
        case "bfloat16":
            return torch.autocast(device.type, dtype=torch.bfloat16)
        case other:
            raise TwostageError(f"loop.precision={other} is unknown; choose float32 or bfloat16")
