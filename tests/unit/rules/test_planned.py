"""The plan as Snakemake's rules see it."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from twostage.errors import TwostageError
from twostage.planning.verbs import VERBS, files_read
from twostage.planning.whole import Planned, plan_of
from twostage.rules.planned import PlannedRules, places
from twostage.runtime.artifacts import write_json

FOLDER = "artifacts/smoke/tokenizers/cifar10.vqgan_f4"


@pytest.fixture(scope="module")
def plan():
    found = plan_of("table1", "smoke")
    return Planned("smoke", found.jobs, found.tree, {})


@pytest.fixture
def rules(plan, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    workflow = SimpleNamespace(
        dag=SimpleNamespace(forcefiles=set()),
        persistence=SimpleNamespace(metadata=lambda file: None),
        storage_registry=SimpleNamespace(default_storage_provider=None),
    )
    return PlannedRules(plan, "results/smoke", workflow)


def test_every_planned_job_is_of_one_kind_of_its_verb(rules, plan):
    for verb in VERBS:
        variants = [name.replace("\\", "") for _, names in rules.kinds(verb) for name in names.split("|")]
        planned = [job.variant for job in plan.jobs.values() if job.name == verb]
        assert sorted(variants) == sorted(planned or ["(?!)"])


def test_a_rule_reads_config_code_and_the_part_of_its_upstream_that_the_table_of_verbs_names(rules, plan):
    asked = rules.inputs("latents.encode")(SimpleNamespace(variant="cifar10.vqgan_f4"))
    job = plan.jobs["artifacts/smoke/latents/cifar10.vqgan_f4"]
    tokenizer = plan.jobs[job.inputs["tokenizer"]]
    assert asked["config"].startswith("build/configs/latents/cifar10.vqgan_f4/")
    assert {path for path in asked["upstream"] if path.startswith(tokenizer.out)} == {
        f"{tokenizer.out}/{file}" for file in files_read(job, tokenizer)
    }
    assert f"{tokenizer.out}/curve.csv" not in asked["upstream"]


def test_under_a_storage_a_rule_names_all_that_its_job_reads_and_nothing_that_lies_beside_the_clone(rules, plan):
    rules.in_storage = True
    wildcards = SimpleNamespace(variant="cifar10_animals.edges_f4")
    read = rules.inputs("latents.encode")(wildcards)
    data, tokenizer = (plan.jobs[f"artifacts/smoke/{each}"] for each in
                       ("data/cifar10_animals", "tokenizers/cifar10_animals.edges_f4"))  # fmt: skip
    assert f"{data.out}/train_edges.npy" in read["maps"]
    assert set(read["records"]) == {f"{job.out}/provenance.json" for job in (data, tokenizer)}
    assert not any(path.startswith("build/") for paths in read.values() for path in paths)
    parameters = rules.parameters("latents.encode")
    assert parameters["config"](wildcards).startswith("build/configs/latents/cifar10_animals.edges_f4/")
    assert parameters["code"](wildcards).startswith("build/code/latents.encode/")
    # The maps are outputs, too.
    (paths,) = (paths for paths, variants in rules.kinds("data.prepare") if "cifar10_animals" in variants)
    assert "artifacts/smoke/data/{variant}/train_edges.npy" in paths
    rules.in_storage = False
    assert rules.parameters("latents.encode") == {}


def test_claims_name_their_records_where_a_storage_fetches_only_what_is_named(rules):
    tables = ["results/smoke/table1.csv"]
    assert rules.read_by_claims(tables) == tables
    rules.in_storage = True
    assert {"results/smoke/table1.provenance.json", "results/models.csv"} < set(rules.read_by_claims(tables))
    assert rules.tables_here() == []


def test_what_no_study_asks_for_is_one_line(rules):
    with pytest.raises(TwostageError, match="artifacts/smoke/latents/mine is in no study at scale smoke"):
        rules.inputs("latents.encode")(SimpleNamespace(variant="mine"))


def test_files_that_snakemake_did_not_make_are_made_again(rules, plan):
    look_up = rules.inputs("tokenizers.train")
    look_up(SimpleNamespace(variant="cifar10.vqgan_f4"))
    assert rules.workflow.dag.forcefiles == set()
    write_json(plan.jobs[FOLDER].folder / "metrics.json", {})
    look_up(SimpleNamespace(variant="cifar10.vqgan_f4"))
    assert f"{FOLDER}/model.safetensors" in rules.workflow.dag.forcefiles


def test_drawings_lie_in_a_folder_of_their_own_beside_what_they_are_drawn_from(rules, plan):
    drawn = plan.jobs["artifacts/smoke/figures/table1"]
    assert places(drawn)[:4] == ["table1.csv", "table1.md", "table1.tex", "figures/table1_curves.pdf"]
    assert "results/smoke/evaluation/table1.IN/metrics.json" in rules.evaluated(drawn)


def test_a_failed_job_is_named_with_its_log(rules, tmp_path):
    log = tmp_path / "snakemake.log"
    log.write_text(f"Error in rule tokenizers_train:\n    jobid: 3\n    log: {FOLDER}/log.txt (check log file(s))\n")
    line = f"error: tokenizers_train cifar10.vqgan_f4 failed; its log: {FOLDER}/log.txt"
    assert list(rules.failures([log])) == [line]
    (tmp_path / FOLDER).mkdir(parents=True)
    (tmp_path / FOLDER / "log.txt").write_text("".join(f"step {number}\n" for number in range(20)) + "error: NaN\n")
    assert list(rules.failures([log])) == [*(f"    step {number}" for number in range(9, 20)), "    error: NaN", line]


def test_the_folders_that_dvc_stores_are_those_of_its_file(rules, tmp_path, request):
    rules.make_the_folders_that_dvc_stores()
    outs = (request.config.rootpath / "dvc.yaml").read_text().replace("${scale}", "smoke")
    stored = [line.split("- ")[1].split(":")[0] for line in outs.splitlines() if "{persist: true}" in line]
    assert {name for name in stored if not name.startswith(".")} <= {
        str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")
    }


def test_tables_that_are_there_are_named(rules):
    assert rules.tables_here() == []
    write_json(Path("results/smoke/table1.csv"), {})
    write_json(Path("results/smoke/table1.md"), {})
    assert rules.tables_here() == ["results/smoke/table1.csv"]


def test_the_page_shows_all_that_its_tables_studies_draw_and_what_it_is_drawn_from(rules):
    shown = rules.shown(["results/smoke/table1.csv"])
    names = ("table1.md", "table1.provenance.json", "figures/table1_curves.png", "evaluation/table1.IN/metrics.json")
    assert {f"results/smoke/{name}" for name in names} <= set(shown)
    assert rules.shown([]) == []
