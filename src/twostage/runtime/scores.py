"""Names of a prior's held-out scores in curves and metrics: training writes them, evaluations and figures read them."""

NLL = "validation_nll_nats_per_token"
# The clean codes' cross-entropy along SUNDAE's chain: no likelihood, and not to be held against one.
DENOISING = "validation_denoising_nats_per_token"


def on(split: str, score: str) -> str:
    """The name of a score on another split, `train` or `tune`."""
    return score.replace("validation", split)
