"""Streams of random numbers for priors that corrupt images, in training, evaluation and sampling."""

import numpy as np

# Purposes of random numbers. Each has its own streams.
TRAINING, EVALUATION, SAMPLING = range(3)


def noise_of(seed: int, purpose: int, number: int) -> np.random.Generator:
    """The stream of a step, a batch or a sample."""
    # A spawn key, because (seed, number) as entropy already gives the numbers that shuffle this epoch.
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(purpose, number)))
