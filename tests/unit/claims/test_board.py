"""The board as a table and as a page."""

import pytest

from tests.clone import ROOT
from twostage.claims.board import Board, changed, write
from twostage.claims.claim import Claim, Relation
from twostage.errors import TwostageError
from twostage.runtime.artifacts import read_csv, write_csv

LESS = Relation("less", left=[{"kind": "low"}], right=[{"kind": "high"}])
SURE = {("low", 0): 1.0, ("low", 1): 1.1, ("low", 2): 0.9, ("high", 0): 3.0, ("high", 1): 3.2, ("high", 2): 2.9}


def board_of(tmp_path, *more):
    found = [
        Claim(
            "X1", "Sec. 1", "Low is lower.", "laptop", "orderings_long", "nll", LESS, printed="4 against 5", paper="P"
        ),
        Claim("X2", "Sec. 2", "So is this.", "workstation", "orderings_long", "nll", LESS, paper="P"),
        Claim(
            "X3",
            "Sec. 3",
            "And that.",
            "paper",
            missing="luck",
            commands=["roll", "wait"],
            needs="weights",
            paper="Q",
        ),
        Claim("X4", "Sec. 4", "And those.", "laptop", "rejection", "fid", LESS, paper="Q"),
        *more,
    ]
    return Board.of(tmp_path, found)


def test_the_tables_that_git_keeps_give_the_verdicts_that_it_keeps():
    results = ROOT / "results"
    assert changed(Board.of(results), results) == []


def test_the_table_has_every_claim_with_its_numbers(long, tmp_path):
    long(SURE)
    board = board_of(tmp_path)
    write(board, tmp_path)
    rows = {row["id"]: row for row in read_csv(tmp_path / "claims.csv")}
    assert [row["verdict"] for row in rows.values()] == [
        "reproduced", "not measured at this scale", "weights not included", "not measured at this scale",
    ]  # fmt: skip
    first = rows["X1"]
    assert float(first["low"]) < float(first["effect"]) < float(first["high"]) < 0
    assert (first["ours"], first["printed"], first["missing"]) == ("1 3.033", "4 against 5", "")
    assert rows["X2"]["first_look"] == "reproduced"
    assert rows["X2"]["missing"] == "snakemake --cores all results/orderings.csv --config scale=workstation"
    assert rows["X3"]["missing"] == "luck; roll; wait"
    assert rows["X4"]["missing"] == "snakemake --cores all results/rejection.csv --config scale=laptop"
    # Nothing is empty without a reason.
    assert all(row["effect"] or row["missing"] for row in rows.values())


def test_the_page_counts_and_links(long, tmp_path):
    long(SURE)
    page = board_of(tmp_path).markdown()
    assert "Of 4 claims 1 is decided at scale laptop: 1 reproduced." in page
    assert "2 not measured at this scale, 1 weights not included" in page
    assert "[orderings](orderings.md)" in page
    assert page.index("## P") < page.index("**X2**") < page.index("## Q") < page.index("**X3**")
    assert "First looks at claims that need a larger scale: 1 reproduced." in page
    assert "first look: reproduced" in page


def test_intervals_get_wider_with_the_number_of_claims(long, tmp_path):
    long(SURE)
    few = board_of(tmp_path)
    many = board_of(
        tmp_path,
        *(Claim(f"Y{n}", "Sec. 1", "Again.", "laptop", "orderings_long", "nll", LESS, paper="P") for n in range(1000)),
    )
    assert (few.num_intervals, many.num_intervals) == (2, 1002)
    assert few.judged[0][1].effect.high < many.judged[0][1].effect.high
    assert few.judged[0][1].verdict == "reproduced"
    assert many.judged[0][1].verdict == "inconclusive"


def test_verdicts_that_changed_are_named(long, tmp_path):
    long(SURE)
    board = board_of(tmp_path)
    write(board, tmp_path)
    assert changed(board, tmp_path) == []
    long({place: -value for place, value in SURE.items()})
    assert changed(board_of(tmp_path), tmp_path) == [
        "X1: reproduced (-2.0333) -> not reproduced (2.0333)",
        "X2: not measured at this scale (-2.0333) -> not measured at this scale (2.0333)",
    ]
    (tmp_path / "claims.csv").unlink()
    assert changed(board, tmp_path)[0] == "X1: nothing -> reproduced (-2.0333)"


def test_tables_of_two_scales_without_a_record_or_none_are_one_line(long, wide, tmp_path):
    with pytest.raises(TwostageError, match="has none of the tables that claims name; make them: snakemake"):
        board_of(tmp_path)
    long(SURE)
    wide({"kind": "low", "fid": 1}, {"kind": "high", "fid": 2}, scale="smoke")
    with pytest.raises(TwostageError, match=r"holds tables of several scales \(orderings_long.csv of laptop, reje"):
        board_of(tmp_path)
    (tmp_path / "orderings.provenance.json").unlink()
    with pytest.raises(TwostageError, match=r"orderings\.provenance\.json is missing, which says at which scale"):
        board_of(tmp_path)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ("[]", "holds .., not keys with values; make it again"),
        ("null", "holds None, not keys"),
        ("5", "holds 5, not keys"),
        ("{}", "has no scale, so it is no whole record of a job; make the table again"),
        ('{"scale": ["a"]}', "has the scale .*'a'.*, which no record"),
        ('{"scale": null}', "has the scale None, which no record"),
        ("{", "is not JSON"),
        ("[" * 100000 + "]" * 100000, "nests lists or keys too deeply"),
    ],
    ids=range(8),
)
def test_a_damaged_record_is_one_line(record, message, long, tmp_path):
    long(SURE)
    path = tmp_path / "orderings.provenance.json"
    path.write_text(record)
    with pytest.raises(TwostageError, match=f"^{path} {message}") as caught:
        board_of(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"effect": "abc"}, ", row X1: effect is 'abc', which is no number; make it again: twostage claims"),
        ({"low": "nan"}, ", row X1: low is 'nan', which is no number"),
        ({"verdict": "proven"}, ", row X1: verdict is 'proven', which is none"),
        ({"first_look": "proven"}, ", row X1: first_look is 'proven', which is none"),
        ("id", " has no column id; make it again"),
        ("verdict", " has no column verdict"),
        ("effect", " has no column effect"),
    ],
)
def test_a_damaged_board_is_one_line(change, message, long, tmp_path):
    long(SURE)
    board = board_of(tmp_path)
    write(board, tmp_path)
    path = tmp_path / "claims.csv"
    rows = [dict(row) for row in read_csv(path)]
    if isinstance(change, str):
        rows = [{name: cell for name, cell in row.items() if name != change} for row in rows]
    else:
        rows[0] |= change
    write_csv(path, rows)
    with pytest.raises(TwostageError, match=f"^{path}{message}") as caught:
        changed(board, tmp_path)
    assert "\n" not in str(caught.value)


def test_models_are_counted_at_no_scale_and_have_no_record(long, wide, tmp_path):
    long(SURE)
    wide({"model": "IN", "millions": 304.7, "printed_millions": 307}, name="models")
    (tmp_path / "models.provenance.json").unlink()
    holds = Relation("about", left=[{"model": "IN"}], other="printed_millions", expected=1.0, within=0.02)
    board = board_of(tmp_path, Claim("X5", "Table 7", "It has 307 M.", "smoke", "models", "millions", holds, paper="Q"))
    assert board.scale == "laptop"
    assert {claim.id: said.verdict for claim, said in board.judged}["X5"] == "direction only"
    assert "millions of [models](models.md) |" in " ".join(board.markdown().split())
