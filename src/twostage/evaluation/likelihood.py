"""Verb `evaluation.likelihood`: NLL of whole images under a prior, every token predicted from its sliding window.

This is the likelihood under which `sampling.generate` draws such images (at temperature 1, from all codes): a product
over tokens in row-major order, each given the tokens before it inside its window. Source: Esser et al. 2021, Sec. 3.2
and Fig. 8.
"""

# N images, B batch, H W rows and columns of the canvas, P tokens of a window, T of them needed, K predicted in it

import logging
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional
from tqdm import tqdm

from twostage import priors
from twostage.errors import TwostageError
from twostage.latents.dataset import TokenSpace, open_latents
from twostage.priors.denoiser import Denoiser
from twostage.priors.gpt import GPT, ReleasedGPT
from twostage.priors.model import Model
from twostage.runtime import training
from twostage.runtime.artifacts import write_json
from twostage.runtime.job import Job
from twostage.sampling.canvas import Place
from twostage.sampling.sliding import check_window

log = logging.getLogger(__name__)


@dataclass
class LikelihoodConfig:
    """How many held-out images, and how many at a time."""

    images: int
    batch_size: int


def likelihood(config: LikelihoodConfig, job: Job) -> None:
    """Writes metrics.json: mean and spread over images, of the image tokens alone.

    Raises TwostageError if prior, latents and condition do not fit.
    """
    latents = open_latents(job.upstream("latents"), job.upstream("condition") if "condition" in job.inputs else None)
    model = priors.load(job.upstream("prior")).model
    if isinstance(model, Denoiser):
        raise TwostageError(
            f"{job.inputs['prior']} is of priors={model.architecture}, which gives images no likelihood; name another"
        )
    if isinstance(model, ReleasedGPT) or model.tokens.num_codes != latents.tokens.num_codes:
        raise TwostageError(f"{job.inputs['prior']} was not trained on codes of {job.inputs['latents']}; name its own")
    model.tokens.require_meaning(latents.tokens.tokenizer_sha256, job.inputs["latents"])
    _check_condition(model, latents.tokens, job)
    split = latents.split("validation")
    index_NT = split.image_NT
    if len(index_NT) < config.images:
        raise TwostageError(
            f"{config.images} images are asked for, but {job.inputs['latents']} has {len(index_NT)} validation images; "
            "raise latents.validation_images or lower the number in conf/scale/"
        )
    model, nll = model.to(training.device()), []
    for start in tqdm(range(0, config.images, config.batch_size), disable=None):
        batch = slice(start, min(start + config.batch_size, config.images))
        condition_BHW = None if split.condition_NS is None else _grids(split.condition_NS[batch], latents.tokens.grid)
        nll.append(image_nll(model, _grids(index_NT[batch], latents.tokens.grid), condition_BHW).cpu())
    nll_N = torch.cat(nll)
    metrics = {
        "images": config.images,
        "nll_nats_per_image": float(nll_N.mean()),
        "nll_nats_per_image_std_over_images": float(nll_N.std()),
        "nll_nats_per_token": float(nll_N.mean()) / latents.tokens.num_tokens,
        "tokens_per_image": latents.tokens.num_tokens,
        "window": list(model.tokens.grid),
    }
    write_json(job.folder / "metrics.json", metrics)
    log.info("%s: %.0f nats an image", job.variant, metrics["nll_nats_per_image"])


def _check_condition(model: Model, tokens: TokenSpace, job: Job) -> None:
    """Raises TwostageError if the condition is not the prior's, or does not lie on the canvas as the image does."""
    given, wanted = tokens.condition, model.tokens.condition
    if (given is None) != (wanted is None):
        raise TwostageError(
            f"{job.inputs['prior']} {'takes no condition' if wanted is None else f'wants the condition {wanted.map}'}; "
            f"{'leave out' if wanted is None else 'name'} the input `condition`"
        )
    if given is None or wanted is None:
        return
    if (given.map, given.num_codes) != (wanted.map, wanted.num_codes):
        raise TwostageError(
            f"{job.inputs['prior']} was trained with {wanted.num_codes} codes of {wanted.map}, "
            f"{job.inputs['condition']} has {given.num_codes} of {given.map}; name the codes of its own condition"
        )
    wanted.require_meaning(given.tokenizer_sha256, job.inputs["condition"])
    if given.grid != tokens.grid:
        raise TwostageError(
            f"{job.inputs['condition']} has {given.grid} tokens, the images {tokens.grid}; windows cut both alike, so "
            "take a condition tokenizer of the images' f"
        )


def _grids(codes_BT: np.ndarray, grid: tuple[int, int]) -> torch.Tensor:
    return torch.from_numpy(codes_BT.astype(np.int64)).unflatten(1, grid).to(training.device())


@torch.inference_mode()
def image_nll(model: Model, index_BHW: torch.Tensor, condition_BHW: torch.Tensor | None = None) -> torch.Tensor:
    """NLL float64 [B] of whole images int64 [B, H, W], nats; every window sees its own part of the condition.

    Raises TwostageError if the model's window is larger than the images or its order is not row-major.
    """
    rows, columns = model.tokens.grid
    nll_B = torch.zeros(len(index_BHW), dtype=torch.float64, device=index_BHW.device)
    for (top, left), places in _by_window(model, index_BHW).items():
        seen = (slice(None), slice(top, top + rows), slice(left, left + columns))
        index_BP = index_BHW[seen].flatten(1)
        local_K = [place.local for place in places]
        # What lies behind the last predicted token is seen by none of them; convolutions take whole windows.
        index_BT = index_BP[:, : max(local_K) + 1] if isinstance(model, GPT) else index_BP
        logits_BTV = model(index_BT, None if condition_BHW is None else condition_BHW[seen].flatten(1))
        logits_BVK = logits_BTV[:, local_K].transpose(1, 2).float()
        nll_B += functional.cross_entropy(logits_BVK, index_BT[:, local_K], reduction="none").double().sum(1)
    return nll_B


def _by_window(model: Model, index_BHW: torch.Tensor) -> dict[tuple[int, int], list[Place]]:
    """The tokens that each window predicts: at the borders, where it stands still, several."""
    found: dict[tuple[int, int], list[Place]] = {}
    for place in check_window(model, (index_BHW.shape[1], index_BHW.shape[2])).places():
        found.setdefault(place.window, []).append(place)
    return found
