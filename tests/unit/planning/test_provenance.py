import subprocess
from dataclasses import replace

import pytest

from twostage.planning import provenance
from twostage.runtime.artifacts import read_json, sha256_file, write_json
from twostage.runtime.job import Job


@pytest.fixture
def job(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/metrics.json").write_text("{}")
    (tmp_path / "requirements.lock").write_text("torch==2.14.1\n")
    return Job("priors", "train", "v", "smoke", {"a": 1}, {}, str(tmp_path / "out"), ["metrics.json"])


def write(job):
    provenance.write_record(job, provenance.origin(job))


def git(*arguments):
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", *identity, *arguments], check=True, capture_output=True)


def test_a_record_holds_checksums_versions_machine_and_cost(job, tmp_path):
    write(job)
    record = read_json(tmp_path / "out/provenance.json")
    assert record["job"] == "priors.train v"
    assert record["files_sha256"] == {"metrics.json": sha256_file(tmp_path / "out/metrics.json")}
    assert record["lock_sha256"] == sha256_file(tmp_path / "requirements.lock")
    assert set(record["versions"]) == set(provenance.PACKAGES)
    assert record["device"]
    assert record["cpu_seconds"] > 0
    assert record["wall_seconds"] > 0
    assert record["peak_memory_mb"] > 50


def test_outside_a_clone_there_is_no_commit(job, tmp_path):
    write(job)
    record = read_json(tmp_path / "out/provenance.json")
    assert record["commit"] is None
    assert record["uncommitted_changes"] is None


def test_the_commit_and_uncommitted_changes_of_sources_are_seen(job, tmp_path):
    git("init", "-q")
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/config.yaml").write_text("a: 1\n")
    git("add", "conf", "requirements.lock")
    git("commit", "-qm", "first")
    write(job)
    record = read_json(tmp_path / "out/provenance.json")
    assert len(record["commit"]) == 40
    # The job's own output is untracked too, but no source.
    assert record["uncommitted_changes"] is False
    (tmp_path / "conf/config.yaml").write_text("a: 2\n")
    write(job)
    assert read_json(tmp_path / "out/provenance.json")["uncommitted_changes"] is True


def upstream(folder, name, **changes):
    record = {
        "job": name, "scale": "smoke", "config_sha256": name, "commit": "a", "uncommitted_changes": False,
        "lock_sha256": "l", "python": "3.11", "versions": dict.fromkeys(provenance.PACKAGES, "1"), "device": "a CPU",
        "threads": 1, "wall_seconds": 4.0, "cpu_seconds": 3.0, "peak_memory_mb": 500.0,
        "config": {}, "inputs": {}, "files_sha256": {},
    } | changes  # fmt: skip
    write_json(folder / "provenance.json", record | {"total": {}, "rests_on": changes.pop("rests_on", {})})
    return record


def test_a_record_passes_on_those_of_all_jobs_before_it(job, tmp_path):
    first = upstream(tmp_path / "data", "data.prepare d", cpu_seconds=1000.0)
    upstream(tmp_path / "latents", "latents.encode l", commit="b", peak_memory_mb=9e6, uncommitted_changes=True)
    path = tmp_path / "latents/provenance.json"
    write_json(path, read_json(path) | {"rests_on": {"data.prepare d": first}})
    inputs = {"data": str(tmp_path / "data"), "latents": str(tmp_path / "latents"), "none": str(tmp_path / "none")}
    write(replace(job, inputs=inputs))
    record = read_json(tmp_path / "out/provenance.json")
    assert list(record["rests_on"]) == ["data.prepare d", "latents.encode l"]
    assert record["total"]["num_jobs"] == 3
    assert record["total"]["cpu_seconds"] == pytest.approx(1003.0 + record["cpu_seconds"])
    assert record["total"]["peak_memory_mb"] == 9e6
    assert record["total"]["commit"] == ["a", "b", None]
    # Unknown of this job, which ran outside a clone.
    assert record["total"]["uncommitted_changes"] is None


def test_a_record_names_the_commit_that_the_job_began_at(job, tmp_path):
    git("init", "-q")
    git("commit", "-qm", "first", "--allow-empty")
    begun = provenance.origin(job)
    git("commit", "-qm", "second", "--allow-empty")
    provenance.write_record(job, begun)
    commits = subprocess.run(["git", "rev-list", "HEAD"], capture_output=True, text=True, check=True).stdout.split()
    assert read_json(tmp_path / "out/provenance.json")["commit"] == commits[1]


def test_arrays_beside_the_declared_files_are_recorded_too(job, tmp_path):
    (tmp_path / "out/train_edges.npy").write_bytes(b"edges")
    write(job)
    assert set(read_json(tmp_path / "out/provenance.json")["files_sha256"]) == {"metrics.json", "train_edges.npy"}


def test_a_record_keeps_config_inputs_and_the_rate_that_a_sweep_chose(job, tmp_path):
    upstream(tmp_path / "tune", "priors.tune t", facts={"learning_rate": 0.004})
    write_json(tmp_path / "out/metrics.json", {"learning_rate": 0.004, "seed": 1, "steps": 20, "nll": 5.0})
    write(replace(job, inputs={"tune": str(tmp_path / "tune"), "brought": "photographs"}))
    record = read_json(tmp_path / "out/provenance.json")
    assert record["config"] == {"a": 1}
    assert record["inputs"] == {"tune": "priors.tune t", "brought": "photographs"}
    assert record["facts"] == {"learning_rate": 0.004, "seed": 1, "steps": 20}
    assert record["rests_on"]["priors.tune t"]["facts"] == {"learning_rate": 0.004}
