"""Verb `sampling.inpaint`: redraws parts of held-out images, several times each.

Source: McKinney & Willcocks 2022, Sec. 3.6 and 4.3.
"""

# N images, R results of each, B batch of results, S condition tokens, H W height and width, h w rows and columns of
# codes, C channels

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from twostage.config.schema import InpaintingConfig
from twostage.errors import TwostageError
from twostage.priors.denoiser import Denoiser
from twostage.priors.model import AnyModel
from twostage.runtime import training
from twostage.runtime.artifacts import read_array, write_array, write_json
from twostage.runtime.job import Job
from twostage.sampling.autoregressive import fill
from twostage.sampling.draw import Draw
from twostage.sampling.masks import code_mask, generated_mask, read_mask
from twostage.sampling.pictures import write_png
from twostage.sampling.process import open_process
from twostage.sampling.record import Seconds, decoded, open_image_tokenizer, record
from twostage.sampling.request import held_out_tokens, open_prior
from twostage.sampling.whole import Chains, Streams
from twostage.tokenizers import AnyTokenizer

log = logging.getLogger(__name__)


def inpaint(config: InpaintingConfig, job: Job) -> None:
    """Writes samples.npy (uint8 [N R, H, W, C]) and index.npy (uint16 [N R, h, w]), the results of an image one after
    another; originals.npy (uint8 [N, H, W, C]: the images through the tokenizer); mask.npy (bool [H, W]) and
    code_mask.npy (bool [h, w]), true where codes are redrawn; grid.png (original, masked, results) and metrics.json.

    Raises TwostageError if prior, tokenizer, latents, mask and config do not match.
    """
    training.seed_everything(config.seed)
    if min(config.num_images, config.results, config.batch_size) < 1:
        raise TwostageError("sampling.inpainting: num_images, results and batch_size must be 1 or more; set them")
    tokenizer = open_image_tokenizer(job)
    filler = _open_filler(config, job, tokenizer)
    model = filler.model
    grid, factor = model.tokens.grid, tokenizer.factor
    real_Nhw = held_out_tokens(config.num_images, job.upstream("latents"), replace(model.tokens, condition=None))
    condition_NS = _conditions(job, model, config.num_images)
    mask_HW = pixel_mask(config, (grid[0] * factor, grid[1] * factor))
    code_hw = code_mask(mask_HW, factor, config.rule)
    real_NT = torch.from_numpy(real_Nhw.astype(np.int64)).flatten(1)

    def draw_batch(results: slice) -> torch.Tensor:
        image_B = torch.arange(results.start, results.stop) // config.results
        chains = filler.draw(
            Streams(config.seed, range(results.start, results.stop)),
            None if condition_NS is None else condition_NS[image_B],
            real_NT[image_B],
            np.tile(code_hw.ravel(), (len(image_B), 1)),
        )
        return chains.index_BT.unflatten(1, grid)

    num_results = config.num_images * config.results
    seconds = record(job.folder, tokenizer, draw_batch, (num_results, config.batch_size), grid)
    original_NHWC = decoded(tokenizer, real_NT.unflatten(1, grid))
    for name, array in (("originals", original_NHWC), ("mask", mask_HW), ("code_mask", code_hw)):
        write_array(job.folder / f"{name}.npy", array)
    result_NHWC = read_array(job.folder / "samples.npy")
    write_png(job.folder / "grid.png", side_by_side(original_NHWC, mask_HW, result_NHWC, config.results))
    metrics = _metrics(config, job, filler.metrics, seconds, mask_HW, code_hw) | {"num_codes": model.tokens.num_codes}
    write_json(job.folder / "metrics.json", metrics)
    log.info("%s: %d of %d codes redrawn", job.variant, code_hw.sum(), code_hw.size)


@dataclass(frozen=True)
class Filler:
    """A prior, and `draw(streams, condition_BS, given_BT, redrawn_BT)`. `metrics`: its settings."""

    model: AnyModel
    draw: Callable[..., Chains]
    metrics: dict[str, Any]


def _open_filler(config: InpaintingConfig, job: Job, tokenizer: AnyTokenizer) -> Filler:
    """The job's prior and how it draws: token by token if the config has a temperature, else as `open_process` says."""
    if config.temperature is None:
        process = open_process(config, job, tokenizer)
        return Filler(process.model, process.draw, process.metrics)
    model = open_prior(job, tokenizer)
    if isinstance(model, Denoiser):
        raise TwostageError(
            f"{job.inputs['prior']} is a prior of priors={model.architecture}, but the job has no settings for it; "
            f"run it with priors={model.architecture}"
        )
    settings = {"steps": model.tokens.num_tokens, "temperature": config.temperature}
    return Filler(model, partial(fill, model, Draw(config.temperature)), settings)


def _conditions(job: Job, model: AnyModel, num_images: int) -> torch.Tensor | None:
    """Condition codes int64 [N, S] of the same images, from the job's input `condition`; None if the prior has none."""
    wanted = model.tokens.condition
    if (wanted is None) != ("condition" not in job.inputs):
        raise TwostageError(
            "the prior takes no condition; remove the input `condition`"
            if wanted is None
            else f"the prior is conditional; give the job an input `condition` of the images' codes of {wanted.map}"
        )
    if wanted is None:
        return None
    index_Nhw = held_out_tokens(num_images, job.upstream("condition"), wanted)
    return torch.from_numpy(index_Nhw.astype(np.int64)).flatten(1)


def pixel_mask(config: InpaintingConfig, size: tuple[int, int]) -> np.ndarray:
    """The mask bool [H, W] of the config. Raises TwostageError if there is none."""
    if config.mask != "file":
        return generated_mask(config.mask, size, config.mask_share, np.random.default_rng(config.seed))
    if config.mask_file is None:
        raise TwostageError("sampling.inpainting.mask=file needs a picture; set sampling.inpainting.mask_file")
    return read_mask(Path(config.mask_file), size)


def side_by_side(
    original_NHWC: np.ndarray, mask_HW: np.ndarray, result_NHWC: np.ndarray, num_results: int, gap: int = 2
) -> np.ndarray:
    """One row per image: the original, the original with the mask in grey, all results; white in between."""
    masked_NHWC = np.where(mask_HW[:, :, None], np.uint8(128), original_NHWC)
    shown = [original_NHWC, masked_NHWC, *(result_NHWC[r::num_results] for r in range(num_results))]
    margins = ((0, 0), (0, gap), (0, gap), (0, 0))
    columns = [np.pad(image_NHWC, margins, constant_values=255) for image_NHWC in shown]
    sheet = np.concatenate(np.concatenate(columns, axis=2), axis=0)
    return sheet[:-gap, :-gap]


def _metrics(
    config: InpaintingConfig,
    job: Job,
    of_filler: dict[str, Any],
    seconds: Seconds,
    mask_HW: np.ndarray,
    code_hw: np.ndarray,
) -> dict[str, Any]:
    num_drawn = int(code_hw.sum())
    return {
        "variant": job.variant,
        "scale": job.scale,
        **seconds.per_image(config.num_images * config.results, num_drawn),
        "results_per_image": config.results,
        "tokens_per_image": code_hw.size,
        "given_tokens_per_image": code_hw.size - num_drawn,
        "batch_size": config.batch_size,
        **of_filler,
        "mask": config.mask,
        "masked_share_of_pixels": float(mask_HW.mean()),
        "rule": config.rule,
        "seed": config.seed,
    }
