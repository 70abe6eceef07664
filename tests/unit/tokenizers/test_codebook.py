import pytest
import torch

from twostage.errors import TwostageError
from twostage.tokenizers.codebook import CodebookKeeper
from twostage.tokenizers.quantizer import Quantizer

from .conftest import small_config


def keeper_and_quantizer(**changes) -> tuple[CodebookKeeper, Quantizer]:
    names = {f"quantizer__{name}": value for name, value in changes.items()}
    config = small_config(quantizer__num_codes=3, quantizer__code_dim=2, **names).quantizer
    return CodebookKeeper(config), Quantizer(config)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_codes_start_on_different_data():
    keeper, quantizer = keeper_and_quantizer(init="data")
    vector_ND = torch.randn(20, 2)
    keeper.start(quantizer, vector_ND, generator())
    rows = {tuple(row) for row in quantizer.codebook_KD.tolist()}
    assert len(rows) == 3
    assert rows <= {tuple(row) for row in vector_ND.tolist()}
    assert keeper.ready


def test_fewer_vectors_than_codes_is_no_obstacle():
    keeper, quantizer = keeper_and_quantizer(init="data")
    vector_ND = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    keeper.start(quantizer, vector_ND, generator())
    assert {tuple(row) for row in quantizer.codebook_KD.tolist()} == {(1.0, 2.0), (3.0, 4.0)}


def test_uniform_start_is_the_released_one():
    keeper, quantizer = keeper_and_quantizer(init="uniform")
    before = quantizer.codebook_KD.clone()
    keeper.start(quantizer, torch.full((20, 2), 9.0), generator())
    assert torch.equal(quantizer.codebook_KD, before)
    assert before.abs().max() <= 1 / 3


def test_moving_average_by_hand():
    keeper, quantizer = keeper_and_quantizer(learned_by="ema", ema_decay=0.75, init="uniform", revive_after=None)
    with torch.no_grad():
        quantizer.codebook_KD.copy_(torch.tensor([[0.0, 0.0], [4.0, 4.0], [8.0, 8.0]]))
    keeper.start(quantizer, torch.zeros(1, 2), generator())
    vector_ND = torch.tensor([[1.0, 0.0], [3.0, 0.0], [5.0, 4.0]])
    keeper.update(quantizer, vector_ND, torch.tensor([0, 0, 1]), generator())
    # counts .75 * 1 + .25 * (2, 1, 0); sums .75 * code + .25 * sum of its vectors.
    assert keeper.average_count_K.tolist() == pytest.approx([1.25, 1.0, 0.75])
    expected = [[0.25 * 4 / 1.25, 0.0], [0.75 * 4 + 0.25 * 5, 4.0], [8.0, 8.0]]
    torch.testing.assert_close(quantizer.codebook_KD.detach(), torch.tensor(expected))


def test_moving_average_ends_at_the_mean_of_its_cluster():
    keeper, quantizer = keeper_and_quantizer(learned_by="ema", ema_decay=0.5)
    vector_ND = torch.randn(30, 2)
    keeper.start(quantizer, vector_ND, generator())
    for _ in range(60):
        keeper.update(quantizer, vector_ND, torch.zeros(30, dtype=torch.int64), generator())
    torch.testing.assert_close(quantizer.codebook_KD[0], vector_ND.mean(0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("learned_by", ["gradient", "ema"])
def test_unused_codes_move_onto_data_and_are_counted(learned_by):
    keeper, quantizer = keeper_and_quantizer(init="uniform", revive_after=3, learned_by=learned_by)
    vector_ND = 5 + torch.randn(10, 2)
    keeper.start(quantizer, vector_ND, generator())
    only_first = torch.zeros(10, dtype=torch.int64)
    for _ in range(2):
        keeper.update(quantizer, vector_ND, only_first, generator())
    assert keeper.num_revived == 0
    keeper.update(quantizer, vector_ND, only_first, generator())
    assert keeper.num_revived == 2
    data = {tuple(row) for row in vector_ND.tolist()}
    assert all(tuple(row) in data for row in quantizer.codebook_KD[1:].tolist())
    assert keeper.unused_steps_K.tolist() == [0, 0, 0]


def test_without_revival_unused_codes_stay():
    keeper, quantizer = keeper_and_quantizer(init="uniform", revive_after=None)
    vector_ND = torch.randn(10, 2)
    keeper.start(quantizer, vector_ND, generator())
    before = quantizer.codebook_KD.clone()
    for _ in range(50):
        keeper.update(quantizer, vector_ND, torch.zeros(10, dtype=torch.int64), generator())
    assert torch.equal(before, quantizer.codebook_KD)
    assert keeper.num_revived == 0


def test_unknown_start_is_named():
    keeper, quantizer = keeper_and_quantizer(init="zeros")
    with pytest.raises(TwostageError, match="init zeros"):
        keeper.start(quantizer, torch.zeros(5, 2), generator())
