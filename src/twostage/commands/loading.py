"""Loads the parts of a model, checked: the files that were released, and described as we do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch

from twostage import priors, tokenizers
from twostage.commands.environment import require_device
from twostage.errors import TwostageError
from twostage.priors import DenoisingPrior, Prior
from twostage.runtime.artifacts import read_json
from twostage.runtime.released import require_as_released
from twostage.tokenizers import AnyTokenizer

# What reading a config that is JSON, but not ours, ends in.
NOT_OURS = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
M = TypeVar("M")


def load_tokenizer(folder: Path) -> AnyTokenizer:
    """As `tokenizers.load`. Raises TwostageError also for another file than was released, or damaged weights."""
    return _loaded(tokenizers.load, folder, "tokenizer")


def load_prior(folder: Path) -> Prior | DenoisingPrior:
    """As `priors.load`. Raises TwostageError also for another file than was released, or damaged weights."""
    return _loaded(priors.load, folder, "prior")


def _loaded(load: Callable[[Path], M], folder: Path, part: str) -> M:
    require_device()
    require_as_released(folder)
    config = folder / "config.json"
    values = read_json(config)
    if not isinstance(values, dict) or not _has_token_space(values):
        raise TwostageError(f"{config} describes no {part} of this version; bring the folder again")
    try:
        return load(folder)
    except (torch.OutOfMemoryError, torch.AcceleratorError):
        raise
    except TwostageError as error:
        # What parses a config does not know of which file it is.
        raise error if str(folder) in str(error) else TwostageError(f"{config}: {error}") from error
    except NOT_OURS as error:
        reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        raise TwostageError(
            f"{config} describes no {part} of this version ({reason}); bring the folder again"
        ) from error


def _has_token_space(values: dict[str, Any]) -> bool:
    """Whether the config's tokens, if it has any, are as `TokenSpace.as_json` writes them."""
    return "tokens" not in values or _is_token_space(values["tokens"])


def _is_token_space(values: Any) -> bool:
    match values:
        case {
            "num_codes": int() as num_codes,
            "grid": [int() as rows, int() as columns],
            "condition": condition,
            "map": str(),
            "tokenizer_sha256": str() | None,
        }:
            return min(num_codes, rows, columns) > 0 and (condition is None or _is_token_space(condition))
    return False
