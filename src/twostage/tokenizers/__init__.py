"""Stage 1: tokenizers, which turn maps into grids of codes and back."""

from twostage.tokenizers.maps import prepare_map
from twostage.tokenizers.model import Tokenizer
from twostage.tokenizers.stored import AnyTokenizer, checksum, load

__all__ = ["AnyTokenizer", "Tokenizer", "checksum", "load", "prepare_map"]
