"""Is what lies in a folder what a job makes? Asked of folders that were changed, swapped, copied or made by hand."""

import os
import shutil
import subprocess
from dataclasses import replace

import pytest

from twostage.errors import TwostageError
from twostage.planning import made
from twostage.planning.provenance import origin, write_record
from twostage.runtime import job as module
from twostage.runtime.artifacts import read_json, write_json
from twostage.runtime.job import Job


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A dataset of a folder, of which an index elsewhere holds some out."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures/dogs").mkdir(parents=True)
    (tmp_path / "pictures/dogs/1.png").write_text("a dog")
    (tmp_path / "held_out.txt").write_text("dogs/1.png")
    config = {"source": "folder", "root": str(tmp_path / "pictures"), "index": None, "size": 32}
    config["validation_index"] = str(tmp_path / "held_out.txt")
    return run(Job("data", "prepare", "mine", "smoke", config, {}, "artifacts/smoke/data/mine", ["metadata.json"]))


@pytest.fixture
def latents(data):
    return run(Job("latents", "encode", "mine.t", "smoke", {"map": "image"}, {"data": data.out},
                   "artifacts/smoke/latents/mine.t", ["metadata.json"]))  # fmt: skip


@pytest.fixture
def jobs(data, latents):
    return {job.out: job for job in (data, latents)}


def run(job, content="content"):
    write_json(job.folder / "metadata.json", {"of": job.variant, "is": content})
    write_record(job, origin(job))
    return job


def test_what_is_made_is_not_made_again(data, latents, jobs):
    assert made.is_made(data, jobs)
    assert made.is_made(latents, jobs)
    # Made again with the same content, it concerns nobody.
    run(data)
    assert made.is_made(latents, jobs)


def test_another_question_is_not_answered_by_the_folder(latents, jobs):
    other = replace(latents, config={"map": "edges"})
    assert not made.is_made(other, jobs)
    assert "was made by another job" in made.fault(other, jobs)


def test_a_change_upstream_concerns_what_rests_on_it(data, latents, jobs):
    run(data, "other pictures")
    assert made.is_made(data, jobs)
    assert "rests on another artifacts/smoke/data/mine/metadata.json" in made.fault(latents, jobs)


def test_a_missing_file_or_record_is_not_made(latents, jobs):
    (latents.folder / "provenance.json").unlink()
    assert made.fault(latents, jobs) == "has no record of what made it"
    run(latents)
    (latents.folder / "metadata.json").unlink()
    assert not made.is_made(latents, jobs)


def swapped(latents, keep_times):
    other = run(replace(latents, variant="other", out="artifacts/smoke/latents/other"), "another model")
    times = os.stat(latents.folder / "metadata.json")
    shutil.rmtree(latents.folder)
    shutil.copytree(other.folder, latents.folder)
    if keep_times:
        for path in latents.folder.iterdir():
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.parametrize("keep_times", [True, False])
def test_the_folder_of_another_model_is_not_believed(latents, jobs, keep_times):
    swapped(latents, keep_times)
    assert "was made by another job, latents.encode other" in made.fault(latents, jobs)


def test_one_file_of_another_model_is_not_believed(latents, jobs):
    path = latents.folder / "metadata.json"
    status = os.stat(path)
    path.write_text(path.read_text().replace("content", "CONTENT"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert made.fault(latents, jobs) == "has files that are not those of its record: metadata.json"
    with pytest.raises(TwostageError, match=r"not those of its record: metadata\.json; delete the folder"):
        made.verify_inputs(replace(latents, inputs={"latents": latents.out}))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff\x00", b"null"])
def test_a_damaged_record_is_one_line(latents, jobs, content):
    (latents.folder / "provenance.json").write_bytes(content)
    assert "record" in made.fault(latents, jobs)


def add(tmp_path):
    (tmp_path / "pictures/dogs/2.png").write_text("another")


def replace_with_older(tmp_path):
    path = tmp_path / "pictures/dogs/1.png"
    path.write_text("a cat")
    os.utime(path, (1, 1))


def unpack(tmp_path):
    """`tar x` restores the times of the archive."""
    (tmp_path / "new").mkdir()
    (tmp_path / "new/1.png").write_text("a pig")
    os.utime(tmp_path / "new/1.png", (1, 1))
    subprocess.run(["tar", "cf", "new.tar", "-C", "new", "1.png"], check=True)
    subprocess.run(["tar", "xf", "new.tar", "-C", "pictures/dogs"], check=True)


def rename(tmp_path):
    (tmp_path / "pictures/dogs/1.png").rename(tmp_path / "pictures/dogs/3.png")


def delete(tmp_path):
    (tmp_path / "pictures/dogs/1.png").unlink()


def edit_index(tmp_path):
    (tmp_path / "held_out.txt").write_text("dogs/2.png")


@pytest.mark.parametrize("change", [add, replace_with_older, unpack, rename, delete, edit_index])
def test_pictures_that_changed_make_the_dataset_anew_whatever_their_times(data, tmp_path, change):
    assert made.is_made(data, {})
    change(tmp_path)
    assert made.fault(data, {}) == "was made of other pictures than those that lie there now"


def test_times_and_hidden_files_and_the_place_of_a_folder_make_nothing_anew(data, tmp_path):
    os.utime(tmp_path / "pictures/dogs/1.png", (1, 1))
    (tmp_path / "pictures/.DS_Store").write_text("x")
    (tmp_path / "pictures/dogs/.#1.png").symlink_to("nowhere")
    assert made.is_made(data, {})
    (tmp_path / "pictures").rename(tmp_path / "elsewhere")
    moved = replace(data, config=data.config | {"root": str(tmp_path / "elsewhere")})
    assert made.is_made(moved, {})
    # Of a folder that is not at hand the record is believed: on a machine that pulled what was made.
    assert made.is_made(data, {})


@pytest.mark.parametrize("key", ["condition_file", "mask_file"])
def test_a_picture_that_samples_are_drawn_for_counts_by_its_content(tmp_path, monkeypatch, key):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "map.png").write_text("a map")
    job = run(
        Job("sampling", "generate", "x", "smoke", {key: "map.png"}, {}, "artifacts/smoke/sampling/x", ["metadata.json"])
    )
    assert made.is_made(job, {})
    (tmp_path / "map.png").write_text("other")
    os.utime(tmp_path / "map.png", (1, 1))
    assert not made.is_made(job, {})


def test_changed_code_makes_it_again(latents, jobs, monkeypatch):
    monkeypatch.setattr(module, "code_sha256", lambda verb, choices, plugins: "another")
    assert made.fault(latents, jobs) == "was made by other code"


def how(job):
    return f"make {job.variant}"


def test_what_a_job_needs_is_named_with_how_to_make_it(latents, jobs):
    made.require_inputs(latents, jobs, how)
    shutil.rmtree("artifacts/smoke/data")
    os.makedirs("artifacts/laptop/data/mine")
    with pytest.raises(TwostageError, match=r"needs artifacts/smoke/data/mine/metadata\.json, not made yet at scale "
                       r"smoke \(there is one at scale=laptop\); make mine"):  # fmt: skip
        made.require_inputs(latents, jobs, how)


def test_a_foreign_model_behind_what_is_read_is_refused(data, latents, jobs):
    prior = Job("priors", "train", "p", "smoke", {}, {"latents": latents.out}, "artifacts/smoke/priors/p", [])
    made.require_inputs(prior, jobs, how)
    write_json(data.folder / "provenance.json", read_json(data.folder / "provenance.json") | {"config_sha256": "other"})
    with pytest.raises(TwostageError, match="artifacts/smoke/data/mine was made by another job"):
        made.require_inputs(prior, jobs, how)


def test_a_folder_that_the_user_names_must_be_whole(latents, tmp_path):
    job = Job("priors", "train", "p", "smoke", {}, {"latents": latents.out}, "artifacts/smoke/priors/p", [])
    made.require_inputs(job, {}, how)
    (latents.folder / "metadata.json").write_text("{}")
    with pytest.raises(TwostageError, match="not those of its record"):
        made.require_inputs(job, {}, how)
    with pytest.raises(TwostageError, match="nowhere is not a folder"):
        made.require_inputs(replace(job, inputs={"latents": "nowhere"}), {}, how)


def test_an_index_counts_wherever_it_lies(tmp_path, data):
    for index in ("../list.txt", ".hidden.txt"):
        path = tmp_path / "pictures" / index
        path.write_text("dogs/1.png")
        job = run(replace(data, config={**data.config, "index": index}))
        assert made.is_made(job, {})
        path.write_text("dogs/2.png")
        assert "was made of other pictures" in made.fault(job, {})


def test_what_is_at_hand_is_compared_even_if_another_is_not(tmp_path):
    (tmp_path / "mask.png").write_text("a mask")
    (tmp_path / "map.png").write_text("a map")
    config = {"mask_file": str(tmp_path / "mask.png"), "condition_file": str(tmp_path / "map.png")}
    job = run(Job("sampling", "inpaint", "mine", "smoke", config, {}, str(tmp_path / "s"), ["metadata.json"]))
    (tmp_path / "mask.png").unlink()
    assert made.is_made(job, {})
    (tmp_path / "map.png").write_text("another map")
    assert not made.is_made(job, {})


def test_a_file_that_its_record_does_not_name_is_not_believed(data, jobs):
    more = replace(data, files=["metadata.json", "splits.json"])
    (data.folder / "splits.json").write_text("by hand")
    assert made.fault(more, jobs) == "has files that its record does not name: splits.json"


def test_no_record_is_written_of_a_job_that_lacks_a_file(data):
    more = replace(data, files=["metadata.json", "splits.json"])
    with pytest.raises(RuntimeError, match=r"ended without its file .*splits.json"):
        write_record(more, origin(more))


def test_a_job_reads_no_folder_of_the_pipeline_that_has_no_record(data, latents):
    made.verify_inputs(latents)
    (data.folder / "provenance.json").unlink()
    with pytest.raises(TwostageError, match=r"artifacts/smoke/data/mine has no record of what made it; delete"):
        made.verify_inputs(latents)


def test_a_model_of_the_users_that_was_replaced_concerns_what_was_made_of_it(tmp_path, data):
    write_json(tmp_path / "model/config.json", {})
    model = tmp_path / "model/model.safetensors"
    model.write_bytes(b"weights")
    job = replace(data, stage="sampling", verb="generate", config={}, inputs={"prior": str(model.parent)},
                  out="artifacts/smoke/sampling/s")  # fmt: skip
    run(job)
    assert made.is_made(job, {})
    model.write_bytes(b"others ")
    assert not made.is_made(job, {})


def test_a_folder_outside_the_plan_that_was_made_again_concerns_what_was_made_of_it(data, latents):
    assert made.is_made(latents, {})
    run(data, "other content")
    assert "rests on another artifacts/smoke/data/mine/metadata.json" in made.fault(latents, {})


@pytest.mark.parametrize("content", ["[]", "null", "{}", '{"job": "a", "files_sha256": []}', '{"rests_on": {}}', "\0"])
def test_a_damaged_record_is_one_line_and_no_reason_to_believe_the_folder(data, jobs, content):
    (data.folder / "provenance.json").write_text(content)
    with pytest.raises(TwostageError, match=r"provenance.json is (no record of a job|not JSON)"):
        made.read_record(data.folder)
    assert "has a damaged record" in made.fault(data, jobs)


def test_a_folder_elsewhere_has_a_lock_of_its_own(tmp_path, data):
    elsewhere = replace(data, out="../mine")
    assert made.place(data).as_posix() == "smoke/data/mine"
    assert made.place(elsewhere).parts[0] == "elsewhere"
    assert made.place(elsewhere) == made.place(replace(data, out=str(tmp_path.parent / "mine")))
    assert made.unfinished(elsewhere) != made.unfinished(data)
