from twostage.artifacts import read_json, write_json
from twostage.figures.provenance import ProvenanceConfig, provenance
from twostage.plan import FILES, Job


def record(job, commit, **other):
    return {
        "job": job, "scale": "smoke", "config_sha256": job, "code_sha256": "c", "files_sha256": {"file": job + "!"},
        "commit": commit, "uncommitted_changes": False, "lock_sha256": "l", "python": "3.11",
        "versions": {"torch": "2.14.1"}, "device": "a CPU", "threads": 1, "finished": "2026-01-01T00:00:00+00:00",
        "wall_seconds": 4.0, "cpu_seconds": 3.0, "peak_memory_mb": 500.0,
    } | other  # fmt: skip


def collected(tmp_path, *records):
    for number, content in enumerate(records):
        write_json(tmp_path / str(number) / "provenance.json", content)
    inputs = {str(number): str(tmp_path / str(number)) for number in range(len(records))}
    job = Job("figures", "provenance", "table1.provenance", "smoke", {}, inputs, str(tmp_path / "out"),
              FILES["figures.provenance"])  # fmt: skip
    provenance(ProvenanceConfig(), job)
    return read_json(tmp_path / "out/collected.json")


def test_costs_are_summed_and_memory_is_the_largest(tmp_path):
    result = collected(
        tmp_path, record("data.prepare d", "a"), record("priors.train p", "a", cpu_seconds=7.0, peak_memory_mb=900.0)
    )
    assert result["result"] == "table1"
    assert result["num_jobs"] == 2
    assert result["cpu_seconds"] == 10.0
    assert result["wall_seconds_of_all_jobs"] == 8.0
    assert result["peak_memory_mb"] == 900.0
    assert result["commit"] == ["a"]


def test_mixed_origins_show(tmp_path):
    result = collected(
        tmp_path, record("data.prepare d", "a"), record("priors.train p", "b", uncommitted_changes=True, device="GPU")
    )
    assert result["commit"] == ["a", "b"]
    assert result["device"] == ["a CPU", "GPU"]
    assert result["uncommitted_changes"] is True


def test_checksums_of_data_and_weights_are_kept_by_variant(tmp_path):
    result = collected(tmp_path, record("data.prepare cifar10", "a"), record("weights.convert vgg16", "a"))
    assert result["data_sha256"] == {"cifar10": {"file": "data.prepare cifar10!"}}
    assert result["weights_sha256"] == {"vgg16": {"file": "weights.convert vgg16!"}}
