"""Reads what a sampling job must draw from its config and inputs, and checks it before drawing starts."""

# N images, B batch, T tokens, S condition tokens, G given tokens, H W rows and columns of the canvas in tokens

import math
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import torch

from twostage import priors, tokenizers
from twostage.config.schema import DrawingConfig, SamplingConfig
from twostage.errors import TwostageError
from twostage.latents.coordinates import coordinate_codes, coordinates_sha256
from twostage.latents.dataset import Latents, TokenSpace, open_latents
from twostage.latents.orderings import ordering
from twostage.priors.denoiser import Denoiser
from twostage.priors.gpt import ReleasedGPT
from twostage.priors.model import AnyModel, Model
from twostage.runtime import training
from twostage.runtime.artifacts import read_json
from twostage.runtime.job import Job
from twostage.sampling.autoregressive import sample
from twostage.sampling.condition_file import condition_codes
from twostage.sampling.draw import Draw, uniform_table
from twostage.sampling.sliding import CACHE_BYTES, check_window, slide
from twostage.tokenizers import AnyTokenizer

SPLIT = "validation"  # the split of conditions and beginnings, which the prior has not seen
SHOWN = 5  # most class names in an error: ImageNet has a thousand


@dataclass(frozen=True)
class Request:
    """N canvases of `size` tokens. `condition` is [N, S], or [N, H, W] for canvases larger than the prior's grid."""

    model: Model
    draw: Draw
    size: tuple[int, int]
    uniform_NT: torch.Tensor
    order_T: np.ndarray
    condition: np.ndarray | None
    given_NG: np.ndarray | None
    cache_bytes: int = CACHE_BYTES

    def draw_batch(self, images: slice) -> torch.Tensor:
        """Index grids int64 [B, H, W] of some of the images."""
        uniform_BT = self.uniform_NT[images]
        condition, given_BG = as_tensor(self.condition, images), as_tensor(self.given_NG, images)
        if self.size == self.model.tokens.grid:
            return sample(self.model, uniform_BT, self.draw, condition, given_BG, self.order_T)
        return slide(self.model, uniform_BT, self.size, self.draw, condition, given_BG, self.cache_bytes)

    @property
    def num_given(self) -> int:
        """Number of tokens of each image that are not drawn."""
        return 0 if self.given_NG is None else self.given_NG.shape[1]


def as_tensor(index: np.ndarray | None, images: slice) -> torch.Tensor | None:
    """The codes of some of the images, int64, if there are any."""
    return None if index is None else torch.from_numpy(index[images].astype(np.int64))


def open_request(config: SamplingConfig, job: Job, tokenizer: AnyTokenizer) -> Request:
    """The job's prior, conditions and beginnings. Raises TwostageError if they do not match."""
    draw = checked_draw(config, tokenizer.num_codes)
    model = _autoregressive(job, tokenizer)
    size = canvas_size(config, model.tokens.grid, tokenizer.factor)
    if size != model.tokens.grid:
        check_window(model, size)
    num_tokens = size[0] * size[1]
    # A larger canvas is row-major; `check_window` refuses priors of other orders.
    order_T = ordering(model.ordering, *size) if size == model.tokens.grid else np.arange(num_tokens)
    # Always a CPU generator, so that a seed gives the same numbers on every device.
    uniform_NT = uniform_table(config.num_images, num_tokens, torch.Generator().manual_seed(config.seed))
    condition = conditions(config, job, model, size, tokenizer.factor)
    given_NG = _given(config, job, model, size, order_T)
    return Request(model, draw, size, uniform_NT, order_T, condition, given_NG, config.cache_megabytes * 10**6)


def checked_draw(config: SamplingConfig, num_codes: int) -> Draw:
    """How codes are drawn. Raises TwostageError for invalid amounts, shares, top_k or top_p."""
    if min(config.num_images, config.batch_size, config.grid_images, config.per_condition) < 1:
        raise TwostageError(
            "sampling.num_images, batch_size, grid_images and per_condition must be 1 or more; set them"
        )
    if not 0 <= config.given < 1:
        raise TwostageError(f"sampling.given={config.given} must be in [0, 1); 0.5 completes halves of real images")
    draw = Draw(config.temperature, config.top_k, config.top_p)
    draw.check(num_codes)
    return draw


def open_prior(job: Job, tokenizer: AnyTokenizer) -> AnyModel:
    """The job's prior, on the device.

    Raises TwostageError if it is an imported transformer, or was trained on codes of another tokenizer.
    """
    folder = job.upstream("prior")
    model = priors.load(folder).model
    if isinstance(model, ReleasedGPT):
        raise TwostageError(f"{folder} is an imported prior, which has no start token; train a prior here")
    if model.tokens.num_codes != tokenizer.num_codes:
        raise TwostageError(
            f"{folder} has another vocabulary: the prior has {model.tokens.num_codes} codes, the tokenizer "
            f"{tokenizer.num_codes}; use the tokenizer whose latents it was trained on"
        )
    model.tokens.require_meaning(tokenizers.checksum(job.upstream("tokenizer")), job.inputs["tokenizer"])
    return model.to(training.device())


def _autoregressive(job: Job, tokenizer: AnyTokenizer) -> Model:
    model = open_prior(job, tokenizer)
    if isinstance(model, Denoiser):
        raise TwostageError(
            f"{job.inputs['prior']} is a prior of priors={model.architecture}, which does not draw token by token; "
            "use sampling.denoise"
        )
    return model


def canvas_size(config: SamplingConfig, grid: tuple[int, int], factor: int) -> tuple[int, int]:
    """Rows and columns of the canvas in tokens. Default: those of the prior's `grid`.

    Raises TwostageError if the canvas is not made of whole tokens.
    """
    canvas = config.canvas if config.canvas_pixels is None else _in_tokens(config, factor)
    if canvas is None:
        return grid
    if len(canvas) != 2:
        raise TwostageError(f"sampling.canvas={canvas} is not [rows, columns] in tokens; set e.g. [32,32]")
    height, width = canvas
    return height, width


def _in_tokens(config: SamplingConfig, factor: int) -> list[int]:
    """The canvas that is given in pixels. Raises TwostageError if its sides are not divisible by the factor."""
    pixels = config.canvas_pixels or []
    if config.canvas is not None:
        raise TwostageError("sampling.canvas and sampling.canvas_pixels both set the size; set only one of them")
    if len(pixels) != 2 or min(pixels) < 1:
        raise TwostageError(f"sampling.canvas_pixels={pixels} is not [height, width] in pixels; set e.g. [832,1280]")
    if any(side % factor for side in pixels):
        nearest = [max(factor, round(side / factor) * factor) for side in pixels]
        raise TwostageError(
            f"sampling.canvas_pixels={pixels}: both sides must be divisible by the tokenizer's factor {factor}; "
            f"set e.g. {nearest}"
        )
    return [side // factor for side in pixels]


def conditions(
    config: DrawingConfig, job: Job, model: AnyModel, size: tuple[int, int], factor: int
) -> np.ndarray | None:
    """Condition codes [N, S], or [N, H, W] if windows of a larger canvas see their own parts; None if unconditional.

    `size`: rows and columns of the canvas in tokens, which are `factor` pixels wide. Raises TwostageError for a
    condition that is missing, not expected, given twice or not the prior's.
    """
    wanted = model.tokens.condition
    check_condition(config, None if wanted is None else wanted.map, "condition" in job.inputs)
    if wanted is None:
        return None
    # A class is the same for the whole canvas. Other conditions are cut into windows like the canvas.
    grid = wanted.grid if wanted.num_tokens == 1 or size == model.tokens.grid else size
    if config.coordinates:
        wanted.require_meaning(coordinates_sha256(factor, wanted.num_codes), "sampling.coordinates=true")
        codes_HW = coordinate_codes(grid, factor, wanted.num_codes)
        condition = np.broadcast_to(codes_HW, (config.num_images, *grid))
    elif config.condition_file is not None:
        codes_HW = condition_codes(config, job, replace(wanted, grid=grid), factor)
        condition = np.broadcast_to(codes_HW, (config.num_images, *grid))
    else:
        condition = _codes_of(config, job.upstream("condition"), replace(wanted, grid=grid))
    return condition if grid == size != model.tokens.grid else condition.reshape(config.num_images, -1)


def check_condition(config: DrawingConfig, condition: str | None, has_codes: bool) -> None:
    """Raises TwostageError if the config does not match a prior with this `condition`, such as "class".

    `condition` is None for an unconditional prior. `has_codes`: condition codes of held-out images are given.
    """
    if condition != "class" and config.classes is not None:
        raise TwostageError(
            f"sampling.classes names {_some(config.classes) or 'all classes'}; the condition of the prior is "
            f"{condition or 'nothing'}: leave it null"
        )
    num_given = config.coordinates + (config.condition_file is not None) + has_codes
    if condition is None and num_given:
        raise TwostageError(
            "the prior takes no condition; remove sampling.coordinates, sampling.condition_file and the input "
            "`condition`, or train one with priors.condition"
        )
    if num_given > 1:
        raise TwostageError(
            "a prior has one condition; choose sampling.coordinates, sampling.condition_file or the input `condition`"
        )
    if config.coordinates and condition != "coordinates":
        raise TwostageError(
            f"sampling.coordinates=true, but the prior was trained with the condition {condition}; set it to false"
        )
    if condition is not None and not num_given:
        raise TwostageError(
            "the prior is conditional; give the job an input `condition`, or set sampling.coordinates=true or "
            "sampling.condition_file"
        )


def _given(
    config: SamplingConfig, job: Job, model: Model, size: tuple[int, int], order_T: np.ndarray
) -> np.ndarray | None:
    """The first tokens [N, G] of real images, in the order of the prior's sequence."""
    if config.given == 0:
        return None
    if "latents" not in job.inputs:
        raise TwostageError(f"sampling.given={config.given} needs real images; give the job an input `latents`")
    wanted = replace(model.tokens, grid=size, condition=None)
    real = held_out_tokens(config.num_images, job.upstream("latents"), wanted, config.per_condition)
    return real.reshape(config.num_images, -1)[:, order_T[: round(config.given * len(order_T))]]


def _codes_of(config: DrawingConfig, folder: Path, wanted: TokenSpace) -> np.ndarray:
    """Condition codes [N, rows, columns]: of validation images, or of the named classes in turn."""
    if config.classes is None:
        return held_out_tokens(config.num_images, folder, wanted, config.per_condition)
    _require_the_same(open_latents(folder), folder, wanted)
    names = read_json(folder / "metadata.json")["classes"]
    check_classes(config.classes, names)
    codes = [names.index(name) for name in config.classes or names]
    turn_N = np.arange(config.num_images) // config.per_condition % len(codes)
    return np.array(codes)[turn_N].reshape(-1, *wanted.grid)


def class_names(job: Job) -> list[str] | None:
    """Names of the classes that condition the job's samples, in the order of their codes; None without classes."""
    if "condition" not in job.inputs:
        return None
    names: list[str] | None = read_json(job.upstream("condition") / "metadata.json").get("classes")
    return names


def check_classes(asked: list[str] | None, names: list[str]) -> None:
    """Raises TwostageError for a requested class that is not in `names`, the prior's classes."""
    unknown = [name for name in dict.fromkeys(asked or []) if name not in names]
    if not unknown:
        return
    near = dict.fromkeys(match for name in unknown[:SHOWN] for match in get_close_matches(name, names))
    known = f"similar names are {_some(list(near))}" if near else f"they are {_some(names)}"
    raise TwostageError(
        f"sampling.classes names {_some(unknown)}, not among the prior's {len(names)} classes; {known}: choose from "
        "its classes"
    )


def _some(names: list[str]) -> str:
    """The first of many names."""
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")


def held_out_tokens(num_images: int, folder: Path, wanted: TokenSpace, per_condition: int = 1) -> np.ndarray:
    """The first grids [N, rows, columns] of held-out latents, each `per_condition` times.

    Raises TwostageError if their codes are not the expected ones, or if there are too few.
    """
    latents = open_latents(folder)
    _require_the_same(latents, folder, wanted)
    index_NT = latents.split(SPLIT).image_NT
    num_conditions = math.ceil(num_images / per_condition)
    if len(index_NT) < num_conditions:
        raise TwostageError(
            f"sampling.num_images={num_images}, but {folder} has {len(index_NT)} {SPLIT} images for "
            "them; lower it, or raise latents.validation_images"
        )
    repeated_NT = np.repeat(index_NT[:num_conditions], per_condition, axis=0)[:num_images]
    return repeated_NT.reshape(-1, *wanted.grid)


def _require_the_same(latents: Latents, folder: Path, wanted: TokenSpace) -> None:
    found = latents.tokens
    if found.map != wanted.map:
        raise TwostageError(
            f"{folder} holds codes of {found.map}, but the prior was trained with codes of {wanted.map}"
        )
    if wanted.map == "class" and found.num_codes != wanted.num_codes:
        dataset = read_json(folder / "metadata.json")["data"]
        raise TwostageError(
            f"{folder} holds the {found.num_codes} classes of dataset {dataset}, but the prior was trained with "
            f"{wanted.num_codes}; use the classes of the dataset that it was trained on"
        )
    if (found.num_codes, found.grid) != (wanted.num_codes, wanted.grid):
        raise TwostageError(
            f"{folder} holds {found.num_codes} codes on grids {found.grid}, expected {wanted.num_codes} on "
            f"{wanted.grid}; use latents of this size from the prior's own tokenizer"
        )
    wanted.require_meaning(found.tokenizer_sha256, folder)
