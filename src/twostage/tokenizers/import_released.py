"""Converts a released-format VQGAN, or the first stage of a released transformer, to our safetensors and config.

python -m twostage tokenizers.import_released --config C.yaml --checkpoint C.ckpt --out DIR
"""

import logging
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from twostage.errors import TwostageError
from twostage.runtime.tensors import write_tensors
from twostage.sources.checkpoints import read_released_config, read_released_state
from twostage.tokenizers import model
from twostage.tokenizers.discriminator import PatchDiscriminator
from twostage.tokenizers.released import split_state, translate_config

log = logging.getLogger(__name__)


def convert(config: Path, checkpoint: Path, out: Path, stage: str = "first_stage") -> None:
    """Writes model.safetensors and config.json, and discriminator.safetensors if the checkpoint has one, into `out`.

    Of a transformer, the tokenizer of its `stage`: first_stage (the image) or cond_stage (its condition).
    Raises TwostageError if a file is missing or has another format, or if a key is unknown, missing or of wrong shape.
    """
    translated, num_channels = translate_config(read_released_config(config), checkpoint.stem, stage)
    kind = "colour" if num_channels == 3 else "grey" if num_channels == 1 else "labels"
    tokenizer = model.Tokenizer(translated, kind, num_channels)
    tensors, critic_tensors = split_state(read_released_state(checkpoint), len(translated.channel_multipliers), stage)
    _fill(tokenizer, tensors, checkpoint)
    critic = None
    if critic_tensors:
        assert translated.discriminator is not None
        critic = PatchDiscriminator(num_channels, translated.discriminator.channels, translated.discriminator.layers)
        _fill(critic, critic_tensors, checkpoint)
    # Write only after everything has been checked.
    model.save(tokenizer, out)
    if critic is not None:
        write_tensors(out / "discriminator.safetensors", critic.state_dict())
    log.info("%s: %d tensors of %s", out, len(tensors) + len(critic_tensors), checkpoint)


def _fill(module: nn.Module, tensors: Mapping[str, Tensor], checkpoint: Path) -> None:
    """Loads the tensors. Every key must be known, present and of the right shape."""
    expected = module.state_dict()
    unknown, missing = sorted(tensors.keys() - expected.keys()), sorted(expected.keys() - tensors.keys())
    misshapen = [name for name in expected.keys() & tensors.keys() if expected[name].shape != tensors[name].shape]
    for what, names in (("unknown", unknown), ("missing", missing), ("of wrong shape", sorted(misshapen))):
        if names:
            raise TwostageError(
                f"--checkpoint {checkpoint}: {len(names)} keys {what}, the first is {names[0]} "
                f"of {type(module).__name__}; give the config that belongs to this checkpoint"
            )
    module.load_state_dict(tensors)
