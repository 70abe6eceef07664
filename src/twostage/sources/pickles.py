"""Unpickles NumPy arrays and nothing else, because a pickle from the network may run any code."""

import io
import pickle
from typing import Any

import numpy as np

from twostage.errors import TwostageError


def _latin1(text: str, encoding: str) -> bytes:
    # Replaces `_codecs.encode`, with which Python 3 writes bytes in old pickles. Allows only its codec.
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"codec {encoding!r} is not allowed")
    return text.encode("latin1")


# NumPy renamed `core` to `_core`; files with both names exist.
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
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed")
        return ALLOWED[module, name]


def load_arrays(content: bytes, label: str) -> Any:
    """Dicts, lists, numbers, strings and NumPy arrays from a pickle (of Python 2 or 3).

    Raises TwostageError if it contains anything else or is incomplete. `label` names the pickle in the message.
    """
    try:
        return _ArrayUnpickler(io.BytesIO(content), encoding="latin1").load()
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, IndexError, KeyError) as error:
        raise TwostageError(f"{label} is not a plain pickle of arrays ({error}); do not trust this file") from error
