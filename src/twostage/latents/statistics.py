"""Statistics of how index grids use their vocabulary."""

# K vocabulary

import math
from typing import Any

import numpy as np


def code_statistics(counts_K: np.ndarray) -> dict[str, Any]:
    """Statistics of code counts: `codes_used`, `unigram_entropy_nats` and `perplexity` = exp(entropy).

    The unigram entropy is the NLL per token of a model that knows only the frequency of each code. Raises ValueError if
    all counts are zero.
    """
    total = int(counts_K.sum())
    if total == 0:
        raise ValueError("no codes were counted")
    share = counts_K[counts_K > 0] / total
    entropy = float(-(share * np.log(share)).sum())
    return {
        "codes_used": len(share),
        "perplexity": math.exp(entropy),
        # A single code gives -0.0 by the formula.
        "unigram_entropy_nats": max(entropy, 0.0),
    }
