"""A task of conditional synthesis is a study: what its file needs, and what is said of a wrong one while planning."""

import pytest

from tests.unit.conftest import ON_REQUEST, stage
from twostage.config import composition
from twostage.errors import TwostageError
from twostage.planning.whole import plan_of, studies, tables, whole_plan


@pytest.fixture
def write(few_studies):
    """Writes conf/study/mine.yaml, or another name's: another task's file after some edits."""

    def written(of, *edits, name="mine"):
        text = (few_studies / f"study/{of}.yaml").read_text()
        for old, new in (("name: " + of, "name: mine"), *edits):
            assert old in text
            text = text.replace(old, new)
        (few_studies / f"study/{name}.yaml").write_text(text.replace("name: mine", f"name: {name}"))

    return written


def test_a_new_file_is_a_task_that_the_workflow_plans(write):
    write("edges_sundae")
    assert "mine" in studies()
    whole, mine = whole_plan("smoke"), plan_of("mine", "smoke")
    assert mine.jobs.items() <= whole.jobs.items()
    assert "mine" in tables(whole)
    ours, other = (whole.jobs[f"artifacts/smoke/evaluation/{name}"] for name in ("mine", "edges_sundae"))
    assert ours.config == other.config | {"study": "mine"}
    # All that is trained and drawn is the other's.
    assert all(plan_of("edges_sundae", "smoke").jobs[folder] == job for folder, job in mine.jobs.items()
               if job.stage in ("priors", "sampling"))  # fmt: skip
    assert ours.out in whole.jobs["artifacts/smoke/figures/summary"].inputs.values()


def test_what_tasks_have_in_common_is_no_study_itself(edited_conf):
    assert (edited_conf / "study/_conditional.yaml").exists()
    assert not [name for name in (*studies(), *composition.options("study")) if name.startswith("_")]


def test_a_task_on_request_is_planned_but_no_other_target_asks_for_it(write):
    write("edges_sundae", ("title: ", "on_request: true\ntitle: "))
    whole = whole_plan("smoke")
    assert "artifacts/smoke/figures/mine" in whole.jobs
    assert "mine" not in tables(whole)
    assert "mine" not in whole.jobs["artifacts/smoke/figures/summary"].inputs


@pytest.mark.parametrize("name", ["2024", "my task"])
def test_a_file_whose_name_no_target_can_have_is_one_line(edited_conf, name):
    (edited_conf / f"study/{name}.yaml").write_text(f'name: "{name}"\n')
    with pytest.raises(TwostageError, match=rf"{name}\.yaml: no target can have this name; use letters") as caught:
        studies()
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("repository_conf")
def test_the_tables_are_those_of_all_studies_but_what_needs_data():
    on_request = {name for name in studies() if plan_of(name, "smoke").on_request}
    assert on_request == ON_REQUEST
    assert set(tables(whole_plan("smoke"))) == {*studies(), "tokenizers"} - on_request


MEASURE = "measure: [edges_f1, lpips_to_truth, psnr_to_truth_decibels, diversity_lpips, fid, kid, nll, parameters]"
WRONG = {
    "another's name": [("name: mine", "name: edges"), r"mine\.yaml says name: edges; say name: \"mine\""],
    "an unknown key": [("title: ", "tusk: "), "tusk"],
    "no rows": [("rows:", "others:"), "others"],
    "no list of measures": [(MEASURE, "measure: edges_f1"), "measure"],
    "an unknown measure": [(MEASURE, "measure: [egdes_f1]"), "egdes_f1 is no quantity"],
    "a measure of another map": [
        (MEASURE, "measure: [edges_f1, silhouette_iou]"),
        "row IN-Edges: samples given edges have no silhouette_iou; measure some of class_recovered, edges_f1",
    ],
    "no column of the scale": [("stand_in:\n", "stand_out:\n"), "stand_out"],
    "no condition": [("priors.condition: edges_f4\n", "priors.condition: null\n"), "nothing is given to samples"],
    "a condition that there is not": [("priors.condition: edges_f4\n", "priors.condition: hats\n"), "hats"],
    "a sweep on nothing": [("tune_on: cifar10\n", "tune_on: cifar11\n"), "cifar11"],
    "a row without what is not measured": [("tune_on: cifar10\n", "without: [rfid]\n"), "without"],
    "conditions of none": [("rows:", "conditions: {images: 0}\nrows:"), "conditions.images"],
    "one sample of each": [
        ("rows:", "conditions: {images: 16, per_condition: 1}\nrows:"),
        "diversity_lpips needs several samples",
    ],
    "two numbers of samples": [("rows:", "images: 20\nrows:"), "drop images"],
    "agreement without conditions": [("rows:", "conditions: null\nrows:"), "add conditions"],
    "an unknown baseline": [("rows:", "baselines: [unconditoned]\nrows:"), "unconditoned"],
    "a comparison to no baseline": [("rows:", "compare: {to: real}\nbaselines: [unconditional]\nrows:"), "real"],
    "pictures of nothing": [(MEASURE, "measure: [fid, nll]"), "pictures of conditions"],
    "no YAML": [("rows:", "rows: ["), "study/mine.yaml"],
}


@pytest.mark.parametrize(("edit", "said"), WRONG.values(), ids=WRONG)
def test_a_mistake_in_a_task_is_one_line(write, edit, said):
    write("edges", edit)
    with pytest.raises(TwostageError, match=said) as caught:
        plan_of("mine", "smoke")
    assert "\n" not in str(caught.value)
    assert "mine" in str(caught.value)


def test_all_mistakes_at_once_are_left_out_of_the_plan_one_by_one(write):
    names = [f"mine_{number}" for number in range(len(WRONG))]
    for name, (edit, _) in zip(names, WRONG.values(), strict=True):
        write("edges", edit, name=name)
    whole = whole_plan("smoke")
    assert set(whole.broken) == set(names)
    for name in names:
        with pytest.raises(TwostageError) as caught:
            plan_of(name, "smoke")
        assert str(caught.value) in whole.broken[name]
    assert "artifacts/smoke/figures/edges" in whole.jobs


@pytest.mark.parametrize("text", ["", "- mine\n", "mine\n", "name: mine\n"])
def test_a_file_that_is_no_study_at_all_is_one_line(few_studies, text):
    (few_studies / "study/mine.yaml").write_text(text)
    (line,) = whole_plan("smoke").broken.values()
    assert "mine" in line
    assert "\n" not in line


def changed(of, row=None, **keys):
    """A compose in which one study has other keys, and its rows too."""
    trees = composition.trees()

    def compose(overrides):
        tree = trees(overrides)
        if (tree["study"] or {}).get("name") == of:
            tree["study"] |= keys
            for each in tree["study"]["rows"].values():
                each["stand_in"] |= row or {}
        return tree

    return compose


SCORE = {"gpt": "nll", "pixelsnail": "nll", "sundae": "denoising", "absorbing": "bound"}


def by(of, prior, *measure, **row):
    """A compose in which one task has another prior, and rows other keys."""
    return changed(of, {"priors": prior} | row, measure=[*measure, "lpips_to_truth", SCORE[prior]])


@pytest.mark.usefixtures("repository_conf")
@pytest.mark.parametrize("study", ["table1", "rejection", "overfitting"])
def test_a_prior_is_refused_where_it_would_not_be_the_one_that_trains(study):
    with pytest.raises(TwostageError, match=rf"study\.rows\..*\.stand_in of {study}: .*'priors'"):
        plan_of(study, "smoke", changed(study, {"priors": "sundae"}))


@pytest.mark.usefixtures("repository_conf")
@pytest.mark.parametrize(
    ("study", "quantity", "given"),
    [("class_conditional", "edges_f1", "class"), ("completion", "consistency_psnr_decibels", "no map"),
     ("super_resolution", "silhouette_iou", "low_resolution")],
)  # fmt: skip
def test_a_measure_that_the_condition_does_not_allow_is_one_line(study, quantity, given):
    with pytest.raises(TwostageError, match=rf"study {study}.* samples given {given} have no {quantity}"):
        plan_of(study, "smoke", changed(study, measure=[quantity, "lpips_to_truth"]))


@pytest.mark.usefixtures("repository_conf")
def test_the_sweep_over_f_is_held_against_its_own_map():
    compose = changed("f_sweep_conditional", measures={"stand_in": ["edges_f1"], "paper": []})
    with pytest.raises(TwostageError, match=r"^samples given segmentation have no edges_f1"):
        plan_of("f_sweep_conditional", "smoke", compose)


@pytest.mark.usefixtures("repository_conf")
@pytest.mark.parametrize("prior", ["pixelsnail", "sundae", "absorbing"])
@pytest.mark.parametrize(
    ("study", "condition", "sides"),
    [("edges", "edges_f16", "edges_f16 makes 2x2 codes where vqgan_f4 makes 8x8"),
     ("super_resolution", "low_resolution_f2", "low_resolution_f2 makes 4x4 codes where vqgan_f4 makes 8x8")],
)  # fmt: skip
def test_a_condition_on_another_grid_is_one_line_for_priors_that_read_it_place_by_place(study, condition, sides, prior):
    row = {"priors.condition": condition}
    with pytest.raises(TwostageError, match=rf"study {study}.*: {prior} takes a condition .*{sides}; name"):
        plan_of(study, "smoke", by(study, prior, **row))
    runs = stage(plan_of(study, "smoke", by(study, "gpt", **row)), "priors.train")
    assert {run.config["architecture"] for run in runs.values()} == {"gpt"}


@pytest.mark.usefixtures("repository_conf")
@pytest.mark.parametrize("condition", ["class", "coordinates", "low_resolution_f1"])
@pytest.mark.parametrize("prior", ["pixelsnail", "sundae", "absorbing"])
def test_a_class_or_a_condition_on_the_same_grid_goes_with_every_prior(condition, prior):
    plan = plan_of("super_resolution", "smoke", by("super_resolution", prior, **{"priors.condition": condition}))
    runs = stage(plan, "priors.train").values()
    assert {run.config["architecture"] for run in runs} == {prior}
    assert {run.config["condition"] for run in runs} == {condition, None}


@pytest.mark.usefixtures("repository_conf")
@pytest.mark.parametrize("prior", ["sundae", "absorbing"])
def test_images_are_completed_by_priors_that_work_token_by_token(prior):
    with pytest.raises(TwostageError, match=f"completed token by token, which {prior} does not"):
        plan_of("completion", "smoke", by("completion", prior))
    assert stage(plan_of("completion", "smoke", by("completion", "pixelsnail")), "sampling.generate")


def agreements(study, row=None):
    """The configs of what measures agreement."""
    plan = plan_of(study, "smoke", changed(study, row))
    return [job.config for job in stage(plan, "evaluation.agree").values()]


@pytest.mark.usefixtures("repository_conf")
@pytest.mark.parametrize(("given", "rows_given"), [(0.5, 0.5), (0.3, 3 / 8), (0.25, 0.25), (0.26, 3 / 8)])
def test_completions_and_what_stands_beside_them_are_measured_below_the_rows_that_are_given(given, rows_given):
    asked = agreements("completion", {"sampling.given": given})
    assert [config["rows_given"] for config in asked] == [rows_given] * 4


@pytest.mark.usefixtures("repository_conf")
def test_a_task_may_vary_how_much_is_given():
    vary = {"sampling.given": [0.25, 0.5]}
    compose = changed("completion", fixed={"priors": "gpt"}, spell={}, vary=vary, compare=None)
    jobs = stage(plan_of("completion", "smoke", compose), "evaluation.agree").values()
    assert sorted(job.config["rows_given"] for job in jobs) == [0.25] * 4 + [0.5] * 4


@pytest.mark.usefixtures("repository_conf")
def test_where_nothing_is_given_agreement_is_asked_for_as_it_always_was():
    keys = {"quantities", "condition", "conditions", "per_condition", "num_labels", "canny_sigma", "batch_size",
            "pictures"}  # fmt: skip
    assert [set(config) for config in agreements("class_conditional")] == [keys] * 4
    assert [set(config) for config in agreements("completion", {"sampling.given": 0.001})] == [keys] * 4


@pytest.mark.usefixtures("repository_conf")
@pytest.mark.parametrize(
    ("row", "said"),
    [({"priors.ordering": "z_curve"}, r"and z_curve begins elsewhere; set priors\.ordering to row_major"),
     ({"sampling.given": 0.95}, r"sampling\.given: 0\.95 leaves none of 8 rows of codes to be drawn .*; lower it"),
     ({"sampling.given": 0.6}, r"LPIPS needs 16 rows of pixels, and 12 are drawn; .*, or measure no LPIPS")],
)  # fmt: skip
def test_completions_without_whole_rows_to_measure_are_one_line(row, said):
    with pytest.raises(TwostageError, match=rf"^study completion, row IN: .*{said}$") as caught:
        plan_of("completion", "smoke", changed("completion", row))
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("repository_conf")
def test_other_conditions_than_the_scales_are_told_apart_by_name():
    usual = stage(plan_of("edges", "smoke"), "sampling.generate")
    plan = plan_of("edges", "smoke", changed("edges", conditions={"images": 10, "per_condition": 3}))
    ours = stage(plan, "sampling.generate")
    assert not set(usual) & set(ours)
    assert {(job.config["num_images"], job.config["per_condition"]) for job in ours.values()} == {(30, 3)}
    assert all(name.endswith(".conditions_images10x3") for name in ours)


@pytest.mark.usefixtures("repository_conf")
def test_a_task_may_vary_a_key_beside_its_baselines():
    plan = plan_of("edges", "smoke", changed("edges", vary={"sampling.top_k": [8, 16]}, compare=None, seeds=[0, 1]))
    points = plan.jobs["artifacts/smoke/evaluation/edges"].config["points"]
    assert [(point["values"]["model"], point["values"]["top_k"], point["seed"]) for point in points[:6]] == [
        ("conditional", 8, 0), ("conditional", 8, 1), ("unconditional", 8, 0), ("unconditional", 8, 1),
        ("reconstruction", 8, None), ("real", 8, None),
    ]  # fmt: skip
    assert len(points) == 12
    assert len(stage(plan, "sampling.generate")) == 8
    assert len(stage(plan, "priors.train")) == 4


@pytest.mark.usefixtures("repository_conf")
def test_fid_is_of_the_first_seed_and_agreement_of_all():
    plan = plan_of("edges", "smoke")
    inputs = plan.jobs["artifacts/smoke/evaluation/edges"].inputs
    points = plan.jobs["artifacts/smoke/evaluation/edges"].config["points"]
    sampled = [at for at, point in enumerate(points) if f"{at}.samples" in inputs]
    assert [(points[at]["values"]["model"], points[at]["seed"]) for at in sampled] == [
        ("conditional", 0), ("unconditional", 0)
    ]  # fmt: skip
    assert all(f"{at}.agreement" in inputs for at in range(len(points)))
    # Real images equal themselves: only what tells their edges is measured of them.
    (real,) = [at for at, point in enumerate(points) if point["values"]["model"] == "real"]
    assert plan.jobs[inputs[f"{real}.agreement"]].config["quantities"] == ["edges_f1"]


@pytest.mark.usefixtures("repository_conf")
def test_what_a_row_is_without_is_neither_measured_nor_shown_of_it():
    ours, paper = (plan_of("layouts", scale) for scale in ("smoke", "paper"))
    for plan, is_measured in ((ours, True), (paper, False)):
        (figure,) = stage(plan, "figures.study").values()
        assert ("silhouette_iou" in figure.config["show"]) == is_measured
        assert ("silhouette_iou" in [panel["y"] for panel in figure.config["panels"]]) == is_measured
        asked = [job.config["quantities"] for job in stage(plan, "evaluation.agree").values()]
        assert any("silhouette_iou" in each for each in asked) == is_measured
