"""Who may hold Snakemake's lock, and when it goes."""

import os
import platform
import subprocess
import sys

import psutil
import pytest

from twostage.errors import TwostageError
from twostage.rules import lock


@pytest.fixture(autouse=True)
def in_a_clone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["snakemake", "--cores", "1", "all"])
    lock.HOLDERS.mkdir(parents=True)
    lock.LOCKS.mkdir(parents=True)
    (lock.LOCKS / "0.input.lock").touch()


def held_by(pid, start, host=None):
    path = lock.HOLDERS / f"{host or platform.node()}.{pid}.{start}"
    path.touch()
    return path


def is_locked():
    return (lock.LOCKS / "0.input.lock").exists()


def test_the_lock_of_a_dead_run_goes_and_this_run_is_named():
    ended = subprocess.Popen(["true"])
    ended.wait()
    dead = held_by(ended.pid, 1)
    lock.take_over()
    assert not is_locked()
    assert not dead.exists()
    (own,) = lock.HOLDERS.iterdir()
    assert own.name.startswith(f"{platform.node()}.{os.getpid()}.")


def test_beside_a_living_run_only_looking_goes_on(monkeypatch):
    process = psutil.Process()
    alive = held_by(process.pid, lock.seconds_since_boot(process))
    with pytest.raises(TwostageError, match=rf"process {process.pid}\) is at work in this clone; wait for it"):
        lock.take_over()
    monkeypatch.setattr(sys, "argv", ["snakemake", "-n", "all"])
    lock.take_over()
    assert is_locked()
    assert list(lock.HOLDERS.iterdir()) == [alive]


def test_the_lock_of_another_host_stays_until_unlocked(monkeypatch):
    far = held_by(1, 1, host="elsewhere")
    lock.take_over()
    assert is_locked()
    assert far.exists()
    monkeypatch.setattr(sys, "argv", ["snakemake", "--unlock"])
    lock.take_over()
    assert list(lock.HOLDERS.iterdir()) == []


def test_a_process_of_the_same_number_that_began_later_is_another_one():
    process = psutil.Process()
    start = lock.seconds_since_boot(process)
    assert lock.lives(process.pid, start)
    assert not lock.lives(process.pid, start - 5)
