"""Stage 4: likelihood models of code grids, autoregressive in an order of choice."""

from twostage.priors.model import Prior, load

__all__ = ["Prior", "load"]
