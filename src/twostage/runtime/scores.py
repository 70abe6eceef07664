"""Names of a prior's held-out scores in curves and metrics: training writes them, evaluations and figures read them."""

NLL = "validation_nll_nats_per_token"
# The clean codes' cross-entropy along SUNDAE's chain: no likelihood, and not to be held against one.
DENOISING = "validation_denoising_nats_per_token"
# An upper bound of the NLL, of a diffusion that absorbs: the NLL itself is lower, by an unknown amount.
BOUND = "validation_bound_nats_per_token"
# What such a prior is trained on: the terms of the bound with other weights. It bounds nothing.
REWEIGHTED = "train_reweighted_nats_per_token"


def on(split: str, score: str) -> str:
    """The name of a score on another split, `train` or `tune`."""
    return score.replace("validation", split)
