"""Loads a tokenizer made by any verb."""

from pathlib import Path

from twostage.errors import TwostageError
from twostage.runtime.artifacts import read_json, sha256_file
from twostage.tokenizers import model, pixels
from twostage.tokenizers.model import Tokenizer
from twostage.tokenizers.pixels import PixelTokenizer

# Later stages use `encode`, `decode`, `prepare`, `num_codes`, `factor`, `kind` and `num_channels`.
AnyTokenizer = Tokenizer | PixelTokenizer


def load(folder: Path) -> AnyTokenizer:
    """The tokenizer of an artifact folder, ready to encode and decode, on the accelerator if there is one.

    Raises TwostageError if files are missing or damaged, do not match each other or have an unknown format.
    """
    match read_json(Path(folder) / "config.json").get("format"):
        case None:
            return model.load(folder)
        case pixels.FORMAT:
            return pixels.load(Path(folder))
        case other:
            raise TwostageError(f"{folder}/config.json has the format {other}, unknown to this version; make it again")


def checksum(folder: Path) -> str:
    """Hex sha256 of the weights in a tokenizer's folder. It identifies the meaning of its codes."""
    return sha256_file(Path(folder) / "model.safetensors")
