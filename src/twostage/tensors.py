"""Tensors that cross a stage, as safetensors: apart from `twostage.artifacts`, as plans and figures need no torch."""

from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open

from twostage.artifacts import atomic_path
from twostage.errors import TwostageError


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Writes tensors as safetensors. `metadata` holds strings only."""
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_path(path) as temporary:
        safetensors.torch.save_file(whole, temporary, metadata=dict(metadata or {}))


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """The tensors and the metadata of a safetensors file. Raises TwostageError if it is missing or damaged."""
    if not Path(path).exists():
        raise TwostageError(f"{path} is missing; ask snakemake for it: snakemake --cores all {path}")
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except SafetensorError as error:
        raise TwostageError(f"{path} is not a whole safetensors file ({error}); delete it and run again") from error
