"""YAML that people write: read as OmegaConf does, and refused in one line."""

import pytest

from twostage.config.yaml_files import parsed_yaml, read_yaml
from twostage.errors import TwostageError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("a: 1e-4", {"a": 1e-4}),
        ("{1: a, '1': b}", {1: "a", "1": "b"}),
        # A key beside a merged mapping replaces the merged one, wherever that one was merged before.
        ("b: &b {x: 1}\na: &a {<<: *b, x: 2}\n<<: *a", {"b": {"x": 1}, "a": {"x": 2}, "x": 2}),
        ("<<: {a: {<<: {x: 1}, x: 2}}\nb: 1", {"a": {"x": 2}, "b": 1}),
        ("{=: 1}", {"=": 1}),
    ],
)
def test_yaml_is_read(text, value):
    assert parsed_yaml(text, "mine.yaml") == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 1", "mine.yaml: line 3: key a occurs twice; it must be YAML that names each key once"),
        ("a: {b: 1, b: 2}", "line 1: key b occurs twice"),
        ("- a\n- {b: 1, 'b': 2}", "line 2: key b occurs twice"),
        ("{1: a, 0x1: b}", "key 0x1 occurs twice"),
        ("b: &b {x: 1}\n<<: *b\n<<: *b", "key << occurs twice"),
        ("a: [\n", "mine.yaml: line 2: .*; it must be YAML"),
        ("a: 1\n\tb: 2", "line 2: found a tab character"),
        ("a: *b", "found undefined alias"),
        ("a: \x00", "control characters"),
        ("? [a]\n: 1", "unhashable key"),
        ("a: !!bool maybe", "mine.yaml has a value that is none"),
        ("a: !!timestamp x", "mine.yaml has a value that is none"),
        ("a: !!int ''", "mine.yaml has a value that is none"),
        pytest.param("{<<: " * 3000 + "{}" + "}" * 3000, "mine.yaml nests lists or keys too deeply", id="deep"),
    ],
)
def test_a_mistake_is_one_line_with_the_file(text, message):
    with pytest.raises(TwostageError, match=message) as caught:
        parsed_yaml(text, "mine.yaml")
    assert str(caught.value).startswith("mine.yaml")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_text_or_none_at_all_is_one_line(tmp_path):
    path = tmp_path / "mine.yaml"
    with pytest.raises(TwostageError, match=f"{path} cannot be read .No such file"):
        read_yaml(path)
    path.write_bytes("a: é".encode("latin-1"))
    with pytest.raises(TwostageError, match=f"{path} is no UTF-8 text .byte 3.; save it as UTF-8"):
        read_yaml(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(TwostageError, match=r"conf/x\.yaml cannot be read .Is a directory"):
        read_yaml(path, "conf/x.yaml")
