"""TWOSTAGE_DEVICE: a device that is not here is one line, by all that compute on one."""

import contextlib
import sys

import pytest
import torch

import twostage
from tests.models import write_model
from twostage import __main__ as main
from twostage.commands.environment import require_device
from twostage.config import composition
from twostage.errors import TwostageError

WRONG = ["gpu", "CPU", "meta", "mps", "cpu:0", "cuda:99", "cuda:", " cpu", "vulkan"]


@pytest.mark.parametrize("named", WRONG)
def test_what_is_no_device_here_is_refused(monkeypatch, tmp_path, named):
    write_model(tmp_path, "gpt")
    monkeypatch.setenv("TWOSTAGE_DEVICE", named)
    for call in (require_device, *(lambda f=f: f(tmp_path) for f in (twostage.load_prior, twostage.load_tokenizer))):
        with pytest.raises(TwostageError, match=f"TWOSTAGE_DEVICE={named} names no device here; set one of cpu"):
            call()


@pytest.mark.parametrize("words", [("priors.train", "scale=smoke"), ("--info",)])
def test_a_command_says_it_in_one_line(monkeypatch, tmp_path, capfd, words):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(composition, "CONF", composition.PACKAGED)
    monkeypatch.setenv("TWOSTAGE_DEVICE", "gpu")
    monkeypatch.setattr(sys, "argv", ["twostage", *words])
    with pytest.raises(SystemExit) as stop:
        main.main()
    said = capfd.readouterr().err
    assert (stop.value.code, len(said.splitlines())) == (1, 1)
    assert "TWOSTAGE_DEVICE=gpu" in said


@pytest.mark.parametrize("words", [("plan", "scale=smoke", "--help"), ("data.prepare", "scale=smoke", "--cfg", "job")])
def test_what_needs_no_device_asks_for_none(monkeypatch, tmp_path, capfd, words):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(composition, "CONF", composition.PACKAGED)
    monkeypatch.setenv("TWOSTAGE_DEVICE", "gpu")
    monkeypatch.setattr(sys, "argv", ["twostage", *words])
    with contextlib.suppress(SystemExit):
        main.main()
    assert "TWOSTAGE_DEVICE" not in capfd.readouterr().err


@pytest.mark.parametrize("cards", [0, 2])
def test_cards_are_those_that_torch_counts(monkeypatch, cards):
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cards)
    for named, last in (("cuda", 0), ("cuda:0", 0), ("cuda:1", 1), ("cuda:2", 2)):
        monkeypatch.setenv("TWOSTAGE_DEVICE", named)
        if last < cards:
            require_device()
            continue
        with pytest.raises(TwostageError, match="names no device here"):
            require_device()


@pytest.mark.parametrize("named", [None, "", "cpu"])
def test_the_cpu_and_no_choice_are_always_there(monkeypatch, named):
    monkeypatch.delenv("TWOSTAGE_DEVICE", raising=False)
    if named is not None:
        monkeypatch.setenv("TWOSTAGE_DEVICE", named)
    require_device()
