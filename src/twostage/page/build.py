"""Puts the page together and writes it."""

import re
from collections import Counter
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from twostage.claims.claim import claims
from twostage.figures.tables import write_text
from twostage.page.board import MARKS, MEANINGS, board, counts
from twostage.page.studies import studies

TEMPLATES = Path(__file__).parent / "templates"
# Table 1 first, then as the claims name them.
FIRST = "table1"


def build(results: Path) -> str:
    """The page of a results/ folder. The same folder gives the same page.

    Raises TwostageError, one line, where results/ and conf/ do not fit together.
    """
    named = dict.fromkeys([FIRST, *(claim.study for claim in claims() if claim.table)])
    found = studies(results, list(named))
    lines = board(results, {study.name for study in found})
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
        scales=sorted({study.record["scale"] for study in found}),
        commits=Counter(study.record["commit"] for study in found),
    )


def write(results: Path) -> Path:
    """Writes index.html into the folder; its path."""
    path = results / "index.html"
    write_text(path, build(results))
    return path
