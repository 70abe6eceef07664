from dataclasses import asdict, replace

import pytest

from tests.unit.conftest import SCALES, STUDIES, rows_of_table1, stage
from twostage.config import composition
from twostage.config.composition import parse
from twostage.errors import TwostageError
from twostage.planning.jobs import (
    data_job,
    features_job,
    reconstruct_job,
    rfid_job,
    samples_evaluation_job,
    sampling_job,
    tokenizer_job,
    weights_job,
)
from twostage.planning.prompt import asked
from twostage.planning.verbs import VERBS, files_read, new_job
from twostage.planning.whole import plan_of, refuse_broken, whole_plan
from twostage.priors.pace import PaceConfig
from twostage.runtime.job import Job

pytestmark = pytest.mark.usefixtures("repository_conf")


@pytest.fixture(params=SCALES)
def plan(request):
    return plan_of("table1", request.param)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("study", STUDIES)
def test_every_input_is_the_output_of_an_earlier_job(study, scale):
    made = {}
    for folder, job in plan_of(study, scale).jobs.items():
        assert set(job.inputs.values()) <= set(made), f"{folder} comes before its inputs"
        assert job.out == folder == f"artifacts/{scale}/{job.stage}/{job.variant}"
        # A study's file says more: which figures there are.
        promised = [name.format(variant=job.variant) for name in VERBS[job.name].files]
        assert job.files[: len(promised)] == promised
        assert job.files == promised or job.verb in ("agree", "collect", "study")
        for upstream in job.inputs.values():
            assert set(files_read(job, made[upstream])) <= set(made[upstream].files)
        made[folder] = job


@pytest.mark.parametrize("scale", SCALES)
def test_the_row_given_edges_has_rates_of_its_own_where_the_scale_can_pay(scale):
    plan = plan_of("table1", scale)
    row = plan.jobs[f"artifacts/{scale}/evaluation/table1.D-RIN"]
    for name in ("gpt", "pixelsnail"):
        run = plan.jobs[row.inputs[f"{name}.seed0"]]
        tune = plan.jobs[run.inputs["tune"]]
        assert tune.config["architecture"] == name
        is_own = tune.inputs["latents"] == run.inputs["latents"] and "condition" in tune.inputs
        assert is_own == (scale in ("night", "workstation", "paper"))
    assert row.config["tune_on"] == ("D-RIN" if scale in ("night", "workstation", "paper") else "IN")


def test_options_that_came_later_are_asked_for_only_where_they_are_on(plan):
    asked_for = [job.config for job in plan.jobs.values() if job.name in ("priors.train", "priors.tune")]
    assert not [config for config in asked_for if "averaging" in config]
    gated = {config["pixelsnail"].get("gated_attention") for config in asked_for if config["pixelsnail"]}
    assert gated == {True if plan.scale == "paper" else None}
    compose = composition.trees()
    averaged = plan_of("table1", "smoke", lambda overrides: compose((*overrides, "priors.averaging=0.999")))
    runs = [job for job in averaged.jobs.values() if job.name in ("priors.train", "priors.tune")]
    assert {(job.config["architecture"], job.config["averaging"]) for job in runs} == {
        ("gpt", 0.999), ("pixelsnail", 0.999)
    }  # fmt: skip


def test_both_priors_of_a_row_share_latents_seeds_and_budget(plan):
    runs = stage(plan, "priors.train")
    pairs = [(runs[name], runs[name.replace(".gpt.", ".pixelsnail.")]) for name in runs if ".gpt." in name]
    assert len(pairs) == rows_of_table1(plan.scale) * len(plan.study["seeds"])
    for gpt, pixelsnail in pairs:
        assert gpt.config["loop"] == pixelsnail.config["loop"]
        assert gpt.inputs["latents"] == pixelsnail.inputs["latents"]
        assert gpt.inputs.get("condition") == pixelsnail.inputs.get("condition")
        pace = plan.jobs[gpt.inputs["pace"]]
        for name, run in {"own": gpt, "rival": pixelsnail}.items():
            assert {kind: pace.inputs.get(f"{name}.{kind}") for kind in ("latents", "condition")} == {
                kind: run.inputs.get(kind) for kind in ("latents", "condition")
            }
            # All that a step costs, and nothing of seeds and budgets: those of a row share one pace.
            loop = run.config["loop"] | {"seed": 0, "steps": 1, "evaluate_every": 1, "checkpoint_every": 1}
            assert pace.config[name] == run.config | {"loop": loop}


def test_every_row_has_one_pace_and_its_table_reads_it(plan):
    paces = stage(plan, "priors.pace")
    assert len(paces) == rows_of_table1(plan.scale)
    for row in stage(plan, "evaluation.compare").values():
        runs = [plan.jobs[folder] for name, folder in row.inputs.items() if name.startswith("gpt.")]
        assert {run.inputs["pace"] for run in runs} == {row.inputs["pace"]}
    for pace in paces.values():
        parse(PaceConfig, pace.config)


def test_learning_rates_come_from_a_sweep_of_the_same_architecture(plan):
    for job in stage(plan, "priors.train").values():
        swept = plan.jobs[job.inputs["tune"]]
        assert swept.config["architecture"] == job.config["architecture"]
        assert job.config["learning_rate"] is None


def test_stand_ins_share_the_tokenizer_and_the_paper_trains_one_per_row():
    assert set(stage(plan_of("table1", "laptop"), "tokenizers.train")) == {
        "cifar10.vqgan_f4",
        "cifar10_animals.edges_f4",
        "fashion_mnist.vqgan_f4",
        "fashion_mnist.segmentation_f4",
    }
    assert {name for name in stage(plan_of("table1", "paper"), "tokenizers.train") if "vqgan" in name} == {
        "restricted_imagenet.vqgan_f16_k768",  # RIN
        "restricted_imagenet.vqgan_f16",  # D-RIN
        "lsun_churches_towers.vqgan_f16",
        "imagenet.vqgan_f16",
        "s_flckr.vqgan_f16",
    }


def test_the_papers_rows_have_the_printed_sizes():
    plan = plan_of("table1", "paper")
    tokenizers = stage(plan, "tokenizers.train")
    assert tokenizers["restricted_imagenet.vqgan_f16_k768"].config["quantizer"]["num_codes"] == 768  # Table 7, RIN
    assert tokenizers["imagenet.vqgan_f16"].config["quantizer"]["num_codes"] == 1024  # Table 7, IN
    layers = {
        name.split(".")[0]: job.config["gpt"] for name, job in stage(plan, "priors.train").items() if "gpt" in name
    }
    assert layers["lsun_churches_towers"]["num_layers"] == 24
    assert layers["lsun_churches_towers"]["width"] == 1024


def test_an_unused_figure_colour_touches_figures_only():
    before = plan_of("table1", "smoke")
    tree = composition.compose(("scale=smoke", "study=table1"))
    tree["figures"]["palette"]["gpt"] = "#000000"

    trees = composition.trees()

    def compose(overrides):
        return tree if any(o.startswith("study") for o in overrides) else trees(overrides)

    after = plan_of("table1", "smoke", compose)
    changed = {job.stage for folder, job in after.jobs.items() if asdict(job) != asdict(before.jobs[folder])}
    assert changed == {"figures"}


def test_a_longer_budget_leaves_the_sweep_alone():
    trees = composition.trees()

    def compose(overrides):
        return trees((*overrides, "scale.priors.steps=20"))

    before, after = plan_of("table1", "smoke"), plan_of("table1", "smoke", compose)
    changed = {job.name for folder, job in after.jobs.items() if job != before.jobs[folder]}
    assert changed == {"priors.train"}


def test_two_jobs_for_one_folder_are_refused():
    plan = plan_of("table1", "smoke")
    job = next(iter(plan.jobs.values()))
    with pytest.raises(TwostageError, match="two different jobs want"):
        plan.add(type(job)(**{**asdict(job), "config": {"name": "other"}}))


def test_a_value_that_nothing_sets_is_one_line():
    tree = composition.compose(("scale=smoke", "data=cifar10"))
    with pytest.raises(TwostageError, match=r"^data\.prepare of cifar10: nothing gives folder\.parts\.1\.size a value"):
        new_job("data.prepare", "cifar10", tree, {"folder": {"parts": [{"size": 1}, {"size": "???"}]}}, {})


@pytest.mark.parametrize("scale", SCALES)
def test_coordinates_are_as_many_codes_as_the_images(scale):
    jobs = plan_of("f_sweep_coordinates", scale).jobs
    for job in jobs.values():
        if job.name == "priors.train" and "condition" in job.inputs:
            (given, images) = (whole_latents(jobs, job.inputs[key]) for key in ("condition", "latents"))
            tokenizer = jobs[images.inputs["tokenizer"]]
            codes = (
                256
                if tokenizer.verb == "greys"
                else (tokenizer.config.get("kmeans") or tokenizer.config["quantizer"])["num_codes"]
            )
            assert given.config["num_codes"] == codes


def whole_latents(jobs, folder):
    """The latents that those of windows are cut from."""
    job = jobs[folder]
    return jobs[job.inputs["latents"]] if job.verb == "crop" else job


def test_an_unknown_study_is_named():
    with pytest.raises(TwostageError, match=r"no file conf/study/table9\.yaml; choose one of .*table1"):
        plan_of("table9", "smoke")


def test_a_checkpoint_of_other_inputs_is_not_taken_up(tmp_path, monkeypatch):
    plan = plan_of("table1", "smoke")
    job = next(job for job in plan.jobs.values() if job.verb == "train" and job.stage == "priors")
    monkeypatch.chdir(tmp_path)
    latents = tmp_path / job.inputs["latents"]
    latents.mkdir(parents=True)
    (latents / "metadata.json").write_text('{"tokenizer_sha256": "a"}')
    before = job.scratch
    assert before == replace(job).scratch
    (latents / "metadata.json").write_text('{"tokenizer_sha256": "b"}')
    assert replace(job).scratch != before


def with_row(**changes):
    """A compose whose table1 has one row changed."""

    trees = composition.trees()

    def compose(overrides):
        tree = trees(overrides)
        if tree["study"]:
            tree["study"]["rows"]["RIN"]["stand_in"] |= changes
        return tree

    return compose


def test_a_mistyped_key_of_a_row_is_named():
    with pytest.raises(TwostageError, match=r"study\.rows\.RIN\.stand_in of table1: .*tokeniser_data"):
        plan_of("table1", "smoke", with_row(tokeniser_data="cifar10"))


def test_a_row_that_borrows_from_no_sweep_is_named():
    with pytest.raises(TwostageError, match="row RIN says tune_on=LSUN-CT, which has no sweep of its own"):
        plan_of("table1", "smoke", with_row(tune_on="LSUN-CT"))


def with_only(rows):
    def compose(overrides):
        tree = trees(overrides)
        if tree["study"]:
            tree["study"]["only"] = rows
        return tree

    trees = composition.trees()
    return compose


def test_a_scale_may_have_some_rows_alone():
    plan = plan_of("table1", "smoke", with_only(["IN"]))
    assert [job.variant for job in plan.jobs.values() if job.verb == "compare"] == ["table1.IN"]
    drawn = plan.jobs["artifacts/smoke/figures/table1"]
    assert drawn.config["rows"] == list(drawn.config["paper_nll"]) == list(drawn.inputs) == ["IN"]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["IN", "OUT"], r"study\.only of table1 is \['IN', 'OUT'\]; write null for all, or a list of RIN, LSUN-CT"),
        ([], r"study\.only of table1 is \[\]"),
        ("IN", r"study\.only of table1 is IN; "),
        (["RIN"], "row RIN says tune_on=IN, which has no sweep of its own"),
    ],
)
def test_rows_that_there_are_not_or_that_rest_on_others_are_one_line(rows, said):
    with pytest.raises(TwostageError, match=said):
        plan_of("table1", "smoke", with_only(rows))


@pytest.mark.parametrize("unknown", [{"data": "cifar11"}, {"tokenizer": "vqgan_f5"}, {"condition": "smells_f4"}])
def test_a_row_of_unknown_variants_is_refused_with_the_choices(unknown):
    with pytest.raises(TwostageError, match=r"no file conf/.*; choose one of"):
        plan_of("table1", "smoke", with_row(**unknown))


def evaluation_jobs(*overrides, sampling="cifar10.vqgan_f4.gpt.seed0"):
    """Every evaluation of one tokenizer and one set of samples, by verb."""
    tree = composition.compose(("scale=smoke", *overrides))
    data, tokenizer = data_job(tree), tokenizer_job(tree)
    samples = Job("sampling", "sample", sampling, "smoke", {}, {}, f"artifacts/smoke/sampling/{sampling}", [])
    features = features_job(tree, data)
    jobs = [
        features,
        samples_evaluation_job(tree, samples, features),
        rfid_job(tree, tokenizer, data, features),
        reconstruct_job(tree, tokenizer, data),
    ]
    return {job.verb: job for job in jobs}


def test_all_evaluations_share_the_features_of_one_split():
    one, other = evaluation_jobs(), evaluation_jobs("tokenizers=vqgan_f16", sampling="cifar10.vqgan_f16.gpt.seed1")
    assert one["features"] == other["features"]
    assert one["features"].variant == "features.cifar10.validation"
    for jobs in (one, other):
        for verb in ("samples", "rfid"):
            assert jobs[verb].inputs["real"] == one["features"].out
            assert jobs[verb].inputs["inception"] == weights_job(composition.compose(("scale=smoke",)), "inception").out


@pytest.mark.parametrize(
    ("override", "changed"),
    [
        ("evaluation.samples.kid_subsets=3", {"samples", "rfid"}),
        ("evaluation.samples.precision_neighbours=2", {"samples"}),
        ("evaluation.features.images=50", {"features"}),
        ("evaluation.features.batch_size=10", {"features", "rfid"}),
        ("evaluation.rfid_images=50", {"rfid"}),
        ("evaluation.reconstruction_images=50", {"reconstruct"}),
    ],
)
def test_a_metrics_setting_touches_that_metric_only(override, changed):
    before, after = evaluation_jobs(), evaluation_jobs(override)
    assert {verb for verb in before if before[verb] != after[verb]} == changed


@pytest.mark.parametrize("scale", SCALES)
def test_every_scale_asks_metrics_for_no_more_than_it_has(scale):
    evaluation = composition.compose((f"scale={scale}",))["evaluation"]
    assert evaluation["samples"]["kid_subset_size"] <= evaluation["samples"]["images"]
    with_features = evaluation["features"]["images"]
    assert with_features is None or evaluation["rfid_images"] <= with_features


def test_samples_share_the_variant_of_their_prior_and_read_what_they_need():
    plan = plan_of("table1", "laptop")
    prior = stage(plan, "priors.train")["cifar10_animals.by_cifar10.vqgan_f4.given_edges_f4.gpt.seed0"]
    tokenizer = stage(plan, "tokenizers.train")["cifar10.vqgan_f4"]
    condition = plan.jobs[prior.inputs["condition"]]
    job = sampling_job(plan.tree, prior, tokenizer, condition=condition)
    assert job.out == f"artifacts/laptop/sampling/{prior.variant}"
    assert job.inputs == {"prior": prior.out, "tokenizer": tokenizer.out, "condition": condition.out}
    assert (job.config["num_images"], job.config["batch_size"], job.config["top_k"]) == (2000, 100, 100)
    assert files_read(job, prior) == files_read(job, tokenizer) == ["model.safetensors", "config.json"]
    assert files_read(job, condition) == ["validation_index.npy", "metadata.json"]
    half = sampling_job(plan.tree, prior, tokenizer, condition, plan.jobs[prior.inputs["latents"]], label="halves")
    assert half.variant == f"{prior.variant}.halves"
    assert half.inputs["latents"] == prior.inputs["latents"]


@pytest.mark.parametrize("scale", SCALES)
def test_no_scale_cuts_by_more_codes_than_its_vocabulary_has(scale):
    tree = composition.compose((f"scale={scale}",))
    assert tree["sampling"]["top_k"] <= tree["tokenizers"]["quantizer"]["num_codes"]


def test_samples_by_hand_read_latents_only_where_images_are_completed():
    whole, half = (
        asked("sampling.generate", ("scale=smoke", "data=folder", "data.name=mine", *more)).job
        for more in ((), ("sampling.given=0.5",))
    )
    assert set(whole.inputs) == {"prior", "tokenizer"}
    assert set(half.inputs) == {"prior", "tokenizer", "latents"}


def test_a_broken_file_stops_the_studies_that_use_it_alone(edited_conf):
    whole = whole_plan("smoke")
    path = edited_conf / "study/orderings.yaml"
    path.write_text(path.read_text().replace("spiral_in]", "spiral_up]"))
    (edited_conf / "data/fashion_mnist_28.yaml").write_text("name: [x")
    plan = whole_plan("smoke")
    assert set(plan.broken) == {"orderings", "sundae_pixels"}
    assert set(plan.jobs) < set(whole.jobs)
    refuse_broken(plan, ["results/table1.csv", "results/f_sweep.csv", "results/figures/table1_curves.pdf"])
    for target in ("results/orderings.csv", "results/figures/orderings_grid.pdf"):
        with pytest.raises(TwostageError, match="spiral_up"):
            refuse_broken(plan, [target])
    for target in ("all", "figures"):
        with pytest.raises(TwostageError, match=r"spiral_up|fashion_mnist_28"):
            refuse_broken(plan, [target])
    with pytest.raises(TwostageError, match=r"fashion_mnist_28\.yaml: line 2"):
        refuse_broken(plan, ["results/sundae_pixels.csv"])


def test_a_broken_study_on_request_does_not_stop_all(edited_conf):
    path = edited_conf / "study/depth.yaml"
    path.write_text(path.read_text() + "unknown: 1\n")
    plan = whole_plan("smoke")
    assert set(plan.broken) == {"depth"}
    refuse_broken(plan, ["all"])
    with pytest.raises(TwostageError, match="unknown"):
        refuse_broken(plan, ["results/depth.csv"])
