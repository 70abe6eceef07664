"""Stage priors: models of code grids, either autoregressive in a chosen order, or denoisers of whole grids."""

from twostage.priors.denoiser import DenoisingPrior
from twostage.priors.model import Prior, load

__all__ = ["DenoisingPrior", "Prior", "load"]
