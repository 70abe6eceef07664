"""Reads and writes safetensors. Separate from `runtime.artifacts`, because plans and figures do without torch."""

import json
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open

from twostage.errors import TwostageError
from twostage.runtime.artifacts import atomic_path

# safetensors does not keep the order of metadata keys, so several keys would give different bytes each time.
_ONLY_KEY = "twostage"


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Writes tensors as safetensors. Equal content gives equal bytes. `metadata` holds strings only."""
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    kept = {_ONLY_KEY: json.dumps(metadata, sort_keys=True)} if metadata else {}
    with atomic_path(path) as temporary:
        safetensors.torch.save_file(whole, temporary, metadata=kept)


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """The tensors and the metadata of a safetensors file.

    Raises TwostageError if it is missing or damaged, or has a number that is not finite.
    """
    if not Path(path).exists():
        raise TwostageError(f"{path} is missing; ask snakemake for it: snakemake --cores all {path}")
    try:
        with safe_open(path, framework="pt") as file:
            kept = json.loads((file.metadata() or {}).get(_ONLY_KEY, "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError, RecursionError) as error:
        raise TwostageError(f"{path} is not a complete safetensors file ({error}); delete it and run again") from error
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise TwostageError(
                f"{path} is damaged: tensor {name} has values that are not finite; delete it and make or bring it again"
            )
    return tensors, kept
