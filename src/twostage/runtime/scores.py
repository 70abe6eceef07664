"""Names of a prior's held-out scores. Training writes them; evaluations and figures read them."""

NLL = "validation_nll_nats_per_token"
# Cross-entropy of the clean codes along SUNDAE's chain. Not a likelihood; do not compare it with one.
DENOISING = "validation_denoising_nats_per_token"
# An upper bound of the NLL of an absorbing diffusion. The NLL itself is lower by an unknown amount.
BOUND = "validation_bound_nats_per_token"
# The training loss of such a prior: the terms of the bound with other weights. It is not a bound.
REWEIGHTED = "train_reweighted_nats_per_token"


def on(split: str, score: str) -> str:
    """The name of a score on another split, `train` or `tune`."""
    return score.replace("validation", split)
