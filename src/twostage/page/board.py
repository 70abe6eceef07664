"""The claims as the page shows them: every cell with what it says, or with why it says nothing."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from twostage.claims.board import EFFECT, VERDICTS, read_board
from twostage.claims.claim import COUNTED, Claim, claims
from twostage.claims.verdict import (
    DIRECTION_ONLY,
    INCONCLUSIVE,
    MEASURED,
    NEEDS,
    NOT_MEASURED,
    NOT_REPRODUCED,
    REPRODUCED,
    SETTING,
    TURNED,
)
from twostage.errors import TwostageError

# The columns of claims.csv that the page shows.
COLUMNS = ("id", "scale", "verdict", "first_look", *EFFECT, "ours", "printed", "note", "missing", "quantity")
# Marks say a verdict without its colour; the sentence says what it means.
MARKS = dict(zip(VERDICTS, ("✓", "↗", "✗", "≈", "○", "□", "□", "="), strict=True))
MEANINGS = {
    REPRODUCED: "The numbers lie as claimed, and the interval excludes the opposite.",
    DIRECTION_ONLY: "The numbers lie as claimed, but there is no interval: one seed, one run, or a count.",
    NOT_REPRODUCED: "The numbers lie the other way round.",
    INCONCLUSIVE: "The interval holds both, two numbers are equal, or a bound does not refute the claim.",
    NOT_MEASURED: "No study measures it yet, or this scale is too small. A first look is the verdict of this scale.",
    NEEDS["data"]: "You must bring the data.",
    NEEDS["weights"]: "You must bring released weights.",
    SETTING: "The paper says what it chose; there is nothing to find.",
}
# Without an interval, the effect stands here between the end of its side and the middle.
HALFWAY = 25.0


@dataclass(frozen=True)
class Bar:
    """An effect and its interval beside the line that divides as claimed from the opposite, in percent of the width."""

    dot: float
    low: float
    high: float
    claimed: float  # where the half begins on which the claim holds


@dataclass(frozen=True)
class Line:
    """A claim with its verdict. Texts are never empty."""

    claim: Claim
    verdict: str
    first_look: str
    effect: str
    interval: str
    bar: Bar | None
    ours: str
    printed: str
    why: str
    missing: str  # what a verdict takes; empty if there is one
    study: str  # empty if the page has none
    quantity: str

    @property
    def is_measured(self) -> bool:
        """Whether the verdict counts."""
        return self.verdict in MEASURED

    @property
    def rank(self) -> float:
        """The place of the verdict in the table; first looks right after the verdicts that count."""
        look = VERDICTS.index(self.first_look) / 10 - 0.5 if self.first_look else 0.0
        return VERDICTS.index(self.verdict) + look


def board(results: Path, studies: Collection[str], scale: str) -> list[Line]:
    """The lines of claims.csv. `studies`: those that the page shows, of this scale.

    Raises TwostageError, one line, if there is none, or if it is of other claims than conf/claims or another scale.
    """
    path = results / "claims.csv"
    rows, known = read_board(results, COLUMNS), {claim.id: claim for claim in claims()}
    if other := sorted({row["id"] for row in rows} ^ set(known)):
        raise TwostageError(
            f"{path} and conf/claims differ in {other[0]}; make it again: twostage claims --results {results}"
        )
    if strange := {row["scale"] for row in rows} - {"", scale}:
        raise TwostageError(
            f"{path} is of scale {strange.pop()}, the tables are of {scale}; make it again: twostage claims"
        )
    return [_line(known[row["id"]], row, studies) for row in rows]


def counts(lines: list[Line]) -> Counter[str]:
    """How many claims have each verdict."""
    return Counter(line.verdict for line in lines)


def _line(claim: Claim, row: dict[str, str], studies: Collection[str]) -> Line:
    low, effect, high = (float(row[key]) if row[key] else None for key in ("low", "effect", "high"))
    ends = "" if low is None or high is None else f"[{low:.3g}, {high:.3g}]"
    return Line(
        claim=claim,
        verdict=row["verdict"],
        first_look=row["first_look"],
        effect=_absent(row) if effect is None else f"{effect:.3g}",
        interval=ends or ("" if effect is None else "no interval"),
        bar=_bar(claim, effect, low, high),
        ours=", ".join(row["ours"].split()) or _absent(row),
        printed=row["printed"] or "no number",
        why=_why(claim, row, studies),
        missing=row["missing"],
        study=claim.study if claim.study in studies else "",
        quantity=row["quantity"],
    )


def _absent(row: dict[str, str]) -> str:
    """Why there is no number."""
    return "nothing to measure" if row["verdict"] == SETTING else row["verdict"].removesuffix(" at this scale")


def _why(claim: Claim, row: dict[str, str], studies: Collection[str]) -> str:
    """Sentences: what the numbers say, or why there are none, and what a reader must know of them."""
    has_none = claim.table and claim.study not in studies and claim.study != COUNTED
    absent = f"This folder holds no table of {claim.study}" if has_none else ""
    if row["effect"]:
        parts = [MEANINGS[row["first_look"] or row["verdict"]], row["note"], absent]
    elif row["verdict"] != NOT_MEASURED:
        parts = [MEANINGS[row["verdict"]], row["note"]]
    else:
        unmeasured = (
            f"This scale has no number of {claim.table}.csv for it" if claim.table else "No study measures it yet"
        )
        parts = [absent or unmeasured, row["note"]]
    return " ".join(f"{part[:1].upper()}{part[1:].removesuffix('.')}." for part in parts if part)


def _bar(claim: Claim, effect: float | None, low: float | None, high: float | None) -> Bar | None:
    """None for relations that no line divides, and where the quantity that is shown may compare in another way."""
    holds = claim.holds
    if effect is None or holds is None or holds.kind in ("about", "bound", "lowest", "highest"):
        return None
    if any(also.kind not in ("", holds.kind) for also in claim.also):
        return None
    is_turned = holds.kind in TURNED
    line = holds.than + (-holds.margin if is_turned else holds.margin)
    claimed = 50.0 if is_turned else 0.0
    if low is None or high is None:
        dot = 50.0 + (HALFWAY if effect > line else -HALFWAY if effect < line else 0.0)
        return Bar(dot, dot, dot, claimed)
    # The farther end is near the edge.
    far = max(abs(low - line), abs(high - line)) or 1.0
    dot, left, right = (50.0 + 46.0 * (end - line) / far for end in (effect, low, high))
    return Bar(dot, left, right, claimed)
