"""Converts a released-format VQGAN, or the first stage of a released transformer, to our safetensors and config.

python -m twostage.tokenizers.import_released --config C.yaml --checkpoint C.ckpt --out DIR
"""

import argparse
import logging
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, nn

from twostage import cli
from twostage.artifacts import write_tensors
from twostage.errors import TwostageError
from twostage.tokenizers import model
from twostage.tokenizers.discriminator import PatchDiscriminator
from twostage.tokenizers.released import split_state, translate_config

log = logging.getLogger(__name__)


class Placeholder:
    """Stands for a class that a training library left in a checkpoint: it takes nothing and does nothing."""


# Names that released checkpoints hold beside their tensors; torch's tensors-only reader gives a placeholder for them.
HARMLESS = ("pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",)


def convert(config: Path, checkpoint: Path, out: Path) -> None:
    """Writes model.safetensors and config.json, and discriminator.safetensors if the checkpoint has one, into `out`.

    Raises TwostageError if a file is missing or has another format, or a key is unknown, missing or misshapen.
    """
    translated, num_channels = translate_config(_read_yaml(config), checkpoint.stem)
    kind = "colour" if num_channels == 3 else "grey" if num_channels == 1 else "labels"
    tokenizer = model.Tokenizer(translated, kind, num_channels)
    tensors, critic_tensors = split_state(_read_state(checkpoint), len(translated.channel_multipliers))
    _fill(tokenizer, tensors, checkpoint)
    critic = None
    if critic_tensors:
        loss = translated.loss
        critic = PatchDiscriminator(num_channels, loss.discriminator_channels, loss.discriminator_layers)
        _fill(critic, critic_tensors, checkpoint)
    # Nothing is written before everything fits.
    model.save(tokenizer, out)
    if critic is not None:
        write_tensors(out / "discriminator.safetensors", critic.state_dict())
    log.info("%s: %d tensors of %s", out, len(tensors) + len(critic_tensors), checkpoint)


def _read_yaml(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text())
    except FileNotFoundError as error:
        raise TwostageError(f"--config {path} does not exist; give the YAML that came with the checkpoint") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise TwostageError(f"--config {path} is not YAML; give the YAML that came with the checkpoint") from error


def _read_state(path: Path) -> Mapping[str, Tensor]:
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
    state = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise TwostageError(f"--checkpoint {path} has no state_dict of tensors; expected the released format")
    return state


def _fill(module: nn.Module, tensors: Mapping[str, Tensor], checkpoint: Path) -> None:
    """Loads the tensors; every key must be there, be known and have the right shape."""
    expected = module.state_dict()
    unknown, missing = sorted(tensors.keys() - expected.keys()), sorted(expected.keys() - tensors.keys())
    misshapen = [name for name in expected.keys() & tensors.keys() if expected[name].shape != tensors[name].shape]
    for what, names in (("unknown", unknown), ("missing", missing), ("of another shape", sorted(misshapen))):
        if names:
            raise TwostageError(
                f"--checkpoint {checkpoint}: {len(names)} keys {what}, the first is {names[0]} "
                f"of {type(module).__name__}; give the config that belongs to this checkpoint"
            )
    module.load_state_dict(tensors)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m twostage.tokenizers.import_released", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="the released YAML")
    parser.add_argument("--checkpoint", type=Path, required=True, help="the released .ckpt")
    parser.add_argument("--out", type=Path, required=True, help="folder for the converted tokenizer")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with cli.one_line_errors():
        convert(arguments.config, arguments.checkpoint, arguments.out)


if __name__ == "__main__":
    main()
