"""`twostage train priors=gpt ...`: trains a prior, or the tokenizer that is chosen.

With choices of tokenizers (`tokenizers=...`, `tokenizers.learning_rate=...`) and none of priors it is the tokenizer's
own verb: tokenizers.train, cluster or greys. Otherwise it is priors.train.
"""

from twostage.commands import run
from twostage.commands.arguments import Parser, parsed
from twostage.commands.console import log, one_line_errors
from twostage.config.composition import compose
from twostage.planning.jobs import tokenizer_job
from twostage.planning.prompt import group_of, without_folders


def verb_of(overrides: tuple[str, ...]) -> str:
    """The verb that trains what the overrides choose."""
    chosen = {group_of(override) for override in overrides}
    if "tokenizers" in chosen and "priors" not in chosen:
        return f"tokenizers.{tokenizer_job(compose(without_folders(overrides))).verb}"
    return "priors.train"


def parser() -> Parser:
    """What the command takes."""
    about = (
        "Trains a prior; with choices of tokenizers and none of priors, the tokenizer. Takes the overrides of the verb "
        "that this is (priors.train, tokenizers.train, cluster or greys),"
    )
    return run.verb_parser("priors.train", "train", about)


def main() -> None:
    """Command line."""
    arguments = parsed(parser())
    with one_line_errors():
        verb = verb_of(tuple(arguments.overrides))
    log.info("twostage train is %s here", verb)
    run.run_verb(verb, arguments)
