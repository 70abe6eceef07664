"""What a row of a study says of one column of data."""

from dataclasses import dataclass, field

from omegaconf import MISSING


@dataclass
class Cell:
    """One row of a study in one column of data: stand-in or paper."""

    data: str = MISSING
    tokenizer: str = MISSING
    tokenizer_data: str | None = None  # the dataset that the tokenizer is trained on; null: the row's own
    condition: str | None = None  # of the prior: class | coordinates | the tokenizer of a map; null: none
    tune_on: str | None = None  # the row whose learning rates are used; null: a sweep of its own
    prior_sizes: dict[str, dict[str, int]] = field(default_factory=dict)  # architecture -> sizes unlike the scale's
