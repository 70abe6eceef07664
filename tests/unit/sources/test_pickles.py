import os
import pickle

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from twostage.errors import TwostageError
from twostage.sources.pickles import load_arrays


@given(
    array=hnp.arrays(st.sampled_from([np.uint8, np.float32, np.int64]), hnp.array_shapes(max_side=4)),
    protocol=st.sampled_from([2, 3, 4]),
)
def test_nested_arrays_of_every_protocol_come_back(array, protocol):
    content = pickle.dumps({"a": {"b": array}, "labels": [1, 2]}, protocol)
    loaded = load_arrays(content, "file")
    np.testing.assert_array_equal(loaded["a"]["b"], array)
    assert loaded["labels"] == [1, 2]


class Evil:
    def __init__(self, function, *arguments):
        self.reduced = (function, arguments)

    def __reduce__(self):
        return self.reduced


@pytest.mark.parametrize(
    "evil",
    [
        lambda path: Evil(os.system, f"touch {path}"),
        lambda path: Evil(eval, f"open({str(path)!r}, 'w')"),
        lambda path: Evil(np.save, str(path), np.zeros(1)),
        lambda path: Evil(torch.save, {}, str(path)),
    ],
)
def test_a_pickle_that_names_anything_else_runs_nothing(tmp_path, evil):
    target = tmp_path / "touched"
    with pytest.raises(TwostageError, match=r"ckpt .*is not allowed.*do not trust"):
        load_arrays(pickle.dumps({"weights": evil(target)}), "ckpt")
    assert not target.exists()


def test_no_codec_but_latin1_is_let_in():
    import _codecs

    with pytest.raises(TwostageError, match="is not allowed"):
        load_arrays(pickle.dumps(Evil(_codecs.encode, "text", "rot13")), "ckpt")


def test_a_truncated_pickle_is_named():
    content = pickle.dumps({"a": np.arange(1000)})
    for length in (0, 1, 20, 100, len(content) - 1):
        with pytest.raises(TwostageError, match="data_batch_1 is not a plain pickle"):
            load_arrays(content[:length], "data_batch_1")
