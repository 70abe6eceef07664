"""The hourglass transformer: what is resampled, what is attended to, and what its positions mean."""

import pytest
import torch
from torch.nn import functional

from twostage.config.schema import SundaeConfig
from twostage.errors import TwostageError
from twostage.priors.hourglass import Grouping, Hourglass, SelfAttention
from twostage.priors.rotary import angles, rotate, rotation


def config(**changes):
    values = {"width": 16, "num_heads": 2, "head_width": 8, "depth": [1, 1, 1], "shorten_factor": 4}
    values |= {"resampling": "patches", "rotary": "axial", "dropout": 0.0, "unrolls": 2}
    return SundaeConfig(**{**values, **changes})


def build(grid=(4, 4), seed=0, **changes):
    """Double precision, and weights large enough that attention is far from uniform."""
    torch.manual_seed(seed)
    sizes = config(**changes)
    grouping = Grouping.of(sizes.resampling, grid, sizes.shorten_factor)
    model = Hourglass(sizes, grid, grouping).double().eval()
    for name, parameter in model.named_parameters():
        if "norm" not in name:
            torch.nn.init.normal_(parameter, std=0.5)
    return model, grouping


def groups(kind, grid, size):
    return Grouping.of(kind, grid, size).order_T.unflatten(0, (-1, size)).tolist()


def test_patches_are_squares_of_the_grid():
    assert groups("patches", (4, 6), 4) == [
        [0, 1, 6, 7], [2, 3, 8, 9], [4, 5, 10, 11], [12, 13, 18, 19], [14, 15, 20, 21], [16, 17, 22, 23],
    ]  # fmt: skip
    assert groups("patches", (3, 3), 9) == [list(range(9))]
    assert groups("patches", (2, 2), 1) == [[0], [1], [2], [3]]


def test_sequences_are_neighbours_of_a_row():
    assert groups("sequence", (2, 8), 4) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [12, 13, 14, 15]]
    assert Grouping.of("sequence", (2, 8), 4).shortened == (2, 2)
    assert Grouping.of("patches", (2, 8), 4).shortened == (1, 4)


@pytest.mark.parametrize("kind", ["patches", "sequence"])
def test_a_shortened_token_depends_on_its_own_group_and_on_no_other(kind):
    """By gradients, without layers before: the projection and the attention after it see the same tokens."""
    model, grouping = build(depth=[0, 0, 0], resampling=kind)
    x_BTD = torch.randn(1, 16, 16, dtype=torch.float64, requires_grad=True)
    short_BGD = model.shorten(x_BTD.unflatten(1, (-1, 4)), x_BTD.unflatten(1, (-1, 4)))
    for group in range(4):
        (gradient,) = torch.autograd.grad((short_BGD[0, group] ** 3).sum(), x_BTD, retain_graph=True)
        touched = grouping.order_T[gradient[0].abs().sum(-1) > 0].tolist()
        rows, columns = {token // 4 for token in touched}, {token % 4 for token in touched}
        assert len(touched) == 4
        assert (len(rows), len(columns)) == ((2, 2) if kind == "patches" else (1, 4))


def test_released_attention_reads_other_tokens_than_it_resamples():
    grouping = Grouping.of("released", (4, 4), 4)
    assert grouping.order_T[:4].tolist() == [0, 1, 4, 5]
    # The tokens attended to by the first group are the first four in row-major order.
    assert grouping.order_T[grouping.attended_T[:4]].tolist() == [0, 1, 2, 3]
    assert grouping.attending_T[:4].tolist() == [0, 0, 1, 1]


def test_attention_to_one_token_is_its_value():
    """`Lengthen` against softmax attention written out, whose queries and keys prove to have no influence."""
    model, _ = build()
    lengthen = model.lengthen
    short_BGD, before_BTD = (torch.randn(2, number, 16, dtype=torch.float64) for number in (4, 16))
    ours_BTD = lengthen(short_BGD, before_BTD, None)
    x_BGSD = (lengthen.project(short_BGD).unflatten(-1, (4, 16)) + before_BTD.unflatten(1, (4, 4))).flatten(0, 1)
    value = lengthen.value(short_BGD).flatten(0, 1)[:, None]
    query, key = torch.randn(8, 4, 16, dtype=torch.float64), torch.randn(8, 1, 16, dtype=torch.float64)
    heads = [part.unflatten(-1, (2, 8)).transpose(1, 2) for part in (query, key, value)]
    mixed = functional.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)
    plain_BTD = lengthen.perceptron((x_BGSD + lengthen.out(mixed)).view(2, 16, 16))
    torch.testing.assert_close(ours_BTD, plain_BTD)


def test_attention_within_a_group_is_softmax_attention():
    model, _ = build()
    shorten = model.shorten
    x_BGSD = torch.randn(2, 4, 4, 16, dtype=torch.float64)
    short_BGD = shorten.project(x_BGSD.flatten(2))
    query = shorten.query(shorten.norm(short_BGD)).view(8, 1, 2, 8).transpose(1, 2)
    key, value = (part.reshape(8, 4, 2, 8).transpose(1, 2) for part in shorten.key_value(x_BGSD).chunk(2, dim=-1))
    mixed = functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(2, 4, 16)
    plain_BGD = shorten.perceptron(short_BGD + shorten.out(mixed))
    torch.testing.assert_close(shorten(x_BGSD, x_BGSD), plain_BGD)


@pytest.mark.parametrize("resampling", ["patches", "sequence", "released"])
def test_every_token_depends_on_every_token(resampling):
    """Nothing is causal, and no token is lost on the way."""
    model, _ = build(resampling=resampling)
    x_BTD = torch.randn(1, 16, 16, dtype=torch.float64, requires_grad=True)
    features_BTD = model(x_BTD)
    for token in range(16):
        (gradient,) = torch.autograd.grad((features_BTD[0, token] ** 3).sum(), x_BTD, retain_graph=True)
        assert (gradient[0].abs().sum(-1) > 0).all()


@pytest.mark.parametrize(("grid", "size"), [((4, 4), 1), ((6, 4), 4), ((6, 9), 9), ((8, 8), 16)])
def test_any_square_shortens_any_grid_that_it_divides(grid, size):
    model, grouping = build(grid, shorten_factor=size)
    seen = []
    model.within[0].register_forward_hook(lambda module, inputs, output: seen.append(output.shape[1]))
    number = grid[0] * grid[1]
    assert model(torch.randn(2, number, 16, dtype=torch.float64)).shape == (2, number, 16)
    assert seen == [number // size]
    assert sorted(grouping.order_T.tolist()) == list(range(number))


# ---- rotary positions

ANGLES = {"atol": 1e-5, "rtol": 1e-5}  # which are float32


def scores(kind, grid):
    """[H, T, T]: products of one query and one key, the same at every place of a grid, on every head."""
    torch.manual_seed(0)
    angle_THF = angles(kind, grid, 16, 2, shortened=False).double()
    content = torch.randn(2, 16, dtype=torch.float64)
    x_BTNHE = content[None, None, :, None].expand(1, grid[0] * grid[1], 2, 2, 16)
    query_THE, key_THE = rotate(x_BTNHE, rotation(angle_THF))[0].unbind(1)
    return torch.einsum("the,she->hts", query_THE, key_THE)


def test_axial_scores_depend_on_the_offset_in_rows_and_columns_alone():
    rows, columns = 3, 5
    score_HTT = scores("axial", (rows, columns))
    by_offset = {}
    for t in range(15):
        for s in range(15):
            offset = (t // columns - s // columns, t % columns - s % columns)
            by_offset.setdefault(offset, []).append(score_HTT[:, t, s])
    for values in by_offset.values():
        torch.testing.assert_close(torch.stack(values), values[0].expand(len(values), -1), **ANGLES)
    # And no two offsets look alike: rows and columns are told apart.
    means = torch.stack([values[0] for values in by_offset.values()])
    assert torch.pdist(means).min() > 1e-3


@pytest.mark.parametrize("kind", ["sequence", "raster"])
def test_scores_on_one_axis_depend_on_the_distance_in_row_major_order_alone(kind):
    score_HTT = scores(kind, (3, 4))
    for distance in range(-11, 12):
        diagonal_HT = score_HTT.diagonal(distance, dim1=1, dim2=2)
        torch.testing.assert_close(diagonal_HT, diagonal_HT[:, :1].expand_as(diagonal_HT), **ANGLES)
    # The last token of a row and the first of the next are neighbours.
    torch.testing.assert_close(score_HTT[:, 3, 4], score_HTT[:, 4, 5], **ANGLES)


def test_axial_and_raster_differ_in_their_axes_alone():
    """On a single row of tokens there is one axis: the pairs of the column have the angles that raster has."""
    axial_TF, raster_TF = (angles(kind, (1, 12), width, 1, shortened=False)[:, 0] for kind, width in
                           (("axial", 16), ("raster", 8)))  # fmt: skip
    torch.testing.assert_close(axial_TF[:, 4:], raster_TF)
    # From a quarter turn over the whole axis to half a turn a token, whatever the grid.
    step_F = angles("raster", (3, 4), 8, 1, shortened=False)[1, 0]
    assert (12 * float(step_F[0]), float(step_F[-1])) == pytest.approx((torch.pi / 2, torch.pi))


def test_every_head_is_turned_but_for_the_released_code():
    axial_HTT, released_HTT = scores("axial", (4, 4)), scores("released", (4, 4))
    assert (axial_HTT[0] - axial_HTT[0, 0, 0]).abs().max() > 0.1
    torch.testing.assert_close(axial_HTT[0], axial_HTT[1])
    assert (released_HTT[0] - released_HTT[0, 0, 0]).abs().max() > 0.1
    torch.testing.assert_close(released_HTT[1], released_HTT[1, 0, 0].expand(16, 16))


def test_rotation_keeps_lengths_and_turns_by_the_angle():
    angle_THF = torch.tensor([[[0.0]], [[torch.pi / 2]]], dtype=torch.float64)
    x_BTNHE = torch.tensor([3.0, 4.0], dtype=torch.float64).expand(1, 2, 1, 1, 2)
    turned = rotate(x_BTNHE, rotation(angle_THF))[0, :, 0, 0]
    torch.testing.assert_close(turned, torch.tensor([[3.0, 4.0], [-4.0, 3.0]], dtype=torch.float64))


def test_a_layer_whose_tokens_move_by_a_shift_attends_alike():
    """Two marked tokens among equal ones without influence: their scores survive any common shift on the grid."""
    torch.manual_seed(0)
    attention = SelfAttention(config()).double()
    rotation_THF2 = rotation(angles("axial", (4, 4), 8, 2, shortened=False)).double()
    marks = torch.randn(2, 16, dtype=torch.float64)

    def score(first, second):
        x_BTD = torch.zeros(1, 16, 16, dtype=torch.float64)
        x_BTD[0, first], x_BTD[0, second] = marks
        query_key = attention.query_key_value(x_BTD).unflatten(-1, (3, 2, 8))[:, :, :2]
        query_THE, key_THE = rotate(query_key, rotation_THF2)[0].unbind(1)
        return (query_THE[first] * key_THE[second]).sum(-1)

    torch.testing.assert_close(score(0, 6), score(5, 11), **ANGLES)
    assert (score(0, 6) - score(0, 9)).abs().max() > 1e-3


def test_positions_matter_to_the_whole():
    """Without them, shuffled groups would give shuffled features."""
    model, _ = build()
    x_BTD = torch.randn(1, 16, 16, dtype=torch.float64)
    order = torch.tensor([1, 0, 2, 3])
    shuffled_BTD = x_BTD.unflatten(1, (4, 4))[:, order].flatten(1, 2)
    expected_BTD = model(x_BTD).unflatten(1, (4, 4))[:, order].flatten(1, 2)
    assert (model(shuffled_BTD) - expected_BTD).abs().max() > 1e-3
    model.rotation_THF2 = rotation(torch.zeros(16, 1, 4)).double()
    model.short_rotation_GHF2 = rotation(torch.zeros(4, 1, 4)).double()
    expected_BTD = model(x_BTD).unflatten(1, (4, 4))[:, order].flatten(1, 2)
    torch.testing.assert_close(model(shuffled_BTD), expected_BTD)


@pytest.mark.parametrize(
    ("grid", "changes", "named"),
    [
        ((4, 5), {}, r"a grid of 4x5 tokens is not divisible into groups of 2x2; set priors.*factor \(now 4\)"),
        ((4, 6), {"resampling": "sequence"}, "not divisible into groups of 1x4"),
        ((4, 4), {"shorten_factor": 8}, "shorten_factor=8 must be a square number"),
        ((4, 4), {"shorten_factor": 0}, "shorten_factor=0 must be a square number"),
        ((4, 4), {"resampling": "mean"}, "resampling=mean is unknown; choose patches"),
        ((4, 4), {"rotary": "spiral"}, "rotary=spiral is unknown; choose axial"),
        ((4, 4), {"head_width": 6}, "head_width=6 must be divisible by 4"),
        ((4, 4), {"depth": [1, 2]}, r"depth=\[1, 2\] must be three numbers of layers, before, in and after groups"),
    ],
)  # fmt: skip
def test_what_makes_no_hourglass_is_named(grid, changes, named):
    with pytest.raises(TwostageError, match=named):
        build(grid, **changes)
