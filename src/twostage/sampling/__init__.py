"""Stage sampling: draws code grids from priors and decodes them to images."""

from twostage.sampling.autoregressive import sample
from twostage.sampling.draw import Draw, uniform_table
from twostage.sampling.sliding import slide

__all__ = ["Draw", "sample", "slide", "uniform_table"]
