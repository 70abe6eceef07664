"""The claims of conf/claims/, and files that cannot be judged."""

import re

import pytest
import yaml

from twostage.claims.claim import claims
from twostage.errors import TwostageError

GOOD = {
    "id": "X1", "place": "Sec. 1", "claim": "so it is", "scale": "laptop", "table": "orderings_long", "quantity": "nll",
    "holds": {"kind": "less", "left": [{"ordering": "row_major"}], "right": [{"ordering": "subsample"}]},
}  # fmt: skip


@pytest.fixture
def read(tmp_path):
    def write(*trees):
        (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"paper": "mine", "claims": list(trees)}))
        return claims(tmp_path)

    return write


def test_all_claims_of_both_papers_are_there_once():
    found = claims()
    assert len([claim for claim in found if claim.is_central]) == 5
    numbered = [f"E{number:02d}" for number in range(1, 55)] + [f"M{number:02d}" for number in range(1, 36)]
    assert [claim.id for claim in found] == numbered
    assert len({claim.paper for claim in found}) == 2
    assert all(claim.claim.endswith(".") and claim.place for claim in found)


def test_what_is_not_measured_says_what_is_missing():
    for claim in claims():
        assert claim.table or claim.missing or claim.is_setting, claim.id
        assert not (claim.needs != "nothing" and not claim.missing), claim.id


def test_a_claim_is_read(read):
    (claim,) = read(GOOD)
    assert (claim.paper, claim.holds.right) == ("mine", [{"ordering": "subsample"}])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"table": "orderinsg_long"}, "table orderinsg_long is of no study; known: .*orderings"),
        ({"table": ""}, "has neither a table nor missing"),
        ({"holds": None}, "names a table; say with quantity and holds"),
        ({"quantity": ""}, "names a table; say with quantity and holds"),
        ({"holds": {"kind": "less", "left": [{"ordering": "a"}]}}, "less needs right"),
        ({"holds": {"kind": "falls", "along": [{"ordering": "a"}]}}, "falls needs two or more of along"),
        ({"holds": {"kind": "about", "left": [{"ordering": "a"}]}}, "about needs expected"),
        ({"holds": {"kind": "beats", "left": [{}]}}, "beats"),
        ({"scale": "decade"}, "decade"),
        ({"verdict": "reproduced"}, "verdict"),
        ({"needs": "luck"}, "luck"),
    ],
)
def test_a_mistake_is_one_line_with_the_file_and_the_claim(change, message, read, tmp_path):
    with pytest.raises(TwostageError, match=message) as caught:
        read(GOOD | change)
    assert str(caught.value).startswith(f"{tmp_path}/mine.yaml, claim X1: ")
    assert "\n" not in str(caught.value)


def test_two_of_one_name_and_files_of_another_form(read, tmp_path):
    with pytest.raises(TwostageError, match="two claims are called X1"):
        read(GOOD, GOOD)
    (tmp_path / "mine.yaml").write_text("paper: mine\nclaims:\n")
    assert claims(tmp_path) == []
    (tmp_path / "mine.yaml").write_text("claims: []\n")
    with pytest.raises(TwostageError, match=re.escape("mine.yaml must have two keys, paper and claims")):
        claims(tmp_path)
    (tmp_path / "mine.yaml").write_text("claims: [\n")
    with pytest.raises(TwostageError, match=r"mine\.yaml is no YAML"):
        claims(tmp_path)
