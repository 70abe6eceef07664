"""The task for `training.Loop`: a tokenizer with its discriminator, on the maps of one dataset."""

# B batch, C channels, H height, W width, N images

import contextlib
import dataclasses
import logging
import math
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from twostage.config.schema import TokenizerConfig
from twostage.errors import TwostageError
from twostage.runtime import processes, training
from twostage.runtime.artifacts import read_array, read_json
from twostage.tokenizers.codebook import CodebookKeeper
from twostage.tokenizers.discriminator import PatchDiscriminator, smallest_side
from twostage.tokenizers.losses import reconstruction_loss
from twostage.tokenizers.maps import prepare_map
from twostage.tokenizers.model import Tokenizer
from twostage.tokenizers.quantizer import count_codes, perplexity
from twostage.tokenizers.stabilisers import LeCam, Randomness
from twostage.tokenizers.step import Models, Perceptual, Phase, Step, accumulate_gradients

log = logging.getLogger(__name__)

# Evaluation points use the first images of the tune split. The final metrics use the whole split.
EVALUATION_IMAGES = 128
# A result below either bound is a collapse. Plain quantizers end with about 2 % of their codes in short training. Flat
# maps, such as garments on a background, still have a perplexity far above 2.
SMALLEST_USED_FRACTION = 0.05
SMALLEST_PERPLEXITY = 2.0
# Of the patches that a discriminator judged in its last steps, the share that it knew.
FEWEST_JUDGED, AT_CHANCE, WINS = 50, 0.53, 0.98
CHANCE = (
    "%s: the discriminator is at chance (it knows %.0f %% of the patches): the tokenizer learns noise from it; give it "
    "more steps before (discriminator.steps_ahead), or both lower rates (adversarial_learning_rate)"
)
OUTRIGHT = (
    "%s: the discriminator wins outright (it knows %.0f %% of the patches): its gradient says little; lower "
    "discriminator.learning_rate, or set discriminator.augment=true or discriminator.lecam=0.01"
)


@dataclass(frozen=True)
class MapData:
    """One map of a dataset: its training and tune splits as stored, uint8 [N, H, W, C]."""

    train_NHWC: np.ndarray
    tune_NHWC: np.ndarray
    kind: str
    num_channels: int

    @classmethod
    def open(cls, folder: Path, name: str) -> "MapData":
        """The map `name` of the dataset in `folder`. Raises TwostageError if the dataset has no such map."""
        metadata = read_json(folder / "metadata.json")
        if name not in metadata["maps"]:
            raise TwostageError(
                f"tokenizers.map={name}: dataset {metadata['name']} has the maps {', '.join(metadata['maps'])}; "
                f"add {name} to data.maps or choose another tokenizer"
            )
        description = metadata["maps"][name]
        train_NHWC, tune_NHWC = (read_array(folder / f"{split}_{name}.npy") for split in ("train", "tune"))
        return cls(train_NHWC, tune_NHWC, description["kind"], description["channels"])


def build_models(config: TokenizerConfig, data: MapData, perceptual: Perceptual | None) -> Models:
    """Newly initialised networks on the device. Raises TwostageError if the config does not match the data."""
    _check(config, data)
    device = training.device()
    tokenizer = Tokenizer(config, data.kind, data.num_channels).to(device)
    critic = config.discriminator
    if config.loss.adversarial == "none" or critic is None:
        return Models(tokenizer, None, perceptual)
    discriminator = PatchDiscriminator(data.num_channels, critic.channels, critic.layers).to(device)
    lecam = LeCam().to(device) if critic.lecam else None
    return Models(tokenizer, discriminator.to(memory_format=torch.channels_last), perceptual, lecam)


def _check(config: TokenizerConfig, data: MapData) -> None:
    loop = config.loop
    if loop.sharding != "none" or loop.checkpoint_activations or loop.compile:
        raise TwostageError(
            "tokenizers.loop has sharding, checkpoint_activations or compile, which only priors have; remove them"
        )
    height, width = data.train_NHWC.shape[1:3]
    factor = 2**config.num_downsamplings
    if height % factor or width % factor:
        raise TwostageError(
            f"tokenizer {config.name} needs sides divisible by {factor}, got {height}x{width}; "
            "set data.size or tokenizers.num_downsamplings"
        )
    for key in ("perceptual", "early_perceptual"):
        name = getattr(config.loss, key)
        if name != "none" and data.num_channels != 3:
            raise TwostageError(
                f"loss.{key}={name} needs 3 channels, but {config.map} has {data.num_channels}; "
                f"set tokenizers.loss.{key}=none"
            )
    if config.loss.reconstruction == "binary_cross_entropy" and data.kind != "binary":
        raise TwostageError(
            f"loss.reconstruction=binary_cross_entropy needs a binary map, but {config.map} is {data.kind}"
        )
    if config.loss.reconstruction == "cross_entropy" and data.kind != "labels":
        raise TwostageError(
            f"loss.reconstruction=cross_entropy needs labels, but {config.map} is {data.kind}; choose l1"
        )
    if config.loss.adversarial != "none":
        _check_discriminator(config, min(height, width))


def _check_discriminator(config: TokenizerConfig, side: int) -> None:
    critic = config.discriminator
    if critic is None:
        raise TwostageError(
            f"loss.adversarial={config.loss.adversarial} needs a discriminator, but tokenizers.discriminator is null; "
            "set its keys as in conf/tokenizers/vqgan_f4.yaml, or loss.adversarial=none"
        )
    smallest = smallest_side(critic.layers)
    if side < smallest:
        raise TwostageError(
            f"a discriminator of {critic.layers} layers needs sides of {smallest} pixels, got {side}; "
            "set tokenizers.discriminator.layers"
        )


def learning_rate(config: TokenizerConfig, step: int) -> float:
    """The tokenizer's learning rate at a step, counted from 0: linear warm-up, constant, then a cosine to zero.

    With `adversarial_learning_rate` the cosine falls to that rate at the start of the adversarial phase, and another
    one from there to zero at the end. Without `decay_from` there are no cosines.
    """
    return _rate(config, step, config.learning_rate, config.adversarial_learning_rate)


def discriminator_learning_rate(config: TokenizerConfig, step: int) -> float:
    """The discriminator's: on the tokenizer's schedule, or constant before an adversarial phase with its own rate."""
    assert config.discriminator is not None
    rate = config.discriminator.learning_rate
    return _rate(config, step, rate, None if config.adversarial_learning_rate is None else rate)


def _rate(config: TokenizerConfig, step: int, rate: float, adversarial_rate: float | None) -> float:
    start, end = config.loss.adversarial_start, config.loop.steps
    if adversarial_rate is not None and step >= start:
        return adversarial_rate * (1.0 if config.decay_from is None else _cosine(step, start, end))
    rate = training.warmed_up(rate, config.warmup_steps, step)
    if config.decay_from is None or step < config.decay_from:
        return rate
    if adversarial_rate is None:
        return rate * _cosine(step, config.decay_from, end)
    return adversarial_rate + (rate - adversarial_rate) * _cosine(step, config.decay_from, min(start, end))


def _cosine(step: int, start: int, end: int) -> float:
    """From 1 at `start` to 0 at `end`."""
    return (1 + math.cos(math.pi * ((step - start) / (end - start)))) / 2


class TokenizerTask:
    """Implements `training.Task`."""

    def __init__(
        self, config: TokenizerConfig, models: Models, data: MapData, early_perceptual: Perceptual | None = None
    ) -> None:
        trained = {"tokenizer": models.tokenizer, "discriminator": models.discriminator}
        replicas = {name: processes.replicated(it) for name, it in trained.items() if it is not None}
        models = dataclasses.replace(models, replicas=replicas)
        self.config, self.models, self.data = config, models, data
        self.device = training.device()
        self.early_models = dataclasses.replace(models, perceptual=early_perceptual)
        self.keeper = CodebookKeeper(config.quantizer).to(self.device)
        learned = [parameter for parameter in models.tokenizer.parameters() if parameter.requires_grad]
        self.optimizers = {"tokenizer": _adam(learned, config.betas)}
        self.rates = {"tokenizer": learning_rate}
        if models.discriminator is not None and config.discriminator is not None:
            self.optimizers["discriminator"] = _adam(models.discriminator.parameters(), config.discriminator.betas)
            self.rates["discriminator"] = discriminator_learning_rate
        # Of the last steps since an evaluation.
        self.accuracies: deque[Tensor] = deque(maxlen=FEWEST_JUDGED)

    def start_from(self, other: Tokenizer) -> None:
        """Call before the first step: takes the weights and codes of another tokenizer.

        Raises TwostageError if its networks or its codebook have other sizes.
        """
        try:
            self.models.tokenizer.load_state_dict(other.state_dict())
        except RuntimeError as error:
            raise TwostageError(
                f"tokenizer {self.config.name} cannot start from {other.config.name}: "
                f"{str(error).splitlines()[-1].strip()}; give both the same networks and codebook"
            ) from error
        self.keeper.go_on(self.models.tokenizer.quantizer)

    def phase(self, step: int) -> Phase:
        """Which networks learn from the discriminator at a step."""
        if self.models.discriminator is None or self.config.discriminator is None:
            return Phase.RECONSTRUCTION
        start = self.config.loss.adversarial_start
        if step >= start:
            return Phase.ADVERSARIAL
        return Phase.AHEAD if step >= start - self.config.discriminator.steps_ahead else Phase.RECONSTRUCTION

    def step(self, step: int) -> dict[str, Tensor]:
        """One update of the tokenizer and, in its phases, one of the discriminator."""
        early = step < self.config.loss.early_perceptual_steps
        models, seed = self.early_models if early else self.models, self.config.loop.seed
        parts = [(rows, self.batch(step, rows)) for rows in training.own_parts(self.config.loop)]
        generator, phase = torch.Generator().manual_seed(_stream(seed, step, "codebook")), self.phase(step)
        models.tokenizer.train()
        if not self.keeper.ready:
            self._start_codebook([image_BCHW for _, image_BCHW in parts], generator)
        for name, optimizer in self.optimizers.items():
            optimizer.param_groups[0]["lr"] = self.rates[name](self.config, step)
            optimizer.zero_grad(set_to_none=True)
        found = [
            self._gradients(models, step, rows, image_BCHW, is_last=number == len(parts))
            for number, (rows, image_BCHW) in enumerate(parts, start=1)
        ]
        if len(parts) > 1:
            self._divide_gradients(len(parts))
        scalars = {name: torch.stack([each.scalars[name] for each in found]).mean() for name in found[0].scalars}
        # Reported so that an update with bad weights stops the run before they are saved.
        gradients = [p.grad for p in models.tokenizer.parameters() if p.grad is not None]
        scalars["gradient_norm"] = torch.nn.utils.get_total_norm(gradients)
        self.optimizers["tokenizer"].step()
        if phase is not Phase.RECONSTRUCTION:
            self.optimizers["discriminator"].step()
            self.accuracies.append(scalars["discriminator_accuracy"])
        index_N = torch.cat([each.quantized.index_BHW.flatten() for each in found])
        vector_ND = torch.cat([each.quantized.vector_ND for each in found])
        self.keeper.update(models.tokenizer.quantizer, vector_ND, index_N, generator)
        return scalars

    def _gradients(self, models: Models, step: int, rows: slice, image_BCHW: Tensor, is_last: bool) -> Step:
        """Adds the gradients of some rows of the step's batch; processes exchange them in the last part."""
        loop = self.config.loop
        generator = torch.Generator().manual_seed(_stream(loop.seed, step, "augmentation"))
        random = Randomness(generator, loop.batch_size, rows)
        with contextlib.ExitStack() as stack:
            for replica in models.replicas.values():
                stack.enter_context(processes.exchanging(replica, is_last))
            stack.enter_context(training.autocast(loop.precision))
            return accumulate_gradients(models, self.config, image_BCHW, self.phase(step), random)

    def _divide_gradients(self, num_parts: int) -> None:
        """The gradients of the mean over parts, from their sums."""
        groups = (group for optimizer in self.optimizers.values() for group in optimizer.param_groups)
        for parameter in (parameter for group in groups for parameter in group["params"]):
            if parameter.grad is not None:
                parameter.grad /= num_parts

    def batch(self, step: int, rows: slice = slice(None)) -> Tensor:
        """Images of one step, each flipped with probability 1/2. A pure function of seed, step and rows."""
        loop = self.config.loop
        position_B = training.batch_positions(len(self.data.train_NHWC), loop.batch_size, loop.seed, step)
        flipped_B = np.random.default_rng(_stream(loop.seed, step, "flips")).random(len(position_B))[rows] < 0.5
        map_BHWC = self.data.train_NHWC[position_B[rows]]
        map_BHWC = np.where(flipped_B[:, None, None, None], map_BHWC[:, :, ::-1], map_BHWC)
        image_BCHW = prepare_map(map_BHWC, self.data.kind, self.data.num_channels)
        image_BCHW = image_BCHW.contiguous(memory_format=torch.channels_last)
        return training.to_device(image_BCHW, self.device, loop.pin_memory)

    @torch.no_grad()
    def _start_codebook(self, parts: list[Tensor], generator: torch.Generator) -> None:
        features = [
            self.models.tokenizer.features(image_BCHW).permute(0, 2, 3, 1).flatten(0, 2) for image_BCHW in parts
        ]
        self.keeper.start(self.models.tokenizer.quantizer, torch.cat(features), generator)

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Losses and codebook use on the first images of the tune split. See `EVALUATION_IMAGES`.

        Warns of a discriminator that learns nothing, or from which nothing can be learned.
        """
        self._watch_discriminator()
        sums: dict[str, float] = {}
        count_K = torch.zeros(self.config.quantizer.num_codes, dtype=torch.int64, device=self.device)
        for image_BCHW, num_counted in self._tune_batches(EVALUATION_IMAGES):
            output_BCHW, _, quantized = self.models.tokenizer.eval()(image_BCHW)
            first = len(image_BCHW) - num_counted
            count_K += count_codes(quantized.index_BHW[first:], len(count_K))
            shown = slice(-max(num_counted, 1), None)
            for name, value in self._compare(output_BCHW[shown], image_BCHW[shown]).items():
                sums[name] = sums.get(name, 0.0) + float(value) * num_counted
        count_K = processes.total(count_K)
        num_images = len(self.data.tune_NHWC[:EVALUATION_IMAGES])
        totals = processes.totals(list(sums.values()), count_K.device)
        means = {f"tune_{name}": total / num_images for name, total in zip(sums, totals, strict=True)}
        used = {"tune_codes_used": int((count_K > 0).sum()), "tune_perplexity": perplexity(count_K)}
        return means | used | {"num_revived": int(self.keeper.num_revived)}

    def _watch_discriminator(self) -> None:
        if len(self.accuracies) == FEWEST_JUDGED:
            accuracy = float(processes.mean(torch.stack(list(self.accuracies)).mean()))
            if accuracy < AT_CHANCE:
                log.warning(CHANCE, self.config.name, 100 * accuracy)
            elif accuracy > WINS:
                log.warning(OUTRIGHT, self.config.name, 100 * accuracy)
        self.accuracies.clear()

    def _compare(self, output_BCHW: Tensor, image_BCHW: Tensor) -> dict[str, Tensor]:
        tokenizer, perceptual = self.models.tokenizer, self.models.perceptual
        compared = {"reconstruction": reconstruction_loss(self.config.loss.reconstruction, output_BCHW, image_BCHW)}
        decoded_BCHW = tokenizer.to_image(output_BCHW)
        if perceptual is not None:
            features = [perceptual.features(image) for image in (decoded_BCHW, image_BCHW)]
            compared["perceptual"] = perceptual.distance(*features).mean()
        match tokenizer.kind:
            case "labels":
                compared["accuracy"] = (decoded_BCHW.argmax(1) == image_BCHW.argmax(1)).float().mean()
            case "binary":
                compared["accuracy"] = ((decoded_BCHW > 0) == (image_BCHW > 0)).float().mean()
            case _:
                square_B = (decoded_BCHW.clamp(-1, 1) - image_BCHW).square().mean((1, 2, 3))
                compared["psnr"] = (10.0 * torch.log10(4.0 / square_B.clamp(min=1e-10))).mean()
        return compared

    def _tune_batches(self, limit: int | None) -> Iterator[tuple[Tensor, int]]:
        """The rows of each batch that are this process's, and how many of them, the last ones, it counts."""
        tune_NHWC, size = self.data.tune_NHWC[:limit], self.config.loop.batch_size
        for start in range(0, len(tune_NHWC), size):
            batch_BHWC = tune_NHWC[start : start + size]
            own = training.EvaluatedRows.of(len(batch_BHWC))
            yield self.models.tokenizer.prepare(batch_BHWC[own.rows]), own.num_counted

    @torch.no_grad()
    def codebook_use(self) -> dict[str, float]:
        """`codes_used` and `perplexity` on the whole tune split. Raises TwostageError if the codebook collapsed."""
        num_codes = self.config.quantizer.num_codes
        tokenizer = self.models.tokenizer.eval()
        count_K = torch.zeros(num_codes, dtype=torch.int64, device=self.device)
        for image_BCHW, num_counted in self._tune_batches(None):
            index_BHW = tokenizer.encode(image_BCHW)
            count_K += count_codes(index_BHW[len(index_BHW) - num_counted :], num_codes)
        count_K = processes.total(count_K)
        use = {"codes_used": int((count_K > 0).sum()), "perplexity": perplexity(count_K)}
        if use["codes_used"] < SMALLEST_USED_FRACTION * num_codes or use["perplexity"] < SMALLEST_PERPLEXITY:
            raise TwostageError(
                f"the codebook of tokenizer {self.config.name} collapsed: {use['codes_used']} of {num_codes} codes "
                f"used, perplexity {use['perplexity']:.1f}; expected at least {SMALLEST_USED_FRACTION:.0%} and "
                f"{SMALLEST_PERPLEXITY:g}; set tokenizers.quantizer.init=data, revive_after=20 or learned_by=ema"
            )
        return use

    def _modules(self) -> dict[str, torch.nn.Module]:
        optional = {"discriminator": self.models.discriminator, "lecam": self.models.lecam}
        present = {name: module for name, module in optional.items() if module is not None}
        return {"tokenizer": self.models.tokenizer, "keeper": self.keeper, **present}

    def state(self) -> dict[str, Any]:
        """State of networks, codebook and optimizers."""
        modules = {name: module.state_dict() for name, module in self._modules().items()}
        return {"modules": modules, "optimizers": {name: it.state_dict() for name, it in self.optimizers.items()}}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restores what `state` returned."""
        for name, module in self._modules().items():
            module.load_state_dict(state["modules"][name])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])


def _adam(parameters: Iterable[torch.nn.Parameter], betas: list[float]) -> torch.optim.Adam:
    """Its rate is set at every step."""
    beta1, beta2 = betas
    return torch.optim.Adam(parameters, lr=0.0, betas=(beta1, beta2), fused=True)


_STREAMS = {"flips": 1, "codebook": 2, "augmentation": 3}


def _stream(seed: int, step: int, purpose: str) -> int:
    """A separate seed for each purpose and step, so that no random state must be stored."""
    words = np.random.SeedSequence((seed, step, _STREAMS[purpose])).generate_state(1, np.uint64)
    return int(words[0] >> np.uint64(1))
