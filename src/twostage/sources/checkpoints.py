"""Reads files of the released code: YAML configs, and checkpoints, from which only tensors are loaded."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from twostage.errors import TwostageError


class Placeholder:
    """Replaces a class of a training library in a checkpoint. It does nothing."""


# Classes that released checkpoints contain. torch's tensors-only reader replaces them with the placeholder.
HARMLESS = ("pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",)


def read_released_config(path: Path) -> Any:
    """The YAML tree of a released config. Raises TwostageError if the file is missing or is not YAML."""
    try:
        return yaml.safe_load(path.read_text())
    except FileNotFoundError as error:
        raise TwostageError(f"--config {path} does not exist; give the YAML that came with the checkpoint") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise TwostageError(f"--config {path} is not YAML; give the YAML that came with the checkpoint") from error


def read_released_state(path: Path, entry: str = "state_dict") -> Mapping[str, Tensor]:
    """The tensors in the `entry` of a released checkpoint.

    Raises TwostageError if the file is missing or damaged, or holds objects other than tensors.
    """
    placeholders: list[Any] = [(Placeholder, name) for name in HARMLESS]
    try:
        with torch.serialization.safe_globals(placeholders):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise TwostageError(f"--checkpoint {path} does not exist") from error
    except pickle.UnpicklingError as error:
        raise TwostageError(
            f"--checkpoint {path} holds objects other than tensors or is not a checkpoint, so it is not "
            "loaded; if you trust it, save only its state_dict with the program that wrote it"
        ) from error
    except (RuntimeError, EOFError) as error:
        raise TwostageError(f"--checkpoint {path} is truncated or not a checkpoint; download it again") from error
    state = content.get(entry) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise TwostageError(f"--checkpoint {path} has no {entry} of tensors; expected the released format")
    return state
