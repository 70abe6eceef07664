"""Each job of a machine has GPUs of its own."""

import multiprocessing
import os
import threading
import time

import pytest
import torch

from tests.processes import surroundings, together
from twostage.runtime import gpus
from twostage.runtime.gpus import own_gpus


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine with so many cards, of which CUDA_VISIBLE_DEVICES may name some."""

    def with_cards(count, visible=None, wanted=None, device=None):
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
        monkeypatch.setattr(gpus, "POLL_SECONDS", 0.01)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        processes = dict.fromkeys(surroundings(0, 1)) if wanted is None else surroundings(0, wanted)
        given = processes | {"CUDA_VISIBLE_DEVICES": visible, "TWOSTAGE_DEVICE": device}
        for name, value in given.items():
            monkeypatch.delenv(name, raising=False)
            if value is not None:
                monkeypatch.setenv(name, value)

    return with_cards


def seen():
    return os.environ.get("CUDA_VISIBLE_DEVICES")


def hold(told):
    with own_gpus():
        told.send(seen())
        time.sleep(60)


@pytest.fixture
def others():
    """Starts so many other jobs, and returns them with the cards that they took."""
    # A spawned process would count the real cards.
    fork, jobs = multiprocessing.get_context("fork"), []

    def start(number):
        taken = []
        for _ in range(number):
            ours, theirs = fork.Pipe(duplex=False)
            jobs.append(fork.Process(target=hold, args=(theirs,)))
            jobs[-1].start()
            assert ours.poll(timeout=20)
            taken.append(ours.recv())
        return jobs, taken

    yield start
    for job in jobs:
        job.kill()
        job.join()


def test_jobs_beside_one_another_take_different_cards_and_give_them_back(machine, others):
    machine(3)
    assert others(2)[1] == ["0", "1"]
    for _ in range(2):
        with own_gpus():
            assert seen() == "2"
        assert seen() is None


def test_a_killed_job_gives_its_card_back(machine, others):
    machine(2)
    (job,), taken = others(1)
    assert taken == ["0"]
    job.kill()
    job.join()
    with own_gpus():
        assert seen() == "0"


def test_where_all_cards_are_taken_a_job_waits(machine, others, caplog):
    machine(2)
    caplog.set_level("INFO", "twostage")
    jobs, _ = others(2)
    threading.Timer(0.3, jobs[1].kill).start()
    with own_gpus():
        assert "0 of 2 GPUs are free and 1 are needed; waiting" in caplog.text
        assert seen() == "1"


def test_only_visible_cards_are_taken(machine):
    machine(3, visible="GPU-a,GPU-b,GPU-c")
    with own_gpus():
        assert seen() == "GPU-a"
    assert seen() == "GPU-a,GPU-b,GPU-c"


def test_the_processes_of_one_job_see_the_same_cards(machine, others):
    machine(4)
    assert others(1)[1] == ["0"]

    def cards():
        del os.environ["TWOSTAGE_DEVICE"]
        with own_gpus():
            found = seen()
        os.environ["TWOSTAGE_DEVICE"] = "cpu"
        return found

    assert together(2, cards) == ["1,2", "1,2"]


@pytest.mark.parametrize(
    "given",
    [
        # A cluster gives as many as were asked for; two jobs of its nodes may both see a card "0".
        {"count": 1, "visible": "0"},
        {"count": 2, "visible": "0,1", "wanted": 2},
        {"count": 4, "device": "cpu"},
        {"count": 4, "device": "cuda:3"},
        {"count": 0},
    ],
)
def test_what_was_chosen_is_left(machine, given):
    machine(**given)
    with own_gpus(), own_gpus():
        assert seen() == given.get("visible")
