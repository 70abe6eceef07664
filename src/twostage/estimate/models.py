"""Every model that the papers print (conf/models/), built without memory and counted."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from omegaconf import MISSING

from twostage.config.composition import CONF, compose, parse
from twostage.config.schema import DENOISERS, PriorConfig, TokenizerConfig
from twostage.config.yaml_files import read_yaml
from twostage.errors import TwostageError
from twostage.estimate.jobs import CARD_BYTES, share_of_a_pass, step_of_prior
from twostage.estimate.step import decoder_pass
from twostage.figures.tables import write_text
from twostage.latents.dataset import TokenSpace
from twostage.planning.jobs import num_codes
from twostage.priors.model import build, num_parameters
from twostage.runtime.artifacts import write_csv
from twostage.runtime.job import Tree
from twostage.tokenizers import Tokenizer

# Of the card on which McKinney & Willcocks 2022 sample, in float32. Source: the maker's data sheet, at its boost clock.
GTX_1080_TI_FLOPS = 11.3e12


@dataclass
class Printed:
    """One row of a paper's table: a tokenizer, or a prior over the codes of one."""

    name: str = MISSING
    place: str = MISSING
    set: list[str] = field(default_factory=list)  # overrides of scale paper
    grid: list[int] | None = None  # rows and columns of an image's codes; null: of the file
    given: list[int] | None = None  # number of codes of the condition, and how many stand before an image; null: none
    length: int | None = None  # of the sequence, condition and image, as printed
    millions: int | None = None  # parameters of the prior, as printed
    is_tokenizer: bool = False  # no prior
    steps: int | None = None  # of a denoiser's chain, as printed; null: none is timed
    why: str = ""  # where ours has not the printed number: the reason

    @property
    def within(self) -> float:
        """Half a unit of the last printed digit, in millions: 1400 is printed to the hundred."""
        return 50.0 if self.millions and self.millions % 100 == 0 else 0.5


@dataclass(frozen=True)
class Counted:
    """A printed model and ours."""

    paper: str
    printed: Printed
    tokenizer: Tree
    tokenizer_parameters: int | None  # None of a palette, which has none
    prior: PriorConfig | None
    tokens: TokenSpace
    parameters: int | None  # of the prior

    @property
    def difference(self) -> float | None:
        """Of our number of parameters, in parts of the printed one."""
        if self.parameters is None or self.printed.millions is None:
            return None
        return self.parameters / (1e6 * self.printed.millions) - 1

    @property
    def length(self) -> int:
        """Of our sequence: codes of the condition, which a denoiser adds to those of the image, and of the image."""
        condition = self.tokens.condition
        stands_before = condition is not None and self.prior is not None and self.prior.architecture not in DENOISERS
        return self.tokens.num_tokens + (condition.num_tokens if condition and stands_before else 0)

    def row(self) -> dict[str, Any]:
        """The line of results/models.csv."""
        printed, learned = self.printed, self.tokenizer_parameters is not None
        row: dict[str, Any] = {
            "paper": self.paper,
            "model": printed.name,
            "place": printed.place,
            "tokenizer": self.tokenizer["name"],
            "f": 2 ** self.tokenizer["num_downsamplings"],
            "codes": self.tokens.num_codes,
            "code_dim": self.tokenizer["quantizer"]["code_dim"] if learned else "",
            "tokenizer_parameters": self.tokenizer_parameters if learned else "",
        }
        if self.prior is None:
            return row | {"why": printed.why}
        return row | {
            "architecture": self.prior.architecture,
            "length": self.length,
            "printed_length": printed.length or "",
            "parameters": self.parameters,
            "millions": "" if self.parameters is None else f"{self.parameters / 1e6:.1f}",
            "printed_millions": printed.millions or "",
            "difference": "" if self.difference is None else f"{self.difference:.4f}",
            "why": printed.why,
        }

    @cached_property
    def costs(self) -> dict[str, str]:
        """What it takes on a card: of a prior gigabytes to train with two sequences a batch, and of one whose chain is
        printed the least seconds an image, as no code reaches the card's peak.
        """
        if self.prior is None:
            return {}
        prior = replace(self.prior, loop=replace(self.prior.loop, batch_size=2))
        step = step_of_prior(prior, self.tokens)
        found = {"gb_at_batch_2": f"{(step.device_bytes + CARD_BYTES) / 1e9:.1f}"}
        if self.printed.steps is not None:
            decoder = decoder_pass(parse(TokenizerConfig, self.tokenizer), "colour", 3, self.tokens.grid)
            flops = self.printed.steps * share_of_a_pass(prior) * step.flops + decoder.flops
            found["gtx_1080_ti_least_seconds"] = f"{flops / GTX_1080_TI_FLOPS:.2f}"
        return found


def printed_models(folder: Path | None = None) -> list[Counted]:
    """Every row of conf/models/, paper by paper. Raises TwostageError for one that no config describes."""
    found = []
    for path in sorted((folder or CONF / "models").glob("*.yaml")):
        document = _document(path)
        for row in document["models"]:
            try:
                found.append(_counted(document, parse(Printed, row)))
            except TwostageError as error:
                raise TwostageError(f"{path}, model {row.get('name', 'without a name')}: {error}") from error
    return found


def _document(path: Path) -> dict[str, Any]:
    """A file of conf/models/. Raises TwostageError, one line, for one of another form."""
    document, kinds = read_yaml(path), {"paper": str, "grid": list, "set": list, "models": list}
    if not isinstance(document, dict) or set(document) != set(kinds):
        raise TwostageError(f"{path} must have the keys {', '.join(kinds)}")
    if wrong := [key for key, kind in kinds.items() if not isinstance(document[key], kind)]:
        raise TwostageError(f"{path}: {wrong[0]} is {document[wrong[0]]!r:.60}; write a {kinds[wrong[0]].__name__}")
    if wrong := [row for row in document["models"] if not isinstance(row, dict)]:
        raise TwostageError(f"{path}: model {wrong[0]!r:.60} is no mapping; write its keys, such as name: and set:")
    return document


def _counted(document: dict[str, Any], printed: Printed) -> Counted:
    tree = compose(("scale=paper", *document["set"], *printed.set))
    tokenizer = tree["tokenizers"]
    is_palette = tokenizer["greys"] or tokenizer["kmeans"] is not None
    rows, columns = printed.grid or document["grid"]
    condition = None
    if printed.given is not None:
        # Of the condition only the number of its codes and tokens counts; a class is one token.
        codes, length = printed.given
        shape = (rows, columns) if length == rows * columns else (1, length)
        condition = TokenSpace(codes, shape, map="condition")
    tokens = TokenSpace(num_codes(tokenizer), (rows, columns), condition)
    prior = None if printed.is_tokenizer else parse(PriorConfig, tree["priors"])
    with torch.device("meta"):
        learned = None if is_palette else num_parameters(Tokenizer(parse(TokenizerConfig, tokenizer), "colour", 3))
        own = None if prior is None else num_parameters(build(prior, tokens))
    return Counted(document["paper"], printed, tokenizer, learned, prior, tokens, own)


def write(counted: list[Counted], folder: Path) -> None:
    """Writes models.csv and models.md."""
    write_csv(folder / "models.csv", [each.row() | each.costs for each in counted])
    write_text(folder / "models.md", _page(counted))


def _page(counted: list[Counted]) -> str:
    compared = sum(each.difference is not None for each in counted)
    apart = sum(each.printed.why != "" for each in counted)
    lines = [
        "# The printed models, counted",
        "",
        f"Parameters of all {len(counted)} models of [conf/models](../conf/models) at scale paper, built without",
        f"memory (`twostage models`). The papers print {compared} of these numbers. {compared - apart} are ours to the",
        f"printed digit, {apart} are not, and the row says why.",
        "",
        "Memory is that of one training step with two sequences: weights, optimizer, gradients and activations, and",
        "1.5 GB that a process is assumed to take on a card. Seconds are a bound from below for one sample of SUNDAE:",
        "its operations over the peak of a GTX 1080 Ti, the card of its paper.",
    ]
    for paper in dict.fromkeys(each.paper for each in counted):
        cells = [_cells(each) for each in counted if each.paper == paper]
        lines += ["", f"## {paper}", "", str(pd.DataFrame(cells).to_markdown(index=False, disable_numparse=True))]
    return "\n".join(lines) + "\n"


def _cells(each: Counted) -> dict[str, str]:
    def millions(count: int | None) -> str:
        return "" if count is None else f"{count / 1e6:.1f} M"

    printed = each.printed
    length = "" if each.prior is None else str(each.length)
    return {
        "model": f"{printed.name} ({printed.place})",
        "tokenizer": f"f = {2 ** each.tokenizer['num_downsamplings']}, {each.tokens.num_codes} codes",
        "its parameters": millions(each.tokenizer_parameters),
        "length": length + (f" (paper: {printed.length})" if printed.length not in (None, each.length) else ""),
        "prior": millions(each.parameters),
        "paper": f"{printed.millions} M" if printed.millions else "",
        "difference": "" if each.difference is None else f"{each.difference:+.1%}",
        "memory at batch 2 [GB]": each.costs.get("gb_at_batch_2", ""),
        "least time of a sample [s]": each.costs.get("gtx_1080_ti_least_seconds", ""),
        "why": printed.why,
    }
