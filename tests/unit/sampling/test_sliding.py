"""Sliding windows: the fast way draws exactly what the plain one draws."""

import pytest
import torch

from twostage.errors import TwostageError
from twostage.latents.dataset import TokenSpace
from twostage.sampling import Draw, sample, slide, uniform_table
from twostage.sampling.canvas import Canvas
from twostage.sampling.sliding import CachedWindows, slide_token_by_token

WINDOW = (4, 4)
PLAIN = TokenSpace(9, WINDOW)
SPATIAL = TokenSpace(9, WINDOW, TokenSpace(5, WINDOW))
CLASS = TokenSpace(9, WINDOW, TokenSpace(5, (1, 1)))


def table(number, size, seed=0):
    return uniform_table(number, size[0] * size[1], torch.Generator().manual_seed(seed))


def condition_of(tokens, number, size):
    if tokens.condition is None:
        return None
    shape = (number, *size) if tokens.condition.grid == WINDOW else (number, 1)
    return torch.randint(5, shape, generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize("tokens", [PLAIN, SPATIAL, CLASS], ids=["unconditional", "spatial", "class"])
@pytest.mark.parametrize("size", [(4, 4), (4, 11), (11, 4), (5, 5), (8, 8), (7, 13), (13, 6)])
def test_waves_and_caches_draw_what_whole_windows_draw(size, tokens, small_gpt):
    model, condition, draw = small_gpt(tokens), condition_of(tokens, 3, size), Draw(1.2, top_k=7, top_p=0.95)
    expected = slide_token_by_token(model, table(3, size), size, draw, condition)
    found = slide(model, table(3, size), size, draw, condition)
    assert found.shape == (3, *size)
    assert torch.equal(found, expected)
    assert not torch.equal(slide(model, table(3, size, seed=1), size, draw, condition), expected)


@pytest.mark.parametrize("window", [(2, 5), (5, 3), (1, 1), (1, 4)])
def test_windows_of_any_shape_draw_the_same(window, small_gpt):
    model, size = small_gpt(TokenSpace(9, window)), (7, 9)
    assert torch.equal(slide(model, table(2, size), size), slide_token_by_token(model, table(2, size), size))


def test_single_precision_draws_the_same_as_well(small_gpt):
    model, size = small_gpt(SPATIAL, num_layers=3).float(), (9, 10)
    condition = condition_of(SPATIAL, 4, size)
    expected = slide_token_by_token(model, table(4, size), size, Draw(), condition)
    assert torch.equal(slide(model, table(4, size), size, Draw(), condition), expected)


@pytest.mark.parametrize("tokens", [PLAIN, SPATIAL], ids=["unconditional", "spatial"])
def test_pixelsnail_slides_too(tokens, small_pixelsnail):
    model, size = small_pixelsnail(tokens), (6, 9)
    condition = condition_of(tokens, 2, size)
    expected = slide_token_by_token(model, table(2, size), size, Draw(), condition)
    assert torch.equal(slide(model, table(2, size), size, Draw(), condition), expected)


def test_on_a_canvas_of_one_window_it_is_plain_sampling(small_gpt):
    model = small_gpt(SPATIAL)
    condition = condition_of(SPATIAL, 3, WINDOW)
    expected = sample(model, table(3, WINDOW), Draw(), condition.flatten(1))
    assert torch.equal(slide(model, table(3, WINDOW), WINDOW, Draw(), condition), expected)


def test_a_given_beginning_of_the_canvas_is_kept(small_gpt):
    model, size = small_gpt(PLAIN), (8, 10)
    whole = slide(model, table(3, size), size).flatten(1)
    for number in (0, 1, 37, 79, 80):
        completed = slide(model, table(3, size), size, given_BG=whole[:, :number])
        assert torch.equal(completed.flatten(1), whole)
    other_BG = (whole[:, :40] + 1) % 9
    found = slide(model, table(3, size), size, given_BG=other_BG)
    assert torch.equal(found.flatten(1)[:, :40], other_BG)
    assert torch.equal(found, slide_token_by_token(model, table(3, size), size, given_BG=other_BG))


def test_a_token_depends_on_its_window_and_on_nothing_else(small_gpt):
    """The last columns of the condition change; tokens whose windows end before them do not."""
    model, size = small_gpt(SPATIAL), (4, 16)
    condition = condition_of(SPATIAL, 2, size)
    changed = condition.clone()
    changed[:, :, 12:] = (changed[:, :, 12:] + 1) % 5
    before, after = (slide(model, table(2, size), size, Draw(), it) for it in (condition, changed))
    # A window reaches one column to the right of its token, and nothing above the first row can carry more.
    assert torch.equal(before[:, 0, :11], after[:, 0, :11])
    assert not torch.equal(before[:, 0, 11:], after[:, 0, 11:])


def test_every_needed_token_enters_the_model_once(small_gpt, monkeypatch):
    model, size = small_gpt(PLAIN), (10, 12)
    entered, whole = [], type(model.transformer).last_features

    def count(module, spans):
        entered.extend(span.length for span in spans)
        return whole(module, spans)

    monkeypatch.setattr(type(model.transformer), "last_features", count)
    slide(model, table(1, size), size)
    # One start token and all tokens before the last predicted one, for every window there is.
    last = {}
    for place in Canvas(*size, WINDOW).places():
        last[place.window] = max(place.local, last.get(place.window, 0))
    assert sum(entered) == sum(1 + local for local in last.values())


def test_no_cache_outlives_its_window(small_gpt, monkeypatch):
    made = []
    start = CachedWindows.__init__

    def keep(windows, *arguments):
        start(windows, *arguments)
        made.append(windows)

    monkeypatch.setattr(CachedWindows, "__init__", keep)
    slide(small_gpt(PLAIN), table(1, (7, 9)), (7, 9))
    assert made[0].caches == {}


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_windows_without_room_for_a_cache_draw_the_same(small_gpt, monkeypatch, share):
    model, size = small_gpt(SPATIAL), (9, 10)
    condition, kept, start = condition_of(SPATIAL, 2, size), [], CachedWindows._span

    def count(windows, place):
        span = start(windows, place)
        kept.append(sum(c.keys_LBHPE.nbytes + c.values_LBHPE.nbytes for _, c in windows.caches.values()))
        return span

    monkeypatch.setattr(CachedWindows, "_span", count)
    expected = slide(model, table(2, size), size, Draw(), condition)
    most = max(kept)
    kept.clear()
    found = slide(model, table(2, size), size, Draw(), condition, cache_bytes=int(share * most))
    assert torch.equal(found, expected)
    assert max(kept) <= share * most
    assert (max(kept) > 0) == (share > 0)


def test_what_does_not_fit_is_refused(small_gpt):
    size = (8, 8)
    with pytest.raises(TwostageError, match="the window is larger than the canvas"):
        slide(small_gpt(PLAIN), table(1, (3, 9)), (3, 9))
    with pytest.raises(TwostageError, match=r"a condition of \(8, 7\) tokens for a canvas of \(8, 8\)"):
        slide(small_gpt(SPATIAL), table(1, size), size, Draw(), torch.zeros(1, 8, 7, dtype=torch.int64))
    with pytest.raises(TwostageError, match=r"whose condition is \(1, 1\)"):
        slide(small_gpt(CLASS), table(1, size), size, Draw(), torch.zeros(1, 8, 8, dtype=torch.int64))
    with pytest.raises(TwostageError, match="1 conditions for 2 samples"):
        slide(small_gpt(SPATIAL), table(2, size), size, Draw(), torch.zeros(1, 8, 8, dtype=torch.int64))
    with pytest.raises(TwostageError, match="needs condition codes"):
        slide(small_gpt(SPATIAL), table(2, size), size)
    with pytest.raises(TwostageError, match="larger than the vocabulary of 9"):
        slide(small_gpt(PLAIN), table(2, size), size, Draw(top_k=10))
    with pytest.raises(ValueError, match="uniform numbers"):
        slide(small_gpt(PLAIN), table(2, (4, 8)), size)


def test_a_prior_of_another_order_is_refused(small_gpt):
    model = small_gpt(PLAIN)
    model.ordering = "spiral_out"
    with pytest.raises(TwostageError, match="row-major order, but the prior's is spiral_out"):
        slide(model, table(1, (8, 8)), (8, 8))
