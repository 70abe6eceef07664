"""What OmegaConf and Hydra say at length, in one line."""

import itertools

from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

# What OmegaConf raises for a value, and lets through for a file.
UNREADABLE = (OmegaConfBaseException, YAMLError)


def first_line(error: BaseException) -> str:
    """Of its message."""
    return str(error).strip().splitlines()[0]


def explained(error: Exception, overrides: tuple[str, ...]) -> str:
    """One line out of Hydra's several: what was wrong, and the choices or the mend that Hydra names."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # What follows lists where Hydra looked, which is the same for everybody.
    lines = list(itertools.takewhile(lambda line: not line.startswith("Config search path"), lines))
    if error.__cause__ is not None:
        lines.append(first_line(error.__cause__))
    return f"config {' '.join(overrides)}: {' '.join(dict.fromkeys(lines))}"
