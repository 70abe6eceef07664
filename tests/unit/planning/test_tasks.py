"""A task of conditional synthesis is a file: what it needs, and what is said of a wrong one before anything trains."""

import numpy as np
import pytest

from tests.unit.conftest import stage
from tests.unit.evaluation.test_agreement import judges
from twostage.config import composition
from twostage.errors import TwostageError
from twostage.evaluation.agreement import Given, agreement
from twostage.planning.designs.conditional import MEASURES
from twostage.planning.whole import experiments, plan_of, tables, whole_plan


@pytest.fixture
def write(edited_conf):
    """Writes conf/experiment/mine.yaml: another task's file after some edits."""

    def written(of, *edits):
        text = (edited_conf / f"experiment/{of}.yaml").read_text()
        for old, new in (("name: " + of, "name: mine"), *edits):
            assert old in text
            text = text.replace(old, new)
        (edited_conf / "experiment/mine.yaml").write_text(text)

    return written


def test_a_new_file_is_a_task_that_the_workflow_plans(write):
    write("edges_sundae")
    assert "mine" in experiments()
    whole, mine = whole_plan("smoke"), plan_of("mine", "smoke")
    assert mine.jobs.items() <= whole.jobs.items()
    assert "mine" in tables(whole)
    ours, other = (whole.jobs[f"artifacts/smoke/evaluation/{name}"] for name in ("mine", "edges_sundae"))
    # All that is trained and drawn is the other's.
    assert ours.inputs == other.inputs
    assert ours.config == other.config | {"name": "mine"}
    assert ours.out in whole.jobs["artifacts/smoke/figures/summary"].inputs.values()


def test_a_task_on_request_is_planned_but_no_other_target_asks_for_it(write):
    write("edges_sundae", ("task: ", "on_request: true\ntask: "))
    whole = whole_plan("smoke")
    assert "artifacts/smoke/figures/mine" in whole.jobs
    assert "mine" not in tables(whole)
    assert "mine" not in whole.jobs["artifacts/smoke/figures/summary"].inputs


def test_on_request_is_read_as_the_boolean_that_it_says(write):
    write("edges_sundae", ("task: ", 'on_request: "false"\ntask: '))
    assert "mine" in tables(whole_plan("smoke"))


@pytest.mark.parametrize("name", ["2024", "my task"])
def test_a_file_whose_name_no_target_can_have_is_one_line(edited_conf, name):
    (edited_conf / f"experiment/{name}.yaml").write_text(f'name: "{name}"\n')
    with pytest.raises(TwostageError, match=rf"{name}\.yaml: no target can have this name; use letters") as caught:
        experiments()
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("repository_conf")
def test_the_tables_are_those_of_all_experiments_but_what_needs_data():
    on_request = {name for name in experiments() if plan_of(name, "smoke").on_request}
    assert set(tables(whole_plan("smoke"))) == {*experiments(), "tokenizers"} - on_request


@pytest.mark.parametrize(
    ("edit", "said"),
    [(("name: mine", "name: edges"), r"mine\.yaml says name: edges; say name: \"mine\""),
     (("task: ", "tusk: "), r"conf/experiment/mine\.yaml, read as a task .*: Task: Key 'tusk' not in 'Task'"),
     (("paper_says: ", "# "), "missing mandatory value: paper_says"),
     (("measures: {stand_in: [edges], paper: [edges]}", "measures: [edges]"), "list is not a subclass of Measures"),
     (("measures: {stand_in: [edges], paper: [edges]}", ""), "`Measures` has missing mandatory value: stand_in"),
     (("stand_in: {data", "stand_out: {data"), r"experiment\.rows\.IN-Edges\.stand_in of mine"),
     (("    stand_in: {", "    stand_in: null\n    was: {"), r"'rows\.IN-Edges\.stand_in' is not Optional"),
     (("rows:", "on_request: maybe\nrows:"), "'maybe' is not a valid bool"),
     (("rows:", "rows: ["), r"experiment/mine\.yaml: line 10: did not find expected")],
)  # fmt: skip
def test_a_file_that_is_no_task_is_one_line(write, edit, said):
    write("edges", edit)
    with pytest.raises(TwostageError, match=said) as caught:
        plan_of("mine", "smoke")
    assert "\n" not in str(caught.value)
    assert str(caught.value) in whole_plan("smoke").broken["mine"]


@pytest.mark.parametrize("text", ["", "- mine\n", "mine\n"])
def test_a_file_that_is_no_experiment_at_all_is_one_line(edited_conf, text):
    (edited_conf / "experiment/mine.yaml").write_text(text)
    (line,) = whole_plan("smoke").broken.values()
    assert "mine" in line
    assert "\n" not in line


def with_rows(**keys):
    """A compose whose rows have more keys."""

    trees = composition.trees()

    def compose(overrides):
        tree = trees(overrides)
        for row in (tree["experiment"] or {}).get("rows", {}).values():
            row["stand_in"] |= keys
        return tree

    return compose


@pytest.mark.usefixtures("repository_conf")
@pytest.mark.parametrize("experiment", ["table1", "orderings", "rejection", "overfitting"])
def test_a_prior_is_refused_where_it_would_not_be_the_one_that_trains(experiment):
    with pytest.raises(TwostageError, match=rf"experiment\.rows\..*\.stand_in of {experiment}: .*'prior'"):
        plan_of(experiment, "smoke", with_rows(prior="sundae"))


@pytest.mark.usefixtures("repository_conf")
@pytest.mark.parametrize(
    ("experiment", "measures", "allowed"),
    [("edges", ["egdes"], "names egdes; samples given edges are held against class or edges"),
     ("edges", ["edges", "silhouette"], "names silhouette; samples given edges"),
     ("class_conditional", ["edges"], "names edges; samples given class are held against class; name"),
     ("completion", ["low_resolution"], "names low_resolution; samples given no map are"),
     ("f_sweep_conditional", ["edges"], "names edges; samples given segmentation are held against class or silho")],
)  # fmt: skip
def test_a_measure_that_the_condition_does_not_allow_is_one_line(experiment, measures, allowed):
    trees = composition.trees()

    def compose(overrides):
        tree = trees(overrides)
        if (tree["experiment"] or {}).get("name") == experiment:
            tree["experiment"]["measures"]["stand_in"] = measures
        return tree

    with pytest.raises(TwostageError, match=rf"^experiment\.measures\.stand_in of {experiment} {allowed}"):
        plan_of(experiment, "smoke", compose)


@pytest.mark.parametrize("kind", MEASURES)
def test_every_measure_is_one_that_samples_are_held_against(kind):
    side = 4 if kind == "low_resolution" else 8
    given = Given(np.zeros((2, 8, 8, 3), np.uint8), np.zeros(2), np.zeros((2, side, side, 3), np.uint8))
    assert agreement(kind, given.image_NHWC, given, judges())


@pytest.mark.usefixtures("repository_conf")
@pytest.mark.parametrize("prior", ["pixelsnail", "sundae", "absorbing"])
@pytest.mark.parametrize(
    ("experiment", "condition", "sides"),
    [("edges", "edges_f16", "edges_f16 makes 2x2 codes where vqgan_f4 makes 8x8"),
     ("super_resolution", "low_resolution_f2", "low_resolution_f2 makes 4x4 codes where vqgan_f4 makes 8x8")],
)  # fmt: skip
def test_a_condition_on_another_grid_is_one_line_for_priors_that_read_it_place_by_place(
    experiment, condition, sides, prior
):
    with pytest.raises(TwostageError, match=rf"of {experiment}: prior={prior} takes a condition .*{sides}; name"):
        plan_of(experiment, "smoke", with_rows(condition=condition, prior=prior))
    runs = stage(plan_of(experiment, "smoke", with_rows(condition=condition)), "priors.train")
    assert {run.config["architecture"] for run in runs.values()} == {"gpt"}


@pytest.mark.usefixtures("repository_conf")
@pytest.mark.parametrize("condition", ["class", "coordinates", "low_resolution_f1"])
def test_a_class_or_a_condition_on_the_same_grid_goes_with_every_prior(condition):
    for prior in ("pixelsnail", "sundae", "absorbing"):
        plan = plan_of("super_resolution", "smoke", with_measures([], with_rows(condition=condition, prior=prior)))
        runs = stage(plan, "priors.train").values()
        assert {run.config["architecture"] for run in runs} == {prior}
        assert {run.config["condition"] for run in runs} == {condition, None}


def with_measures(measures, compose):
    def changed(overrides):
        tree = compose(overrides)
        if "measures" in (tree["experiment"] or {}):
            tree["experiment"]["measures"]["stand_in"] = measures
        return tree

    return changed
