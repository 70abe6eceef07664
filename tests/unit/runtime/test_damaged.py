"""Every reader of what crosses a stage, on cut and flipped files: one line, or what was written."""

import contextlib
import functools
import io
import tarfile
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from twostage.config.schema import LoopConfig
from twostage.errors import TwostageError
from twostage.runtime import artifacts, tensors, training
from twostage.runtime.training import Loop
from twostage.sources.archives import extract

ARRAY = np.arange(60, dtype=np.int64).reshape(3, 20)
ROWS = [{"step": "1", "loss": "2.5"}, {"step": "2", "loss": "1.5"}]
STATE = {"task": {"weight": torch.arange(50.0)}, "step": 3, "curve": [{"loss": 1.0}]}
VALUE = {"nll": [1.5, 2.5], "name": "prior", "none": None}

WRITERS = {
    "json": (lambda path: artifacts.write_json(path, VALUE), artifacts.read_json),
    "csv": (lambda path: artifacts.write_csv(path, ROWS), artifacts.read_csv),
    "npy": (lambda path: artifacts.write_array(path, ARRAY), artifacts.read_array),
    "safetensors": (lambda path: tensors.write_tensors(path, STATE["task"], {"kind": "test"}), tensors.read_tensors),
    "pt": (lambda path: training.write_checkpoint(path, STATE), training.read_checkpoint),
}


@functools.cache
def whole(kind):
    """The bytes of a file of that kind."""
    with tempfile.TemporaryDirectory() as folder:
        WRITERS[kind][0](Path(folder) / "file")
        return (Path(folder) / "file").read_bytes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("damaged")


def one_line_or(read, path):
    """What a reader gives, or None if it says in one line what is wrong with the file."""
    try:
        return read(path)
    except TwostageError as error:
        message = str(error)
    assert str(path) in message
    assert "delete it" in message
    return None


@pytest.mark.parametrize("kind", WRITERS)
@given(data=st.data())
def test_a_cut_file_is_named(kind, folder, data):
    length = data.draw(st.integers(0, len(whole(kind)) - 1))
    path = folder / f"cut.{kind}"
    path.write_bytes(whole(kind)[:length])
    found = one_line_or(WRITERS[kind][1], path)
    match kind:
        case "csv":
            # Where whole lines are lost, no byte says so: the record's checksum does.
            assert found is None or found == ROWS[: len(found)]
        case "json":
            assert found is None or found == VALUE
        case _:
            assert found is None


@pytest.mark.parametrize("kind", WRITERS)
@given(data=st.data())
def test_a_flipped_bit_is_no_traceback(kind, folder, data):
    content = bytearray(whole(kind))
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path = folder / f"flipped.{kind}"
    path.write_bytes(content)
    found = one_line_or(WRITERS[kind][1], path)
    # Of the others a record's checksum tells; nothing but the file itself vouches for a checkpoint.
    assert kind != "pt" or found is None


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("content", [b"", b"\0" * 4096, b"\xff\xfe\x00", b"PK\x03\x04", b"<html></html>"])
def test_a_file_of_something_else_is_named(kind, folder, content):
    path = folder / f"other.{kind}"
    path.write_bytes(content)
    assert one_line_or(WRITERS[kind][1], path) is None


def test_an_array_of_objects_is_refused_unread(folder):
    path = folder / "objects.npy"
    np.save(path, np.array([{"a": 1}, None], dtype=object), allow_pickle=True)
    assert one_line_or(artifacts.read_array, path) is None


def test_an_array_with_more_than_its_header_says_is_refused(folder):
    path = folder / "long.npy"
    path.write_bytes(whole("npy") + b"\0")
    assert one_line_or(artifacts.read_array, path) is None


@pytest.mark.parametrize("text", ["step,loss\n1\n", "step,loss\n1,2,3\n", 'step,loss\n1,"2\n', "step,loss\n", "1,2"])
def test_a_csv_whose_rows_do_not_fit_is_refused(folder, text):
    path = folder / "rows.csv"
    path.write_text(text)
    assert one_line_or(artifacts.read_csv, path) is None


def test_a_missing_csv_is_named(folder):
    with pytest.raises(TwostageError, match="is missing"):
        artifacts.read_csv(folder / "nowhere.csv")


# ---- Checkpoints


class Line:
    """A linear model under Adam."""

    def __init__(self):
        self.model = torch.nn.Linear(8, 1)
        self.optimizer = torch.optim.Adam(self.model.parameters())

    def step(self, step):
        loss = self.model(torch.ones(2, 8)).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return {"loss": loss}

    def evaluate(self):
        return {}

    def state(self):
        return {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state(self, state):
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])


CONFIG = LoopConfig(steps=4, batch_size=16, evaluate_every=2, checkpoint_every=2, seed=0, precision="float32")


@pytest.mark.parametrize(
    "change",
    [
        lambda state: {},
        lambda state: [1, 2],
        lambda state: {**state, "task": {}},
        lambda state: {**state, "task": {**state["task"], "model": {"weight": torch.zeros(2, 2)}}},
        lambda state: {**state, "torch_rng": torch.zeros(3)},
        lambda state: {key: value for key, value in state.items() if key != "step"},
    ],
)
def test_a_checkpoint_of_another_run_is_refused_in_one_line(tmp_path, change):
    Loop(Line(), CONFIG, tmp_path, "x").run(lambda loop: loop.step >= 2)
    path = tmp_path / "checkpoint.pt"
    training.write_checkpoint(path, change(training.read_checkpoint(path)))
    with pytest.raises(TwostageError, match="delete it") as caught:
        Loop(Line(), CONFIG, tmp_path, "x")
    assert "\n" not in str(caught.value)
    path.unlink()
    Loop(Line(), CONFIG, tmp_path, "x").run(lambda loop: loop.step >= 2)


# ---- Archives


@functools.cache
def archive(kind):
    content, packed = b"".join(bytes([n % 251]) * (n % 7) for n in range(600)), io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("inside", content)
    else:
        with tarfile.open(fileobj=packed, mode=f"w:{kind.removeprefix('tar.')}") as file:
            entry = tarfile.TarInfo("inside")
            entry.size = len(content)
            file.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar.xz", "tar.bz2"])
@given(data=st.data())
def test_a_damaged_archive_is_no_traceback(kind, folder, data):
    content = bytearray(archive(kind))
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[place] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del content[place:]
    path = folder / f"damaged.{kind}"
    path.write_bytes(content)
    # Any other error is the test's failure.
    with contextlib.suppress(TwostageError):
        extract(path, {"inside": folder / "inside"})
