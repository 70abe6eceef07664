"""Claims as `conf/claims/*.yaml` holds them: what a paper says, and which number of which table decides it."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from twostage.config.composition import CONF, options, parse
from twostage.config.errors import first_line
from twostage.config.values import at_least, one_of
from twostage.config.yaml_files import read_yaml
from twostage.errors import TwostageError

# From small to large: a verdict means something from one of them on.
SCALES = ("smoke", "laptop", "night", "workstation", "paper")

# The table of parameters: models are counted as printed, whatever the scale, and nothing is trained.
COUNTED = "models"

Selector = dict[str, Any]  # column of a table -> its value

# Kinds of relations -> what each needs.
NEEDED = {
    "less": ("left", "right"),
    "greater": ("left", "right"),
    "negative": ("left",),
    "positive": ("left",),
    "falls": ("along",),
    "rises": ("along",),
    "about": ("left", "expected"),
    "bound": ("left", "expected"),
    "lowest": ("along", "left"),
    "highest": ("along", "left"),
}


@dataclass
class Relation:
    """How numbers of a table must compare. Rows are named by the values of their columns."""

    # less, greater: `left` against every one of `right` | negative, positive: the number itself, less `than` |
    # falls, rises: from one of `along` to the next | about: `left` (over `over`) near `expected` |
    # bound: as about, of which `left` is a bound from below, which may refute it and never bear it out |
    # lowest, highest: of `along`, one of `left`
    kind: str = one_of(*NEEDED)
    left: list[Selector] = field(default_factory=list)
    right: list[Selector] = field(default_factory=list)
    along: list[Selector] = field(default_factory=list)
    over: Selector | None = None
    other: str = ""  # negative, positive: a quantity to subtract; about: one to divide by
    than: float = 0.0  # negative, positive: what counts as zero, such as chance
    expected: float | None = None
    no_effect: float | None = None  # about: the number of no effect; beyond it, away from it is a direction
    within: float = at_least(0, default=0.0)  # about, bound: the share of `expected` that a number may be off
    margin: float = at_least(0, default=0.0)  # less, greater: so much worse still counts as no worse


@dataclass
class Also:
    """A further quantity of the same rows that must compare in the same way, or in another one."""

    quantity: str
    kind: str = ""  # one of a relation's; empty: as `holds`

    def of(self, holds: Relation) -> Relation:
        """How this quantity must compare."""
        return replace(holds, kind=self.kind or holds.kind)


@dataclass
class Claim:
    """One claim. Without a table it has no number here yet, and `missing` says what it takes."""

    id: str
    place: str  # in the paper
    claim: str
    scale: str = one_of(*SCALES)  # the smallest at which a verdict means something
    table: str = ""  # of results/, without .csv
    quantity: str = ""  # of a long table, or a column of another one
    holds: Relation | None = None
    also: list[Also] = field(default_factory=list)
    printed: str = ""  # the paper's numbers
    note: str = ""  # what a reader must know about the number at scale `rows_at`
    rows_at: str = one_of(*SCALES, default="laptop")  # the scale whose rows `holds` names, where scales differ in them
    # What a verdict takes: data, weights, what is not built; and what to type. Beside a table, which may lack it yet.
    missing: str = ""
    commands: list[str] = field(default_factory=list)
    needs: str = one_of("nothing", "data", "weights", default="nothing")  # that the user must bring
    is_setting: bool = False  # a choice of the paper, not a finding
    is_central: bool = False  # one of the few that a reader asks for first
    is_seen: bool = True  # whether our text of the paper holds it; others quote or name it
    paper: str = ""  # of the file

    @property
    def study(self) -> str:
        """Whose table decides it."""
        return study_of(self.table)


def study_of(table: str) -> str:
    """The study that a table, long or not, is of."""
    return table.removesuffix("_long")


def claims(folder: Path | None = None) -> list[Claim]:
    """Every claim of `conf/claims/`, paper by paper. Raises TwostageError, one line, for one that cannot be judged."""
    found: list[Claim] = []
    for path in sorted((folder or CONF / "claims").glob("*.yaml")):
        document = read_yaml(path)
        if not isinstance(document, dict) or set(document) != {"paper", "claims"}:
            raise TwostageError(f"{path} must have two keys, paper and claims")
        listed = [] if document["claims"] is None else document["claims"]
        if not isinstance(listed, list):
            raise TwostageError(f"{path}: claims is {listed!r:.60}; write a list, each claim after a dash (- id: ...)")
        found += [_claim(path, each, document["paper"]) for each in listed]
    ids = [claim.id for claim in found]
    if twice := [name for name in ids if ids.count(name) > 1]:
        raise TwostageError(f"two claims are called {twice[0]}; give one another id")
    return found


def at_least_as_large(scale: str, needed: str) -> bool:
    """Whether a scale is the needed one or a larger one. Raises TwostageError for a scale of no known size."""
    if scale not in SCALES:
        known = ", ".join(SCALES)
        raise TwostageError(f"scale {scale} has no place among {known}; add it to SCALES of claims/claim.py")
    return SCALES.index(scale) >= SCALES.index(needed)


def _claim(path: Path, tree: Any, paper: Any) -> Claim:
    if not isinstance(tree, dict):
        raise TwostageError(f"{path}: claim {tree!r:.60} is no mapping; write its keys, such as id: and claim:")
    try:
        claim = parse(Claim, tree | {"paper": paper})
        _require_judgeable(claim)
    except (TwostageError, TypeError, ValueError, RecursionError) as error:
        raise TwostageError(f"{path}, claim {tree.get('id', 'without an id')}: {first_line(error)}") from error
    return claim


def _require_judgeable(claim: Claim) -> None:
    if claim.is_setting:
        return
    if not claim.table:
        if not (claim.commands or "not built" in claim.missing):
            raise TwostageError(
                "has neither a table nor commands; say which number decides it, what to type, or that it is not built"
            )
        return
    if claim.study not in {*options("study"), "tokenizers", COUNTED}:
        raise TwostageError(f"table {claim.table} is of no study; known: {', '.join(sorted(options('study')))}")
    if claim.holds is None or not claim.quantity:
        raise TwostageError("names a table; say with quantity and holds what of it decides")
    _require_whole(claim.holds)
    for also in claim.also:
        try:
            if not also.quantity:
                raise TwostageError("needs a quantity; name one of the table's")
            _require_whole(also.of(claim.holds))
        except TwostageError as error:
            raise TwostageError(f"also {also.quantity}: {error}") from error


def _require_whole(holds: Relation) -> None:
    if holds.kind not in NEEDED:
        raise TwostageError(f"kind is {holds.kind}; choose one of {', '.join(NEEDED)}")
    if absent := [key for key in NEEDED[holds.kind] if not getattr(holds, key)]:
        raise TwostageError(f"{holds.kind} needs {absent[0]}; add it to holds")
    if holds.kind in ("falls", "rises") and len(holds.along) < 2:
        raise TwostageError(f"{holds.kind} needs two or more of along")
    if holds.kind in ("lowest", "highest") and all(each in holds.left for each in holds.along):
        raise TwostageError(f"{holds.kind} needs rows of along beside those of left; add the ones to compare with")
