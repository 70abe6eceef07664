"""Which tokenizers an ablation of stage 1 compares, each as what it changes of the tokenizer that Table 1 trains."""

from collections.abc import Sequence
from dataclasses import dataclass

from twostage.errors import TwostageError
from twostage.runtime.job import Tree


@dataclass(frozen=True)
class Change:
    """One value of what varies: how the tokenizer's name spells it, and the dotted keys of the config that it sets."""

    spelled: str
    overrides: Tree


def changes(experiment: Tree, tokenizer: Tree) -> dict[str, Change]:
    """Label -> change of `tokenizer`, the config as it usually is; empty if the experiment's rows say all themselves.

    Raises TwostageError if the experiment's values make no ablation.
    """
    match experiment["name"]:
        case "codebook_size":
            sizes = _checked(experiment, least=2, most=None)
            return {str(size): _of_size(size, tokenizer["quantizer"]) for size in sizes}
        case "warmup":
            image = experiment["image"]
            starts = _checked(experiment, least=0, most=image.get("steps", tokenizer["loop"]["steps"]))
            return {str(start): _starting_at(start, image) for start in starts}
        case _:
            return {}


def _checked(experiment: Tree, least: int, most: int | None) -> Sequence[int]:
    values = experiment["values"]
    fit = all(isinstance(value, int) and value >= least and (most is None or value <= most) for value in values)
    if not fit or len(set(values)) < max(len(values), 2):
        between = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise TwostageError(
            f"experiment.values of {experiment['name']} is {', '.join(map(str, values))}; name two or more whole "
            f"numbers {between}, once each"
        )
    return list(values)


def _of_size(size: int, quantizer: Tree) -> Change:
    """Besides its number of codes: how long one may rest, so that in every size it has as many chances before."""
    patience = quantizer["revive_after"]
    if patience is not None:
        patience = max(1, patience * size // quantizer["num_codes"])
    overrides = {"tokenizers.quantizer.num_codes": size, "tokenizers.quantizer.revive_after": patience}
    return Change(f"k{size}", overrides)


def _starting_at(start: int, image: Tree) -> Change:
    """The first step with a discriminator, and the budget that all lengths of the warm-up share."""
    budget = {f"scale.tokenizers.image.{key}": value for key, value in image.items()}
    return Change(f"start{start}", budget | {"scale.tokenizers.image.adversarial_start": start})
