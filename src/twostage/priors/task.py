"""Training tasks of priors: the steps and evaluations of autoregressive priors and of denoisers."""

# B batch, T image tokens, S condition tokens, V vocabulary, U unrolls

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from twostage.config.schema import PriorConfig
from twostage.errors import TwostageError
from twostage.latents.dataset import Split
from twostage.latents.orderings import ordering
from twostage.priors.absorbing import Absorbing, BoundMasks, Masks, mean_over_masked
from twostage.priors.average import averaged, swapped
from twostage.priors.model import AnyModel
from twostage.priors.noise import EVALUATION, TRAINING, noise_of
from twostage.priors.sundae import Noise, Sundae, unrolled
from twostage.runtime import processes, sharding, training
from twostage.runtime.scores import BOUND, DENOISING, NLL, REWEIGHTED, on
from twostage.runtime.training import EvaluatedRows, autocast, warmed_up


class PriorTask:
    """Maximum likelihood of image codes, Esser et al. 2021, Eq. 8 and 9 (a `training.Task`).

    The examples of a step depend only on the seed and the step, so every architecture sees the same ones.
    """

    score = NLL
    loss_name = on("train", NLL)

    def __init__(
        self, model: AnyModel, config: PriorConfig, learning_rate: float, train: Split, held_out: Split
    ) -> None:
        if config.averaging is not None and config.loop.sharding != "none":
            raise TwostageError(
                "priors.averaging needs whole weights; set priors.averaging=null, or loop.sharding=none"
            )
        # A batch that cannot be divided stops the job before it evaluates.
        training.own_parts(config.loop)
        self.device = training.device()
        self.model = model.to(self.device)
        self.network = sharding.laid_out(self.model, config.loop)
        self.config, self.learning_rate = config, learning_rate
        self.order_T = ordering(model.ordering, *model.tokens.grid)
        self.train, self.held_out = train, held_out
        self.optimiser = torch.optim.AdamW(
            decay_groups(model, config.weight_decay),
            lr=learning_rate,
            betas=(config.betas[0], config.betas[1]),
            fused=True,
        )
        self.average = None if config.averaging is None else averaged(self.model, config.averaging)

    def step(self, step: int) -> dict[str, torch.Tensor]:
        """One update on the batch of this step. `loss` is the mean over its image tokens, in nats."""
        loop = self.config.loop
        positions_B = training.batch_positions(len(self.train), loop.batch_size, loop.seed, step)
        for group in self.optimiser.param_groups:
            group["lr"] = warmed_up(self.learning_rate, self.config.warmup_steps, step)
        self.model.train()
        self.optimiser.zero_grad(set_to_none=True)
        parts = training.own_parts(loop)
        losses = [self._backward(positions_B, part, step, len(parts)) for part in parts[:-1]]
        losses.append(self._backward(positions_B, parts[-1], step, len(parts), is_last=True))
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.config.gradient_clip, foreach=True)
        self.optimiser.step()
        if self.average is not None:
            self.average.update_parameters(self.model)
        return {"loss": torch.stack(losses).sum(), "gradient_norm": processes.whole(norm)}

    def _backward(
        self,
        positions_B: np.ndarray,
        rows: slice,
        step: int,  # noqa: ARG002 - of other tasks
        num_parts: int,
        is_last: bool = False,
    ) -> torch.Tensor:
        """Adds the gradients of these rows of the step's batch, one of `num_parts` equal parts of this process.

        Returns the part's share of the loss. Processes exchange gradients in the last part.
        """
        with processes.exchanging(self.network, is_last):
            loss = self._nll(self.train, positions_B[rows]).mean() / num_parts
            loss.backward()
        return loss.detach()

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """The score over the whole held-out split, without dropout: of the weights that are stored."""
        self.model.eval()
        if self.average is None:
            return {self.score: self._held_out()}
        with swapped(self.model, self.average):
            return {self.score: self._held_out()}

    def _held_out(self) -> float:
        """Mean NLL in nats per image token."""
        total, num_tokens = 0.0, self.held_out.image_NT.shape[1]
        for positions_B, own in self._held_out_batches():
            total += self._counted(self._nll(self.held_out, positions_B[own.rows]), own.num_counted * num_tokens)
        return self._over_processes(total) / self.held_out.image_NT.size

    def _held_out_batches(self) -> Iterator[tuple[np.ndarray, EvaluatedRows]]:
        """Positions of each batch of the held-out split, and the rows of it that are this process's."""
        batch_size = self.config.loop.batch_size
        for start in range(0, len(self.held_out), batch_size):
            positions_B = np.arange(start, min(start + batch_size, len(self.held_out)))
            yield positions_B, EvaluatedRows.of(len(positions_B))

    @staticmethod
    def _counted(value_K: torch.Tensor, num_counted: int) -> float:
        """The sum of the last of these values."""
        return float(value_K[len(value_K) - num_counted :].double().sum())

    def _over_processes(self, part: float) -> float:
        return processes.totals([part], self.device)[0]

    def _nll(self, split: Split, positions_B: np.ndarray) -> torch.Tensor:
        """NLL [B T] of all image tokens in the model's order, in nats."""
        image_BT = self._gather(split.image_NT, positions_B)[:, self.order_T]
        condition_BS = None if split.condition_NS is None else self._gather(split.condition_NS, positions_B)
        with autocast(self.config.loop.precision):
            logits_BTV = self.network(image_BT, condition_BS)
        return functional.cross_entropy(logits_BTV.flatten(0, 1).float(), image_BT.flatten(), reduction="none")

    def _gather(self, index_NT: np.ndarray, positions_B: np.ndarray) -> torch.Tensor:
        index_BT = torch.from_numpy(index_NT[positions_B].astype(np.int64))
        return training.to_device(index_BT, self.device, self.config.loop.pin_memory)

    def weights(self) -> dict[str, torch.Tensor]:
        """The tensors to store, as `priors.model.store` takes them: the last weights, or their average."""
        if self.average is None:
            return sharding.weights_of(self.model, self.config.loop)
        average: dict[str, torch.Tensor] = self.average.module.state_dict()
        return average

    def state(self) -> dict[str, Any]:
        """State of model, optimizer and, if there is one, average."""
        model, optimiser = sharding.state_of(self.model, self.optimiser, self.config.loop)
        average = {} if self.average is None else {"average": self.average.state_dict()}
        return {"model": model, "optimiser": optimiser, **average}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restores what `state` returned."""
        sharding.load_state(self.model, self.optimiser, self.config.loop, (state["model"], state["optimiser"]))
        if self.average is not None:
            self.average.load_state_dict(state["average"])


class DenoisingTask(PriorTask):
    """Unrolled denoising of image codes, McKinney & Willcocks 2022, Sec. 3.3.

    The loss is the mean cross-entropy of clean codes over U steps of the chain, Eq. 6. It bounds the negative
    log-likelihood of an image *given its corruption* (Savinov et al. 2022), averaged over amounts of corruption. It is
    not a likelihood of images; do not compare it with one. Noise depends only on the seed and the step.
    """

    score = DENOISING
    loss_name = on("train", DENOISING)

    def __init__(self, model: Sundae, config: PriorConfig, learning_rate: float, train: Split, held_out: Split) -> None:
        super().__init__(model, config, learning_rate, train, held_out)
        self.sundae, self.unrolls = model, model.config.unrolls
        if self.unrolls < 1:
            raise TwostageError(f"priors.sundae.unrolls={self.unrolls} trains nothing; set 2 or 3")

    def _backward(
        self, positions_B: np.ndarray, rows: slice, step: int, num_parts: int, is_last: bool = False
    ) -> torch.Tensor:
        losses = []
        chain = self._chain(self.train, positions_B, rows, noise_of(self.config.loop.seed, TRAINING, step))
        for unroll in range(self.unrolls):
            with processes.exchanging(self.network, is_last and unroll == self.unrolls - 1):
                # Backpropagate now, so that only the activations of one step of the chain are kept.
                loss = next(chain).mean() / self.unrolls / num_parts
                loss.backward()
            losses.append(loss.detach())
        return torch.stack(losses).sum()

    def _held_out(self) -> float:
        """Mean cross-entropy in nats per image token over the held-out split and the chain.

        With equal batch sizes, the corruption is the same for every model, seed and evaluation point.
        """
        total, num_tokens = 0.0, self.held_out.image_NT.shape[1]
        for positions_B, own in self._held_out_batches():
            rng = noise_of(0, EVALUATION, int(positions_B[0]))
            for nll_BT in self._chain(self.held_out, positions_B, own.rows, rng):
                total += self._counted(nll_BT, own.num_counted * num_tokens)
        return self._over_processes(total) / (self.unrolls * self.held_out.image_NT.size)

    def _chain(
        self, split: Split, positions_B: np.ndarray, rows: slice, rng: np.random.Generator
    ) -> Iterator[torch.Tensor]:
        """Cross-entropies [B T] of the clean codes of some rows of a batch at each of U steps."""
        image_BT = self._gather(split.image_NT, positions_B)
        condition_BS = None if split.condition_NS is None else self._gather(split.condition_NS, positions_B[rows])
        # Of the whole batch, so that noise does not depend on its parts.
        noise = Noise.draw(rng, image_BT, self.sundae.tokens.num_codes, self.unrolls).of(rows)
        image_BT = image_BT[rows]
        for logits_BTV in unrolled(self._logits, image_BT, condition_BS, noise):
            yield functional.cross_entropy(logits_BTV.flatten(0, 1).float(), image_BT.flatten(), reduction="none")

    def _logits(self, index_BT: torch.Tensor, condition_BS: torch.Tensor | None) -> torch.Tensor:
        with autocast(self.config.loop.precision):
            logits_BTV: torch.Tensor = self.network(index_BT, condition_BS)
        return logits_BTV


class AbsorbingTask(PriorTask):
    """Prediction of masked image codes, Bond-Taylor et al. 2021; the equations are in `priors.absorbing`.

    The score is an upper bound of the negative log-likelihood, not the likelihood itself. Masks depend only on the seed
    and the step; in evaluation, only on the held-out split.
    """

    score = BOUND

    def __init__(
        self, model: Absorbing, config: PriorConfig, learning_rate: float, train: Split, held_out: Split
    ) -> None:
        super().__init__(model, config, learning_rate, train, held_out)
        self.absorbing = model
        self.loss_name = on("train", BOUND) if model.config.loss == "elbo" else REWEIGHTED

    def _backward(
        self, positions_B: np.ndarray, rows: slice, step: int, num_parts: int, is_last: bool = False
    ) -> torch.Tensor:
        image_BT = self._gather(self.train.image_NT, positions_B)
        rng = noise_of(self.config.loop.seed, TRAINING, step)
        # Of the whole batch, so that masks do not depend on its parts.
        masks = Masks.draw(rng, image_BT, self.absorbing.num_steps).of(rows)
        with processes.exchanging(self.network, is_last):
            nll_BT = self._masked_nll(self.train, positions_B[rows], masks.masked_BT)
            loss = masks.loss(nll_BT, self.absorbing.config.loss) / num_parts
            loss.backward()
        return loss.detach()

    def _held_out(self) -> float:
        """An unbiased estimate of the bound over the held-out split in nats per image token."""
        num_images, num_tokens = self.held_out.image_NT.shape
        masks = BoundMasks(num_images, num_tokens, self.absorbing.num_steps, noise_of(0, EVALUATION, 0))
        total = 0.0
        for positions_B, own in self._held_out_batches():
            masked_BT = masks.of(positions_B)[own.rows].to(self.device)
            nll_BT = self._masked_nll(self.held_out, positions_B[own.rows], masked_BT)
            total += self._counted(mean_over_masked(nll_BT, masked_BT), own.num_counted)
        return self._over_processes(total) / num_images

    def _masked_nll(self, split: Split, positions_B: np.ndarray, masked_BT: torch.Tensor) -> torch.Tensor:
        """Cross-entropy [B T] of the masked codes given the others; 0 for the others."""
        image_BT = self._gather(split.image_NT, positions_B)
        condition_BS = None if split.condition_NS is None else self._gather(split.condition_NS, positions_B)
        seen_BT = torch.where(masked_BT, self.absorbing.mask_code, image_BT)
        with autocast(self.config.loop.precision):
            # The head is needed only for masked tokens.
            logits_KV = self.network(seen_BT, condition_BS, masked_BT)
        nll_K = functional.cross_entropy(logits_KV.float(), image_BT[masked_BT], reduction="none")
        return nll_K.new_zeros(image_BT.shape).masked_scatter(masked_BT, nll_K)


def new_task(model: AnyModel, config: PriorConfig, learning_rate: float, train: Split, held_out: Split) -> PriorTask:
    """The task that trains this kind of model."""
    match config.architecture:
        case "sundae":
            assert isinstance(model, Sundae)
            return DenoisingTask(model, config, learning_rate, train, held_out)
        case "absorbing":
            assert isinstance(model, Absorbing)
            return AbsorbingTask(model, config, learning_rate, train, held_out)
        case _:
            return PriorTask(model, config, learning_rate, train, held_out)


def decay_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Optimizer groups: weights of linear and convolutional layers decay; biases, norms, embeddings and positions
    do not (released code).
    """
    decayed = {id(part.weight) for part in model.modules() if isinstance(part, nn.Linear | nn.Conv2d)}
    parameters = list(model.parameters())
    return [
        {"params": [p for p in parameters if id(p) in decayed], "weight_decay": weight_decay},
        {"params": [p for p in parameters if id(p) not in decayed], "weight_decay": 0.0},
    ]
