import pathlib

import pytest

from twostage import configs


@pytest.fixture
def repository_conf(monkeypatch):
    """Configs are read from the repository, wherever the tests run."""
    monkeypatch.setattr(configs, "CONF", pathlib.Path(__file__).parents[2] / "conf")
