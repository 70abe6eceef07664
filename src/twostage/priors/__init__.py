"""Stage 4: likelihood models of code grids, autoregressive in row-major order."""

from twostage.priors.model import Prior, load

__all__ = ["Prior", "load"]
