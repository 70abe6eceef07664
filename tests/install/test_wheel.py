"""The wheel in an empty folder: it brings conf/ along, and draws from a model that lies there."""

import os
import shutil
import subprocess
import sys
import zipfile

import pytest
from PIL import Image

from tests.clone import ROOT
from tests.models import write_model
from twostage.sources.released import RELEASED


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy, as setuptools writes beside the sources."""
    folder = tmp_path_factory.mktemp("build")
    # Models that were converted in this clone stay here.
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", *RELEASED)
    for name in ("src", "conf", "models"):
        shutil.copytree(ROOT / name, folder / "twostage" / name, symlinks=True, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "twostage" / name)
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, folder / "twostage")
    [path] = folder.glob("*.whl")
    return path


def pip(*words):
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, words)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_it_holds_every_config(wheel):
    with zipfile.ZipFile(wheel) as archive:
        held = {name: archive.read(name) for name in archive.namelist() if name.endswith(".yaml")}
    files = {str(path.relative_to(ROOT)): path.read_bytes() for path in (ROOT / "conf").rglob("*.yaml")}
    assert held == {f"twostage/{name}": content for name, content in files.items()}


@pytest.fixture(scope="module")
def call(wheel, tmp_path_factory):
    """`twostage ...` as installed, in an empty folder, without the sources of this clone."""
    site, empty = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("empty")
    pip("install", "--no-deps", "--target", site, wheel)

    def run(*words, start=("-m", "twostage")):
        environment = os.environ | {"PYTHONPATH": str(site)}
        command = [sys.executable, *start, *words]
        result = subprocess.run(command, cwd=empty, env=environment, capture_output=True, text=True, check=False)
        return empty, result

    return run


def test_it_draws_from_a_model_in_an_empty_folder(call, tmp_path):
    write_model(tmp_path, "gpt")
    folder, result = call("sample", "--model", str(tmp_path), "--out", "x.png", "sampling.num_images=16")
    assert result.returncode == 0, result.stderr
    assert Image.open(folder / "x.png").size == (70, 70)
    assert [path.name for path in folder.iterdir()] == ["x.png"]


def test_it_draws_from_a_released_model_by_its_name(call):
    folder, result = call("sample", "--model", "cifar10-laptop-gpt", "--out", "x.png", "sampling.num_images=16")
    assert result.returncode == 0, result.stderr
    assert Image.open(folder / "x.png").size == (134, 134)
    (folder / "x.png").unlink()


def test_it_draws_from_python_in_an_empty_folder(call, tmp_path):
    write_model(tmp_path, "sundae")
    typed = (
        "import sys, twostage as t; m = sys.argv[1]; print(t.sample(t.load_prior(m), t.load_tokenizer(m), 2).shape, "
        "t.__file__)"
    )
    _, result = call(str(tmp_path), start=("-c", typed))
    assert result.stdout.startswith("(2, 16, 16, 3)"), result.stderr
    assert str(ROOT) not in result.stdout


def test_its_configs_are_those_of_the_package(call):
    _, result = call("priors.train", "--cfg", "job", "priors=sundae", "scale=smoke")
    assert result.returncode == 0, result.stderr
    assert '"architecture": "sundae"' in result.stdout
    _, told = call("--info")
    conf = next(line.split(maxsplit=1)[1] for line in told.stdout.splitlines() if line.startswith("conf "))
    assert conf.endswith("twostage/conf")
    assert not conf.startswith(str(ROOT))
