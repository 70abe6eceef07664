"""Studies of a user's outside of the clone: planned by their paths, with plugins of their own."""

import pytest
import yaml

from tests.unit.conftest import ROOT, SCALES, stage
from twostage.config import composition, plugins
from twostage.errors import TwostageError
from twostage.planning import made
from twostage.planning.kept import kept_plan
from twostage.planning.outside import add_studies, ignore
from twostage.planning.whole import plan_of, tables, whole_plan
from twostage.runtime.fingerprint import fingerprint

STUDY = {
    "name": "mine",
    "rows": {"IN": {"stand_in": {"data": "cifar10", "tokenizers": "vqgan_f4"}, "paper": None}},
    "fixed": {"priors": "gpt"},
    "vary": {"priors.gpt.dropout": [0.0, 0.1]},
    "measure": ["nll"],
}
PLUGIN = """
import numpy as np

from twostage.evaluation.quantities import Quantity, add_quantity
from twostage.latents.orderings import add_ordering

add_ordering("columns", lambda height, width: np.arange(height * width).reshape(height, width).T.ravel())
add_quantity("codes", Quantity("codes", "", ".1f", "neither", "sampling", measure=lambda folders: 1.0))
"""
WITH_PLUGIN = STUDY | {
    "plugins": ["plug.py"],
    "vary": {"priors.ordering": ["row_major", "columns"]},
    "measure": ["nll", "codes"],
}


@pytest.fixture
def folder(few_studies, tmp_path, monkeypatch):
    """A folder of the user's; what is added is forgotten after the test."""
    monkeypatch.setattr(composition, "_studies", {})
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for path in plugins.loaded():
        plugins.forget(path)


def write(folder, study, name="mine.yaml", plugin=PLUGIN):
    (folder / "plug.py").write_text(plugin)
    path = folder / name
    path.write_text(study if isinstance(study, str) else yaml.safe_dump(study, sort_keys=False))
    return path


def planned(path):
    return plan_of(composition.add_study(path), "smoke")


def test_a_study_outside_of_the_clone_shares_jobs_with_ours_and_is_no_part_of_all(folder):
    ours = whole_plan("smoke")
    assert add_studies(str(write(folder, STUDY))) == ["mine"]
    plan = whole_plan("smoke")
    assert ours.jobs.items() <= plan.jobs.items()
    assert {"figures/mine", "evaluation/mine"} <= {f"{job.stage}/{job.variant}" for job in plan.jobs.values()}
    # gpt_dropout trains the same priors.
    assert not [job for job in plan.jobs.values() if job.stage == "priors" and job.out not in ours.jobs]
    assert tables(plan) == tables(ours)


def test_a_file_of_the_clone_is_the_study_that_it_is(folder):
    assert composition.add_study(composition.CONF / "study/edges.yaml") == "edges"
    assert composition.added_studies() == {}


def test_a_row_may_hold_a_folder_of_pictures_with_maps(folder):
    row = {"data": "folder", "data.name": "photos", "data.root": "/pictures", "data.maps": ["segmentation"],
           "data.num_labels": 6, "tokenizers": "vqgan_f4"}  # fmt: skip
    fixed = {"priors": "gpt", "priors.condition": "segmentation_f4", "sampling.condition_file": "/a map.png"}
    study = STUDY | {"rows": {"photos": {"stand_in": row}}, "vary": {}, "fixed": fixed, "measure": ["fid"]}
    plan = planned(write(folder, study))
    assert stage(plan, "data.prepare")["photos"].config["root"] == "/pictures"
    assert {"photos.vqgan_f4", "photos.segmentation_f4"} <= set(stage(plan, "tokenizers.train"))
    (samples,) = stage(plan, "sampling.generate").values()
    assert samples.config["condition_file"] == "/a map.png"
    assert "/" not in samples.variant
    assert " " not in samples.variant


def test_exactly_the_jobs_that_name_a_plugins_words_count_its_content(folder):
    path = write(folder, WITH_PLUGIN | {"vary": {"priors.ordering": ["row_major", "columns"]}, "measure": ["nll"]})
    jobs = list(planned(path).jobs.values())
    named = {job.out for job in jobs if job.plugins}
    assert named == {job.out for job in jobs if ".columns." in job.variant or job.verb == "collect"}
    (prior,) = (job for job in jobs if job.stage == "priors" and job.plugins)
    before = prior.code_sha256
    assert "plugin plug.py" in fingerprint("priors.train", prior.choices, prior.plugins)
    (folder / "plug.py").write_text(PLUGIN.replace(".T.ravel", ".T[::-1].ravel"))
    assert prior.code_sha256 != before


def test_a_quantity_of_a_plugin_is_measured_collected_and_drawn_with_it(folder):
    plan = planned(write(folder, WITH_PLUGIN | {"vary": {"priors.gpt.dropout": [0.0, 0.1]}}))
    with_it = {job.name for job in plan.jobs.values() if job.plugins}
    assert with_it == {"evaluation.measure", "evaluation.collect", "figures.study"}


def test_the_kept_plan_knows_the_file_and_its_plugins(folder):
    path = write(folder, WITH_PLUGIN)
    add_studies([str(path)])
    first = kept_plan("smoke")
    for file in plugins.loaded():
        plugins.forget(file)
    assert kept_plan("smoke").jobs == first.jobs
    assert plugins.words("ordering") == ("columns",)
    write(folder, WITH_PLUGIN | {"vary": {"priors.ordering": ["row_major", "spiral_in", "columns"]}})
    assert len(kept_plan("smoke").jobs) > len(first.jobs)


def test_a_job_without_plugins_is_stored_as_before(folder):
    jobs = planned(write(folder, WITH_PLUGIN)).jobs.values()
    assert {job.stage for job in jobs if "plugins" not in job.as_json()} >= {"data", "tokenizers", "latents"}
    assert not any(made.is_made(job, {}) for job in jobs)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", ["own_ordering", "own_prior", "photos"])
def test_the_examples_of_the_documents_can_be_planned(folder, name, scale):
    plan = plan_of(composition.add_study(ROOT / f"docs/examples/{name}.yaml"), scale)
    assert any(job.variant == name for job in plan.jobs.values())


@pytest.mark.parametrize(
    ("study", "said"),
    [
        (STUDY | {"mesure": ["nll"]}, "mesure"),
        (STUDY | {"name": "other"}, 'mine.yaml says name: other; say name: "mine"'),
        ({key: value for key, value in STUDY.items() if key != "measure"}, "measure"),
        (STUDY | {"measure": ["beauty"]}, "beauty is no quantity"),
        (STUDY | {"measure": ["denoising"]}, "gpt has no denoising"),
        (STUDY | {"vary": {"priors.gpt.drop": [0, 1]}}, "priors.gpt.drop"),
        (STUDY | {"vary": {"sampling.top_k": [4, 8]}}, "on which nothing that it measures depends"),
        (STUDY | {"figures": [{"kind": "line", "y": "fid"}]}, "fid, which is not in measure"),
        (STUDY | {"figures": [{"kind": "point", "y": "nll", "x": "width"}]}, "width, which is no column"),
        (STUDY | {"plugins": ["none.py"]}, "no plugin"),
        (STUDY | {"plugins": "plug.py"}, "give a list of files"),
        (STUDY | {"fixed": {"priors": "gpt", "priors.ordering": "columns"}}, "priors.ordering is columns; choose one"),
        ("name: mine\nrows: [", "mine.yaml: line"),
        ("", "mine.yaml says name: None"),
        ("- a", "mine.yaml has no keys"),
    ],
)
def test_a_mistake_in_the_file_is_one_line(folder, study, said):
    with pytest.raises(TwostageError) as caught:
        planned(write(folder, study))
    assert said in str(caught.value)
    assert "mine" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("plugin", "said"),
    [
        ("x = (", "line 1: SyntaxError"),
        ("\n1 / 0", "line 2: ZeroDivisionError"),
        ("import nowhere", "ModuleNotFoundError"),
        ("exit()", "line 1: SystemExit"),
        ("import sys\nsys.exit(3)", "line 2: SystemExit: 3"),
        (PLUGIN.replace('"columns"', '"spiral_in"'), "ordering spiral_in is taken; give yours another name"),
        (PLUGIN.replace('"codes", Q', '"nll", Q'), "quantity nll is taken"),
        (PLUGIN.replace('"columns"', '"a b"'), "is no name"),
        (PLUGIN.replace('"sampling"', '"pictures"'), "role pictures; choose one of"),
        (PLUGIN.replace(", measure=lambda folders: 1.0", ""), "has no number"),
    ],
)
def test_a_mistake_in_a_plugin_is_one_line_and_leaves_nothing(folder, plugin, said):
    with pytest.raises(TwostageError) as caught:
        planned(write(folder, WITH_PLUGIN, plugin=plugin))
    assert said in str(caught.value)
    assert str(folder / "plug.py") in str(caught.value)
    assert "\n" not in str(caught.value)
    assert plugins.words("ordering") == plugins.words("quantity") == ()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none.yaml", "no study"),
        ("mine.txt", "ends in .yaml"),
        ("my-study.yaml", "use letters, digits and _"),
        ("edges.yaml", "have one name; give yours another"),
    ],
)
def test_a_path_that_names_no_study_of_ones_own_is_one_line(folder, name, said):
    path = folder / name if name == "none.yaml" else write(folder, STUDY, name)
    with pytest.raises(TwostageError, match=said):
        composition.add_study(path)


def test_two_studies_of_one_name_are_one_line(folder):
    (folder / "b").mkdir()
    with pytest.raises(TwostageError, match=r"mine\.yaml and .*mine\.yaml have one name"):
        add_studies(f"{write(folder, STUDY)},{write(folder / 'b', STUDY)}")


@pytest.mark.parametrize("named", ["", 7, [], [1], "a.yaml,,b.yaml"])
def test_what_is_no_list_of_files_is_one_line(folder, named):
    with pytest.raises(TwostageError, match="names no file"):
        add_studies(named)


def test_a_study_by_path_that_cannot_be_planned_stops_the_whole_plan(folder):
    add_studies(str(write(folder, STUDY | {"measure": ["beauty"]})))
    with pytest.raises(TwostageError, match="beauty"):
        whole_plan("smoke")


def test_git_ignores_what_is_named_and_nothing_twice(folder):
    for _ in range(2):
        ignore(folder / "results", ["mine.csv", "figures/mine.png"])
    lines = (folder / "results/.gitignore").read_text().splitlines()[1:]
    assert lines == ["/.gitignore", "/mine.csv", "/figures/mine.png"]
