"""The task for `training.Loop`: a tokenizer with its discriminator, on the maps of one dataset."""

# B batch, C channels, H height, W width, N images

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from twostage.config.schema import TokenizerConfig
from twostage.errors import TwostageError
from twostage.runtime import training
from twostage.runtime.artifacts import read_array, read_json
from twostage.tokenizers.codebook import CodebookKeeper
from twostage.tokenizers.discriminator import PatchDiscriminator, smallest_side
from twostage.tokenizers.losses import reconstruction_loss
from twostage.tokenizers.model import Tokenizer
from twostage.tokenizers.quantizer import count_codes, perplexity
from twostage.tokenizers.step import Models, Perceptual, accumulate_gradients

# Evaluation points use the first images of the tune split. The final metrics use the whole split.
EVALUATION_IMAGES = 128
# A result below either bound is a collapse. Plain quantizers end with about 2 % of their codes in short training. Flat
# maps, such as garments on a background, still have a perplexity far above 2.
SMALLEST_USED_FRACTION = 0.05
SMALLEST_PERPLEXITY = 2.0


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
    discriminator = None
    if config.loss.adversarial != "none":
        discriminator = (
            PatchDiscriminator(data.num_channels, config.loss.discriminator_channels, config.loss.discriminator_layers)
            .to(memory_format=torch.channels_last)
            .to(device)
        )
    return Models(tokenizer, discriminator, perceptual)


def _check(config: TokenizerConfig, data: MapData) -> None:
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
    smallest = smallest_side(config.loss.discriminator_layers)
    if config.loss.adversarial != "none" and min(height, width) < smallest:
        raise TwostageError(
            f"a discriminator of {config.loss.discriminator_layers} layers needs sides of {smallest} pixels, "
            f"got {height}x{width}; set tokenizers.loss.discriminator_layers"
        )


def learning_rate(config: TokenizerConfig, step: int) -> float:
    """The learning rate of a step, counted from 0: linear warm-up, then constant, then a cosine to zero at the end."""
    warm = training.warmed_up(config.learning_rate, config.warmup_steps, step)
    if config.decay_from is None or step < config.decay_from:
        return warm
    progress = (step - config.decay_from) / (config.loop.steps - config.decay_from)
    return warm * (1 + math.cos(math.pi * progress)) / 2


class TokenizerTask:
    """Implements `training.Task`."""

    def __init__(
        self, config: TokenizerConfig, models: Models, data: MapData, early_perceptual: Perceptual | None = None
    ) -> None:
        self.config, self.models, self.data = config, models, data
        self.early_models = dataclasses.replace(models, perceptual=early_perceptual)
        self.keeper = CodebookKeeper(config.quantizer).to(training.device())
        trained = [parameter for parameter in models.tokenizer.parameters() if parameter.requires_grad]
        self.optimizers = {"tokenizer": self._adam(trained)}
        if models.discriminator is not None:
            self.optimizers["discriminator"] = self._adam(list(models.discriminator.parameters()))

    def _adam(self, parameters: list[torch.nn.Parameter]) -> torch.optim.Adam:
        beta1, beta2 = self.config.betas
        return torch.optim.Adam(parameters, lr=self.config.learning_rate, betas=(beta1, beta2), fused=True)

    def step(self, step: int) -> dict[str, Tensor]:
        """One update of the tokenizer and, after the warm-up, one of the discriminator."""
        early = step < self.config.loss.early_perceptual_steps
        models, seed = self.early_models if early else self.models, self.config.loop.seed
        image_BCHW = self.batch(step)
        generator = torch.Generator().manual_seed(_stream(seed, step, "codebook"))
        adversarial = models.discriminator is not None and step >= self.config.loss.adversarial_start
        models.tokenizer.train()
        if not self.keeper.ready:
            self._start_codebook(image_BCHW, generator)
        for optimizer in self.optimizers.values():
            optimizer.param_groups[0]["lr"] = learning_rate(self.config, step)
            optimizer.zero_grad(set_to_none=True)
        with training.autocast(self.config.loop.precision):
            scalars, quantized = accumulate_gradients(models, self.config.loss, image_BCHW, adversarial)
        # Reported so that an update with bad weights stops the run before they are saved.
        gradients = [p.grad for p in models.tokenizer.parameters() if p.grad is not None]
        scalars["gradient_norm"] = torch.nn.utils.get_total_norm(gradients)
        self.optimizers["tokenizer"].step()
        if adversarial:
            self.optimizers["discriminator"].step()
        index_N = quantized.index_BHW.flatten()
        self.keeper.update(models.tokenizer.quantizer, quantized.vector_ND, index_N, generator)
        return scalars

    def batch(self, step: int) -> Tensor:
        """The images of one step, each flipped with probability 1/2. A pure function of seed and step."""
        loop = self.config.loop
        position_B = training.batch_positions(len(self.data.train_NHWC), loop.batch_size, loop.seed, step)
        map_BHWC = self.data.train_NHWC[position_B]
        flipped_B = np.random.default_rng(_stream(loop.seed, step, "flips")).random(len(position_B)) < 0.5
        map_BHWC = np.where(flipped_B[:, None, None, None], map_BHWC[:, :, ::-1], map_BHWC)
        return self.models.tokenizer.prepare(map_BHWC).contiguous(memory_format=torch.channels_last)

    @torch.no_grad()
    def _start_codebook(self, image_BCHW: Tensor, generator: torch.Generator) -> None:
        vector_ND = self.models.tokenizer.features(image_BCHW).permute(0, 2, 3, 1).flatten(0, 2)
        self.keeper.start(self.models.tokenizer.quantizer, vector_ND, generator)

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Losses and codebook use on the first images of the tune split. See `EVALUATION_IMAGES`."""
        sums: dict[str, float] = {}
        count_K, num_images = None, 0
        for image_BCHW in self._tune_batches(EVALUATION_IMAGES):
            output_BCHW, _, quantized = self.models.tokenizer.eval()(image_BCHW)
            batch_K = count_codes(quantized.index_BHW, self.config.quantizer.num_codes)
            count_K = batch_K if count_K is None else count_K + batch_K
            num_images += len(image_BCHW)
            for name, value in self._compare(output_BCHW, image_BCHW).items():
                sums[name] = sums.get(name, 0.0) + float(value) * len(image_BCHW)
        assert count_K is not None
        means = {f"tune_{name}": total / num_images for name, total in sums.items()}
        used = {"tune_codes_used": int((count_K > 0).sum()), "tune_perplexity": perplexity(count_K)}
        return means | used | {"num_revived": int(self.keeper.num_revived)}

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

    def _tune_batches(self, limit: int | None) -> Iterator[Tensor]:
        tune_NHWC, size = self.data.tune_NHWC[:limit], self.config.loop.batch_size
        for start in range(0, len(tune_NHWC), size):
            yield self.models.tokenizer.prepare(tune_NHWC[start : start + size])

    @torch.no_grad()
    def codebook_use(self) -> dict[str, float]:
        """`codes_used` and `perplexity` on the whole tune split. Raises TwostageError if the codebook collapsed."""
        num_codes = self.config.quantizer.num_codes
        tokenizer = self.models.tokenizer.eval()
        count_K = torch.zeros(num_codes, dtype=torch.int64, device=training.device())
        for image_BCHW in self._tune_batches(None):
            count_K += count_codes(tokenizer.encode(image_BCHW), num_codes)
        use = {"codes_used": int((count_K > 0).sum()), "perplexity": perplexity(count_K)}
        if use["codes_used"] < SMALLEST_USED_FRACTION * num_codes or use["perplexity"] < SMALLEST_PERPLEXITY:
            raise TwostageError(
                f"the codebook of tokenizer {self.config.name} collapsed: {use['codes_used']} of {num_codes} codes "
                f"used, perplexity {use['perplexity']:.1f}; expected at least {SMALLEST_USED_FRACTION:.0%} and "
                f"{SMALLEST_PERPLEXITY:g}; set tokenizers.quantizer.init=data, revive_after=20 or learned_by=ema"
            )
        return use

    def _modules(self) -> dict[str, torch.nn.Module]:
        modules: dict[str, torch.nn.Module] = {"tokenizer": self.models.tokenizer, "keeper": self.keeper}
        return modules | ({"discriminator": self.models.discriminator} if self.models.discriminator else {})

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


_STREAMS = {"flips": 1, "codebook": 2}


def _stream(seed: int, step: int, purpose: str) -> int:
    """A separate seed for each purpose and step, so that no random state must be stored."""
    words = np.random.SeedSequence((seed, step, _STREAMS[purpose])).generate_state(1, np.uint64)
    return int(words[0] >> np.uint64(1))
