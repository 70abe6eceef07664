"""A study file becomes jobs: rows x what varies x seeds, as far down the pipeline as what is measured."""

import copy

import pytest

from tests.unit.conftest import ROOT, SCALES, stage
from twostage.config import composition
from twostage.errors import TwostageError
from twostage.evaluation.collect import CollectConfig
from twostage.evaluation.quantities import QUANTITIES
from twostage.figures.study import StudyConfig
from twostage.planning.study_file import columns, parsed
from twostage.planning.whole import drawn, plan_of, tables, whole_plan

pytestmark = pytest.mark.usefixtures("repository_conf")
STUDIES = sorted(
    path.stem
    for path in (ROOT / "conf/study").glob("[!_]*.yaml")
    if "\nmeasure:" in path.read_text() or "_conditional, _self_" in path.read_text()
)  # fmt: skip
GPT = "cifar10.vqgan_f4.gpt.row_major"
IN = {"stand_in": {"data": "cifar10", "tokenizers": "vqgan_f4"}, "paper": None}
# Of each kind the shortest study.
PRIORS = {
    "name": "mine",
    "rows": {"IN": IN},
    "fixed": {"priors": "gpt"},
    "vary": {"priors.gpt.dropout": [0.0, 0.1]},
    "measure": ["nll"],
}
TOKENIZERS = {
    "name": "mine",
    "rows": {"IN": IN},
    "vary": {"tokenizers.quantizer.num_codes": [32, 64]},
    "measure": ["lpips"],
}
CHAINS = PRIORS | {
    "fixed": {"priors": "sundae"},
    "vary": {"sampling.denoising.chain.steps": [10, 12]},
    "measure": ["fid"],
}


def planned(study, scale="smoke"):
    """The plan of a study that is in no file."""
    trees = composition.trees()

    def compose(overrides):
        tree = trees(each for each in overrides if not each.startswith("study="))
        return tree | {"study": copy.deepcopy(study)}

    return plan_of("mine", scale, compose)


def variants(plan, verb):
    return sorted(stage(plan, verb))


def table_of(plan):
    (job,) = stage(plan, "evaluation.collect").values()
    return job


def refusal(study):
    """The one line that says why a study cannot be planned."""
    with pytest.raises(TwostageError) as caught:
        planned(study)
    line = str(caught.value)
    assert "\n" not in line
    assert "study mine" in line
    return line


def test_the_seeds_of_tokenizers_are_trainings_of_their_own_and_the_first_is_table_1s():
    jobs = planned(TOKENIZERS | {"seeds": [0, 1], "vary": {}}).jobs
    trained = {job.variant: job.config["loop"]["seed"] for job in jobs.values() if job.name == "tokenizers.train"}
    assert trained == {"cifar10.vqgan_f4": 0, "cifar10.vqgan_f4_seed1": 1}


def test_a_study_is_rows_by_what_varies_by_seeds():
    animals = {"stand_in": {"data": "cifar10_animals", "tokenizers": "vqgan_f4"}}
    study = PRIORS | {"rows": {"IN": IN, "animals": animals}, "seeds": [0, 1]}
    study["vary"] = PRIORS["vary"] | {"priors.gpt.width": [32, 64]}
    plan = planned(study)
    points = table_of(plan).config["points"]
    assert len(points) == len({str(point) for point in points}) == 2 * 2 * 2 * 2
    assert points[0] == {"row": "IN", "values": {"dropout": 0.0, "width": 32}, "seed": 0}
    runs = stage(plan, "priors.train").values()
    asked = {(run.config["gpt"]["dropout"], run.config["gpt"]["width"], run.config["loop"]["seed"]) for run in runs}
    assert len(runs) == 16
    assert len(asked) == 8


def test_keys_in_zip_change_together_and_the_first_one_tells_them():
    zipped = {"priors.gpt.width": [32, 64], "priors.gpt.num_layers": [2, 3]}
    plan = planned(PRIORS | {"vary": {}, "zip": zipped})
    sizes = {variant: job.config["gpt"] for variant, job in stage(plan, "priors.train").items()}
    assert {name: (size["width"], size["num_layers"]) for name, size in sizes.items()} == {
        f"{GPT}.seed0": (32, 2),
        f"{GPT}.width64.seed0": (64, 3),
    }
    assert [point["values"] for point in table_of(plan).config["points"]] == [{"width": 32}, {"width": 64}]


def test_what_is_fixed_holds_for_every_run():
    plan = planned(PRIORS | {"fixed": {"priors": "gpt", "priors.loop.batch_size": 8}})
    runs = stage(plan, "priors.train")
    assert {run.config["loop"]["batch_size"] for run in runs.values()} == {8}
    assert set(runs) == {f"{GPT}.batch_size8.seed0", f"{GPT}.batch_size8.dropout0.1.seed0"}


def test_an_unchanged_run_keeps_the_usual_name_and_is_the_job_of_others():
    plan, orderings = planned(PRIORS | {"seeds": [0, 1]}), plan_of("orderings", "smoke")
    ours, theirs = stage(plan, "priors.train"), stage(orderings, "priors.train")
    assert set(ours) - set(theirs) == {f"{GPT}.dropout0.1.seed{seed}" for seed in (0, 1)}
    assert all(ours[name] == theirs[name] for name in set(ours) & set(theirs))
    unchanged = stage(planned(TOKENIZERS), "tokenizers.train")
    assert set(unchanged) == {"cifar10.vqgan_f4_num_codes32", "cifar10.vqgan_f4"}
    assert unchanged["cifar10.vqgan_f4"] == stage(orderings, "tokenizers.train")["cifar10.vqgan_f4"]


def test_one_sweep_of_learning_rates_serves_all_runs():
    plan = planned(PRIORS | {"seeds": [0, 1]})
    (tune,) = stage(plan, "priors.tune").values()
    assert {run.inputs["tune"] for run in stage(plan, "priors.train").values()} == {tune.out}
    assert tune.config["gpt"]["dropout"] == 0.0


@pytest.mark.parametrize(
    ("key", "values", "names"),
    [
        ("priors.gpt.shared_condition_codes", [True], [".shared_condition_codes"]),
        ("priors.early_stopping", [3], [".early_stopping3"]),
        ("priors.loop.steps", [1000000, 1000001], [".steps1000000", ".steps1000001"]),
        ("priors.ordering", ["row_major"], [""]),
        ("scale.priors.gpt", [{"width": 64, "num_layers": 3}], [".width64_num_layers3"]),
    ],
)
def test_a_value_is_spelled_in_a_name(key, values, names):
    plan = planned(PRIORS | {"vary": {key: values}})
    assert variants(plan, "priors.train") == [f"{GPT}{name}.seed0" for name in names]


def test_an_ordering_stands_in_the_name_as_everywhere():
    plan = planned(PRIORS | {"vary": {"priors.ordering": ["row_major", "subsample"]}})
    theirs = stage(plan_of("orderings", "smoke"), "priors.train")
    ours = stage(plan, "priors.train")
    assert ours == {name: theirs[name] for name in (f"{GPT}.seed0", "cifar10.vqgan_f4.gpt.subsample.seed0")}


@pytest.mark.parametrize("where", ["fixed", "row"])
def test_a_condition_reaches_the_sweep_too(where):
    study = copy.deepcopy(PRIORS)
    asked = study["fixed"] if where == "fixed" else study["rows"]["IN"]["stand_in"]
    asked["priors.condition"] = "class"
    plan = planned(study)
    for verb in ("priors.tune", "priors.train"):
        for job in stage(plan, verb).values():
            assert (job.config["condition"], "condition" in job.inputs) == ("class", True)
    assert "cifar10.vqgan_f4.given_class.gpt.row_major.seed0" in stage(plan, "priors.train")


def test_a_row_comes_before_what_is_fixed_for_the_condition_too():
    row = {"stand_in": IN["stand_in"] | {"data.maps": ["edges"]}, "paper": None}
    fixed = {"priors": "gpt", "priors.condition": "edges_f4", "data": "fashion_mnist"}
    plan = planned(PRIORS | {"rows": {"IN": row}, "fixed": fixed})
    assert list(stage(plan, "data.prepare")) == ["cifar10"]
    assert set(stage(plan, "latents.encode")) == {"cifar10.vqgan_f4", "cifar10.edges_f4"}


def test_groups_may_vary_and_then_no_caption_names_one_of_them():
    plan = planned(PRIORS | {"vary": {"tokenizers": ["vqgan_f4", "vqgan_f8"]}})
    assert set(stage(plan, "tokenizers.train")) == {"cifar10.vqgan_f4", "cifar10.vqgan_f8"}
    (figure,) = stage(plan, "figures.study").values()
    assert figure.config["rows"] == {"IN": {"data": "cifar10"}}
    assert "IN.latents" not in table_of(plan).inputs


@pytest.mark.parametrize(
    ("study", "made", "not_made"),
    [
        (TOKENIZERS, ["tokenizers.train", "evaluation.reconstruct"], ["evaluation.rfid", "latents.encode"]),
        (TOKENIZERS | {"measure": ["rfid"]}, ["evaluation.rfid"], ["latents.encode"]),
        (PRIORS, ["priors.train"], ["sampling.generate"]),
        (PRIORS | {"measure": ["seconds_per_image"]}, ["sampling.generate"], ["evaluation.samples"]),
        (PRIORS | {"measure": ["fid"]}, ["sampling.generate", "evaluation.samples"], ["sampling.denoise"]),
        (PRIORS | {"measure": ["distinct_codes"]}, ["evaluation.measure"], ["evaluation.samples"]),
        (PRIORS | {"pictures": 2}, ["sampling.generate"], ["evaluation.samples"]),
        (CHAINS, ["sampling.denoise", "evaluation.samples"], ["sampling.generate"]),
        (CHAINS | {"measure": ["denoising"], "films": 2}, ["sampling.denoise"], ["evaluation.samples"]),
    ],
)
def test_jobs_go_as_far_down_the_pipeline_as_what_is_measured(study, made, not_made):
    plan = planned(study)
    assert all(stage(plan, verb) for verb in made)
    assert not any(stage(plan, verb) for verb in not_made)


@pytest.mark.parametrize(("sample_seeds", "sampled"), [("first", [0]), ("all", [0, 1])])
def test_samples_are_drawn_of_one_seed_or_of_all(sample_seeds, sampled):
    plan = planned(PRIORS | {"measure": ["nll", "fid"], "seeds": [0, 1], "sample_seeds": sample_seeds})
    assert len(stage(plan, "priors.train")) == 4
    expected = sorted(f"{GPT}{name}.seed{seed}" for name in ("", ".dropout0.1") for seed in sampled)
    assert variants(plan, "sampling.generate") == expected


def test_as_many_samples_are_drawn_as_the_study_says_and_their_number_is_in_the_name():
    plan = planned(PRIORS | {"measure": ["fid"], "images": 20})
    assert variants(plan, "sampling.generate") == [f"{GPT}.dropout0.1.seed0.images20", f"{GPT}.seed0.images20"]
    for job in stage(plan, "evaluation.samples").values():
        assert job.config["images"] == 20
        assert job.config["kid_subset_size"] < 20


def test_chains_have_the_names_of_the_sundae_studies_and_others_are_told_apart():
    usual = {"images": 32, "seeds": [0]}
    theirs = stage(plan_of("sundae_steps", "smoke"), "sampling.denoise")
    ours = stage(planned(CHAINS | usual), "sampling.denoise")
    assert ours == theirs
    unusual = CHAINS | {"images": 20, "vary": {"sampling.denoising.chain.min_steps": [10, 11]}}
    (one, two) = stage(planned(unusual), "sampling.denoise")
    assert not {one, two} & set(theirs)
    assert one.endswith(".steps12_proportion0.5_temperature1_images20")
    assert two.endswith(".steps12_proportion0.5_temperature1_min_steps11_images20")


def test_a_row_may_have_nothing_in_a_column():
    plan = planned(PRIORS | {"rows": {"none": IN | {"stand_in": None}, "IN": IN}})
    assert {point["row"] for point in table_of(plan).config["points"]} == {"IN"}
    assert refusal(PRIORS | {"rows": {"none": {"stand_in": None}}})
    assert refusal(PRIORS | {"rows": {"none": {"paper": IN["stand_in"]}}})


@pytest.mark.parametrize(
    "text",
    [
        {"title": "Other words"},
        {"paper_says": "nothing"},
        {"paper": [{"dropout": 0.1, "nll": 4.5}]},
        {"claims": ["E05"]},
        {"table": {"show": ["nll"]}},
        {"figures": [{"kind": "line", "y": "nll"}]},
    ],
)
def test_text_and_printed_numbers_are_read_by_figures_alone(text):
    before, after = planned(PRIORS).jobs, planned(PRIORS | text).jobs
    assert {folder for folder in before | after if before.get(folder) != after.get(folder)} <= {
        "artifacts/smoke/figures/mine"
    }


def test_one_more_value_adds_its_own_jobs_and_changes_only_the_table():
    before = planned(TOKENIZERS).jobs
    after = planned(TOKENIZERS | {"vary": {"tokenizers.quantizer.num_codes": [32, 64, 48]}}).jobs
    different = {folder.removeprefix("artifacts/smoke/") for folder in after if before.get(folder) != after[folder]}
    new = "cifar10.vqgan_f4_num_codes48"
    assert different == {f"tokenizers/{new}", f"evaluation/{new}", "evaluation/mine"}


def test_the_reference_of_differences_is_the_first_run_or_that_of_a_value():
    assert table_of(planned(PRIORS | {"compare": {}})).config["compare_to"] == {"dropout": 0.0}
    assert table_of(planned(PRIORS | {"compare": {"to": 0.1}})).config["compare_to"] == {"dropout": 0.1}
    assert table_of(planned(PRIORS)).config["compare_to"] is None


WRONG = {
    "an unknown key": ({"meassure": ["nll"]}, "meassure"),
    "an unknown key of a panel": ({"figures": [{"kind": "line", "y": "nll", "hue": "dropout"}]}, "hue"),
    "an unknown key of a row": ({"rows": {"IN": IN | {"papr": {}}}}, "papr"),
    "a row that is no overrides": ({"rows": {"IN": {"stand_in": "cifar10"}}}, "cifar10"),
    "no row": ({"rows": {}}, "rows"),
    "an unknown quantity": ({"measure": ["nll", "fdi"]}, "fdi"),
    "no quantity": ({"measure": []}, "measure"),
    "a quantity twice": ({"measure": ["nll", "nll"]}, "measure"),
    "a table of what is not measured": ({"table": {"show": ["fid"]}}, "fid"),
    "a table of an unknown part": ({"table": {"show": ["nll.diff"]}, "compare": {}}, "nll.diff"),
    "a table of differences to nothing": ({"table": {"show": ["nll.difference"]}}, "compare"),
    "a panel of differences to nothing": ({"figures": [{"kind": "difference", "y": "nll"}]}, "compare"),
    "a panel of what is not measured": ({"figures": [{"kind": "point", "y": "fid"}]}, "fid"),
    "a panel without y": ({"figures": [{"kind": "point"}]}, "no y"),
    "a panel over no column": ({"figures": [{"kind": "point", "y": "nll", "x": "drop"}]}, "drop"),
    "a line over no steps": ({"figures": [{"kind": "line", "y": "nll", "x": "dropout"}]}, "dropout"),
    "a panel of no kind": ({"figures": [{"y": "nll"}]}, "kind"),
    "a panel of an unknown kind": ({"figures": [{"kind": "pie", "y": "nll"}]}, "pie"),
    "a line without a curve": (
        {"measure": ["nll", "parameters"], "figures": [{"kind": "line", "y": "parameters"}]},
        "parameters",
    ),
    "pictures of none": ({"figures": [{"kind": "pictures"}]}, "pictures"),
    "less than no pictures": ({"pictures": -1}, "pictures"),
    "films of what draws token by token": ({"measure": ["fid"], "films": 2}, "films"),
    "more films than are kept": (
        {"fixed": {"priors": "sundae"}, "vary": {}, "measure": ["denoising"], "films": 9},
        "sampling.denoising.film_images",
    ),
    "films of two sizes": (
        {
            "rows": {"IN": IN, "F": {"stand_in": {"data": "fashion_mnist_28", "tokenizers": "vqgan_f4"}}},
            "fixed": {"priors": "sundae"},
            "vary": {},
            "measure": ["denoising"],
            "films": 2,
        },
        "films",
    ),
    "a key that does not exist": ({"vary": {"priors.gpt.droput": [0.0, 0.1]}}, "droput"),
    "a group that does not exist": ({"vary": {"prior": ["gpt", "sundae"]}}, "prior"),
    "a value of the wrong type": ({"vary": {"priors.gpt.dropout": ["low", "high"]}}, "priors.gpt.dropout"),
    "no list of values": ({"vary": {"priors.gpt.dropout": 0.1}}, "vary"),
    "a key on which nothing depends": ({"vary": {"sampling.top_k": [8, 16]}}, "sampling.top_k"),
    "a key that only the sweep reads": ({"vary": {"priors.sweep.steps": [10, 20]}}, "priors.sweep.steps"),
    "a chain of what draws token by token": (
        {"vary": {"sampling.denoising.chain.steps": [4, 5]}, "measure": ["fid"]},
        "sampling.denoising.chain.steps",
    ),
    "a seed that is none of seeds": ({"fixed": {"priors": "gpt", "priors.loop.seed": 5}}, "priors.loop.seed"),
    "a spread that comes with its mean": ({"measure": ["nll", "edges_f1_std_over_images"]}, "edges_f1"),
    "panels of all that is measured over no column": (
        {"measure": ["fid"], "figures": [{"kind": "point", "y": "each", "x": "drop"}]},
        "drop",
    ),
    "paths of orders that do not vary": ({"figures": [{"kind": "orders"}]}, "priors.ordering"),
    "pictures of two sizes": (
        {
            "rows": {"IN": IN, "F": {"stand_in": {"data": "fashion_mnist_28", "tokenizers": "vqgan_f4"}}},
            "pictures": 2,
        },
        "pictures",
    ),
    "keys in zip on which nothing depends": (
        {"vary": {}, "zip": {"sampling.top_k": [8, 16], "sampling.temperature": [1.0, 0.9]}},
        "sampling.top_k",
    ),
    "lists of unequal lengths": (
        {"vary": {}, "zip": {"priors.gpt.width": [32, 64], "priors.gpt.num_layers": [2]}},
        "zip",
    ),
    "no values": ({"vary": {"priors.gpt.dropout": []}}, "priors.gpt.dropout"),
    "a value twice": ({"vary": {"priors.gpt.dropout": [0.1, 0.1]}}, "once each"),
    "a value twice in zip": (
        {"vary": {}, "zip": {"priors.gpt.width": [32, 32], "priors.gpt.num_layers": [2, 3]}},
        "once each",
    ),
    "a window of no tokens": ({"rows": {"IN": {"stand_in": IN["stand_in"] | {"window": 0}}}}, "window"),
    "a window of a denoiser": (
        {
            "rows": {"IN": {"stand_in": IN["stand_in"] | {"window": 4}}},
            "fixed": {"priors": "sundae"},
            "vary": {},
            "measure": ["denoising"],
        },
        "sundae draws by no sliding window",
    ),
    "windows of two grids": (
        {"rows": {"IN": {"stand_in": IN["stand_in"] | {"window": 4, "priors.condition": "segmentation_f2"}}}},
        "segmentation_f2",
    ),
    "a title that reads as a formula": ({"title": "$\\foo$"}, "without $"),
    "a row that reads as a formula": ({"rows": {"$\\foo$": IN}}, "without $"),
    "a row without a name": ({"rows": {" ": IN}}, "rows has ' '"),
    "a row of two lines": ({"rows": {"a\nb": IN}}, "in one line"),
    "a row longer than a line": ({"rows": {"a" * 100: IN}}, "1 to 60"),
    "a window that is no number": ({"rows": {"IN": {"stand_in": IN["stand_in"] | {"window": True}}}}, "window: True"),
    "what varies in a row": (
        {"rows": {"IN": {"stand_in": IN["stand_in"] | {"priors.gpt.dropout": 0.2}}}},
        "row IN sets priors.gpt.dropout, which varies",
    ),
    "a row without mappings": (
        {"rows": {"IN": {"stand_in": IN["stand_in"] | {"without": [{"a": 1}]}}}},
        "row IN is without",
    ),
    "another scale in a row": (
        {"rows": {"IN": {"stand_in": IN["stand_in"] | {"scale": "laptop"}}}},
        "row IN sets scale",
    ),
    "another scale": ({"fixed": {"priors": "gpt", "scale": "laptop"}}, "fixed sets scale"),
    "scales to vary over": ({"vary": {"scale": ["smoke", "laptop"]}}, "vary sets scale"),
    "another name of the scale": ({"fixed": {"priors": "gpt", "scale.name": "laptop"}}, "fixed sets scale.name"),
    "the budget of another study": ({"fixed": {"priors": "gpt", "scale.study.seeds": [7]}}, "sets scale.study.seeds"),
    "another study": ({"rows": {"IN": {"stand_in": IN["stand_in"] | {"study": "table1"}}}}, "row IN sets study"),
    "the look of figures": ({"fixed": {"priors": "gpt", "figures.font_size": 9}}, "fixed sets figures.font_size"),
    "a key twice": ({"fixed": {"priors": "gpt", "priors.gpt.dropout": 0.1}}, "priors.gpt.dropout"),
    "a comparison to no value": ({"compare": {"to": 0.3}}, "0.3"),
    "a comparison where nothing varies": ({"vary": {}, "compare": {}}, "compare"),
    "a spelling of no key": ({"spell": {"priors.gpt.width": "w"}}, "priors.gpt.width"),
    "a spelling of two folders": ({"spell": {"priors.gpt.dropout": "a/b"}}, "'a/b'"),
    "a spelling of the folder above": ({"spell": {"priors.gpt.dropout": ".."}}, "'..'"),
    "a spelling of two lines": ({"spell": {"priors.gpt.dropout": "a\nb"}}, "letter first"),
    "a spelling longer than a name": ({"spell": {"priors.gpt.dropout": "d" * 300}}, "up to 40 letters"),
    "two columns of one name": (
        {"vary": {"priors.loop.steps": [5, 10], "priors.sweep.steps": [2, 3]}},
        "steps",
    ),
    "a column of the table's own": ({"spell": {"priors.gpt.dropout": "seed"}}, "seed"),
    "a column without a name": ({"spell": {"priors.gpt.dropout": ""}}, "spell"),
    "a column named as a quantity": ({"spell": {"priors.gpt.dropout": "nll"}}, "nll"),
    "a seed twice": ({"seeds": [0, 0]}, "seeds"),
    "no seed": ({"seeds": []}, "seeds"),
    "seeds of which one alone is measured": ({"seeds": [0, 1], "measure": ["fid"]}, "sample_seeds"),
    "an unknown choice of seeds": ({"sample_seeds": "frist"}, "frist"),
    "an unknown number that is to be equal": ({"equal": ["step"]}, "step"),
    "one image": ({"images": 1}, "images"),
    "a printed number of nothing": ({"paper": [{"dropout": 0.1, "nnl": 4.0}]}, "nnl"),
    "a printed number of no row": ({"paper": [{"row": "RIN", "nll": 4.0}]}, "RIN"),
    "a printed number that is none": ({"paper": [{"dropout": 0.1, "nll": float("nan")}]}, "nan"),
    "a printed word": ({"paper": [{"dropout": 0.1, "nll": "low"}]}, "low"),
    "no likelihood of a denoiser": ({"fixed": {"priors": "sundae"}, "vary": {}}, "sundae has no nll"),
    "no denoising of a transformer": ({"measure": ["denoising"]}, "gpt has no denoising"),
    "no chain of a transformer": ({"measure": ["network_evaluations"]}, "gpt has no network_evaluations"),
    "no prior": ({"fixed": {}, "vary": {}}, "priors"),
    "no prior to sample from": ({"fixed": {}, "vary": {}, "measure": ["fid"]}, "priors"),
}


@pytest.mark.parametrize(("change", "named"), WRONG.values(), ids=WRONG)
def test_a_mistake_is_one_line_that_names_it(change, named):
    assert named in refusal(PRIORS | change)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"rows": {"IN": {"stand_in": {"data": "cifar10", "tokenizers": "edges_f4"}}}}, "edges_f4"),
        ({"rows": {"IN": {"stand_in": IN["stand_in"] | {"tokenizer_data": "fashion_mnist"}}}}, "tokenizer_data"),
        ({"rows": {"IN": {"stand_in": {"tokenizers": "kmeans_f1"}}}, "vary": {}, "seeds": [0, 1]}, "seeds"),
        ({"equal": ["steps"]}, "equal"),
        ({"rows": {"IN": {"stand_in": {"tokenizers": "kmeans_f1"}}}, "vary": {}, "measure": ["adversarial_steps"]},
         "cluster has no adversarial_steps"),
    ],
    ids=["of maps", "of other data", "seeds of a palette", "equal without priors", "a palette"],
)  # fmt: skip
def test_a_mistake_about_tokenizers_is_one_line(change, named):
    assert named in refusal(TOKENIZERS | change)


def test_samples_of_maps_are_refused_while_planning():
    rows = {"IN": {"stand_in": {"data": "cifar10", "tokenizers": "edges_f4"}}}
    assert "edges_f4" in refusal(PRIORS | {"rows": rows, "measure": ["fid"]})
    assert stage(planned(PRIORS | {"rows": rows}), "priors.train")


def test_a_copy_under_another_file_name_is_refused(few_studies):
    """Two files would be one study, whose jobs and results have its name."""
    text = (few_studies / "study/gpt_dropout.yaml").read_text()
    (few_studies / "study/mine.yaml").write_text(text)
    (line,) = whole_plan("smoke").broken.values()
    assert "mine" in line
    assert "gpt_dropout" in line


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("edges_samples", "edges_samples.pdf"),
        ("orderings_grid", "orderings_grid.pdf"),
        ("table1_curves", "table1_curves.csv"),
        ("claims", "claims.csv"),
        ("models", "models.csv"),
        ("evaluation", "folder evaluation"),
        ("summary", "summary.json"),
    ],
)
def test_a_study_that_would_write_the_file_of_another_one_stops_itself_alone(few_studies, name, file):
    text = (few_studies / "study/gpt_dropout.yaml").read_text().replace("name: gpt_dropout", f"name: {name}")
    (few_studies / f"study/{name}.yaml").write_text(text)
    plan = whole_plan("smoke")
    assert plan.broken == {name: f"study {name}: results/ has another {file}; give the study another name"}
    assert "edges" in tables(plan)


def test_a_study_of_a_users_own_joins_the_whole_plan_unless_it_is_on_request(few_studies):
    path = few_studies / "study/mine.yaml"
    text = (few_studies / "study/gpt_dropout.yaml").read_text().replace("name: gpt_dropout", "name: mine")
    text = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("on_request"))
    path.write_text(text)
    plan = whole_plan("smoke")
    assert "mine" in tables(plan)
    assert "mine" in {job.variant for job in drawn(plan)}
    path.write_text(f"{text}on_request: true\n")
    plan = whole_plan("smoke")
    assert "mine" not in tables(plan)
    assert "mine" in stage(plan, "figures.study")


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", STUDIES)
def test_every_study_has_its_table_and_panels_over_columns_that_exist(name, scale):
    plan = plan_of(name, scale)
    study = parsed(plan.study)
    table, (figure,) = table_of(plan), stage(plan, "figures.study").values()
    composition.parse(CollectConfig, table.config)
    drawing = composition.parse(StudyConfig, figure.config)
    assert figure.inputs == {"table": table.out}
    keys = columns(study)
    assert drawing.keys == keys == list(table.config["points"][0]["values"])
    for panel in drawing.panels:
        assert panel.x in ("", "row", "step", *keys, *study.measure)
        assert panel.kind in ("pictures", "orders") or panel.y in study.measure
    for point in range(len(table.config["points"])):
        read = {name.partition(".")[2] for name in table.inputs if name.startswith(f"{point}.")}
        first = table.config["points"][point]["seed"] == study.seeds[0]
        drawn = table.config["points"][point]["values"].get("model", "conditional").endswith("conditional")
        assert drawn or read == {"agreement"}
        row = study.rows[table.config["points"][point]["row"]][plan.tree["scale"]["sources"]]
        for quantity in set(study.measure) - set(row.get("without", ())) if drawn else ():
            role = quantity if QUANTITIES[quantity].measure else QUANTITIES[quantity].role
            assert (
                role in read
                or "agreement" in read
                or (not first and QUANTITIES[quantity].role in ("sampling", "samples"))
            )


def test_a_prior_of_a_window_trains_on_windows_and_draws_whole_images():
    row = {"data": "cifar10", "tokenizers": "vqgan_f2", "window": 8, "tune_on": "cifar10"}
    study = PRIORS | {"rows": {"f2": {"stand_in": row}}, "vary": {"priors.condition": [None, "coordinates"]}}
    plan = planned(study | {"measure": ["nll", "fid"]})
    runs = stage(plan, "priors.train")
    free, given = (runs[f"cifar10.vqgan_f2.windows_8{of}.gpt.row_major.seed0"] for of in
                   ("", ".given_coordinates_f2.windows_8"))  # fmt: skip
    assert free.inputs["latents"] == given.inputs["latents"] == "artifacts/smoke/latents/cifar10.vqgan_f2.windows_8"
    # Coordinates are those of the window on the whole image.
    of_window = plan.jobs[given.inputs["condition"]]
    assert (of_window.verb, of_window.inputs["latents"]) == ("crop", "artifacts/smoke/latents/cifar10.coordinates_f2")
    assert of_window.config == plan.jobs[free.inputs["latents"]].config
    # One sweep, of windows without a condition, so that nothing but the condition differs.
    (tune,) = stage(plan, "priors.tune").values()
    assert tune.inputs == {"latents": free.inputs["latents"]}
    drawings = stage(plan, "sampling.generate")
    assert {tuple(job.config["canvas"]) for job in drawings.values()} == {(16, 16)}
    conditions = [plan.jobs[job.inputs["condition"]].variant for job in drawings.values() if "condition" in job.inputs]
    assert conditions == ["cifar10.coordinates_f2"]


def test_a_window_that_holds_the_whole_grid_changes_no_job():
    wide = IN | {"stand_in": IN["stand_in"] | {"window": 8}}
    study = PRIORS | {"measure": ["nll", "fid"]}
    jobs, plain = (planned(study | {"rows": {"IN": row}}).jobs for row in (wide, IN))
    assert jobs == plain


def test_f_sweep_with_coordinates_shares_the_windows_of_f_sweep():
    study = composition.trees()(("scale=laptop", "study=f_sweep_coordinates"))["study"]
    for row in study["rows"].values():
        if row["stand_in"]:
            palette = row["paper"]["tokenizers"]  # Fashion-MNIST's own are its grey levels
            row["stand_in"] |= {"data": "cifar10", "tune_on": "cifar10", "tokenizers": palette}
    plan, swept = planned(study | {"name": "mine"}, "laptop"), plan_of("f_sweep", "laptop")
    windows = stage(plan, "latents.crop")
    for name in ("cifar10.vqgan_f2.windows_8", "cifar10.kmeans_f1.windows_8"):
        assert windows[name] == stage(swept, "latents.crop")[name]
