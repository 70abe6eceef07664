"""Stage 1: tokenizers, which turn maps into grids of codes and back."""

from twostage.tokenizers.maps import prepare_map
from twostage.tokenizers.model import Tokenizer, load

__all__ = ["Tokenizer", "load", "prepare_map"]
