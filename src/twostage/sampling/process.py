"""Chooses how the job's prior draws whole grids: SUNDAE by a chain, absorbing diffusion by unmasking."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from twostage.config.schema import ChainConfig, DenoisingConfig, InpaintingConfig, UnmaskingConfig
from twostage.errors import TwostageError
from twostage.priors.absorbing import Absorbing
from twostage.priors.denoiser import Denoiser
from twostage.priors.sundae import Sundae
from twostage.runtime.job import Job
from twostage.sampling.denoising import Schedule, denoise
from twostage.sampling.draw import Draw
from twostage.sampling.request import open_prior
from twostage.sampling.unmasking import num_steps_of, unmask
from twostage.sampling.whole import Chains
from twostage.tokenizers import AnyTokenizer


@dataclass(frozen=True)
class Process:
    """A prior, and `draw(streams, condition_BS, given_BT, redrawn_BT, watch)`, which takes at most `steps` steps.

    `metrics`: its settings.
    """

    model: Denoiser
    steps: int
    draw: Callable[..., Chains]
    metrics: dict[str, Any]


def open_process(config: DenoisingConfig | InpaintingConfig, job: Job, tokenizer: AnyTokenizer) -> Process:
    """The job's prior and how it draws.

    Raises TwostageError if it draws token by token, if its vocabulary differs from the tokenizer's, or if the config
    lacks the settings of its way of drawing.
    """
    model = open_prior(job, tokenizer)
    match model, config.chain, config.unmasking:
        case Sundae(), ChainConfig() as chain, _:
            schedule = Schedule.of(chain)
            return Process(model, schedule.steps, partial(denoise, model, schedule), _chain_metrics(chain))
        case Absorbing(), _, UnmaskingConfig() as unmasking:
            steps = num_steps_of(model, unmasking.steps)
            asked = {"steps": steps, "temperature": unmasking.temperature}
            return Process(model, steps, partial(unmask, model, steps, Draw(unmasking.temperature)), asked)
        case Denoiser(), _, _:
            raise TwostageError(
                f"{job.inputs['prior']} is a prior of priors={model.architecture}, but the job has no settings for it; "
                f"run it with priors={model.architecture}"
            )
        case _:
            raise TwostageError(f"{job.inputs['prior']} draws token by token; use sampling.generate")


def _chain_metrics(config: ChainConfig) -> dict[str, Any]:
    return {
        "steps": config.steps,
        "min_steps": config.min_steps,
        "temperature": [config.temperature_start, config.temperature_end],
        "proportion": [config.proportion_start, config.proportion_end],
    }
