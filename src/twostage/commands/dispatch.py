"""The names of the command line, and the function and config of every verb."""

import importlib
import inspect
from collections.abc import Callable
from typing import Any, get_type_hints

from twostage.planning.verbs import VERBS

# Command -> module whose `main` reads its own arguments, and its line of `twostage --help`.
COMMANDS = {
    "train": ("commands.train", "trains a prior, or the tokenizer that is chosen"),
    "sample": ("commands.sample", "draws images, from a prior of artifacts/ or from a folder: --model DIR --out x.png"),
    "release": ("commands.release", "a trained prior and its tokenizer as a small model with a card, in models/"),
    "plan": ("commands.plan", "the jobs of a study, and which of them are made"),
    "redraw": ("commands.redraw", "tables and figures from the metrics that git keeps, in seconds"),
    "trace": ("commands.trace", "the jobs behind a cell of a table: learning rates, seeds, steps, commits"),
    "claims": ("commands.claims", "what the papers claim, and the verdicts of the tables in results/"),
    "page": ("commands.page", "results/index.html, the page to open after a run"),
    "models": ("commands.models", "parameters of every model that the papers print, beside the printed number"),
    "released": ("commands.released", "the authors' checkpoints beside the printed numbers, on pictures of yours"),
    "verify": ("commands.verify", "do the committed results hold?"),
    "from_data": ("commands.from_data", "everything from a folder of pictures to samples"),
    "check": ("commands.check", "what a local copy of a dataset lacks"),
    "fetch": ("commands.fetch", "fills the cache of downloads"),
    "cards": ("commands.cards", "prints docs/datasets.md"),
}
# Converters of released files.
IMPORTS = ("tokenizers.import_released", "priors.import_released", "sampling.import_released")
NAMES = (*COMMANDS, *VERBS, *IMPORTS)


def work_of(verb: str) -> Callable[[Any, Any], None]:
    """The function of a verb ("priors.train"), called with the verb's config and its job."""
    work: Callable[[Any, Any], None] = getattr(importlib.import_module(f"twostage.{verb}"), verb.split(".")[1])
    return work


def config_of(work: Callable[[Any, Any], None]) -> Any:
    """The dataclass of a verb's configs: the type of its first parameter."""
    return get_type_hints(work)[next(iter(inspect.signature(work).parameters))]
