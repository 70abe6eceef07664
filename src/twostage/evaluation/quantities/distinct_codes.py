"""How many codes of the codebook a sampled grid uses: few in a grid that repeats itself."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from twostage.runtime.artifacts import read_array


def distinct_codes(folders: Mapping[str, Path]) -> float:
    """Mean number of distinct codes in a grid of the job in `folders["sampling"]`, from 1 to its number of tokens."""
    index_NHW = read_array(folders["sampling"] / "index.npy")
    return float(np.mean([len(np.unique(index_HW)) for index_HW in index_NHW]))
