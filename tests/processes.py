"""Runs a piece of work in several processes, connected as torchrun connects them, without loading torch again."""

import multiprocessing
import os
import socket
import traceback
from collections.abc import Callable
from typing import Any

from twostage.runtime import processes
from twostage.runtime.training import Loop

# Far more than it takes, on a machine that others use.
SECONDS = 600


def surroundings(rank: int, number: int, port: int = 0) -> dict[str, str]:
    """The environment of a process of torchrun."""
    return {
        "TORCHELASTIC_RUN_ID": "test",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "GROUP_RANK": "0",
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(number),
        "LOCAL_WORLD_SIZE": str(number),
        "TWOSTAGE_DEVICE": "cpu",
    }


def together(number: int, work: Callable[..., Any], *arguments: Any) -> list[Any]:
    """What `work(*arguments)` returned in each process; with one, it runs here.

    Raises AssertionError with the traceback of a process that failed.
    """
    if number == 1:
        return [work(*arguments)]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    fork = multiprocessing.get_context("fork")
    pipes = [fork.Pipe(duplex=False) for _ in range(number)]
    started = []
    for rank, (_, theirs) in enumerate(pipes):
        where = surroundings(rank, number, port)
        started.append(fork.Process(target=_one, args=(theirs, where, work, arguments)))
        started[-1].start()
    try:
        answers = []
        for ours, _ in pipes:
            assert ours.poll(SECONDS), "a process does not answer"
            well, answer = ours.recv()
            assert well, answer
            answers.append(answer)
        return answers
    finally:
        for each in started:
            each.join(1)
            each.kill()
            each.join()


class Killed(Exception):
    """What ends a run in the middle."""


def run_until_killed(loop: Loop, die_at: int | None) -> bool:
    """Whether the loop came to its end: it does not if its task dies at a step."""
    step = loop.task.step

    def mortal(at: int) -> Any:
        if at == die_at:
            raise Killed
        return step(at)

    loop.task.step = mortal
    try:
        loop.run(lambda loop: loop.step >= loop.config.steps)
    except Killed:
        return False
    return True


def _one(pipe: Any, where: dict[str, str], work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    os.environ.update(where)
    try:
        with processes.joined():
            answer = (True, work(*arguments))
    except BaseException:
        answer = (False, traceback.format_exc())
    pipe.send(answer)
