"""Files of the released code: its YAML configs and its checkpoints, read as tensors and nothing else."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from twostage.errors import TwostageError


class Placeholder:
    """Stands for a class that a training library left in a checkpoint: it takes nothing and does nothing."""


# Names that released checkpoints hold beside their tensors; torch's tensors-only reader gives a placeholder for them.
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
    """The tensors of a released checkpoint, which lie in its `entry`.

    Raises TwostageError if the file is missing, damaged, or holds objects other than tensors.
    """
    placeholders: list[Any] = [(Placeholder, name) for name in HARMLESS]
    try:
        with torch.serialization.safe_globals(placeholders):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise TwostageError(f"--checkpoint {path} does not exist") from error
    except pickle.UnpicklingError as error:
        raise TwostageError(
            f"--checkpoint {path} holds objects other than tensors or is no checkpoint, and is not loaded; "
            "where you trust it, save its state_dict alone with the program that wrote it"
        ) from error
    except (RuntimeError, EOFError) as error:
        raise TwostageError(f"--checkpoint {path} is truncated or no checkpoint; get it again") from error
    state = content.get(entry) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise TwostageError(f"--checkpoint {path} has no {entry} of tensors; expected the released format")
    return state
