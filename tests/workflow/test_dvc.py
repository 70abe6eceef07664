"""Results that travel: pull without retraining, remotes, and what is broken, killed or missing."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import asyncssh
import pytest
import yaml

from twostage.figures.summary import HEADLINES

from .conftest import GROUP, rules_of, variants_of

COLOUR = ("conf/figures/default.yaml", "#0072B2", "#009E73")
OF_TABLE1 = ("weights", "tokenizers", "latents", "priors", "evaluation", "figures")
# Rules that sum up or copy measured numbers: nothing runs them where only a drawing has changed.
SUMMED_UP = {"figures_summary", "results_summary", "results_evaluation"}


# Neither git nor DVC keeps results/index.html, which takes seconds.
THE_PAGE = {"all", "results_index"}


def beside_drawings(plan):
    """Rules in a plan or an output but for those that draw and that copy what was drawn."""
    rules = rules_of(plan) - {"all", "reproduce"}
    return {rule for rule in rules if rule in SUMMED_UP or not rule.startswith(("figures_", "results_"))}


@pytest.fixture
def temporary_folder(neighbours):
    """Makes folders that go when the test ends: a clone with all artifacts takes 1.5 GB."""
    made = []

    def make():
        made.append(Path(tempfile.mkdtemp(prefix="clone", dir=neighbours)))
        return made[-1]

    yield make
    for folder in made:
        shutil.rmtree(folder)


@pytest.fixture
def empty_clone(made, temporary_folder):
    """`git clone` of what was reproduced: results and dvc.lock, no artifacts."""
    return made.clone(temporary_folder())


@pytest.fixture
def pulled(made, empty_clone):
    """A pull, and the prepared data, which DVC does not store: `snakemake data` makes these very bytes again."""
    empty_clone.ask("dvc", "pull")
    # Links, as to copy and delete half a gigabyte takes a minute; what writes data writes new files.
    data = "artifacts/smoke/data"
    shutil.copytree(made.folder / data, empty_clone.folder / data, copy_function=os.link)
    return empty_clone


@pytest.fixture
def redrawable(empty_clone):
    """A partial pull: metrics, curves and what Snakemake knows of them; no data, no models."""
    empty_clone.ask("dvc", "pull", ".snakemake/metadata", "artifacts/smoke/evaluation", "artifacts/smoke/figures")
    return empty_clone


def cpu_seconds(clone, *command):
    """CPU time, which other workers do not move."""
    start = os.times()
    output = clone.ask(*command)
    end = os.times()
    return end.children_user + end.children_system - start.children_user - start.children_system, output


# ---- One clone


@GROUP
def test_a_second_repro_says_up_to_date_within_ten_seconds(reproduced):
    taken, output = cpu_seconds(reproduced, "dvc", "repro")
    assert "up to date" in output
    plain, _ = cpu_seconds(reproduced, "snakemake", "-n")
    assert taken - plain < 10


@GROUP
def test_metrics_plots_and_their_differences_are_the_projects_own(reproduced):
    shown = json.loads(reproduced.ask("dvc", "metrics", "show", "--json"))
    headlines = shown[""]["data"]["results/metrics.json"]["data"]
    with open(reproduced.folder / "results/table1.csv") as file:
        rows = {row["row"]: row for row in csv.DictReader(file)}
    assert set(json.loads((reproduced.folder / "results/summary.json").read_text())["table1_nll"]) == set(rows)
    assert headlines["pixelsnail_nll"] == pytest.approx(float(rows["IN"]["pixelsnail"]), rel=1e-4)
    # What a person sees: a row that fits a screen, each number of HEADLINES in it.
    assert set(headlines) == set(HEADLINES)
    assert max(map(len, reproduced.ask("dvc", "metrics", "show").splitlines())) < 200
    reproduced.ask("dvc", "plots", "show", "--out", "build/plots")
    page = (reproduced.folder / "build/plots/index.html").read_text()
    assert page.count("vega-lite") >= 5
    assert "D-RIN" in page
    assert "spiral_out" in page
    # DVC draws an empty cell as a point at 0.
    for plot in yaml.safe_load((reproduced.folder / "dvc.yaml").read_text())["plots"]:
        ((file, column),) = next(iter(plot.values()))["y"].items()
        with open(reproduced.folder / file) as lines:
            assert all(line[column] for line in csv.DictReader(lines)), (file, column)
    assert json.loads(reproduced.ask("dvc", "metrics", "diff", "--json")) == {}


@GROUP
def test_every_result_has_a_record_of_what_made_it(reproduced):
    commit = reproduced.ask("git", "rev-list", "--max-parents=0", "HEAD").strip()
    jobs = {"table1": "figures.table1", "tokenizers": "figures.tokenizers", "orderings": "figures.study"}
    for result, verb in jobs.items():
        record = json.loads((reproduced.folder / f"results/{result}.provenance.json").read_text())
        assert record["job"] == f"{verb} {result}"
        total, behind = record["total"], record["rests_on"]
        assert total["scale"] == ["smoke"]
        assert total["commit"] == [commit]
        assert total["uncommitted_changes"] is False
        assert len(total["lock_sha256"][0]) == len(total["config_sha256"]) == 64
        assert behind["data.prepare cifar10"]["files_sha256"]["train_image.npy"]
        assert behind["weights.convert alexnet"]["files_sha256"]["model.safetensors"]
        assert set(total["versions"]) >= {"torch", "snakemake"}
        assert total["device"][0]
        assert total["threads"] == [1]
        assert total["cpu_seconds"] > total["num_jobs"] == len(behind) + 1
        assert 100 < total["peak_memory_mb"] < 6000


@GROUP
def test_verify_redraws_what_is_committed_and_names_what_moved(reproduced):
    result = reproduced.run("python", "-m", "twostage", "verify")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "table1.csv: equal" in result.stdout
    assert "reconstructions.png: equal" in result.stdout
    assert " 0 moved" in result.stdout
    folder = reproduced.folder / "artifacts/smoke/evaluation/table1.IN"
    before = {name: (folder / name).read_text() for name in ("metrics.json", "provenance.json")}
    metrics = json.loads(before["metrics.json"])
    metrics["nll_nats_per_token"]["pixelsnail"]["mean"] += 0.3
    (folder / "metrics.json").write_text(json.dumps(metrics))
    # With its record the changed file would count as damaged.
    (folder / "provenance.json").unlink()
    try:
        result = reproduced.run("python", "-m", "twostage", "verify")
    finally:
        for name, content in before.items():
            (folder / name).write_text(content)
    assert result.returncode == 1
    assert "table1.IN nll_nats_per_token.pixelsnail.mean" in result.stdout
    assert " 1 moved" in result.stdout


# ---- Another clone


def test_after_a_pull_nothing_is_to_be_done(pulled):
    assert "Nothing to be done" in pulled.dry_run("results/table1.csv")
    assert rules_of(pulled.dry_run("all")) <= THE_PAGE
    assert "up to date" in pulled.ask("dvc", "status")
    assert pulled.ask("git", "status", "--porcelain") == ""


def test_prepared_data_are_not_stored_and_are_made_again_as_they_were(empty_clone, made):
    empty_clone.ask("dvc", "pull")
    assert not (empty_clone.folder / "artifacts/smoke/data").exists()
    plan = empty_clone.run("snakemake", "-n", "all")
    assert rules_of(plan.stdout + plan.stderr) <= THE_PAGE
    assert "snakemake --cores all data" in plan.stderr
    assert {"data_prepare"} <= rules_of(empty_clone.dry_run("data")) <= {"data_prepare", "data_annotate", "data"}
    # One of them, made for real.
    name = "artifacts/smoke/data/cifar10_animals/validation_image.npy"
    empty_clone.ask("snakemake", "--cores", "2", name)
    assert (empty_clone.folder / name).read_bytes() == (made.folder / name).read_bytes()
    assert rules_of(empty_clone.dry_run("all")) <= THE_PAGE


def test_table1_alone_is_stored_and_pulled(made, temporary_folder):
    """What a person has who made Table 1 and nothing else."""
    alone = made.clone(temporary_folder())
    alone.ask("git", "rm", "--quiet", "dvc.lock")
    for folder in (".snakemake/metadata", *(f"artifacts/smoke/{stage}" for stage in OF_TABLE1)):
        shutil.copytree(made.folder / folder, alone.folder / folder)
    alone.ask("snakemake", "--cores", "2", "results/table1.csv", "--forcerun", "results_table1")
    alone.ask("dvc", "commit", "--force")
    alone.ask("dvc", "push")
    alone.commit("Table 1 alone")
    other = alone.clone(temporary_folder())
    other.ask("dvc", "pull")
    assert "Nothing to be done" in other.dry_run("results/table1.csv")
    assert other.ask("git", "status", "--porcelain") == ""


def test_results_of_another_scale_leave_the_committed_ones_alone(made, temporary_folder):
    clone = made.clone(temporary_folder())
    clone.edit("params.yaml", "committed: smoke", "committed: laptop")
    clone.commit("Git keeps the results of scale laptop")
    clone.ask("dvc", "pull", ".snakemake/metadata", "artifacts/smoke/evaluation", "artifacts/smoke/figures")
    before = (clone.folder / "results/table1.csv").read_bytes()
    said = clone.log_of("snakemake", "--cores", "2", "results/table1.csv")
    assert (clone.folder / "results/smoke/table1.csv").read_bytes() == before
    assert (clone.folder / "results/smoke/figures/table1_curves.png").exists()
    assert "results/smoke/" in said
    assert clone.ask("git", "status", "--porcelain") == ""
    assert "Nothing to be done" in clone.dry_run("results/table1.csv")


def test_the_log_of_a_failed_job_is_named_last(made, temporary_folder):
    clone = made.clone(temporary_folder())
    clone.edit("src/twostage/figures/table1.py", "numbers = pd.DataFrame(", "numbers = 1 / 0 and pd.DataFrame(")
    clone.ask("dvc", "pull", ".snakemake/metadata", "artifacts/smoke/evaluation", "artifacts/smoke/figures")
    result = clone.snakemake("results/table1.csv")
    assert result.returncode != 0
    last = result.stderr.strip().splitlines()[-1]
    assert last == "error: figures_table1 table1 failed; its log: artifacts/smoke/figures/table1/log.txt"


def test_after_a_pull_a_changed_prior_does_not_retrain_the_tokenizers(pulled):
    pulled.edit("conf/priors/gpt.yaml", "weight_decay: 0.01", "weight_decay: 0.02")
    plan = pulled.dry_run("all")
    assert "priors_train" in rules_of(plan)
    assert not {"tokenizers_train", "latents_encode", "data_prepare", "weights_convert"} & rules_of(plan)
    assert not any(".pixelsnail." in variant for variant in variants_of(plan))


def test_after_a_partial_pull_figures_are_redrawn_and_nothing_is_trained(redrawable):
    assert rules_of(redrawable.dry_run("all")) <= THE_PAGE
    before = (redrawable.folder / "results/figures/table1_curves.png").read_bytes()
    table = (redrawable.folder / "results/table1.csv").read_bytes()
    redrawable.edit(*COLOUR)
    assert beside_drawings(redrawable.dry_run("all")) == set()
    result = redrawable.snakemake("results/figures/table1_curves.png")
    assert result.returncode == 0, result.stderr[-3000:]
    assert (redrawable.folder / "results/figures/table1_curves.png").read_bytes() != before
    assert (redrawable.folder / "results/table1.csv").read_bytes() == table
    # A run makes the stages' folders, which DVC stores, and nothing in them.
    assert not list(redrawable.folder.glob("artifacts/smoke/tokenizers/*"))


def test_an_experiment_reruns_what_its_parameter_touches_and_shows_both(pulled):
    output = pulled.log_of("dvc", "exp", "run", "-S", "conf/scale/smoke.yaml:evaluation.reconstruction_images=60")
    assert "evaluation_reconstruct" in rules_of(output)
    measured_again = {"evaluation_reconstruct", "evaluation_collect", "evaluation_f_sweep"}
    assert beside_drawings(output) <= measured_again | SUMMED_UP
    changed = json.loads(pulled.ask("dvc", "metrics", "diff", "--json"))
    names = changed["results/metrics.json"]
    assert names
    assert set(names) <= {"lpips_vgg", "f8_speedup"}
    shown = pulled.ask("dvc", "exp", "show", "--csv", "--only-changed")
    assert len(shown.splitlines()) >= 3
    assert "lpips_vgg" in shown.splitlines()[0]


# ---- A real SSH server


@pytest.fixture
def ssh_port(tmp_path):
    """The port of an SSH server that takes the key tmp_path/user."""
    for name in ("host", "user"):
        key = asyncssh.generate_private_key("ssh-ed25519")
        key.write_private_key(tmp_path / name)
        key.write_public_key(tmp_path / f"{name}.pub")
    server = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("ssh_server.py")), tmp_path / "host", tmp_path / "user.pub"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    yield int(server.stdout.readline())
    server.kill()
    server.wait()


def test_results_travel_over_ssh(pulled, ssh_port, tmp_path, temporary_folder):
    def add_remote(clone):
        clone.ask(
            "dvc", "remote", "add", "--local", "--default", "lab", f"ssh://127.0.0.1:{ssh_port}{tmp_path}/storage"
        )
        for key, value in (("user", "tester"), ("keyfile", str(tmp_path / "user"))):
            clone.ask("dvc", "remote", "modify", "--local", "lab", key, value)

    add_remote(pulled)
    pulled.ask("dvc", "push", "artifacts/smoke/evaluation", ".snakemake/metadata")
    other = pulled.clone(temporary_folder())
    add_remote(other)
    other.ask("dvc", "pull", "artifacts/smoke/evaluation", ".snakemake/metadata")
    name = "artifacts/smoke/evaluation/table1.IN/metrics.json"
    assert (other.folder / name).read_bytes() == (pulled.folder / name).read_bytes()


# ---- Broken, killed, missing


def test_a_missing_remote_is_named_and_nothing_is_lost(empty_clone):
    nowhere = empty_clone.folder / "nowhere"
    empty_clone.ask("dvc", "remote", "modify", "--local", "storage", "url", str(nowhere))
    before = (empty_clone.folder / "results/table1.csv").read_bytes()
    result = empty_clone.run("dvc", "pull")
    assert result.returncode != 0
    assert "artifacts/smoke" in result.stderr
    assert (empty_clone.folder / "results/table1.csv").read_bytes() == before
    empty_clone.ask("dvc", "remote", "modify", "--local", "--unset", "storage", "url")
    empty_clone.ask("dvc", "pull", "artifacts/smoke/evaluation")


def test_a_corrupted_cache_object_is_found_named_and_fetched_again(pulled):
    name = "artifacts/smoke/evaluation/table1.IN/metrics.json"
    content = (pulled.folder / name).read_bytes()
    digest = pulled.run("md5sum", name).stdout.split()[0]
    cached = pulled.folder / ".dvc/cache/files/md5" / digest[:2] / digest[2:]
    cached.chmod(0o644)
    cached.write_bytes(b"corrupt")
    (pulled.folder / name).unlink()
    pulled.ask("dvc", "checkout")
    result = pulled.run("python", "-m", "twostage", "verify")
    assert result.returncode == 1
    assert f"{name}: DAMAGED" in result.stdout
    assert "Traceback" not in result.stderr
    assert "not in cache" in pulled.ask("dvc", "status")
    (pulled.folder / name).unlink()
    pulled.ask("dvc", "pull")
    assert (pulled.folder / name).read_bytes() == content
    assert cached.read_bytes() == content


def test_a_killed_repro_is_taken_up_where_it_stood(pulled):
    # Of all tokenizers, least rests on this one.
    pulled.edit("conf/tokenizers/vqvae_f4.yaml", "name: vqvae_f4", "name: vqvae_f4\nwarmup_steps: 7")
    run = pulled.start("dvc", "repro")
    scratch = pulled.folder / "build/scratch"
    wait_for(lambda: list(scratch.rglob("checkpoint.pt")))
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    untouched = pulled.folder / "artifacts/smoke/tokenizers/cifar10.vqgan_f4/model.safetensors"
    time_of_untouched = untouched.stat().st_mtime_ns
    assert list((pulled.folder / ".snakemake/locks").iterdir()), "the kill left no lock: nothing is tested"
    looked = pulled.run("snakemake", "-n")
    assert looked.returncode == 0
    assert "cannot be locked" not in looked.stdout + looked.stderr
    output = pulled.log_of("dvc", "repro")
    assert "cifar10.vqvae_f4" in variants_of(output)
    assert re.search(r"vqvae_f4: resumed at step [1-9]", output)
    assert untouched.stat().st_mtime_ns == time_of_untouched
    assert "up to date" in pulled.ask("dvc", "status")


def wait_for(condition, limit=120.0):
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < limit, "nothing happened"
        time.sleep(0.05)


def test_two_runs_at_once_in_one_clone_are_refused_by_name(pulled):
    pulled.edit("conf/tokenizers/edges_f4.yaml", "warmup_steps:", "warmup_steps: 8  #")
    run = pulled.start("dvc", "repro")
    try:
        wait_for(lambda: any((pulled.folder / ".snakemake/locks").glob("*.lock")))
        second = pulled.run("dvc", "repro")
        assert second.returncode != 0
        assert "busy" in second.stderr
        assert str(run.pid) in second.stderr
        third = pulled.run("snakemake", "--cores", "1")
        assert third.returncode != 0
        assert re.search(r"error: snakemake \(process \d+\) is at work in this clone", third.stderr)
        for look in (
            ["-np"],
            ["--summary"],
            ["--list"],
            ["--dag"],
            ["--rulegraph"],
            ["--dry-run", "results/table1.csv"],
        ):
            # The run may pull a file away between two of Snakemake's own looks at it; then it is asked again.
            looked = (pulled.run("snakemake", *look) for _ in range(4))
            assert any(each.returncode == 0 and "is at work" not in each.stderr for each in looked), look
    finally:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()


def test_without_metadata_everything_is_made_again(pulled):
    shutil.rmtree(pulled.folder / ".snakemake/metadata")
    plan = rules_of(pulled.dry_run("all"))
    assert {"data_prepare", "weights_convert", "tokenizers_train", "priors_train", "figures_table1"} <= plan


def test_a_damaged_record_makes_its_job_again(pulled):
    records = [path for path in (pulled.folder / ".snakemake/metadata").rglob("*") if path.is_file()]
    of_edges = [path for path in records if "edges_f4/curve.csv" in path.read_text() or is_output(path)]
    assert of_edges
    for path in of_edges:
        path.write_text(path.read_text()[:-20])
    plan = pulled.dry_run("artifacts/smoke/tokenizers/cifar10_animals.edges_f4/model.safetensors")
    assert "cifar10_animals.edges_f4" in variants_of(plan)


def is_output(path):
    return "tokenizers.train" in path.read_text() and "cifar10_animals.edges_f4" in path.read_text()
