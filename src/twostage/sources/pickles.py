"""Unpickling of NumPy arrays and nothing else: a pickle from the network may otherwise run any code."""

import io
import pickle
from typing import Any

import numpy as np

from twostage.errors import TwostageError


def _latin1(text: str, encoding: str) -> bytes:
    # Stands in for `_codecs.encode`, by which Python 3 spells bytes in old pickles; no other codec is let in.
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"codec {encoding!r} is not on the list")
    return text.encode("latin1")


# NumPy moved `core` to `_core`; files of both ages exist.
_RECONSTRUCT = np.empty(0).__reduce__()[0]
ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _latin1,
}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is not on the list")
        return ALLOWED[module, name]


def load_arrays(content: bytes, label: str) -> Any:
    """Dicts, lists, numbers, strings and NumPy arrays out of a pickle (of Python 2 or 3).

    Raises TwostageError if it names anything else or is not a whole pickle; `label` names it in the message.
    """
    try:
        return _ArrayUnpickler(io.BytesIO(content), encoding="latin1").load()
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, IndexError, KeyError) as error:
        raise TwostageError(f"{label} is not a plain pickle of arrays ({error}); do not trust this file") from error
