"""Stage 4: models of code grids: autoregressive in an order of choice, or denoisers of whole grids."""

from twostage.priors.model import Prior, load
from twostage.priors.sundae import DenoisingPrior

__all__ = ["DenoisingPrior", "Prior", "load"]
