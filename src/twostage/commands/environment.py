"""Checks the variables that name the device and the folder of downloads, before a command does anything."""

import os

from twostage.errors import TwostageError
from twostage.home import home

VARIABLE = "TWOSTAGE_DEVICE"


def require_device() -> None:
    """Raises TwostageError if TWOSTAGE_DEVICE names no device of this machine that twostage computes on.

    It may be unset, `cpu`, torch's accelerator, such as `cuda`, or one of its cards, such as `cuda:1`. MPS has no
    float64. Loads torch only for another device than the CPU, and starts no CUDA.
    """
    named = os.environ.get(VARIABLE)
    if not named or named == "cpu":
        return
    import torch

    # CUDA must not start here: it reads only once which cards it may use.
    accelerator = torch.accelerator.current_accelerator(check_available=False)
    known = ["cpu"]
    if accelerator is not None and accelerator.type != "mps":
        count = torch.get_device_module(accelerator).device_count()
        known += [accelerator.type] * bool(count) + [f"{accelerator.type}:{number}" for number in range(count)]
    if named not in known:
        raise TwostageError(
            f"{VARIABLE}={named} names no device here; set one of {', '.join(known)}, or leave it unset for the best"
        )


def require_cache() -> None:
    """Raises TwostageError if TWOSTAGE_CACHE begins with a `~name` that has no home folder."""
    try:
        home(os.environ.get("TWOSTAGE_CACHE", ""))
    except TwostageError as error:
        raise TwostageError(f"TWOSTAGE_CACHE={error}") from error
