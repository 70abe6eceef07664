"""Two-stage image synthesis: tokenizers turn images into grids of codes, priors learn to write such grids.

    tokenizer = twostage.load_tokenizer("DIR")          # DIR/tokenizer, or a model's name
    prior = twostage.load_prior("DIR")
    image_NHWC = twostage.sample(prior, tokenizer, 16)  # uint8

The functions are those of `twostage.api`, which is loaded, with torch, when the first of them is used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from twostage.api import Draw, Schedule, decode, encode, inpaint, load_prior, load_tokenizer, sample

__all__ = ["Draw", "Schedule", "decode", "encode", "inpaint", "load_prior", "load_tokenizer", "sample"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("twostage.api"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
