"""What Snakemake was asked."""

import pytest

from twostage.errors import TwostageError
from twostage.rules import asked

COMMITTED = {"committed": "laptop"}


def test_the_scale_is_what_was_asked_for():
    assert asked.scale(COMMITTED | {"scale": "smoke"}) == "smoke"


@pytest.mark.parametrize(
    ("config", "named"),
    [
        (COMMITTED, "scale is None"),
        (COMMITTED | {"scale": None}, "scale is None"),
        (COMMITTED | {"scale": ["smoke"]}, "scale is ['smoke']"),
        (COMMITTED | {"scale": {"smoke": 1}}, "scale is {'smoke': 1}"),
        (COMMITTED | {"scale": 7}, "scale is 7"),
        ({"scale": "smoke"}, "committed is None"),
    ],
)
def test_what_is_no_scale_is_one_line(config, named):
    with pytest.raises(TwostageError) as caught:
        asked.scale(config)
    assert named in str(caught.value)
    assert "conf/scale" in str(caught.value)
