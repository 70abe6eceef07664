import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twostage.data.collection import Record
from twostage.data.splits import assign, keep_classes
from twostage.errors import TwostageError


def make_records(contents, held_out=0):
    """One record per content; the last `held_out` are the source's test split."""
    first = len(contents) - held_out
    return [Record(f"image{i}", str(content), content % 3, i >= first, i) for i, content in enumerate(contents)]


# Few different contents, so that the same one occurs in several splits.
duplicated = st.lists(st.integers(0, 15), min_size=12, max_size=60)


@given(contents=duplicated, tune=st.integers(1, 4), held_out=st.integers(0, 5))
def test_no_content_is_in_two_splits(contents, tune, held_out):
    splits = assign(make_records(contents, held_out), tune, 3)
    seen = [{record.sha256 for record in records} for records in splits.values()]
    assert not seen[0] & seen[1]
    assert not seen[0] & seen[2]
    assert not seen[1] & seen[2]


@given(contents=duplicated, tune=st.integers(1, 4))
def test_only_leaks_are_dropped(contents, tune):
    records = make_records(contents)
    splits = assign(records, tune, 3)
    assert len(splits["validation"]) == 3
    kept = {record.id for chosen in splits.values() for record in chosen}
    elsewhere = {record.sha256 for name in ("tune", "validation") for record in splits[name]}
    for record in records:
        assert record.id in kept or record.sha256 in elsewhere


@given(contents=duplicated, held_out=st.integers(1, 5))
def test_what_the_source_holds_out_is_validation(contents, held_out):
    records = make_records(contents, held_out)
    validation = assign(records, 2, None)["validation"]
    assert sorted(record.id for record in validation) == sorted(record.id for record in records if record.held_out)


@given(contents=duplicated, kept=st.sets(st.sampled_from(["a", "b", "c"]), min_size=1))
def test_classes_are_chosen_after_the_split(contents, kept):
    splits = assign(make_records(contents), 2, 3)
    expected = {name: [r for r in records if "abc"[r.label] in kept] for name, records in splits.items()}
    if all(expected.values()):
        assert keep_classes(splits, ["a", "b", "c"], sorted(kept)) == expected
    else:
        with pytest.raises(TwostageError, match="split is empty"):
            keep_classes(splits, ["a", "b", "c"], sorted(kept))


def test_order_depends_on_names_alone():
    records = make_records(range(50))
    for shuffled in (records[::-1], records[20:] + records[:20]):
        assert assign(shuffled, 5, 5) == assign(records, 5, 5)


def test_an_image_stays_where_it_is_when_others_leave():
    records = make_records(range(1000), held_out=100)
    train = assign(records, 50, None)["train"]
    fewer = [record for record in records if record.position % 10 != 3]
    train_of_fewer = {record.id for record in assign(fewer, 45, None)["train"]}
    moved = [record for record in train if record.id not in train_of_fewer and record.position % 10 != 3]
    assert len(moved) < 25


def test_the_order_is_not_the_stored_one():
    positions = [record.position for record in assign(make_records(range(1000)), 10, 10)["train"]]
    assert abs(np.corrcoef(positions, range(980))[0, 1]) < 0.1


@pytest.mark.parametrize(
    ("tune", "validation", "message"),
    [
        (0, 5, "data.tune_images is 0; expected at least 1"),
        (5, None, "data.validation_images is None; expected at least 1"),
        (5, 0, "data.validation_images is 0"),
        (5, 15, "20 images are too few for 15 validation images, 5 tune images and any training images; add images"),
    ],
)
def test_counts_that_leave_nothing_are_errors(tune, validation, message):
    with pytest.raises(TwostageError, match=message):
        assign(make_records(range(20)), tune, validation)


def test_a_train_split_that_is_all_leaks_is_an_error():
    splits = assign(make_records([0] * 20), 5, 5)
    with pytest.raises(TwostageError, match="the train split is empty"):
        keep_classes(splits, ["a"], [])
