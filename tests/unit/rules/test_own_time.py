"""What is spared of Snakemake's own time."""

import asyncio
import hashlib
import inspect
from types import SimpleNamespace

import pytest
from snakemake.io import IOCache, IOFile, _IOFile
from snakemake.scheduling.job_scheduler import JobScheduler

from twostage.rules import own_time
from twostage.runtime import checksums

THRESHOLD = 2**40


@pytest.fixture
def file(tmp_path, monkeypatch):
    """An input as Snakemake has it, while jobs run; checksums are Snakemake's own again after the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_IOFile, "checksum", _IOFile.checksum)
    monkeypatch.setattr(checksums, "TICK_SECONDS", -1)
    (tmp_path / "images.npy").write_bytes(b"images")
    asked = SimpleNamespace(iocache=IOCache(10))
    rule = SimpleNamespace(workflow=asked, pathvars=SimpleNamespace(apply=str))
    asked.iocache.deactivate()
    return IOFile("images.npy", rule=rule)


def checksum_of(file, *asked):
    return asyncio.run(file.checksum(*asked))


def test_is_snakemakes_own(file):
    own = checksum_of(file, THRESHOLD)
    own_time.look_checksums_up()
    assert checksum_of(file, THRESHOLD) == own == f"sha256:{hashlib.sha256(b'images').hexdigest()}"


def test_reads_a_file_once_until_it_changes(file, tmp_path, monkeypatch):
    own_time.look_checksums_up()
    first, read = checksum_of(file, THRESHOLD), []
    monkeypatch.setattr(checksums, "sha256_file", lambda path: read.append(path) or "new")
    assert checksum_of(file, THRESHOLD) == first
    assert read == []
    (tmp_path / "images.npy").write_bytes(b"others")
    assert checksum_of(file, THRESHOLD) == "sha256:new"


def test_leaves_other_algorithms_and_large_files_to_snakemake(file):
    own_time.look_checksums_up()
    assert checksum_of(file, THRESHOLD, True, hashlib.md5) == f"md5:{hashlib.md5(b'images').hexdigest()}"
    assert checksum_of(file, 3) is None


@pytest.mark.parametrize(("local", "limiter"), [(True, None), (False, "limits")])
def test_a_cluster_keeps_its_limit_of_jobs(local, limiter):
    workflow = SimpleNamespace(local_exec=local, scheduler=SimpleNamespace(job_rate_limiter="limits"))
    own_time.look_at_jobs_when_one_ends(workflow)
    assert workflow.scheduler.job_rate_limiter == limiter


def test_snakemakes_scheduler_still_has_what_is_taken_away():
    assert "self.job_rate_limiter is None" in inspect.getsource(JobScheduler)
