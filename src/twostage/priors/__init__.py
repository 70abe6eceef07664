"""Stage 4: models of code grids: autoregressive in an order of choice, or denoisers of whole grids."""

from twostage.priors.denoiser import DenoisingPrior
from twostage.priors.model import Prior, load

__all__ = ["DenoisingPrior", "Prior", "load"]
