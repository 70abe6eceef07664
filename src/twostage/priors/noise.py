"""Streams of random numbers for priors that corrupt images: in training, in evaluation and in sampling."""

import numpy as np

# What random numbers are for: each has streams of its own.
TRAINING, EVALUATION, SAMPLING = range(3)


def noise_of(seed: int, purpose: int, number: int) -> np.random.Generator:
    """The stream of a step, a batch or a sample."""
    # A spawn key: as plain entropy, (seed, number) would give the numbers that shuffle the epoch of this number.
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(purpose, number)))
