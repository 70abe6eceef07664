"""What a person types as overrides: text stays as typed, the rest is one line that says what works."""

import os
import shlex
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twostage.config import composition, schema
from twostage.config.overrides import override_of
from twostage.errors import TwostageError

pytestmark = pytest.mark.usefixtures("repository_conf")


def refusal(*overrides):
    with pytest.raises(TwostageError) as error:
        composition.compose(overrides)
    line = str(error.value)
    assert len(line.splitlines()) == 1, line
    assert line.isprintable()
    return line


@pytest.mark.parametrize("name", ["1.10", "007", "1e3", "true", "1_000", "0x10", "3", "-0.0e1".lstrip("-"), "TRUE"])
def test_text_keeps_its_characters(name):
    assert composition.compose(("data=folder", f"data.name={name}"))["data"]["name"] == name
    assert composition.compose(("data=folder", f'data.name="{name}"'))["data"]["name"] == name
    assert composition.compose(("data=folder", f"data.root={name}"))["data"]["root"] == name


def test_null_is_no_text_where_there_may_be_none():
    assert composition.compose(("data=folder", "data.root=null"))["data"]["root"] is None
    assert "data.name" in refusal("data=folder", "data.name=null")


@pytest.mark.parametrize("classes", ["[1,2]", "[007,1.10]", "[cat,true]"])
def test_a_list_of_texts_with_other_values_shows_the_quoting_that_works(classes):
    line = refusal(f"data.classes={classes}")
    (mended,) = shlex.split(line.partition("; write ")[2])
    assert composition.compose((mended,))["data"]["classes"] == classes.strip("[]").split(",")


TEXTS = ["~/pictures", "/a b#c", "/a#b", "/a=b", "/a(b)", 'say "this"', "it's", "a,b", "/x{y}", "C:\\pictures\\", "a;b"]


def accepted_or_mended(text):
    try:
        return composition.compose(("data=folder", f"data.root={text}"))["data"]["root"]
    except TwostageError as error:
        (mended,) = shlex.split(str(error).partition("write " if "write " in str(error) else "as one text, ")[2])
        return composition.compose(("data=folder", mended))["data"]["root"]


@pytest.mark.parametrize("text", TEXTS)
def test_what_cannot_be_read_unquoted_shows_the_quoting_that_works(text):
    assert accepted_or_mended(text) == text


@settings(max_examples=60, derandomize=True, deadline=None, database=None)
@given(st.text(string.ascii_letters + string.digits + " ~#=()[]{},;:'\"/\\.*&|<>!?@%^+-", min_size=1, max_size=12))
def test_any_text_is_taken_or_mended_or_refused_in_one_line(text):
    said = ""
    try:
        composition.compose(("data=folder", f"data.root={text}"))
    except TwostageError as error:
        said = str(error)
    assert not said or said.isprintable()
    mended = said.partition("write ")[2]
    if mended.startswith(("data.root=", "'data.root=")):
        if text.strip().startswith("~") and not is_home_known(text.strip()):
            with pytest.raises(TwostageError, match="no home folder"):
                composition.compose(("data=folder", *shlex.split(mended)))
        else:
            assert composition.compose(("data=folder", *shlex.split(mended)))["data"]["root"] == text.strip()


def is_home_known(path):
    return not os.path.expanduser(path).startswith("~")


@pytest.mark.parametrize("override", ["priors.loop.seed=0,1", "priors.loop.seed=range(3)", "priors=gpt,pixelsnail"])
def test_several_values_say_what_works_here(override):
    assert "To sweep, add --multirun/-m" in refusal(override)


WRONG = [
    "data.size=0", "data.size=-5", "data.size=99999999999999999999", "data.maps=[edges,edges]", "data.maps=[egdes]",
    "data.name=../../../out", "data.name=''", "data.name=.", "data.name=..", "data.name=a/b", "data.name=.x",
    "data.name=-x", f"data.name={'x' * 300}", 'data.name="a\nb"', 'data.name="a b"', "tokenizers.name=../x",
    "scale.name=../x", "scale.name=null", "priors.condition=../x", "priors.ordering=spiral_up",
    "priors.loop.precision=float16", "tokenizers.loss.perceptual=lpips", "priors.loop.steps=0",
    "priors.loop.batch_size=-1", "sampling.num_images=0", "priors.learning_rate=nan", "priors.learning_rate=inf",
    "priors.learning_rate=-1", "sampling.canvas=[0,4]", "priors.gpt.dropout=2", "data.canny_sigma=0",
]  # fmt: skip


@pytest.mark.parametrize("override", WRONG)
def test_a_value_out_of_its_range_is_one_line_that_names_the_key(override):
    assert override.partition("=")[0] in refusal(override)


def test_a_resolved_job_is_held_to_the_same_ranges():
    values = composition.compose(("scale=smoke",))["data"]
    assert composition.parse(schema.DataConfig, values).size == 32
    for wrong in ({"size": 0}, {"name": "../x"}, {"maps": ["edges", "edges"]}):
        with pytest.raises(TwostageError, match=next(iter(wrong))):
            composition.parse(schema.DataConfig, values | wrong)


@settings(max_examples=60, derandomize=True, deadline=None, database=None)
@given(
    st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=12).map(lambda text: text + "x")
    | st.sampled_from(["a\\", "a\\\\", "${x}", "\\${x}", "${oc.env:HOME}", 'say "a"', "it's", "1.10", "null"])
)
def test_a_value_of_a_config_comes_back_by_the_override_that_is_written_of_it(text):
    tree = composition.compose((override_of("data.root", text), override_of("data.classes", [text, "b"])))
    assert tree["data"]["root"] == text
    assert tree["data"]["classes"] == [text, "b"]
