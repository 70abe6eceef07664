"""For how many of its steps a tokenizer trained against a discriminator."""

from collections.abc import Mapping
from pathlib import Path

from twostage.runtime.artifacts import read_json


def adversarial_steps(folders: Mapping[str, Path]) -> float:
    """Steps from `adversarial_start` on of the job in `folders["tokenizer"]`; 0 without a discriminator."""
    loss = read_json(folders["tokenizer"] / "config.json")["config"]["loss"]
    if loss["adversarial"] == "none":
        return 0.0
    steps = read_json(folders["tokenizer"] / "metrics.json")["steps"]
    return float(max(0, steps - loss["adversarial_start"]))
