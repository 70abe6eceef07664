"""Loads the parts of a model, checked: the files that were released, described as we do, with finite weights."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch

from twostage import priors, tokenizers
from twostage.commands.environment import require_device
from twostage.errors import TwostageError
from twostage.priors import DenoisingPrior, Prior
from twostage.runtime.artifacts import read_json, sha256_file, write_json
from twostage.runtime.tensors import read_tensors
from twostage.tokenizers import AnyTokenizer

# Of a released model: the path of each of its files below its folder -> hex sha256.
CHECKSUMS = "checksums.json"
# What reading a config that is JSON, but not ours, ends in.
NOT_OURS = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
M = TypeVar("M")


def load_tokenizer(folder: Path) -> AnyTokenizer:
    """As `tokenizers.load`. Raises TwostageError also for another file than was released, or damaged weights."""
    return _loaded(tokenizers.load, folder, "tokenizer")


def load_prior(folder: Path) -> Prior | DenoisingPrior:
    """As `priors.load`. Raises TwostageError also for another file than was released, or damaged weights."""
    return _loaded(priors.load, folder, "prior")


def write_checksums(model: Path) -> None:
    """Writes checksums.json: the sha256 of every other file in the folder of a model."""
    paths = sorted(path for path in model.rglob("*") if path.is_file() and path != model / CHECKSUMS)
    write_json(model / CHECKSUMS, {path.relative_to(model).as_posix(): sha256_file(path) for path in paths})


def _loaded(load: Callable[[Path], M], folder: Path, part: str) -> M:
    require_device()
    _require_as_released(folder)
    config = folder / "config.json"
    values = read_json(config)
    if not isinstance(values, dict) or not _has_token_space(values):
        raise TwostageError(f"{config} describes no {part} of this version; bring the folder again")
    try:
        loaded = load(folder)
    except NOT_OURS as error:
        reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        raise TwostageError(
            f"{config} describes no {part} of this version ({reason}); bring the folder again"
        ) from error
    for name, tensor in read_tensors(folder / "model.safetensors")[0].items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise TwostageError(
                f"{folder}/model.safetensors is damaged: tensor {name} has values that are not finite; bring it again"
            )
    return loaded


def _require_as_released(folder: Path) -> None:
    """Raises TwostageError if a file of the part differs from its checksum. A model that has none is not released."""
    folder = Path(os.path.abspath(folder))
    path = folder.parent / CHECKSUMS
    if not path.is_file():
        return
    known = read_json(path)
    if not isinstance(known, dict):
        raise TwostageError(f"{path} holds no checksums of files; bring the model again")
    for name in ("config.json", "model.safetensors"):
        wanted, file = known.get(f"{folder.name}/{name}"), folder / name
        if wanted is not None and file.is_file() and (found := sha256_file(file)) != wanted:
            raise TwostageError(
                f"{file} is not the file that was released (sha256 {found[:12]}, expected {str(wanted)[:12]}); bring "
                "the model again"
            )


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
