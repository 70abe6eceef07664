import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from twostage.config.schema import LoopConfig
from twostage.errors import TwostageError
from twostage.runtime import training
from twostage.runtime.training import Loop, batch_positions


class Regression:
    """A linear model with Adam and input noise from the global generator, so that a resume must restore all three."""

    def __init__(self, explode_at=None):
        training.seed_everything(0)
        self.model = torch.nn.Linear(8, 1)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=0.05)
        self.explode_at = explode_at

    def step(self, step):
        generator = torch.Generator().manual_seed(step)
        x = torch.randn(16, 8, generator=generator) + 0.1 * torch.randn(16, 8)
        loss = (self.model(x) - x.sum(1, keepdim=True)).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return {"loss": loss * float("nan") if step == self.explode_at else loss}

    def evaluate(self):
        return {"weight_norm": float(self.model.weight.detach().norm())}

    def state(self):
        return {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state(self, state):
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])


CONFIG = LoopConfig(steps=30, batch_size=16, evaluate_every=10, checkpoint_every=7, seed=0, precision="float32")


def without_seconds(curve):
    return [{key: value for key, value in row.items() if key != "train_seconds"} for row in curve]


@pytest.mark.parametrize("killed_at", [7, 14, 21, 28])
def test_resumed_equals_uninterrupted_bit_for_bit(tmp_path, killed_at):
    whole = Loop(Regression(), CONFIG, tmp_path / "whole", "whole")
    whole.run(lambda loop: loop.step >= 30)

    first = Loop(Regression(), CONFIG, tmp_path / "cut", "cut")
    step = first.task.step

    def die(at):
        if at == killed_at:
            raise KeyboardInterrupt
        return step(at)

    first.task.step = die
    with pytest.raises(KeyboardInterrupt):
        first.run(lambda loop: loop.step >= 30)
    second = Loop(Regression(), CONFIG, tmp_path / "cut", "cut")
    assert second.step == killed_at
    second.run(lambda loop: loop.step >= 30)
    assert torch.equal(second.task.model.weight, whole.task.model.weight)
    assert without_seconds(second.curve) == without_seconds(whole.curve)
    assert [row["step"] for row in second.curve] == [0, 10, 20, 30]


def test_nan_stops_with_the_last_good_state_kept(tmp_path):
    loop = Loop(Regression(explode_at=16), CONFIG, tmp_path, "gpt")
    with pytest.raises(TwostageError, match=r"gpt: loss is nan at step 17; the last good state is kept in .*; lower"):
        loop.run(lambda loop: loop.step >= 30)
    resumed = Loop(Regression(), CONFIG, tmp_path, "gpt")
    assert resumed.step == 14
    assert all(torch.isfinite(p).all() for p in resumed.task.model.parameters())


def test_curve_holds_means_since_the_last_point_and_training_seconds_grow(tmp_path):
    loop = Loop(Regression(), CONFIG, tmp_path, "x")
    losses = []
    step = loop.task.step

    def recorded(at):
        scalars = step(at)
        losses.append(float(scalars["loss"]))
        return scalars

    loop.task.step = recorded
    loop.run(lambda loop: loop.step >= 30)
    assert loop.curve[2]["loss"] == pytest.approx(np.mean(losses[10:20]))
    seconds = [row["train_seconds"] for row in loop.curve]
    assert seconds == sorted(seconds)
    assert seconds[0] == 0 < seconds[-1]


def test_run_goes_on_after_the_budget_until_told_and_ends_at_an_evaluation_point(tmp_path):
    loop = Loop(Regression(), CONFIG, tmp_path, "x")
    loop.run(lambda loop: loop.step >= 30)
    loop.run(lambda loop: loop.step >= 33)
    assert loop.step == 40
    loop.discard()
    assert not tmp_path.exists()


def test_a_corrupt_checkpoint_does_not_unpickle_code(tmp_path):
    torch.save({"task": print}, tmp_path / "checkpoint.pt")
    with pytest.raises(TwostageError, match=r"checkpoint\.pt .* delete"):
        Loop(Regression(), CONFIG, tmp_path, "x")


@given(n=st.integers(1, 50), batch=st.integers(1, 50), seed=st.integers(0, 3), epoch=st.integers(0, 3))
def test_an_epoch_of_batches_repeats_no_example(n, batch, seed, epoch):
    if n < batch:
        with pytest.raises(TwostageError, match="are fewer than batch_size="):
            batch_positions(n, batch, seed, 0)
        return
    per_epoch = n // batch
    seen = np.concatenate([batch_positions(n, batch, seed, epoch * per_epoch + i) for i in range(per_epoch)])
    assert len(set(seen.tolist())) == len(seen) == per_epoch * batch
    assert seen.min() >= 0
    assert seen.max() < n


def test_batches_depend_on_seed_and_step_alone():
    assert (batch_positions(100, 8, 1, 30) == batch_positions(100, 8, 1, 30)).all()
    assert (batch_positions(100, 8, 1, 30) != batch_positions(100, 8, 2, 30)).any()
    assert (batch_positions(100, 8, 1, 0) != batch_positions(100, 8, 1, 12)).any()


@pytest.mark.parametrize("pin_memory", [False, True])
def test_a_batch_is_copied_to_a_card_from_page_locked_memory_if_asked(pin_memory):
    calls = []

    class OnCpu:
        def pin_memory(self):
            calls.append("pinned")
            return self

        def to(self, device, non_blocking=False):
            calls.append((device.type, non_blocking))
            return self

    training.to_device(OnCpu(), torch.device("cuda"), pin_memory)
    assert calls == (["pinned", ("cuda", True)] if pin_memory else [("cuda", False)])


def test_without_a_card_nothing_is_pinned():
    batch_B = torch.arange(3)
    assert training.to_device(batch_B, torch.device("cpu"), pin_memory=True) is batch_B
