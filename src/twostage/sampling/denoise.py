"""Verb `sampling.denoise`: draws images with a denoiser of whole grids and a tokenizer, and measures the time."""

# N images, M of them on film, B batch, T tokens, S condition tokens, H W rows and columns in tokens, F frames
# C channels

import logging
from typing import Any

import numpy as np
import torch

from twostage.config.schema import DenoisingConfig
from twostage.errors import TwostageError
from twostage.latents.dataset import TokenSpace
from twostage.runtime import training
from twostage.runtime.artifacts import read_array, write_array, write_json
from twostage.runtime.job import Job
from twostage.sampling.pictures import tiled, write_png
from twostage.sampling.process import Process, open_process
from twostage.sampling.record import Seconds, decoded, open_image_tokenizer, record
from twostage.sampling.request import as_tensor, class_names, conditions
from twostage.sampling.whole import Streams
from twostage.tokenizers import AnyTokenizer

log = logging.getLogger(__name__)

MASKED = np.uint8(128)  # grey level of tokens that are not drawn yet


class Film:
    """Some states of the chains of the first M images, uint16 [F, M, T].

    The frames are evenly spaced from the first state (before any step) to the last one.
    """

    def __init__(self, num_images: int, num_frames: int, num_steps: int, num_tokens: int) -> None:
        self.index_FMT = np.zeros((num_frames, num_images, num_tokens), np.uint16)
        self.step_F = np.linspace(0, num_steps, num_frames).round().astype(int)

    def shoot(self, first_image: int, step: int, index_BT: torch.Tensor) -> None:
        """Keeps the states after this number of steps, for a batch that starts at `first_image`.

        They also fill all later frames until newer states arrive, because a chain may end early.
        """
        images = slice(first_image, min(first_image + len(index_BT), self.index_FMT.shape[1]))
        if images.start < images.stop:
            self.index_FMT[self.step_F >= step, images] = index_BT[: images.stop - images.start].cpu().numpy()


class Changes:
    """Counts the tokens that each of S steps changes. Steps after a chain has ended change none."""

    def __init__(self, num_steps: int) -> None:
        # Where the states are, as a copy at every step would be waited for.
        self._number_S = [torch.zeros((), dtype=torch.int64)] * num_steps
        self._before_BT = torch.zeros(0)

    def see(self, step: int, index_BT: torch.Tensor) -> None:
        """The states of a batch after this number of steps, from 0 on."""
        if step:
            changed = (index_BT != self._before_BT).sum()
            self._number_S[step - 1] = self._number_S[step - 1].to(changed.device) + changed
        # The states change in place.
        self._before_BT = index_BT.clone()

    def share_by_step(self, num_tokens: int) -> list[float]:
        """Of so many tokens of all images, the share that each step changes."""
        return [int(number) / num_tokens for number in self._number_S]


def denoise(config: DenoisingConfig, job: Job) -> None:
    """Writes samples.npy (uint8 NHWC), index.npy (uint16 [N, H, W]), grid.png, film.npy (uint8 [F, M, ...]: decoded
    states of the first chains) and metrics.json.

    Raises TwostageError if prior, tokenizer, conditions and config do not match.
    """
    training.seed_everything(config.seed)
    _check(config)
    tokenizer = open_image_tokenizer(job)
    process = open_process(config, job, tokenizer)
    model = process.model
    condition_NS = conditions(config, job, model, model.tokens.grid, tokenizer.factor)
    film = Film(min(config.film_images, config.num_images), config.film_frames, process.steps, model.tokens.num_tokens)
    changes = Changes(process.steps)
    num_steps = 0

    def draw_batch(images: slice) -> torch.Tensor:
        nonlocal num_steps

        def watch(step: int, index_BT: torch.Tensor) -> None:
            film.shoot(images.start, step, index_BT)
            changes.see(step, index_BT)

        chains = process.draw(
            Streams(config.seed, range(images.start, images.stop)),
            as_tensor(condition_NS, images),
            watch=watch,
        )
        num_steps += int(chains.steps_B.sum())
        return chains.index_BT.unflatten(1, model.tokens.grid)

    amount = (config.num_images, config.batch_size)
    seconds = record(job.folder, tokenizer, draw_batch, amount, model.tokens.grid)
    write_png(job.folder / "grid.png", tiled(read_array(job.folder / "samples.npy")[: config.grid_images]))
    write_array(job.folder / "film.npy", _developed(film, tokenizer, model.tokens))
    changed_S = changes.share_by_step(config.num_images * model.tokens.num_tokens)
    metrics = _metrics(config, job, process, seconds) | {
        "changed_share_by_step": changed_S,
        # Without the middle one of an odd number of steps.
        "changed_share_in_second_half": float(np.mean(changed_S[(len(changed_S) + 1) // 2 :] or [0.0])),
        "film_steps": film.step_F.tolist(),
        "mean_steps_per_image": num_steps / config.num_images,
    }
    write_json(job.folder / "metrics.json", metrics)
    log.info("%s: %.4f s an image, %.0f tokens a second", job.variant, *speeds(metrics))


def speeds(metrics: dict[str, Any]) -> tuple[float, float]:
    """Seconds per image and tokens per second."""
    return metrics["seconds_per_image"], metrics["tokens_per_second"]


def _check(config: DenoisingConfig) -> None:
    amounts = (config.num_images, config.batch_size, config.grid_images, config.film_images, config.per_condition)
    if min(amounts) < 1 or config.film_frames < 2:
        raise TwostageError(
            "sampling.denoising: num_images, batch_size, grid_images, film_images and per_condition must be 1 or more, "
            "film_frames 2 or more; set them"
        )


def _developed(film: Film, tokenizer: AnyTokenizer, tokens: TokenSpace) -> np.ndarray:
    """The frames as images. Masked tokens have no code to decode and are shown grey."""
    frames = []
    for index_MT in film.index_FMT:
        index_MHW = torch.from_numpy(index_MT.astype(np.int64)).unflatten(1, tokens.grid)
        masked_MHW = index_MHW.numpy() >= tokens.num_codes
        image_MHWC = decoded(tokenizer, index_MHW.clamp_max(tokens.num_codes - 1))
        if masked_MHW.any():
            pixel_MHW = masked_MHW.repeat(tokenizer.factor, axis=1).repeat(tokenizer.factor, axis=2)
            image_MHWC = np.where(pixel_MHW[..., None], MASKED, image_MHWC)
        frames.append(image_MHWC)
    return np.stack(frames)


def _metrics(config: DenoisingConfig, job: Job, process: Process, seconds: Seconds) -> dict[str, Any]:
    tokens = process.model.tokens
    num_tokens = tokens.num_tokens
    return {
        "variant": job.variant,
        "scale": job.scale,
        **seconds.per_image(config.num_images, num_tokens),
        "tokens_per_image": num_tokens,
        "given_tokens_per_image": 0,
        "batch_size": config.batch_size,
        **process.metrics,
        "top_k": None,
        "top_p": None,
        "seed": config.seed,
        "canvas": list(tokens.grid),
        "window": list(tokens.grid),
        "coordinates": config.coordinates,
        "conditional": tokens.condition is not None,
        "per_condition": config.per_condition,
        "classes": config.classes,
        "class_names": class_names(job),
        "num_codes": tokens.num_codes,
    }
