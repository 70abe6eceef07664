import errno
import json
import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors import SafetensorError

from twostage.errors import TwostageError
from twostage.runtime import artifacts, tensors


def test_atomic_path_leaves_nothing_after_an_error(tmp_path):
    def fail_halfway():
        with artifacts.atomic_path(tmp_path / "file") as temporary:
            temporary.write_text("half")
            raise RuntimeError("half")

    with pytest.raises(RuntimeError, match="half"):
        fail_halfway()
    assert list(tmp_path.iterdir()) == []


def test_atomic_path_keeps_the_old_file_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with artifacts.atomic_path(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    path = tmp_path / "file"
    with artifacts.atomic_path(path) as one, artifacts.atomic_path(path) as other:
        one.write_text("one")
        other.write_text("other")
        assert one != other
    assert path.read_text() == "one"
    assert list(tmp_path.iterdir()) == [path]


def dead_process():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_the_next_writer_removes_what_a_killed_one_left_and_nothing_else(tmp_path):
    with artifacts.atomic_path(tmp_path / "file") as temporary:
        mine = temporary.name
    node = mine.split(".")[2]
    left = tmp_path / mine.replace(f".{os.getpid()}.", f".{dead_process()}.")
    of_the_living = tmp_path / mine.replace(f".{os.getpid()}.", ".1.")
    of_another_target = tmp_path / left.name.replace(".file.", ".file2.")
    elsewhere, long_ago = (tmp_path / left.name.replace(node, other) for other in ("0" * 8, "1" * 8))
    for path in (left, of_the_living, of_another_target, elsewhere, long_ago):
        path.write_bytes(b"half")
    os.utime(long_ago, (0, 0))
    artifacts.write_json(tmp_path / "file", 1)
    assert set(tmp_path.iterdir()) == {tmp_path / "file", of_the_living, of_another_target, elsewhere}


def test_a_killed_writer_leaves_no_file_of_the_final_name(tmp_path):
    script = (
        "import os, signal, sys; from pathlib import Path; from twostage.runtime.artifacts import atomic_path\n"
        "with atomic_path(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "file")], check=False)
    assert done.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert left.suffix == ".partial"
    artifacts.write_json(tmp_path / "file", 1)
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_json_round_trip_and_hash_does_not_depend_on_key_order(tmp_path):
    value = {"b": [1, 2.5, None], "a": {"x": "y"}}
    artifacts.write_json(tmp_path / "v.json", value)
    assert artifacts.read_json(tmp_path / "v.json") == value
    assert artifacts.sha256_json(value) == artifacts.sha256_json({"a": {"x": "y"}, "b": [1, 2.5, None]})
    assert artifacts.sha256_json(value) != artifacts.sha256_json({"a": {"x": "z"}, "b": [1, 2.5, None]})


def test_json_refuses_nan(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        artifacts.write_json(tmp_path / "v.json", {"nll": float("nan")})
    assert not (tmp_path / "v.json").exists()


@pytest.mark.parametrize("read", [artifacts.read_json, artifacts.read_array, tensors.read_tensors])
def test_a_missing_file_is_named_with_the_command_that_makes_it(tmp_path, read):
    with pytest.raises(TwostageError, match=r"missing\.x is missing; ask snakemake"):
        read(tmp_path / "missing.x")


@pytest.mark.parametrize("read", [artifacts.read_json, artifacts.read_array, tensors.read_tensors])
def test_a_damaged_file_is_named_with_the_mend(tmp_path, read):
    path = tmp_path / "damaged"
    path.write_bytes(b"\x93NUMPY{")
    with pytest.raises(TwostageError, match=r"damaged is not .* delete it"):
        read(path)


def test_a_truncated_array_is_refused(tmp_path):
    path = tmp_path / "a.npy"
    artifacts.write_array(path, np.arange(1000))
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(TwostageError, match=r"not a complete \.npy"):
        artifacts.read_array(path)


def test_new_array_becomes_the_file_only_at_the_end(tmp_path):
    path = tmp_path / "a.npy"
    with artifacts.new_array(path, (3, 2), np.uint8) as array:
        array[:] = 7
        assert not path.exists()
    assert (artifacts.read_array(path) == 7).all()
    assert artifacts.read_array(path).shape == (3, 2)


def test_csv_leaves_a_missing_key_empty_and_refuses_no_rows(tmp_path):
    artifacts.write_csv(tmp_path / "c.csv", [{"step": 0}, {"step": 1, "loss": 2.5}])
    assert artifacts.read_csv(tmp_path / "c.csv") == [{"step": "0", "loss": ""}, {"step": "1", "loss": "2.5"}]
    with pytest.raises(ValueError, match="no rows"):
        artifacts.write_csv(tmp_path / "d.csv", [])


def test_two_columns_of_one_name_are_refused(tmp_path):
    (tmp_path / "c.csv").write_text("step,loss,loss\n0,1,2\n")
    with pytest.raises(TwostageError, match=r"c\.csv has two columns loss;"):
        artifacts.read_csv(tmp_path / "c.csv")


def test_json_that_nests_too_deeply_is_one_line(tmp_path):
    (tmp_path / "deep.json").write_text("[" * 100_000 + "]" * 100_000)
    with pytest.raises(TwostageError, match=r"deep\.json nests lists or keys too deeply") as raised:
        artifacts.read_json(tmp_path / "deep.json")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_tensors_with_values_that_are_not_finite_are_refused(tmp_path, value):
    tensors.write_tensors(tmp_path / "t.safetensors", {"a": torch.zeros(2), "b": torch.tensor([0.0, value])})
    with pytest.raises(TwostageError, match=r"t\.safetensors is damaged: tensor b has values that are not finite"):
        tensors.read_tensors(tmp_path / "t.safetensors")


def test_tensors_round_trip_bit_for_bit(tmp_path):
    stored = {"a": torch.randn(3, 4).t(), "b": torch.arange(5)}
    tensors.write_tensors(tmp_path / "t.safetensors", stored, {"kind": "test"})
    found, metadata = tensors.read_tensors(tmp_path / "t.safetensors")
    assert metadata == {"kind": "test"}
    assert all(torch.equal(found[name], stored[name]) for name in stored)


def test_equal_tensors_have_equal_bytes_in_every_process(tmp_path):
    write = (
        "import sys, torch; from pathlib import Path; from twostage.runtime.tensors import write_tensors; "
        "about = {name: name for name in ('name', 'source', 'source_sha256', 'a', 'b')}; "
        "write_tensors(Path(sys.argv[1]), {'w': torch.ones(2), 'b': torch.zeros(1)}, about)"
    )
    # The map has another order at every writing, in one process as well.
    for number in range(3):
        subprocess.run([sys.executable, "-c", write, str(tmp_path / f"{number}.safetensors")], check=True)
    about = {name: name for name in ("b", "a", "source_sha256", "source", "name")}
    for number in range(3, 8):
        tensors.write_tensors(tmp_path / f"{number}.safetensors", {"b": torch.zeros(1), "w": torch.ones(2)}, about)
    assert len({path.read_bytes() for path in tmp_path.glob("*.safetensors")}) == 1
    assert tensors.read_tensors(tmp_path / "0.safetensors")[1] == about


def test_sha256_of_a_file(tmp_path):
    (tmp_path / "f").write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert artifacts.sha256_file(tmp_path / "f") == known


def test_written_files_are_readable_by_others(tmp_path):
    artifacts.write_json(tmp_path / "v.json", json.loads("{}"))
    assert (tmp_path / "v.json").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("error", "free"),
    [
        (OSError("Not enough free space to write 80000000 bytes after offset 128"), 10),  # NumPy
        (SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"), 10),
        (RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 704 vs 598"), 0),  # torch
    ],
)
def test_a_full_disk_is_one_kind_of_error(tmp_path, monkeypatch, error, free):
    monkeypatch.setattr(artifacts.shutil, "disk_usage", lambda folder: SimpleNamespace(free=free))
    with pytest.raises(OSError, match="No space left on device") as caught, artifacts.atomic_path(tmp_path / "file"):
        raise error
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


def test_an_array_takes_its_place_on_the_disk_before_it_is_filled(tmp_path):
    with artifacts.new_array(tmp_path / "array.npy", (3_000_000,), np.uint8) as array:
        (partial,) = tmp_path.iterdir()
        assert partial.stat().st_blocks * 512 >= array.nbytes
