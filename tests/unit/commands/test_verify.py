import json
import subprocess
from pathlib import Path

import pytest

from twostage.commands import verify
from twostage.errors import TwostageError
from twostage.runtime.artifacts import sha256_file, write_json
from twostage.runtime.job import Job

METRICS = {
    "row": "IN",
    "steps": 450,
    "nll_nats_per_token": {"pixelsnail": {"mean": 5.0, "std": 0.1, "ci95_low": 3.0}},
    "cost": {"gpt": {"seconds_per_step": 0.1, "num_parameters": 1000}},
    "curves": {"gpt.seed0": {"nll": [6.0, 5.0]}},
    "lpips_vgg": 0.2,
    "ok": True,
}
RECORD = {"job": "evaluation.compare v", "config": {}, "inputs": {}, "rests_on": {}}


@pytest.fixture
def job(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_json(Path("results/evaluation/v/metrics.json"), METRICS)
    return Job("evaluation", "compare", "v", "smoke", {}, {}, "artifacts/smoke/evaluation/v", ["metrics.json"])


def fresh(job, **changes):
    write_json(job.folder / "metrics.json", METRICS | changes)
    return verify.moved(job)


def test_equal_runs_have_nothing_moved(job):
    assert fresh(job) == (5, [])


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"steps": 451}, "steps"),
        ({"lpips_vgg": 0.22}, "lpips_vgg"),
        ({"nll_nats_per_token": {"pixelsnail": {"mean": 5.04, "std": 0.1, "ci95_low": 3.0}}}, "pixelsnail.mean"),
        ({"cost": {"gpt": {"seconds_per_step": 0.6, "num_parameters": 1000}}}, "seconds_per_step"),
        ({"cost": {"gpt": {"seconds_per_step": 0.1, "num_parameters": 1001}}}, "num_parameters"),
    ],
)
def test_a_number_beyond_its_tolerance_is_named_with_both_values(job, changes, name):
    count, lines = fresh(job, **changes)
    assert count == 5
    assert len(lines) == 1
    assert name in lines[0]
    assert "->" in lines[0]


@pytest.mark.parametrize(
    "changes",
    [
        {"lpips_vgg": 0.205},
        {"nll_nats_per_token": {"pixelsnail": {"mean": 5.02, "std": 0.9, "ci95_low": -9.0}}},
        {"cost": {"gpt": {"seconds_per_step": 0.3, "num_parameters": 1000}}},
        {"curves": {"gpt.seed0": {"nll": [9.0, 9.0]}}},
    ],
)
def test_within_its_tolerance_nothing_moved(job, changes):
    assert fresh(job, **changes)[1] == []


@pytest.mark.parametrize(
    ("name", "apart", "same"),
    [
        ("factors.f4.paper_nll", 0.001, False),
        ("drawn.1.redrawn_to_original", 2.5, True),
        ("drawn.1.prior_steps", 2.5, True),
        ("per_seed.0.difference_steps", 0.04, False),
        ("nll_nats_per_token.transformer_time.mean", 0.2, True),
        ("nll_nats_per_token.transformer_steps.mean", 0.02, True),
    ],
)
def test_the_tolerance_of_a_name(name, apart, same):
    assert verify.tolerance_of(name).allows(5.0, 5.0 + apart) is same


@pytest.mark.parametrize(("quantity", "apart", "same"), [("fid", 5.0, True), ("nll", 5.0, False), ("nll", 0.02, True)])
def test_a_number_of_a_study_has_the_tolerance_of_its_quantity(quantity, apart, same):
    def found(mean):
        one = {"row": "IN", "values": {"dropout": 0.1}, "quantity": quantity, "mean": mean, "std": mean}
        return dict(verify.numbers({"statistics": [one]}))

    (name,) = (name for name in found(100.0) if name.endswith("mean"))
    assert verify.tolerance_of(name).allows(100.0, 100.0 + apart) is same
    assert not any("std" in name for name in found(100.0))


def test_a_damaged_file_is_named_without_a_traceback(job):
    fresh(job)
    write_json(job.folder / "provenance.json", RECORD | {"files_sha256": {"metrics.json": "0"}})
    (job.folder / "metrics.json").write_text("corrupt")
    assert verify.damaged(job) == [job.folder / "metrics.json"]


def test_a_number_that_only_one_side_has_is_named(job):
    assert fresh(job, images=3)[1] == ["v images: only in one of the two"]


def test_without_committed_results_there_is_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TwostageError, match="run make table1 and commit results/"):
        verify.committed_record()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "is not JSON"),
        (b"[]", "holds .., which is no record of a job"),
        (b'{"scale": "laptop"}', "has no commit"),
        (b'{"scale": 5, "commit": "c", "rests_on": {}}', "has the scale 5"),
        (b'{"scale": "laptop", "commit": "c", "rests_on": {"a b": {}}}', ", rests_on a b has no code_sha256"),
    ],
)
def test_a_damaged_reference_is_one_line(content, message, monkeypatch):
    monkeypatch.setattr(verify, "committed", lambda path: content)
    with pytest.raises(TwostageError, match=f"^results/table1.provenance.json of the last commit ?{message}"):
        verify.committed_record()


def test_the_reference_is_the_last_commit_not_the_working_tree(job, tmp_path):
    for command in (["init", "-q"], ["add", "results"], ["commit", "-qm", "m"]):
        subprocess.run(
            ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *command], check=True, capture_output=True
        )
    path = Path("results/evaluation/v/metrics.json")
    path.write_text(json.dumps(METRICS | {"steps": 1}))
    assert json.loads(verify.committed(path))["steps"] == 450


def test_a_file_unlike_its_record_is_damaged_and_a_missing_one_is_not(job):
    assert verify.damaged(job) == []
    fresh(job)
    content = sha256_file(job.folder / "metrics.json")
    write_json(job.folder / "provenance.json", RECORD | {"files_sha256": {"metrics.json": content, "absent.npy": "0"}})
    assert verify.damaged(job) == []
    (job.folder / "metrics.json").write_text("{")
    assert verify.damaged(job) == [job.folder / "metrics.json"]


def test_verbs_of_jobs_whose_code_moved_on_are_named(job, monkeypatch):
    monkeypatch.setattr("twostage.runtime.job.code_sha256", lambda verb, choices, plugins: f"of {verb}, {choices}")
    rests_on = {"evaluation.compare v": {"code_sha256": "of evaluation.compare, None"}}
    assert verify.made_by_other_code({"rests_on": rests_on}, [job]) == []
    rests_on["evaluation.compare v"]["code_sha256"] = "other"
    rests_on["priors.train no longer planned"] = {"code_sha256": "of priors.train, None"}
    assert verify.made_by_other_code({"rests_on": rests_on}, [job]) == ["evaluation.compare", "priors.train"]


def test_a_study_that_is_not_committed_is_compared_with_nothing(job):
    Path("results/evaluation/v/metrics.json").unlink()
    assert fresh(job) == (0, [])
