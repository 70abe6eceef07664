"""The claims of conf/claims/, and files that cannot be judged."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from twostage.claims.claim import claims
from twostage.commands.dispatch import COMMANDS
from twostage.config.composition import compose, options
from twostage.errors import TwostageError
from twostage.planning.verbs import VERBS
from twostage.sources.released import RELEASED

ROOT = Path(__file__).parents[3]

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
        assert claim.table or claim.commands or claim.is_setting or "not built" in claim.missing, claim.id
        assert not (claim.needs != "nothing" and not (claim.missing and claim.commands)), claim.id


@pytest.mark.usefixtures("repository_conf")
@pytest.mark.parametrize("command", sorted({each for claim in claims() for each in claim.commands}))
def test_what_is_to_type_exists(command):
    words = shlex.split(command.removeprefix("python -m "))
    program, *rest = words
    settings = [word for word in rest if "=" in word]
    match program:
        case "snakemake":
            assert rest[:2] == ["--cores", "all"]
            targets = [word for word in rest[2:] if word.startswith("results/")]
            assert {Path(target).stem for target in targets} <= {*options("study")}
            assert targets
            assert rest[2 + len(targets) :] in ([], ["--config", *settings])
            compose(settings)
        case "twostage":
            assert rest[0] in {*COMMANDS, *VERBS}
            names = [word for word in rest[1:] if "=" not in word and not word.startswith(("-", "/"))]
            if rest[0] in ("fetch", "released"):
                assert {name for name in names if not name.isdigit()} <= set(RELEASED)
            if rest[0] == "plan":
                assert set(names) <= {*options("study")}
            compose(settings)
        case "python":
            assert (ROOT / rest[0]).is_file()
            said = subprocess.check_output([sys.executable, rest[0], "--help"], cwd=ROOT, text=True)
            assert all(word in said for word in rest if word.startswith("--"))
        case _:
            pytest.fail(f"{program} is none of ours")


def test_a_claim_is_read(read):
    (claim,) = read(GOOD)
    assert (claim.paper, claim.holds.right) == ("mine", [{"ordering": "subsample"}])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"table": "orderinsg_long"}, "table orderinsg_long is of no study; known: .*orderings"),
        ({"table": ""}, "has neither a table nor commands"),
        ({"holds": None}, "names a table; say with quantity and holds"),
        ({"quantity": ""}, "names a table; say with quantity and holds"),
        ({"holds": {"kind": "less", "left": [{"ordering": "a"}]}}, "less needs right"),
        ({"holds": {"kind": "falls", "along": [{"ordering": "a"}]}}, "falls needs two or more of along"),
        ({"holds": {"kind": "about", "left": [{"ordering": "a"}]}}, "about needs expected"),
        ({"holds": {"kind": "beats", "left": [{}]}}, "beats"),
        ({"scale": "decade"}, "decade"),
        ({"verdict": "reproduced"}, "verdict"),
        ({"needs": "luck"}, "luck"),
        ({"id": [1]}, "ListConfig"),
        ({"holds": {"kind": "lowest", "left": [{"a": 1}], "along": [{"a": 1}]}}, "lowest needs rows of along beside"),
    ],
)
def test_a_mistake_is_one_line_with_the_file_and_the_claim(change, message, read, tmp_path):
    with pytest.raises(TwostageError, match=message) as caught:
        read(GOOD | change)
    assert str(caught.value).startswith(f"{tmp_path}/mine.yaml, claim {(GOOD | change)['id']}: ")
    assert "\n" not in str(caught.value)


FALLS = {"kind": "falls", "along": [{"ordering": "a"}, {"ordering": "b"}]}


@pytest.mark.parametrize(
    ("holds", "also", "message"),
    [
        (FALLS, {"kind": "Rises"}, "also fid: kind is Rises; choose one of less, greater, negative"),
        (FALLS, {"kind": "increases"}, "also fid: kind is increases; choose one of less"),
        (FALLS, {"kind": "less"}, "also fid: less needs left"),
        (GOOD["holds"], {"kind": "nope"}, "also fid: kind is nope; choose one of less"),
        (GOOD["holds"], {"kind": "falls"}, "also fid: falls needs along"),
        (GOOD["holds"], {"kind": "about"}, "also fid: about needs expected"),
        (GOOD["holds"], {"kind": "lowest"}, "also fid: lowest needs along"),
        (GOOD["holds"], {"quantity": ""}, "also : needs a quantity"),
    ],
)
def test_a_further_quantity_compares_in_a_known_and_whole_way(holds, also, message, read):
    with pytest.raises(TwostageError, match=f"mine.yaml, claim X1: {message}"):
        read(GOOD | {"holds": holds, "also": [{"quantity": "fid"} | also]})


def test_a_further_quantity_may_compare_in_any_way_that_holds_serves(read):
    (claim,) = read(GOOD | {"holds": FALLS, "also": [{"quantity": "fid"}, {"quantity": "kid", "kind": "rises"}]})
    assert [also.of(claim.holds).kind for also in claim.also] == ["falls", "rises"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("claims: []", "must have two keys, paper and claims"),
        ("", "must have two keys, paper and claims"),
        ("[1]", "must have two keys, paper and claims"),
        ("paper: x\nclaims: 5", "claims is 5; write a list, each claim after a dash"),
        ("paper: x\nclaims: 0", "claims is 0; write a list"),
        ("paper: x\nclaims: false", "claims is False; write a list"),
        ("paper: x\nclaims: {A: 1}", "claims is {'A': 1}; write a list"),
        ("paper: x\nclaims: [A]", "claim 'A' is no mapping; write its keys"),
        ("paper: x\nclaims: [null]", "claim None is no mapping; write its keys"),
        ("paper: [x]\nclaims: [{id: A}]", "claim A: .*ListConfig"),
        ("paper: x\nclaims: [&a {id: A, also: [*a]}]", "claim A: .*recursion"),
        ("paper: x\nclaims: [", "line 3: .*it must be YAML"),
        ("paper: x\npaper: y\nclaims: []", "line 2: key paper occurs twice"),
        (
            "paper: x\nclaims:\n- id: A\n  holds: {kind: less}\n  holds: {kind: greater}",
            "line 5: key holds occurs twice",
        ),
        ("paper: x\nclaims:\n- holds: {kind: less, kind: greater}", "line 3: key kind occurs twice"),
        ("paper: x\nclaims:\n- scale: night\n  scale: paper", "line 4: key scale occurs twice"),
        ("paper: \xe9\nclaims: []", "is no UTF-8 text .byte 7.; save it as UTF-8"),
    ],
)
def test_a_file_of_another_form_is_one_line(text, message, tmp_path):
    (tmp_path / "mine.yaml").write_bytes(text.encode("latin-1"))
    with pytest.raises(TwostageError, match=message) as caught:
        claims(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}/mine.yaml")
    assert "\n" not in str(caught.value)


def test_two_of_one_name_are_refused_and_a_file_may_have_none(read, tmp_path):
    with pytest.raises(TwostageError, match="two claims are called X1"):
        read(GOOD, GOOD)
    (tmp_path / "mine.yaml").write_text("paper: mine\nclaims:\n")
    assert claims(tmp_path) == []
