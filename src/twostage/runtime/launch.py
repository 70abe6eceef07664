"""Which of the processes of its job this one is. torchrun starts several; without it there is one.

Without torch, which most commands need not load. What processes exchange while they compute is `runtime.processes`.
"""

import datetime
import functools
import os
from collections.abc import Callable
from typing import Any

# The first process may wait for another job, or for free cards, before all of them start.
MOST_WAITING = datetime.timedelta(days=7)


def count() -> int:
    """Number of processes of the job."""
    return _number("WORLD_SIZE", 1)


def rank() -> int:
    """The number of this process, from 0."""
    return _number("RANK", 0)


def is_first() -> bool:
    """Whether this process writes the files and the log."""
    return rank() == 0


def hides_bars() -> bool | None:
    """Whether progress bars are hidden; None: where there is no terminal."""
    return None if is_first() else True


def count_here() -> int:
    """Number of processes of the job on this machine."""
    return _number("LOCAL_WORLD_SIZE", 1)


def is_first_here() -> bool:
    """Whether this is the first process of the job on this machine."""
    return _number("LOCAL_RANK", 0) == 0


def from_first(key: str, answer: Callable[[], str]) -> str:
    """What the first process answers, which the others wait for. Ask each key once."""
    return _from(is_first(), key, answer) if count() > 1 else answer()


def from_first_here(key: str, answer: Callable[[], str]) -> str:
    """As `from_first`, of the first process on this machine."""
    node = _number("GROUP_RANK", 0)
    return _from(is_first_here(), f"{key} {node}", answer) if count_here() > 1 else answer()


def _from(is_teller: bool, key: str, answer: Callable[[], str]) -> str:
    if is_teller:
        told = answer()
        _store().set(key, told)
        return told
    heard: bytes = _store().get(key)
    return heard.decode()


@functools.cache
def _store() -> Any:
    """Where the processes of torchrun find one another."""
    import torch

    store, _, _ = next(torch.distributed.rendezvous("env://", timeout=MOST_WAITING))
    return torch.distributed.PrefixStore("twostage", store)


def _number(name: str, alone: int) -> int:
    # Other launchers set some of these for what they start, too.
    return int(os.environ[name]) if "TORCHELASTIC_RUN_ID" in os.environ else alone
