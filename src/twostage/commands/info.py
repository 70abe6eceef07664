"""`twostage --info`: what runs here, in the words of a bug report."""

import importlib.metadata
import platform

from tabulate import tabulate

from twostage.commands.environment import require_device
from twostage.config import composition
from twostage.runtime.fingerprint import PACKAGE
from twostage.sources.fetch import cache_folder

PACKAGES = ("twostage", "torch", "torchvision", "numpy", "hydra-core", "omegaconf", "snakemake", "dvc", "matplotlib")


def info() -> str:
    """Versions, paths, device and threads, one a line. Raises TwostageError if TWOSTAGE_DEVICE names no device."""
    # Of all this only the device needs torch.
    import torch

    require_device()
    from twostage.runtime import training

    lines = {"python": platform.python_version(), "platform": platform.platform()}
    lines |= {name: _version(name) for name in PACKAGES}
    lines |= {"package": str(PACKAGE), "conf": str(composition.CONF.resolve())}
    lines |= {"device": str(training.device()), "threads": str(torch.get_num_threads()), "cache": str(cache_folder())}
    return tabulate(lines.items(), tablefmt="plain", disable_numparse=True)


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
