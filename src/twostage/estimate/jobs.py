"""What planned jobs cost at a scale that was never run: FLOPs, memory and disk of each, hours on a card."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from twostage.config.composition import parse
from twostage.config.schema import DENOISERS, NUM_GREYS, POSE_LABELS, VOC_LABELS, PriorConfig, TokenizerConfig
from twostage.estimate.step import Step, decoder_pass, encoder_pass, prior_step, tokenizer_step
from twostage.latents.dataset import TokenSpace
from twostage.runtime.job import Job
from twostage.tokenizers.step import Phase

# Of a dataset that the user brings nothing is known before it is read: as many as the largest, ImageNet, has.
IMAGES = {"cifar10": (50_000, 10_000), "fashion_mnist": (60_000, 10_000), "folder": (1_281_167, 50_000)}
# Without sub-folders at hand: the most classes that a dataset of the papers has.
CLASSES = 1000
# A forward pass takes a third of a step's FLOPs; twice as many are those of the gradients.
FORWARD = 1 / 3


@dataclass(frozen=True)
class Card:
    """An accelerator: its memory, and its peak by precision. Sources: the makers' data sheets, dense products."""

    name: str
    gigabytes: float
    teraflops: Mapping[str, float]


CARDS = (
    Card("A100", 80, {"float32": 19.5, "bfloat16": 312}),
    Card("H100", 80, {"float32": 67, "bfloat16": 989}),
    Card("RTX 4090", 24, {"float32": 82.6, "bfloat16": 165}),
)
# Share of the peak that training reaches. Ours: assumed, as no card was at hand to measure it.
UTILISATION = 0.4
# What else a process has on a card: its context, workspaces of convolutions, fragments.
CARD_BYTES = 1.5e9


@dataclass(frozen=True)
class Core:
    """One core of the machine on which docs/cost.md was measured: benchmarks/cost.py."""

    name: str = "core"
    flops_per_second: float = 45e9
    seconds_per_operation: float = 9e-6
    start_seconds: float = 6.0  # imports
    process_bytes: float = 0.85e9  # libraries, data and evaluation, beside what the step takes


@dataclass(frozen=True)
class Cost:
    """One job. Bytes are of the device; `disk_bytes` of what the job leaves."""

    steps: float
    step: Step
    flops: float
    operations: float
    batch_size: int
    precision: str
    disk_bytes: float
    key: str  # that sets the batch size

    def hours(self, device: Card | Core) -> float:
        """On one core, or on one card at `UTILISATION` of its peak."""
        if isinstance(device, Core):
            return self.cpu_seconds(device) / 3600
        return self.flops / (device.teraflops[self.precision] * 1e12 * UTILISATION) / 3600

    def cpu_seconds(self, core: Core) -> float:
        """On one core."""
        return core.start_seconds + self.flops / core.flops_per_second + self.operations * core.seconds_per_operation

    def cpu_bytes(self, core: Core) -> float:
        """The most that a process on the CPU holds."""
        return core.process_bytes + self.step.device_bytes

    def fits(self, card: Card) -> bool:
        """Whether the card has the memory."""
        return self.step.device_bytes + CARD_BYTES <= card.gigabytes * 1e9

    def advice(self, card: Card) -> str:
        """Which key to change so that it fits; empty if it does."""
        if self.fits(card):
            return ""
        gradients = 4.0 * self.step.parameters
        room = card.gigabytes * 1e9 - CARD_BYTES - self.step.state_bytes - gradients
        largest = int(room / max(self.step.live_bytes - gradients, 1) * self.batch_size)
        if largest >= 1:
            return f"{card.name}: {self.key}={largest}"
        return f"{card.name}: no batch size fits; take a larger card"


class Estimates:
    """The costs of the jobs of one plan. Steps that several jobs take are run once."""

    def __init__(self, jobs: Mapping[str, Job]) -> None:
        self.jobs = jobs
        self._costs: dict[str, Cost | None] = {}

    def of(self, folder: str) -> Cost | None:
        """Of a job that trains, encodes or draws; None of every other one, which takes minutes."""
        if folder not in self._costs:
            self._costs[folder] = self._of(self.jobs[folder])
        return self._costs[folder]

    def _of(self, job: Job) -> Cost | None:
        match job.name:
            case "priors.train" | "priors.tune" | "priors.timed":
                return self._prior(job)
            case "priors.pace":
                return self._pace(job)
            case "tokenizers.train":
                return self._tokenizer(job)
            case "latents.encode":
                return self._encoded(job)
            case "sampling.generate" | "sampling.denoise" | "sampling.inpaint":
                return self._drawn(job)
        return None

    def _prior(self, job: Job) -> Cost:
        config, tokens = parse(PriorConfig, job.config), self._tokens(job)
        step, loop = step_of_prior(config, tokens), config.loop
        _, validation, tune = self._images(job.inputs["latents"])
        steps, evaluated, runs = float(loop.steps), validation, 1
        if job.verb == "tune" and config.sweep is not None:
            steps, evaluated, runs = float(config.sweep.steps), tune, len(config.sweep.learning_rates)
            evaluations = 2.0
        else:
            evaluations = 1 + math.ceil(steps / loop.evaluate_every)
        if "pace" in job.inputs:
            own, rival = self._rivals(self.jobs[job.inputs["pace"]])
            ratio = rival.flops / own.flops
            # Both at equal steps and at equal time; one matched in time takes as long as its rival.
            steps *= ratio if job.verb == "timed" else max(1.0, ratio)
        done = runs * (steps + evaluations * FORWARD * evaluated / loop.batch_size)
        return _cost(step, runs * steps, done, loop.batch_size, loop.precision, "scale.priors.batch_size")

    def _rivals(self, job: Job) -> tuple[Step, Step]:
        return self._rival(job, "own"), self._rival(job, "rival")

    def _rival(self, job: Job, name: str) -> Step:
        return step_of_prior(parse(PriorConfig, job.config[name]), self._tokens(job, f"{name}."))

    def _pace(self, job: Job) -> Cost:
        own, rival = self._rivals(job)
        loop = parse(PriorConfig, job.config["own"]).loop
        both = replace(
            max(own, rival, key=lambda step: step.live_bytes),
            flops=(own.flops + rival.flops) / 2,
            operations=(own.operations + rival.operations) // 2,
        )
        # Two steps of each in a round; two rounds more to warm up.
        steps = 4.0 * (job.config["max_rounds"] + 2)
        return replace(
            _cost(both, steps, steps, loop.batch_size, loop.precision, "scale.priors.batch_size"), disk_bytes=0.0
        )

    def _tokenizer(self, job: Job) -> Cost:
        config = _tokenizer_config(job)
        loss, loop = config.loss, config.loop
        kind, channels, side = self._map(job)
        end = loop.steps
        start = end if loss.adversarial == "none" or config.discriminator is None else min(loss.adversarial_start, end)
        early = min(loss.early_perceptual_steps, start)
        parts = [
            (early, Phase.RECONSTRUCTION, loss.early_perceptual),
            (start - early, Phase.RECONSTRUCTION, loss.perceptual),
            (end - start, Phase.ADVERSARIAL, loss.perceptual),
        ]
        steps = [(n, _tokenizer_step(config, kind, channels, side, phase, name)) for n, phase, name in parts if n > 0]
        step = replace(
            max((each for _, each in steps), key=lambda each: each.live_bytes + each.state_bytes),
            flops=sum(n * each.flops for n, each in steps) / end,
            operations=round(sum(n * each.operations for n, each in steps) / end),
        )
        return _cost(step, end, end, loop.batch_size, loop.precision, "scale.tokenizers.batch_size")

    def _encoded(self, job: Job) -> Cost | None:
        tokenizer = self.jobs[job.inputs["tokenizer"]]
        if tokenizer.verb != "train":
            return None
        config, (kind, channels, side) = _tokenizer_config(tokenizer), self._map(tokenizer)
        images = float(sum(self._images(job.out)))
        step = encoder_pass(config, kind, channels, side)
        tokens = self._space(job.out).num_tokens
        return _inference(step, images, job.config["batch_size"], images * tokens * 2, "scale.latents.batch_size")

    def _drawn(self, job: Job) -> Cost | None:
        prior, tokenizer = (self.jobs[job.inputs[name]] for name in ("prior", "tokenizer"))
        if prior.stage != "priors" or tokenizer.verb != "train":
            return None
        config, tokens = parse(PriorConfig, prior.config), self._tokens(prior)
        step = step_of_prior(config, tokens)
        # With a cache a sequence costs what one pass over it costs; a denoiser's every step is such a pass.
        passes = 1.0
        if config.architecture in DENOISERS:
            chain = job.config.get("denoising") or job.config
            passes = float((chain.get("chain") or chain.get("unmasking") or {}).get("steps") or tokens.num_tokens)
        share = passes * share_of_a_pass(config)
        kind, channels, side = self._map(tokenizer)
        decoder = decoder_pass(_tokenizer_config(tokenizer), kind, channels, tokens.grid)
        # Inpainting draws several results an image, and decodes the image itself beside them.
        results = job.config["results"] if job.verb == "inpaint" else 1
        decoded = 1 + 1 / results if job.verb == "inpaint" else 1.0
        images = float(job.config["num_images"]) * results
        both = replace(
            decoder,
            parameters=decoder.parameters + step.parameters,
            flops=decoded * decoder.flops + share * step.flops,
            operations=round(decoded * decoder.operations + share * step.operations),
        )
        written = images * decoded * side * side * 3
        return _inference(both, images, job.config["batch_size"], written, "scale.sampling.batch_size")

    def _tokens(self, job: Job, prefix: str = "") -> TokenSpace:
        space = self._space(job.inputs[f"{prefix}latents"])
        given = job.inputs.get(f"{prefix}condition")
        return replace(space, condition=None if given is None else self._space(given))

    def _space(self, folder: str) -> TokenSpace:
        """What will be known of some latents when they are made."""
        job = self.jobs[folder]
        match job.verb:
            case "crop":
                side = job.config["side"]
                return replace(self._space(job.inputs["latents"]), grid=(side, side))
            case "plain":
                data = self.jobs[job.inputs["data"]].config
                if job.config["map"] == "coordinates":
                    side = data["size"] // job.config["factor"]
                    return TokenSpace(job.config["num_codes"], (side, side), map="coordinates")
                known = data["classes"] or data["class_ranges"]
                return TokenSpace(len(known) or (CLASSES if data["source"] == "folder" else 10), (1, 1), map="class")
        tokenizer = self.jobs[job.inputs["tokenizer"]]
        _, _, side = self._map(tokenizer)
        if tokenizer.verb == "train":
            codes = tokenizer.config["quantizer"]["num_codes"]
            side //= 2 ** tokenizer.config["num_downsamplings"]
        else:
            codes = tokenizer.config["kmeans"]["num_codes"] if tokenizer.verb == "cluster" else NUM_GREYS
        return TokenSpace(codes, (side, side), map=tokenizer.config["map"])

    def _map(self, job: Job) -> tuple[str, int, int]:
        """Kind, channels and side of the map that a tokenizer reads."""
        source = self.jobs[job.inputs["data"]]
        factor = source.config.get("factor", 1)
        data = source if source.verb == "prepare" else self.jobs[source.inputs["data"]]
        side = data.config["size"] // factor
        match job.config["map"]:
            case "edges":
                return "binary", 1, side
            case "depth":
                return "grey", 1, side
            case "segmentation":
                return "labels", data.config["num_labels"] or VOC_LABELS, side
            case "pose":
                return "labels", POSE_LABELS, side
        return "colour", 3, side

    def _images(self, folder: str) -> tuple[float, float, float]:
        """How many images of each split some latents have: train (each flip counts), validation, tune."""
        job = self.jobs[folder]
        if job.verb == "crop":
            return self._images(job.inputs["latents"])
        source = self.jobs[job.inputs["data"]]
        data = source if source.verb == "prepare" else self.jobs[source.inputs["data"]]
        train, validation = IMAGES[data.config["source"]]
        flips = 2 if job.config["flips"] else 1
        return (
            float(flips * (job.config["train_images"] or train)),
            float(job.config["validation_images"] or data.config["validation_images"] or validation),
            float(data.config["tune_images"]),
        )


def _tokenizer_config(job: Job) -> TokenizerConfig:
    return parse(TokenizerConfig, job.config)


def _cost(step: Step, steps: float, done: float, batch_size: int, precision: str, key: str) -> Cost:
    """Of a job that trains: `steps`, and `done` with evaluations. It leaves its weights."""
    return Cost(
        steps, step, done * step.flops, done * step.operations, batch_size, precision, 4.0 * step.parameters, key
    )


def _inference(image: Step, images: float, batch_size: int, disk_bytes: float, key: str) -> Cost:
    """Of a job without gradients: `image` is one image's pass; a batch lives at once, and there is no optimizer."""
    batches = math.ceil(images / batch_size)
    live = image.live_bytes * batch_size - 8.0 * image.parameters
    step = replace(image, flops=image.flops * batch_size, live_bytes=live)
    return Cost(batches, step, images * image.flops, batches * image.operations, batch_size, "float32", disk_bytes, key)


def share_of_a_pass(config: PriorConfig) -> float:
    """What a pass over one sequence is of a training step, which has a batch of them and unrolls some priors."""
    unrolls = config.sundae.unrolls if config.sundae is not None else 1
    return FORWARD / unrolls / config.loop.batch_size


def step_of_prior(config: PriorConfig, tokens: TokenSpace) -> Step:
    """A step of a prior, run once: seeds, rates and budgets change nothing of it."""
    own = {name: getattr(config, name) for name in ("gpt", "pixelsnail", "sundae", "absorbing", "own")}
    return _once(
        ("prior", repr(own), tokens, config.loop.batch_size, config.loop.precision), prior_step, config, tokens
    )


def _tokenizer_step(
    config: TokenizerConfig, kind: str, channels: int, side: int, phase: Phase, perceptual: str
) -> Step:
    sizes = {key: value for key, value in vars(config).items() if key not in ("name", "loop", "loss")}
    loss = (config.loss.reconstruction, config.loss.adversarial, config.loss.adaptive)
    asked = ("tokenizer", repr(sizes), loss, config.loop.batch_size, config.loop.precision)
    return _once((*asked, kind, channels, side, phase, perceptual),
        tokenizer_step, config, kind, channels, side, phase, perceptual)  # fmt: skip


_steps: dict[Any, Step] = {}


def _once(key: Any, run: Any, *arguments: Any) -> Step:
    if key not in _steps:
        _steps[key] = run(*arguments)
    return _steps[key]


def studies_of(jobs: Mapping[str, Job]) -> dict[str, set[str]]:
    """Each study's jobs: all that its drawing rests on."""
    found: dict[str, set[str]] = {}
    for job in jobs.values():
        if job.stage == "figures" and job.variant != "summary":
            found.setdefault(job.variant, set()).update(_behind(jobs, job))
    return found


def _behind(jobs: Mapping[str, Job], job: Job) -> set[str]:
    found, waiting = set[str](), [job.out]
    while waiting:
        folder = waiting.pop()
        if folder not in found:
            found.add(folder)
            waiting += jobs[folder].inputs.values()
    return found
