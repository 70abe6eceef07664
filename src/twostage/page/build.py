"""Puts the page together and writes it."""

import re
from collections import Counter
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from twostage.claims.claim import claims
from twostage.errors import TwostageError
from twostage.figures.tables import write_text
from twostage.page.board import MARKS, MEANINGS, board, counts
from twostage.page.studies import Study, studies

TEMPLATES = Path(__file__).parent / "templates"
# Table 1 first, then as the claims name them.
FIRST = "table1"


def build(results: Path) -> str:
    """The page of a results/ folder. The same folder gives the same page.

    Raises TwostageError, one line, where results/ and conf/ do not fit together.
    """
    named = dict.fromkeys([FIRST, *(claim.study for claim in claims() if claim.table)])
    found = studies(results, list(named))
    scale = _scale(results, found)
    lines = board(results, {study.name for study in found}, scale)
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # A verdict as a class of the style: "direction only" is .direction-only.
    environment.filters["slug"] = lambda words: re.sub(r"\W+", "-", words)
    return environment.get_template("index.html").render(
        lines=lines,
        counts=counts(lines),
        looks=Counter(line.first_look for line in lines if line.first_look),
        central=[line for line in lines if line.claim.is_central],
        marks=MARKS,
        meanings=MEANINGS,
        studies=found,
        scale=scale,
        commits=Counter(study.record["commit"] for study in found),
    )


def _scale(results: Path, found: list[Study]) -> str:
    """The one scale of all tables. Raises TwostageError if there are several."""
    by_scale = {study.record["scale"]: study.name for study in found}
    if len(by_scale) > 1:
        said = ", ".join(f"{name}.csv of {scale}" for scale, name in by_scale.items())
        raise TwostageError(f"{results} holds tables of several scales ({said}); make them at one")
    return next(iter(by_scale))


def write(results: Path) -> Path:
    """Writes index.html into the folder; its path."""
    path = results / "index.html"
    write_text(path, build(results))
    return path
