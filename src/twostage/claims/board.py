"""The board: every claim with its verdict, as a table for programs and a page for people."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from twostage.claims.claim import COUNTED, Claim, claims, study_of
from twostage.claims.evidence import Effect, Table, is_number
from twostage.claims.verdict import MEASURED, NEEDS, NOT_MEASURED, SETTING, Verdict, verdict
from twostage.errors import TwostageError
from twostage.figures.tables import write_text
from twostage.planning.results import read_table_record
from twostage.runtime.artifacts import read_csv, write_csv

# Together, all intervals hold with this probability: each is as wide as Bonferroni's correction makes it.
TOGETHER = 0.95
# Columns of claims.csv that are empty or hold a number; an end of an interval may lie at infinity.
EFFECT = ("effect", "low", "high")
VERDICTS = (*MEASURED, NOT_MEASURED, *NEEDS.values(), SETTING)


@dataclass(frozen=True)
class Board:
    """All claims with their verdicts at one scale."""

    scale: str
    judged: list[tuple[Claim, Verdict]]
    num_intervals: int

    @classmethod
    def of(cls, folder: Path, found: Sequence[Claim] | None = None) -> "Board":
        """The board of the tables in `folder`, results/ of one scale.

        Raises TwostageError, one line, for a claim whose table lacks what decides it, and for tables of several scales.
        """
        found = claims() if found is None else found
        names = dict.fromkeys(claim.table for claim in found if claim.table)
        tables = {name: Table(folder, name) for name in names if (folder / f"{name}.csv").is_file()}
        scale = _scale(folder, tables)

        def judged(level: float) -> list[tuple[Claim, Verdict]]:
            return [(claim, verdict(claim, tables.get(claim.table), scale, level)) for claim in found]

        number = sum(said.num_intervals for _, said in judged(TOGETHER))
        return cls(scale, judged(1 - (1 - TOGETHER) / max(number, 1)), number)

    def rows(self) -> list[dict[str, object]]:
        """A line for each claim; intervals of all claims hold together with 95 %."""
        return [
            {
                "id": claim.id,
                "paper": claim.paper,
                "place": claim.place,
                "claim": claim.claim,
                "verdict": said.verdict,
                "first_look": said.first_look,
                **_ends(said.effect),
                "ours": " ".join(f"{value:.4g}" for value in said.ours),
                "printed": claim.printed,
                "quantity": ", ".join(_quantities(claim)),
                "table": claim.table,
                "scale": self.scale if said.effect else "",
                "scale_needed": claim.scale,
                "missing": _missing(claim, said),
                "note": _note(claim, self.scale),
            }
            for claim, said in self.judged
        ]

    def counts(self) -> Counter[str]:
        """How many claims have each verdict."""
        return Counter(said.verdict for _, said in self.judged)

    def first_looks(self) -> Counter[str]:
        """How many claims that need a larger scale would have each verdict."""
        return Counter(said.first_look for _, said in self.judged if said.first_look)

    def markdown(self) -> str:
        """The page results/claims.md."""
        counts, looks = self.counts(), self.first_looks()
        measured = sum(counts[name] for name in MEASURED)
        decided = f"{measured} {'is' if measured == 1 else 'are'} decided at scale {self.scale}"
        lines = [
            "# What the two papers claim, and what is measured here",
            "",
            f"Of {len(self.judged)} claims {decided}{_listed(counts, MEASURED, ': ')}. "
            f"The others: {_listed(counts, [name for name in VERDICTS if name not in MEASURED])}. First looks at "
            f"claims that need a larger scale: {_listed(looks, MEASURED) or 'none'}.",
            "",
            "Every verdict is computed from the tables of this folder (`twostage claims`), by the relation that "
            "[conf/claims](../conf/claims) states. The effect is a difference of two numbers, or a number, with the "
            f"interval; all {self.num_intervals} intervals hold together with {TOGETHER:.0%}. *Direction only*: the "
            "numbers lie as claimed, but there is no interval: one seed, one run, or a count. *First look*: what this "
            "scale shows; the claim needs a larger one.",
        ]
        for paper in dict.fromkeys(claim.paper for claim, _ in self.judged):
            of_paper = [(claim, said) for claim, said in self.judged if claim.paper == paper]
            lines += ["", f"## {paper}", "", _table(of_paper, self.scale)]
        return "\n".join(lines) + "\n"


def _listed(counts: Counter[str], names: Sequence[str], before: str = "") -> str:
    """The counts that are not zero, in words."""
    found = ", ".join(f"{counts[name]} {name}" for name in names if counts[name])
    return before + found if found else ""


def _scale(folder: Path, tables: dict[str, Table]) -> str:
    found: dict[str, str] = {}
    for name in (name for name in tables if name != COUNTED):
        record = folder / f"{study_of(name)}.provenance.json"
        if not record.is_file():
            raise TwostageError(f"{record} is missing, which says at which scale {name}.csv was made; make it again")
        found[read_table_record(record, ("scale",))["scale"]] = name
    if len(found) > 1:
        said = ", ".join(f"{name}.csv of {scale}" for scale, name in found.items())
        raise TwostageError(f"{folder} holds tables of several scales ({said}); make them at one")
    if not found:
        raise TwostageError(
            f"{folder} has none of the tables that claims name; make them: snakemake --cores all figures"
        )
    return next(iter(found))


def _ends(effect: Effect | None) -> dict[str, str]:
    value, low, high = (effect.value, effect.low, effect.high) if effect else (None, None, None)
    ends = {"effect": value, "low": low, "high": high}
    return {name: "" if end is None else f"{end:.5g}" for name, end in ends.items()}


def _missing(claim: Claim, said: Verdict) -> str:
    """What a verdict takes that there is none yet, and what to type."""
    if said.verdict in (*MEASURED, SETTING):
        return ""
    of_study = [f"snakemake --cores all results/{claim.study}.csv --config scale={claim.scale}"]
    said_so = [part for part in (claim.missing, *claim.commands) if part]
    return "; ".join(said_so or of_study)


def _quantities(claim: Claim) -> list[str]:
    return [claim.quantity, *(also.quantity for also in claim.also)] if claim.table else []


def _note(claim: Claim, scale: str) -> str:
    """Notes tell of the numbers of one scale; those of what is not measured are of none."""
    return claim.note if scale == claim.rows_at or not claim.table else ""


def _table(judged: Sequence[tuple[Claim, Verdict]], scale: str) -> str:
    lines = [
        {
            "": f"**{claim.id}**" + ("" if claim.is_seen else " (quoted)"),
            "claim": f"{claim.claim} ({claim.place})",
            "verdict": _said(said),
            "effect": _effect(said.effect),
            "paper": claim.printed,
            "from": _from(claim, said, scale),
        }
        for claim, said in judged
    ]
    return str(pd.DataFrame(lines).to_markdown(index=False, disable_numparse=True))


def _said(said: Verdict) -> str:
    return f"**{said.verdict}**" + (f"; first look: {said.first_look}" if said.first_look else "")


def _effect(effect: Effect | None) -> str:
    if effect is None:
        return ""
    ends = [end for end in (effect.low, effect.high) if end is not None and math.isfinite(end)]
    return f"{effect.value:.3g}" + (f" [{ends[0]:.3g}, {ends[1]:.3g}]" if len(ends) == 2 else "")


def _from(claim: Claim, said: Verdict, scale: str) -> str:
    """What decided a claim, or else what is missing, and what a reader must know of it."""
    note = _note(claim, scale)
    first = _missing(claim, said) if said.effect is None else _link(claim)
    return ". ".join(part for part in (first, note[:1].upper() + note[1:]) if part)


def _link(claim: Claim) -> str:
    study = claim.study
    page = f"{study}.md" if study != "tokenizers" else f"{study}.csv"
    record = "" if study == COUNTED else f", [record]({study}.provenance.json)"
    return f"{', '.join(_quantities(claim))} of [{study}]({page}){record}"


def write(board: Board, folder: Path) -> None:
    """Writes claims.csv and claims.md."""
    write_csv(folder / "claims.csv", board.rows())
    write_text(folder / "claims.md", board.markdown())


def read_board(folder: Path, needed: Sequence[str]) -> list[dict[str, str]]:
    """The rows of the folder's claims.csv. Raises TwostageError, one line, if it is missing, has not the columns
    `needed`, or has an effect that is no number.
    """
    path, command = folder / "claims.csv", f"twostage claims --results {folder}"
    mend = f"make it again: {command}"
    if not path.is_file():
        raise TwostageError(f"{path} is missing; make it: {command}")
    rows = read_csv(path)
    if absent := [name for name in needed if name not in rows[0]]:
        raise TwostageError(f"{path} has no column {absent[0]}; {mend}")
    for row in rows:
        for name in (name for name in EFFECT if row.get(name)):
            if not is_number(row[name]):
                raise TwostageError(f"{path}, row {row['id']}: {name} is {row[name]!r:.60}, which is no number; {mend}")
        for name in ("verdict", "first_look"):
            if row.get(name, "") not in ("", *VERDICTS):
                raise TwostageError(f"{path}, row {row['id']}: {name} is {row[name]!r:.60}, which is none; {mend}")
    return rows


def changed(board: Board, folder: Path) -> list[str]:
    """A line for every claim that stands otherwise in the folder's claims.csv; for all of them, if there is none."""
    is_there = (folder / "claims.csv").is_file()
    before = {row["id"]: row for row in read_board(folder, ("id", "verdict", "effect"))} if is_there else {}
    now = {str(row["id"]): {key: str(value) for key, value in row.items()} for row in board.rows()}
    return [
        f"{name}: {_told(before.get(name))} -> {_told(now.get(name))}"
        for name in dict.fromkeys([*now, *before])
        if before.get(name) != now.get(name)
    ]


def _told(row: dict[str, str] | None) -> str:
    return "nothing" if row is None else f"{row['verdict']} ({row['effect'] or 'no number'})"
