import subprocess

import pytest

from twostage import provenance
from twostage.artifacts import read_json, sha256_file
from twostage.plan import Job


@pytest.fixture
def job(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/metrics.json").write_text("{}")
    (tmp_path / "requirements.lock").write_text("torch==2.14.1\n")
    return Job("priors", "train", "v", "smoke", {"a": 1}, {}, str(tmp_path / "out"), ["metrics.json", "absent.csv"])


def git(*arguments):
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", *identity, *arguments], check=True, capture_output=True)


def test_a_record_holds_checksums_versions_machine_and_cost(job, tmp_path):
    provenance.write_record(job)
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
    provenance.write_record(job)
    record = read_json(tmp_path / "out/provenance.json")
    assert record["commit"] is None
    assert record["uncommitted_changes"] is None


def test_the_commit_and_uncommitted_changes_of_sources_are_seen(job, tmp_path):
    git("init", "-q")
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/config.yaml").write_text("a: 1\n")
    git("add", "conf", "requirements.lock")
    git("commit", "-qm", "first")
    provenance.write_record(job)
    record = read_json(tmp_path / "out/provenance.json")
    assert len(record["commit"]) == 40
    # The job's own output is untracked too, but no source.
    assert record["uncommitted_changes"] is False
    (tmp_path / "conf/config.yaml").write_text("a: 2\n")
    provenance.write_record(job)
    assert read_json(tmp_path / "out/provenance.json")["uncommitted_changes"] is True
