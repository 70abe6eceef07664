"""The second device of tests: it computes as the CPU does and refuses what CUDA refuses, so tests on it can fail."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from tests.clone import ROOT
from tests.second_device import assert_same_on_both, second_device
from twostage.planning.provenance import device_name
from twostage.runtime import processes, training
from twostage.runtime.artifacts import write_array


@pytest.fixture
def device():
    with second_device() as made:
        yield made


def test_it_is_what_processes_take_unless_the_workflow_says_otherwise(device, monkeypatch):
    assert training.device() == device
    assert device_name() == "a second device"
    monkeypatch.setenv("TWOSTAGE_DEVICE", "cpu")
    assert training.device() == torch.device("cpu")


def test_without_it_the_cpu_is_taken(monkeypatch):
    monkeypatch.delenv("TWOSTAGE_DEVICE", raising=False)
    with second_device():
        pass
    # Where there is a GPU, too: this process has the second device for its accelerator from now on.
    assert training.device() == torch.device("cpu")


def test_processes_forked_later_can_run_backward():
    # In a process of its own, whose first backward comes after the device.
    code = """
import torch
from tests.processes import together
from tests.second_device import second_device

def work():
    weight = torch.ones(3, requires_grad=True)
    weight.pow(2).sum().backward()
    return weight.grad.tolist()

with second_device():
    pass
work()
assert together(2, work) == [[2.0] * 3] * 2
"""
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


def test_mps_is_not_taken_by_itself(monkeypatch):
    monkeypatch.delenv("TWOSTAGE_DEVICE", raising=False)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: torch.device("mps"))
    assert training.device() == torch.device("cpu")


def test_autocast_and_the_library_of_processes_follow_it(device):
    layer, x_BD = torch.nn.Linear(4, 4).to(device), torch.rand(2, 4).to(device)
    with training.autocast("bfloat16"):
        assert layer(x_BD).dtype == torch.bfloat16
    with training.autocast("float32"):
        assert layer(x_BD).dtype == torch.float32
    assert not processes._on_cpu()


@pytest.mark.parametrize(
    "mixed",
    [
        lambda x: x + torch.ones(2, 3),
        lambda x: torch.cat([x, torch.ones(2, 3)]),
        lambda x: torch.stack([x.sum(), torch.tensor(1.0)]),
        lambda x: x @ torch.ones(3, 2),
        lambda x: torch.ones(2, 3)[x.long()[0]],
        lambda x: torch.nn.functional.embedding(torch.zeros(1, dtype=torch.int64), x),
        lambda x: torch.where(torch.ones(2, 3, dtype=torch.bool), x, 0.0),
    ],
)
def test_tensors_of_two_devices_are_refused(mixed, device):
    with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
        mixed(torch.zeros(2, 3, device=device))


def test_a_generator_of_the_cpu_and_an_array_of_its_memory_are_refused(device):
    with pytest.raises(RuntimeError, match="device type for generator but found 'cpu'"):
        torch.rand(3, generator=torch.Generator(), device=device)
    with pytest.raises(RuntimeError, match="numpy"):
        torch.zeros(3, device=device).numpy()


def test_what_cuda_allows_is_allowed(device):
    x = torch.arange(6.0, device=device).view(2, 3)
    assert (x * torch.tensor(2.0)).tolist() == [[0, 2, 4], [6, 8, 10]]
    assert x[torch.tensor([1])].tolist() == [[3, 4, 5]]
    x.copy_(torch.ones(2, 3))
    assert x.sum().item() == 6
    assert torch.tensor([1, 2], device=device).cpu().tolist() == [1, 2]


def test_a_comparison_fails_where_numbers_differ_or_nothing_ran_on_it(tmp_path):
    def write(out, number):
        write_array(out / "a.npy", (torch.zeros(2, device=training.device()) + number).cpu().numpy())

    assert_same_on_both(lambda out: write(out, 1.0), tmp_path / "equal")
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_same_on_both(lambda out: write(out, float(training.device().type == "cpu")), tmp_path / "unequal")
    with pytest.raises(AssertionError, match="nothing ran on the device"):
        assert_same_on_both(lambda out: write_array(out / "a.npy", np.zeros(2)), tmp_path / "nothing")
