"""The page of a made-up results/ folder, what is left out of it for a reason, and what stops it with one line."""

import re
from collections import Counter

import numpy as np
import pytest

from twostage.errors import TwostageError
from twostage.page.board import board
from twostage.page.build import build, write
from twostage.page.galleries import films, galleries, inpaintings, reconstructions
from twostage.page.studies import studies
from twostage.runtime.artifacts import read_csv, read_json, write_array, write_csv, write_json

from .conftest import COMMITTED


def test_the_same_folder_gives_the_same_page_with_every_claim_once(results):
    page = build(results)
    assert page == build(results)
    ids = re.findall(r'<tr id="claim-(\w+)"', page)
    assert ids == [row["id"] for row in read_csv(results / "claims.csv")]
    assert "of <b>89</b> claims" in page.lower()
    # Nothing is loaded, neither from the network nor from beside the page.
    assert set(re.findall(r'(?:src|href)="(\w+):', page)) == {"data"}


def test_what_others_wrote_is_text_and_no_markup(results):
    rows = read_csv(results / "claims.csv")
    rows[0]["note"] = "<script>alert(1)</script>"
    write_csv(results / "claims.csv", rows)
    page = build(results)
    assert "A &lt;b&gt;caption&lt;/b&gt;." in page
    assert "&lt;script&gt;alert(1)" in page
    assert len(re.findall("<script", page)) == 1


def test_a_claim_of_a_study_that_is_not_there_says_so(results):
    lines = {line.claim.id: line for line in board(results, {"orderings"}, "laptop")}
    assert lines["E20"].study == "orderings"
    assert lines["E26"].study == ""
    assert "This folder holds no table of layouts." in lines["E26"].why
    for line in lines.values():
        assert all((line.verdict, line.effect, line.ours, line.printed, line.why)), line.claim.id
        assert line.missing or line.is_measured


def test_the_bars_of_the_committed_board_show_its_verdicts():
    """An interval, or a number without one, lies on the claimed half if and only if it speaks for the claim."""
    lines = board(COMMITTED, set(), read_json(COMMITTED / "table1.provenance.json")["scale"])
    seen = Counter()
    for line in lines:
        if line.bar is not None:
            low, high = line.bar.low - line.bar.claimed, line.bar.high - line.bar.claimed
            sides = {"claimed" if 0 <= at < 50 else "opposite" for at in (low, high)}
            verdict = line.first_look or line.verdict
            seen[verdict] += 1
            match verdict:
                case "reproduced" | "direction only":
                    assert sides == {"claimed"}, line.claim.id
                case "not reproduced":
                    assert sides == {"opposite"}, line.claim.id
                case "inconclusive":
                    assert sides == {"claimed", "opposite"}, line.claim.id
    assert set(seen) >= {"reproduced", "direction only", "inconclusive"}


def test_claims_that_do_not_fit_are_one_line(results):
    rows = read_csv(results / "claims.csv")
    write_csv(results / "claims.csv", [*rows, rows[0] | {"id": "X9"}])
    with pytest.raises(
        TwostageError, match=r"claims\.csv and conf/claims differ in X9; make it again: twostage claims"
    ):
        build(results)
    write_csv(results / "claims.csv", [row | {"scale": "smoke"} for row in rows])
    with pytest.raises(TwostageError, match=r"claims\.csv is of scale smoke, the tables are of laptop; make it again"):
        build(results)
    (results / "claims.csv").unlink()
    with pytest.raises(TwostageError, match=r"claims\.csv is missing; make it: twostage claims"):
        build(results)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ([], "holds .., not keys with values"),
        ({"scale": ["a"]}, "has the scale"),
        ({"rests_on": {"data.prepare d": 5}}, ", rests_on data.prepare d holds 5, which is no record"),
        ({"rests_on": {"data.prepare d": {}}}, ", rests_on data.prepare d has no job"),
        ({"files_sha256": []}, "has the files_sha256"),
    ],
)
def test_a_damaged_record_is_one_line(change, message, results):
    path = results / "orderings.provenance.json"
    write_json(path, read_json(path) | change if change else change)
    with pytest.raises(TwostageError, match=f"^{path} ?{message}"):
        build(results)


def test_no_tables_and_tables_of_two_scales_are_one_line(results, record, tmp_path):
    write_csv(results / "mine.csv", [{"a": 1}])
    record(results, "mine", ["mine.csv"], scale="smoke")
    with pytest.raises(TwostageError, match=r"several scales \(orderings.csv of laptop, mine.csv of smoke\)"):
        build(results)
    with pytest.raises(TwostageError, match="holds no table with its record; make them: snakemake"):
        build(tmp_path)
    assert not (tmp_path / "index.html").exists()


def test_a_study_of_the_users_own_is_shown_without_its_file(results, record):
    write_csv(results / "mine.csv", [{"a": 1.25}])
    record(results, "mine", ["mine.csv"])
    page = write(results).read_text()
    assert 'id="study-mine"' in page
    assert "1.25" in page
    assert "conf/study has no file of this name" in page


def test_a_figure_that_is_missing_is_left_out_and_a_broken_one_is_one_line(results):
    [study] = studies(results, [])
    # The samples' figure is in the record and not in the folder.
    [figure] = study.figures
    assert figure.alt.startswith(
        "GPT priors over the order of the image tokens: validation NLL (line), validation NLL (p"
    )
    assert not any("samples" in file for file in study.files)
    assert all((results / file).is_file() for file in study.files)
    (results / "figures/orderings.png").write_bytes(b"no picture")
    with pytest.raises(TwostageError, match=r"orderings\.png is no picture .*; make it again: twostage redraw"):
        studies(results, [])


def test_paths_are_those_of_the_grid_that_was_written(results):
    [study] = studies(results, [])
    assert study.grid == (3, 2)
    assert study.paths["row_major"] == [0, 1, 2, 3, 4, 5]
    assert study.paths["spiral_in"][0] == 5
    # An ordering of a plugin has its stored path alone.
    path = results / "evaluation/orderings/metrics.json"
    write_json(path, read_json(path) | {"orders": {"mine": [3, 2, 1, 0]}})
    [study] = studies(results, [])
    assert (study.grid, study.paths) == ((2, 2), {"mine": [3, 2, 1, 0]})


def test_samples_stand_beside_real_images_and_reconstructions(results):
    [study] = studies(results, [])
    [gallery] = study.galleries
    assert [row.label for row in gallery.rows] == ["ordering row_major", "ordering spiral_in"]
    assert [row.label for row in gallery.bounds] == ["ceiling: real images", "floor: the same through cifar10.vqgan_f4"]
    assert (gallery.rows[0].picture.width, gallery.rows[0].picture.height) == (12, 4)
    (results / "evaluation/cifar10.vqgan_f4/grid.npy").unlink()
    [gallery] = galleries(results, "orderings", ["cifar10.vqgan_f4"])
    assert (gallery.bounds, gallery.why_no_bounds) == ([], "results/ holds no reconstructions by cifar10.vqgan_f4")


def test_a_grid_that_nothing_names_is_one_line(results):
    write_json(results / "evaluation/orderings/metrics.json", {"nll": 1})
    with pytest.raises(TwostageError, match=r"metrics\.json does not say what grid\.npy shows; make both again"):
        galleries(results, "orderings", [])


def test_films_are_the_states_of_each_run_one_below_another(results):
    assert films(results, "orderings") == []
    folder = results / "evaluation/chains"
    statistics = [{"values": {"steps": steps}} for steps in (2, 4)]
    shown = [{"label": "2", "steps": [0, 2]}, {"label": "4", "steps": [0, 1, 4]}]
    write_json(folder / "metrics.json", {"strips": [], "films": shown, "statistics": statistics})
    write_array(folder / "film.npy", np.zeros((5, 3, 4, 8, 3), np.uint8))
    short, long = films(results, "chains")
    assert (short.name, short.steps, long.name, long.steps) == ("steps 2", [0, 2], "steps 4", [0, 1, 4])
    # Frames of three images beside one another.
    assert [(each.picture.width, each.picture.height) for each in (short, long)] == [(24, 8), (24, 12)]
    assert "3 samples after 0, 1, 4 steps" in long.picture.alt


def test_sliders_hold_what_was_before_and_after(results):
    slider = reconstructions(results, "cifar10.vqgan_f4")
    assert slider.said == ("real images", "reconstructions")
    assert (slider.before.width, slider.before.height) == (slider.after.width, slider.after.height) == (16, 8)
    assert reconstructions(results, "cifar10.unknown") is None
    folder = results / "evaluation/sundae_inpainting.FFHQ"
    write_json(folder / "metrics.json", {"drawn": [{"mask": mask, "prior": "SUNDAE"} for mask in ("block", "random")]})
    write_array(folder / "grid.npy", np.zeros((2, 4, 3, 4, 4, 3), np.uint8))
    assert [each.name for each in inpaintings(results, "sundae_inpainting")] == [
        "mask: block, SUNDAE", "mask: random, SUNDAE",
    ]  # fmt: skip
    assert inpaintings(results, "orderings") == []
