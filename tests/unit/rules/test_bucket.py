"""artifacts/ under a default storage; tests/storage asks a real one."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from twostage.errors import TwostageError
from twostage.planning.whole import whole_plan
from twostage.rules.bucket import is_used, link_artifacts, maps_of

ARTIFACTS = Path("artifacts")


class Provider:
    """Names local copies as Snakemake's storage plugins do: by what is asked for, without its protocol."""

    def object(self, query):
        return SimpleNamespace(local_path=lambda: f".snakemake/storage/s3/{query.removeprefix('s3://')}")


PROVIDER = Provider()


def run(prefix="s3://lab/twostage", provider=PROVIDER):
    return SimpleNamespace(
        storage_registry=SimpleNamespace(default_storage_provider=provider),
        storage_settings=SimpleNamespace(default_storage_prefix=prefix),
    )


@pytest.fixture(autouse=True)
def clone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("prefix", ["s3://lab/twostage", "s3://lab/twostage/", "s3://lab"])
def test_what_a_job_writes_lies_where_the_storage_takes_it_from(prefix):
    for _ in range(2):
        link_artifacts(run(prefix))
        (ARTIFACTS / "smoke").mkdir(exist_ok=True)
        (ARTIFACTS / "smoke/x").touch()
    bucket = prefix.removeprefix("s3://").rstrip("/")
    assert Path(f".snakemake/storage/s3/{bucket}/artifacts/smoke/x").is_file()


def test_another_bucket_is_linked_anew():
    link_artifacts(run("s3://one"))
    (ARTIFACTS / "x").touch()
    link_artifacts(run("s3://two"))
    assert not (ARTIFACTS / "x").exists()
    assert Path(".snakemake/storage/s3/one/artifacts/x").exists()


def test_a_link_that_is_right_is_left_alone():
    link_artifacts(run())
    before = ARTIFACTS.lstat()
    link_artifacts(run())
    assert ARTIFACTS.lstat() == before


def test_a_run_without_a_storage_does_not_write_through_the_link():
    link_artifacts(run())
    with pytest.raises(TwostageError, match="artifacts/ is a link of a run with a storage; name that storage again"):
        link_artifacts(run(provider=None))


def test_without_a_storage_nothing_is_linked():
    assert not is_used(run(provider=None))
    link_artifacts(run(provider=None))
    assert not ARTIFACTS.exists()


def test_empty_folders_make_way_and_files_do_not():
    (ARTIFACTS / "smoke/priors").mkdir(parents=True)
    link_artifacts(run())
    assert ARTIFACTS.is_symlink()
    ARTIFACTS.unlink()
    (ARTIFACTS / "smoke").mkdir(parents=True)
    (ARTIFACTS / "smoke/x").touch()
    with pytest.raises(TwostageError, match="artifacts/ holds files of runs without a storage; start in a fresh clone"):
        link_artifacts(run())
    assert (ARTIFACTS / "smoke/x").is_file()


@pytest.mark.usefixtures("repository_conf")
def test_maps_are_named_where_a_storage_must_keep_them():
    jobs = whole_plan("smoke").jobs
    found = {job.variant: maps_of(job) for job in jobs.values() if maps_of(job)}
    assert found["cifar10_animals"] == ["train_edges.npy", "tune_edges.npy", "validation_edges.npy"]
    assert "train_low_resolution.npy" in found["cifar10.low_resolution_x4"]
    assert "cifar10" not in found
    assert all(jobs[f"artifacts/smoke/data/{variant}"].stage == "data" for variant in found)
