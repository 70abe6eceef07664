"""Stage tokenizers: models that turn images and maps into grids of codes and back."""

from twostage.tokenizers.maps import as_bytes, prepare_map
from twostage.tokenizers.model import Tokenizer
from twostage.tokenizers.stored import AnyTokenizer, checksum, load

__all__ = ["AnyTokenizer", "Tokenizer", "as_bytes", "checksum", "load", "prepare_map"]
