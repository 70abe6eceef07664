"""What `import twostage` gives: load a tokenizer and a prior, encode, decode, draw images, and redraw parts of them.

The examples draw from two tiny models in the folders `model`, with a GPT, and `sundae`: 16 codes, f = 4, 4x4 tokens.

    >>> import numpy as np, twostage
"""

# N images, H W height and width in pixels, h w rows and columns of codes, C channels, T tokens, S condition tokens

import contextlib
import math
import reprlib
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from twostage import tokenizers
from twostage.commands import loading
from twostage.commands.paths import expanded
from twostage.commands.sample import folder_of
from twostage.config.composition import compose, parse
from twostage.config.schema import ChainConfig
from twostage.errors import TwostageError
from twostage.latents.orderings import ordering
from twostage.priors import DenoisingPrior, Prior
from twostage.priors.absorbing import Absorbing
from twostage.priors.condition import require_codes_of, require_rows
from twostage.priors.denoiser import Denoiser
from twostage.priors.gpt import ReleasedGPT
from twostage.priors.model import AnyModel, Model
from twostage.priors.sundae import Sundae
from twostage.runtime import training
from twostage.sampling import denoising, draw
from twostage.sampling.autoregressive import fill
from twostage.sampling.denoising import denoise
from twostage.sampling.draw import uniform_table
from twostage.sampling.masks import code_mask
from twostage.sampling.record import decoded
from twostage.sampling.request import Request
from twostage.sampling.sliding import check_window
from twostage.sampling.unmasking import num_steps_of, unmask
from twostage.sampling.whole import Chains, Streams
from twostage.tokenizers import AnyTokenizer, Tokenizer, tiles
from twostage.tokenizers.accepted import require_codes

__all__ = ["Draw", "Schedule", "decode", "encode", "inpaint", "load_prior", "load_tokenizer", "sample"]

BATCH = 64  # images drawn at once; results do not depend on it

# Seeds that torch and numpy both take; and the largest number of images, codes or steps.
LARGEST_SEED, LARGEST = 2**63 - 1, 2**31 - 1

# Checksums of the tokenizers that were loaded here: they say whether a prior was trained on the same codes.
_checksums: weakref.WeakKeyDictionary[AnyTokenizer, str] = weakref.WeakKeyDictionary()


def _shown(value: Any) -> str:
    # A whole number of thousands of digits has no text.
    with contextlib.suppress(ValueError):
        return " ".join(reprlib.repr(value).split())
    return f"<{type(value).__name__}>"


def _number(name: str, value: Any) -> float:
    """A finite number. Raises TwostageError for anything else, such as a string or a bool."""
    if isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool):
        # An int may be larger than every float.
        with contextlib.suppress(OverflowError):
            if math.isfinite(float(value)):
                return float(value)
    raise TwostageError(f"{name}={_shown(value)} must be a finite number, such as 0.9")


def _whole_number(name: str, value: Any, least: int, most: int = LARGEST) -> int:
    """A whole number, of numpy too. Raises TwostageError for anything else, such as 1.0 or True, or out of range."""
    is_whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if is_whole and least <= value <= most:
        return int(value)
    raise TwostageError(f"{name}={_shown(value)} must be a whole number, at least {least} and at most {most}")


def _pair(name: str, value: Any, each: Callable[[str, Any], Any]) -> tuple[Any, Any]:
    """Two values that pass the check `each`. Raises TwostageError for anything else, such as one number."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise TwostageError(f"{name}={_shown(value)} must be two numbers in a tuple, such as (1, 1)")
    return each(name, value[0]), each(name, value[1])


def _seed(seed: Any) -> int:
    return _whole_number("seed", seed, 0, LARGEST_SEED)


class Draw(draw.Draw):
    """How a code is drawn from logits.

    `temperature`, a positive finite number, divides them. `top_k`, a whole number, keeps the k likeliest codes. Of
    these, `top_p`, in (0, 1], keeps the smallest set of likeliest codes whose probabilities sum to at least p. None
    keeps all. Source: Holtzman et al. 2020 (top-p). Raises TwostageError for anything else.
    """

    def __post_init__(self) -> None:
        object.__setattr__(self, "temperature", _number("temperature", self.temperature))
        if self.top_k is not None:
            object.__setattr__(self, "top_k", _whole_number("top_k", self.top_k, 1))
        if self.top_p is not None:
            object.__setattr__(self, "top_p", _number("top_p", self.top_p))
        super().__post_init__()


class Schedule(denoising.Schedule):
    """The number of steps of a chain, and for each step its temperature and the share of tokens that it draws.

    `temperature`, positive and finite, and `proportion`, in (0, 1], are those of the first step and of the last, and
    change linearly. After `min_steps` of the `steps`, whole numbers, a sample that a step does not change freezes.
    Frozen samples cost nothing. Raises TwostageError for anything else.
    """

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", _whole_number("steps", self.steps, 1))
        object.__setattr__(self, "min_steps", _whole_number("min_steps", self.min_steps, 0))
        object.__setattr__(self, "temperature", _pair("temperature", self.temperature, _number))
        object.__setattr__(self, "proportion", _pair("proportion", self.proportion, _number))
        super().__post_init__()


def load_tokenizer(model: str | Path) -> AnyTokenizer:
    """The tokenizer of a model, ready to encode and decode, on the accelerator if there is one.

    `model`: a folder with config.json and model.safetensors, such as `artifacts/laptop/tokenizers/cifar10.vqgan_f4`; a
    model's folder, which has it as tokenizer/; or the name of a model in models/. Raises TwostageError if there is
    none, or if its files are missing, damaged, not those that were released, or do not match.

    >>> tokenizer = twostage.load_tokenizer("model")
    >>> tokenizer.num_codes, tokenizer.factor
    (16, 4)
    """
    folder = _part(model, "tokenizer")
    tokenizer = loading.load_tokenizer(folder)
    _checksums[tokenizer] = tokenizers.checksum(folder)
    return tokenizer


def load_prior(model: str | Path) -> Prior | DenoisingPrior:
    """The prior of a model, in evaluation mode, on the accelerator if there is one.

    `model`: as for `load_tokenizer`; the prior of a model's folder lies in prior/. Raises TwostageError if there is
    none, or if its files are missing, damaged, not those that were released, or do not match.

    `prior.logits(index_NT, condition_NS)` are the logits [N, T, V] of tokens in row-major order. With an autoregressive
    prior they give the likelihood of images:

    >>> prior, tokenizer = twostage.load_prior("model"), twostage.load_tokenizer("model")
    >>> index_NT = twostage.encode(tokenizer, np.zeros((1, 16, 16, 3), np.uint8)).flatten(1)
    >>> prior.logits(index_NT).shape
    torch.Size([1, 16, 16])
    """
    prior = loading.load_prior(_part(model, "prior"))
    prior.model.to(training.device())
    return prior


def _part(model: str | Path, part: str) -> Path:
    if not isinstance(model, str | Path):
        raise TwostageError(f"a model is a folder or a name in models/, a str or a Path; got {_shown(model)}")
    folder = expanded(model)
    return folder if (folder / "config.json").is_file() else folder_of(str(model)) / part


def encode(tokenizer: AnyTokenizer, image_NHWC: np.ndarray) -> torch.Tensor:
    """The codes of images, int64 [N, h, w] in [0, num_codes), with h = H / factor and w = W / factor.

    `image_NHWC`: uint8 [N, H, W, C]. For a tokenizer of maps, the maps: labels, or binary maps of 0 and 255, have one
    channel. Large images are encoded in tiles, with the codes of the whole. Raises TwostageError for another type or
    shape, or if the factor does not divide the sides. Source: Esser et al. 2021, Eq. 2.

    >>> tokenizer = twostage.load_tokenizer("model")
    >>> twostage.encode(tokenizer, np.zeros((2, 16, 24, 3), np.uint8)).shape
    torch.Size([2, 4, 6])
    """
    _require_tokenizer(tokenizer)
    if isinstance(tokenizer, Tokenizer) and _is_large(image_NHWC):
        return torch.cat([tiles.encode(tokenizer, image_NHWC[n : n + 1]) for n in range(len(image_NHWC))])
    return tokenizer.encode(tokenizer.prepare(image_NHWC))


def _is_large(image_NHWC: Any) -> bool:
    """Whether images go in tiles. What is no array of images does not: the tokenizer says what it takes."""
    if not isinstance(image_NHWC, np.ndarray) or image_NHWC.ndim != 4 or not len(image_NHWC):
        return False
    return image_NHWC.shape[1] * image_NHWC.shape[2] > tiles.WHOLE_PIXELS**2


def decode(tokenizer: AnyTokenizer, index_Nhw: torch.Tensor | np.ndarray) -> np.ndarray:
    """The images of codes, uint8 [N, H, W, C], with H = factor h and W = factor w.

    `index_Nhw`: integers in [0, num_codes). Label maps come out as the likeliest label, with C = 1. Large images are
    decoded in tiles. Raises TwostageError for another type or shape, or an index out of range. Source: Esser et al.
    2021, Eq. 3.

    >>> tokenizer = twostage.load_tokenizer("model")
    >>> image_NHWC = twostage.decode(tokenizer, np.zeros((2, 4, 4), int))
    >>> image_NHWC.shape, image_NHWC.dtype
    ((2, 16, 16, 3), dtype('uint8'))
    """
    _require_tokenizer(tokenizer)
    index = _codes(index_Nhw)
    require_codes(index)
    index = index.to(training.device())
    if tokenizer.kind == "labels":
        return tokenizer.decode(index).argmax(1).byte().cpu().numpy()[..., None]
    return decoded(tokenizer, index)


def _codes(index: torch.Tensor | np.ndarray) -> torch.Tensor:
    """Integers of an array as int64; everything else as it is, for the checks to refuse.

    Raises TwostageError for an array or a tensor that does not hold all of its numbers.
    """
    if isinstance(index, np.ma.MaskedArray):
        raise TwostageError("codes are a masked array, and a mask has no code; fill it, as by .filled(0)")
    if isinstance(index, torch.Tensor) and (index.layout != torch.strided or index.is_meta):
        raise TwostageError(f"codes are a tensor of {index.layout} on {index.device}; give a dense one")
    if isinstance(index, np.ndarray) and index.dtype.kind in "iu":
        return torch.from_numpy(index.astype(np.int64))
    return index  # type: ignore[return-value]


def sample(
    prior: Prior | DenoisingPrior,
    tokenizer: AnyTokenizer,
    num_images: int = 16,
    *,
    how: Draw | Schedule | None = None,
    condition: torch.Tensor | np.ndarray | None = None,
    canvas: tuple[int, int] | None = None,
    seed: int = 0,
) -> np.ndarray:
    """New images, uint8 [N, H, W, C] for N = `num_images` >= 1: codes drawn from the prior, decoded by the tokenizer.

    `how`: a `Draw` for priors that draw code by code, and for absorbing ones; by default at temperature 1 from all
    codes. For SUNDAE a `Schedule`; by default that of `sampling.denoising.chain` in conf/. `condition`: codes of the
    prior's condition, one row per image: integers [N] for classes, [N, h, w] or [N, S] for maps. `canvas`: rows and
    columns in tokens, for images larger than the prior's grid; only for autoregressive priors in row-major order, and
    a map then has the canvas's size. The same `seed`, a whole number from 0 to 2**63 - 1, draws the same images, as
    `twostage sample` does with the same settings. Whole numbers may be numpy's. Raises TwostageError if
    prior and tokenizer do not belong together, or an argument does not fit them.

    >>> prior, tokenizer = twostage.load_prior("model"), twostage.load_tokenizer("model")
    >>> twostage.sample(prior, tokenizer, 4, how=twostage.Draw(temperature=0.9, top_k=8)).shape
    (4, 16, 16, 3)
    >>> twostage.sample(prior, tokenizer, 1, canvas=(4, 9)).shape
    (1, 16, 36, 3)
    >>> sundae = twostage.load_prior("sundae")
    >>> chain = twostage.Schedule(steps=20, min_steps=10, temperature=(1.0, 0.5), proportion=(0.5, 0.5))
    >>> twostage.sample(sundae, tokenizer, 4, how=chain).shape
    (4, 16, 16, 3)
    """
    model = _fitting(prior, tokenizer)
    num_images, seed = _whole_number("num_images", num_images, 1), _seed(seed)
    grid = model.tokens.grid if canvas is None else _pair("canvas", canvas, _whole_side)
    condition_NS = _condition(model, condition, num_images, grid)
    if isinstance(model, Denoiser):
        if canvas is not None:
            raise TwostageError(f"a prior of priors={model.architecture} draws its own grid; leave canvas out")
        draw_whole = _whole(model, how)

        def draw_batch(images: slice) -> torch.Tensor:
            streams = Streams(seed, range(images.start, images.stop))
            return draw_whole(streams, None if condition_NS is None else condition_NS[images]).index_BT.unflatten(
                1, grid
            )
    else:
        draw_batch = _token_by_token(model, how, condition_NS, (num_images, *grid), seed).draw_batch
    return _drawn(tokenizer, draw_batch, num_images)


def inpaint(
    prior: Prior | DenoisingPrior,
    tokenizer: AnyTokenizer,
    image_NHWC: np.ndarray,
    mask_HW: np.ndarray | torch.Tensor,
    *,
    how: Draw | Schedule | None = None,
    condition: torch.Tensor | np.ndarray | None = None,
    seed: int = 0,
) -> np.ndarray:
    """The images with a part redrawn, uint8 [N, H, W, C].

    `image_NHWC`: uint8, of the prior's size. `mask_HW`: bool, true where pixels are redrawn; a code is redrawn if all
    its pixels are. What is kept also passes through the tokenizer. `how`, `condition` and `seed`: as for `sample`. A
    SUNDAE or an absorbing prior sees all that is kept; an autoregressive one sees what comes before a code in its
    order, and what it draws need not fit what comes after. Raises TwostageError for a mask that covers no code, or an
    argument that does not fit. Source: McKinney & Willcocks 2022, Sec. 3.6.

    >>> sundae, tokenizer = twostage.load_prior("sundae"), twostage.load_tokenizer("sundae")
    >>> image_NHWC = np.zeros((2, 16, 16, 3), np.uint8)
    >>> mask_HW = np.zeros((16, 16), bool)
    >>> mask_HW[:, 8:] = True
    >>> twostage.inpaint(sundae, tokenizer, image_NHWC, mask_HW).shape
    (2, 16, 16, 3)
    """
    model = _fitting(prior, tokenizer)
    grid, factor = model.tokens.grid, tokenizer.factor
    seed = _seed(seed)
    index_Nhw = encode(tokenizer, image_NHWC)
    try:
        mask_HW = np.asarray(mask_HW.cpu() if isinstance(mask_HW, torch.Tensor) else mask_HW)
    except ValueError as error:
        raise TwostageError(f"inpaint takes a mask as a bool array [H, W]; got {_shown(mask_HW)}") from error
    size = (grid[0] * factor, grid[1] * factor)
    if index_Nhw.shape[1:] != grid or mask_HW.shape != size or mask_HW.dtype != bool:
        raise TwostageError(
            f"inpaint takes images uint8 [N, {size[0]}, {size[1]}, C] and a mask bool [{size[0]}, {size[1]}]; got "
            f"{list(image_NHWC.shape)} and {mask_HW.dtype} {list(mask_HW.shape)}: scale both"
        )
    redrawn_T = code_mask(mask_HW, factor, "all_pixels").ravel()
    condition_NS = _condition(model, condition, len(index_Nhw), model.tokens.grid)
    draw_part = _whole(model, how) if isinstance(model, Denoiser) else partial(fill, model, _code_by_code(model, how))

    def draw_batch(images: slice) -> torch.Tensor:
        given_BT = index_Nhw[images].flatten(1)
        condition_BS = None if condition_NS is None else condition_NS[images]
        streams, redrawn_BT = Streams(seed, range(images.start, images.stop)), np.tile(redrawn_T, (len(given_BT), 1))
        return draw_part(streams, condition_BS, given_BT, redrawn_BT).index_BT.unflatten(1, grid)

    return _drawn(tokenizer, draw_batch, len(index_Nhw))


def _fitting(prior: Prior | DenoisingPrior, tokenizer: AnyTokenizer) -> AnyModel:
    """The prior's network. Raises TwostageError if it cannot draw, or was trained on codes of another tokenizer, or one
    of the two is something else.
    """
    if not isinstance(prior, Prior | DenoisingPrior):
        raise TwostageError(f"the prior comes first, as load_prior gives it; got {_shown(prior)}")
    _require_tokenizer(tokenizer)
    model = prior.model
    if isinstance(model, ReleasedGPT):
        raise TwostageError("an imported prior has no start token and draws no images; train a prior here")
    if model.tokens.num_codes != tokenizer.num_codes:
        raise TwostageError(
            f"the prior has {model.tokens.num_codes} codes, the tokenizer {tokenizer.num_codes}; use the tokenizer "
            "whose codes it was trained on"
        )
    if tokenizer in _checksums:
        model.tokens.require_meaning(_checksums[tokenizer], "the tokenizer")
    return model


def _require_tokenizer(tokenizer: Any) -> None:
    if not isinstance(tokenizer, AnyTokenizer):
        raise TwostageError(f"the tokenizer must be as load_tokenizer gives it; got {_shown(tokenizer)}")


def _whole_side(name: str, value: Any) -> int:
    return _whole_number(name, value, 1)


def _condition(
    model: AnyModel, condition: torch.Tensor | np.ndarray | None, num_images: int, grid: tuple[int, int]
) -> torch.Tensor | None:
    """Condition codes, one row per image; for a map of a canvas larger than the prior's grid, [N, h, w]."""
    if condition is None:
        require_rows(model.tokens, None, num_images)
        return None
    codes = _codes(condition)
    if not isinstance(codes, torch.Tensor) or codes.dim() not in (1, 2, 3) or len(codes) != num_images:
        raise TwostageError(
            f"condition codes are integers [N], [N, S] or [N, h, w], an array or a tensor with one row for each of "
            f"{num_images} images; got {_shown(condition)}"
        )
    require_codes_of(model.tokens, codes)
    if grid == model.tokens.grid or codes.dim() < 3:
        codes = codes.reshape(len(codes), -1)
        require_rows(model.tokens, codes, num_images)
    return codes


def _token_by_token(
    model: Model, how: Draw | Schedule | None, condition: torch.Tensor | None, shape: tuple[int, int, int], seed: int
) -> Request:
    """What `twostage sample` asks of an autoregressive prior. `shape`: number of images, rows and columns in tokens."""
    drawing = _code_by_code(model, how)
    num_images, height, width = shape
    if (height, width) != model.tokens.grid:
        check_window(model, (height, width))
    order_T = ordering(model.ordering, height, width)
    uniform_NT = uniform_table(num_images, height * width, torch.Generator().manual_seed(seed))
    codes = None if condition is None else condition.cpu().numpy()
    return Request(model, drawing, (height, width), uniform_NT, order_T, codes, None)


def _code_by_code(model: Model, how: Any) -> draw.Draw:
    drawing = Draw() if how is None else how
    if not isinstance(drawing, draw.Draw):
        raise TwostageError(f"a Schedule is for SUNDAE priors; give this one a Draw, got a {type(how).__name__}")
    drawing.check(model.tokens.num_codes)
    return drawing


def _whole(model: Denoiser, how: Draw | Schedule | None) -> Callable[..., Chains]:
    """How a prior draws whole grids, as `sampling.process.Process.draw`."""
    match model, how:
        case Sundae(), denoising.Schedule() as schedule:
            return partial(denoise, model, schedule)
        case Sundae(), None:
            chain = parse(ChainConfig, compose()["sampling"]["denoising"]["chain"])
            return partial(denoise, model, Schedule.of(chain))
        case Absorbing(), draw.Draw() | None:
            (how or Draw()).check(model.tokens.num_codes)
            return partial(unmask, model, num_steps_of(model, None), how or Draw())
        case _:
            wanted = "Schedule" if isinstance(model, Sundae) else "Draw"
            raise TwostageError(f"a prior of priors={model.architecture} takes a {wanted}, got a {type(how).__name__}")


def _drawn(tokenizer: AnyTokenizer, draw_batch: Callable[[slice], torch.Tensor], num_images: int) -> np.ndarray:
    batches = [slice(start, min(start + BATCH, num_images)) for start in range(0, num_images, BATCH)]
    return np.concatenate([decode(tokenizer, draw_batch(batch)) for batch in batches])
