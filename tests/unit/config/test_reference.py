"""What --help says of groups and keys."""

import pytest

from twostage.config import composition
from twostage.config.reference import keys, reference

pytestmark = pytest.mark.usefixtures("repository_conf")


def said(name):
    return next(key.said for key in keys(name.partition(".")[0]) if key.name == name)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("priors.loop.steps", "int, at least 1"),
        ("priors.learning_rate", "float, above 0, or null"),
        ("priors.gpt.dropout", "float, from 0 to 1"),
        ("priors.architecture", "gpt | pixelsnail | sundae | absorbing"),
        ("data.classes", "list of str"),
        ("tokenizers.channel_multipliers", "list of int, at least 1"),
        ("priors.gpt.shared_condition_codes", "bool"),
    ],
)
def test_a_key_has_its_type_and_range(name, words):
    assert said(name) == words


def test_the_reference_lists_every_option_and_every_key_of_its_groups():
    text = reference(("priors", "scale"))
    for option in (*composition.options("priors"), *composition.options("scale")):
        assert option in text
    for key in keys("priors"):
        assert key.name in text
    assert "tokenizers." not in text


def test_keys_without_a_schema_are_those_of_the_default_option():
    assert "scale.sampling.num_images" in [key.name for key in keys("scale")]
