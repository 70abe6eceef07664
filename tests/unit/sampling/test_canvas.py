"""Where windows lie and which tokens wait for which."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twostage.errors import TwostageError
from twostage.sampling.canvas import Canvas, first


def released_local(position, side, window):
    """FACTS of the released code, for its window of 16: the position inside the window."""
    if position <= window // 2:
        return position
    if side - position < window // 2:
        return window - (side - position)
    return window // 2


@pytest.mark.parametrize("side", [16, 17, 24, 31, 32, 80])
def test_windows_lie_where_the_released_code_puts_them(side):
    for position in range(side):
        assert position - first(position, 16, side) == released_local(position, side, 16)


canvases = st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(0, 9), st.integers(0, 9)).map(
    lambda it: Canvas(it[0] + it[2], it[1] + it[3], (it[0], it[1]))
)


@given(canvases)
def test_every_window_lies_inside_the_canvas_and_holds_its_token(canvas):
    rows, columns = canvas.window
    for rank, place in enumerate(canvas.places()):
        row, column = divmod(rank, canvas.width)
        assert place.rank == rank
        assert 0 <= place.top <= row < place.top + rows <= canvas.height
        assert 0 <= place.left <= column < place.left + columns <= canvas.width
        assert place.local == (row - place.top) * columns + column - place.left


def seen(canvas, place):
    """Canvas ranks of the window's tokens before the place."""
    columns = canvas.window[1]
    return [
        (place.top + local // columns) * canvas.width + place.left + local % columns for local in range(place.local)
    ]


@given(canvases, st.floats(0, 1))
def test_waves_draw_every_token_once_and_as_early_as_can_be(canvas, share):
    num_given = int(share * canvas.num_tokens)
    wave_of = dict.fromkeys(range(num_given), -1)
    for number, wave in enumerate(canvas.waves(num_given)):
        assert wave
        wave_of |= {place.rank: number for place in wave}
    assert sorted(wave_of) == list(range(canvas.num_tokens))
    for place in canvas.places()[num_given:]:
        assert wave_of[place.rank] == 1 + max((wave_of[rank] for rank in seen(canvas, place)), default=-1)


def test_a_wide_canvas_takes_far_fewer_waves_than_tokens():
    canvas = Canvas(32, 96, (16, 16))
    assert len(canvas.waves()) < canvas.num_tokens / 5


@pytest.mark.parametrize("size", [(3, 8), (8, 3), (3, 3)])
def test_a_window_larger_than_the_canvas_is_refused(size):
    with pytest.raises(
        TwostageError, match=r"the window is larger than the canvas: .* 4x4 tokens, sampling\.canvas is"
    ):
        Canvas(*size, (4, 4))
