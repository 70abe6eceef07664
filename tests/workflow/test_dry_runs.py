"""What the workflow would do, without doing it."""

import os
import platform
import re
import shutil
import subprocess

import psutil
import pytest

from tests.unit.conftest import SCALES, with_upstream
from twostage.planning.whole import whole_plan


@pytest.fixture(scope="module")
def clone(new_clone):
    return new_clone()


def rules_and_variants(plan):
    """Rule and variant of every job in what Snakemake would do."""
    # Of one job each: rules of results have no variant. A verb has several rules where its jobs' files differ.
    found = re.findall(r"^(?:local)?rule (\w+):\n(?:    .*\n)*?    wildcards: variant=([^\s,]+)", plan, re.M)
    return {(re.sub(r"_\d+$", "", rule), variant) for rule, variant in found}


@pytest.mark.parametrize("scale", SCALES)
def test_snakemake_would_run_the_whole_plan_with_its_tables(clone, scale):
    jobs = whole_plan(scale).jobs
    figures = [job for job in jobs.values() if job.stage == "figures"]
    # Of every figure its first table, or the summary.
    tables = [next(file for file in job.files if file.endswith((".csv", ".json"))) for job in figures]
    plan = clone.dry_run(*(f"results/{table}" for table in tables), scale=scale)
    needed = with_upstream(jobs, [job.out for job in figures])
    expected = {(f"{job.stage}_{job.verb}", job.variant) for job in needed}
    assert expected <= rules_and_variants(plan)
    for table in tables:
        assert re.search(rf"^ +output: .*results/(\w+/)?{table}", plan, re.M), table


def test_a_new_file_is_a_task_with_a_table(clone):
    folder = clone.folder / "conf/study"
    text = (folder / "edges_sundae.yaml").read_text()
    (folder / "mine.yaml").write_text(text.replace("name: edges_sundae", "name: mine", 1))
    try:
        plan = clone.dry_run("results/mine.csv")
        assert "results/mine.csv" in clone.dry_run("figures")
    finally:
        (folder / "mine.yaml").unlink()
    for rule in ("evaluation_collect", "figures_study", "results_mine"):
        assert plan.count(f"rule {rule}:") == 1, rule
    # With its condition and without it.
    assert plan.count("rule sampling_denoise:") == 2


def test_a_new_file_is_a_study_with_a_table(clone):
    folder = clone.folder / "conf/study"
    lines = (folder / "gpt_dropout.yaml").read_text().replace("name: gpt_dropout", "name: mine", 1).splitlines()
    (folder / "mine.yaml").write_text("\n".join(line for line in lines if not line.startswith("on_request:")))
    try:
        plan = clone.dry_run("results/mine.csv")
        assert "results/mine.csv" in clone.dry_run("figures")
    finally:
        (folder / "mine.yaml").unlink()
    assert {("evaluation_collect", "mine"), ("figures_study", "mine")} <= rules_and_variants(plan)
    assert "rule results_mine:" in plan


def test_a_study_outside_of_the_clone_has_a_table_and_is_no_part_of_all(clone, tmp_path):
    text = (clone.folder / "conf/study/gpt_dropout.yaml").read_text().replace("name: gpt_dropout", "name: mine", 1)
    (tmp_path / "mine.yaml").write_text(text)
    named = ("--config", "scale=smoke", f"study={tmp_path}/mine.yaml", "--")
    plan = clone.ask("snakemake", "-n", *named, "results/mine.csv")
    assert {("evaluation_collect", "mine"), ("figures_study", "mine")} <= rules_and_variants(plan)
    assert "results/mine.csv" not in clone.ask("snakemake", "-n", *named, "figures")
    (tmp_path / "mine.yaml").write_text(text.replace("measure:", "mesure:"))
    result = clone.run("snakemake", "-n", *named, "results/table1.csv")
    assert result.returncode == 1
    assert result.stderr.strip().splitlines()[-1].startswith("error: study mine: ")
    assert "mesure" in result.stderr


def test_one_factor_more_runs_its_own_jobs_and_the_figure(clone):
    with_all, without = (jobs_of_the_sweep(clone, names) for names in ("vqgan_f4, vqgan_f8]", "vqgan_f4]"))
    assert without < with_all
    added = {variant for _, variant in with_all - without}
    assert all("vqgan_f8" in variant for variant in added)
    assert {"tokenizers_train", "latents_encode", "priors_train", "sampling_generate", "evaluation_samples"} <= {
        rule for rule, _ in with_all - without
    }


def jobs_of_the_sweep(clone, names):
    """Rule and variant of every job of the sweep over these factors."""
    clone.edit("conf/study/f_sweep.yaml", "vqgan_f4, vqgan_f8], tune_on", f"{names}, tune_on")
    try:
        plan = clone.dry_run("results/f_sweep.csv")
    finally:
        clone.edit("conf/study/f_sweep.yaml", f"{names}, tune_on", "vqgan_f4, vqgan_f8], tune_on")
    return rules_and_variants(plan)


def test_an_unknown_ordering_in_the_study_is_one_line(clone):
    clone.edit("conf/study/orderings.yaml", "spiral_in]", "spiral_up]")
    try:
        result = clone.snakemake("-n", "results/orderings.csv")
    finally:
        clone.edit("conf/study/orderings.yaml", "spiral_up]", "spiral_in]")
    assert result.returncode != 0
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("error: study orderings, row IN: ")
    assert "spiral_up" in last


def test_a_broken_study_stops_itself_alone(clone):
    clone.edit("conf/study/orderings.yaml", "spiral_in]", "spiral_up]")
    try:
        look = ("snakemake", "-n", "--config", "scale=smoke", "--")
        others = clone.run(*look, "results/table1.csv")
        everything = [clone.run(*look, target) for target in ("all", "figures", "results/metrics.json")]
        whole_path = clone.run(*look, f"{clone.folder}/results/orderings.csv")
        looks = [clone.run("snakemake", "--config", "scale=smoke", *words) for words in (("--unlock",), ("--summary",))]
        data = clone.run(*look, "data")
    finally:
        clone.edit("conf/study/orderings.yaml", "spiral_up]", "spiral_in]")
    assert others.returncode == 0, others.stderr
    assert "rule evaluation_compare:" in others.stdout
    # A look at one study is about no other one.
    assert "orderings" not in others.stderr
    assert "warning: left out of the plan: study orderings, row IN: " in data.stderr
    for result in (*looks, data):
        assert result.returncode == 0, result.stderr
    for result in (*everything, whole_path):
        assert result.returncode != 0
        assert result.stderr.strip().splitlines()[-1].startswith("error: study orderings, row IN: ")


def test_an_unknown_scale_is_one_line(clone):
    result = clone.snakemake("results/table1.csv", scale="huge")
    assert result.returncode != 0
    assert result.stderr.strip().splitlines()[-1].startswith("error: ")
    assert "scale/huge" in result.stderr
    assert "laptop" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_paper_scale_names_the_data_that_a_user_must_bring(clone):
    result = clone.run("python", "-m", "twostage", "data.prepare", "scale=paper", "data=restricted_imagenet")
    assert result.returncode == 1
    assert "datasets/restricted_imagenet" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_lint_is_clean(clone):
    result = clone.run("snakemake", "--lint")
    assert result.returncode == 0, result.stdout + result.stderr


def test_a_mistyped_key_on_snakemakes_command_line_is_one_line(clone):
    result = clone.run("snakemake", "-n", "--config", "scael=smoke", "--", "results/table1.csv")
    assert result.returncode != 0
    last = result.stderr.strip().splitlines()[-1]
    assert last == "error: --config scael is unknown; the keys are scale, study, tracker and committed"


def seconds_since_boot(pid):
    return round(psutil.Process(pid).create_time() - psutil.boot_time())


@pytest.fixture
def lock(clone):
    """A lock of Snakemake's, and a function that names who may hold it."""
    path, holders = clone.folder / ".snakemake/locks/0.input.lock", clone.folder / ".snakemake/holders"
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(holders, ignore_errors=True)
    holders.mkdir(parents=True)
    path.write_text("results/table1.csv\n")
    yield path, lambda host, pid, start: (holders / f"{host}.{pid}.{start}").touch()
    path.unlink(missing_ok=True)
    shutil.rmtree(holders)


def test_the_lock_of_a_killed_run_goes_even_if_its_number_lives_again(clone, lock):
    path, held_by = lock
    held_by(platform.node(), os.getpid(), seconds_since_boot(os.getpid()) - 100)
    clone.dry_run("results/table1.csv")
    assert not path.exists()


def test_the_lock_goes_even_if_nobody_has_taken_note_of_the_end_of_its_run(clone, lock):
    path, held_by = lock
    # Killed, and kept in the table of processes until its parent asks for its status.
    killed = subprocess.Popen(["sleep", "60"])
    held_by(platform.node(), killed.pid, seconds_since_boot(killed.pid))
    killed.kill()
    try:
        clone.dry_run("results/table1.csv")
        assert not path.exists()
    finally:
        killed.wait()


def test_the_lock_of_a_living_run_stays_and_another_run_is_refused_in_one_line(clone, lock):
    path, held_by = lock
    held_by(platform.node(), os.getpid(), seconds_since_boot(os.getpid()))
    # One that had come too late, and is gone.
    held_by(platform.node(), 2**22 - 1, 1)
    result = clone.snakemake("results/table1.csv")
    assert result.stderr.strip().splitlines()[-1] == (
        f"error: snakemake (process {os.getpid()}) is at work in this clone; wait for it, or stop it"
    )
    assert "evaluation_compare" in clone.run("snakemake", "-n", "--config", "scale=smoke").stdout
    assert path.exists()


@pytest.mark.parametrize("host", ["another.example.org", None])
def test_a_lock_of_another_host_or_of_nobody_known_stays_until_unlocked(clone, lock, host):
    path, held_by = lock
    if host:
        held_by(host, 7, 7)
        held_by(platform.node(), 2**22 - 1, 1)
    clone.run("snakemake", "-n", "--config", "scale=smoke", "--", "results/table1.csv")
    assert path.exists()
    clone.ask("snakemake", "--unlock")
    assert not path.exists()
    assert not list((clone.folder / ".snakemake/holders").iterdir())
