"""Stage 5: drawing code grids from priors, and pictures from the grids."""

from twostage.sampling.autoregressive import sample
from twostage.sampling.draw import Draw, uniform_table
from twostage.sampling.sliding import slide

__all__ = ["Draw", "sample", "slide", "uniform_table"]
