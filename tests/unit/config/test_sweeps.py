"""What -m makes of overrides with several values, by Hydra's own grammar."""

import pytest

from twostage.config import composition
from twostage.config.overrides import expanded
from twostage.config.schema import Config
from twostage.errors import TwostageError

pytestmark = pytest.mark.usefixtures("repository_conf")


def runs(*overrides):
    return expanded(overrides, Config, composition.options)


@pytest.mark.parametrize(
    ("override", "values"),
    [
        ("priors.loop.seed=0,1", ["0", "1"]),
        ("priors.loop.seed=range(3)", ["0", "1", "2"]),
        ("priors.learning_rate=choice(1e-3,2e-3)", ["0.001", "0.002"]),
        ("tokenizers.channel_multipliers=[1,2],[1,1]", ["[1,2]", "[1,1]"]),
        ("priors.condition=null,class", ["null", "class"]),
        ('data.name="1.10","1.20"', ['"1.10"', '"1.20"']),
        ("data=glob(cifar10_*)", ["cifar10_animals", "cifar10_vehicles"]),
    ],
)
def test_every_value_is_a_run(override, values):
    key = override.partition("=")[0]
    assert runs(override) == [(f"{key}={value}",) for value in values]


def test_keys_are_crossed_and_the_last_varies_fastest():
    assert runs("priors=gpt,sundae", "scale=smoke", "priors.loop.seed=0,1") == [
        ("priors=gpt", "scale=smoke", "priors.loop.seed=0"),
        ("priors=gpt", "scale=smoke", "priors.loop.seed=1"),
        ("priors=sundae", "scale=smoke", "priors.loop.seed=0"),
        ("priors=sundae", "scale=smoke", "priors.loop.seed=1"),
    ]


def test_a_folder_with_a_comma_is_one_folder():
    assert runs("prior=/a,b") == [("prior=/a,b",)]


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("data.name=1.10,1.20", "quote each"),
        ("data.canny_sigma=interval(0,1)", "interval"),
        ("data=glob(zebra*)", "no option of data matches"),
        ("priors.loop.seed=0,[1", "cannot be read"),
    ],
)
def test_what_is_no_list_of_values_is_refused_in_one_line(override, said):
    with pytest.raises(TwostageError, match=said) as error:
        runs(override)
    assert len(str(error.value).splitlines()) == 1
