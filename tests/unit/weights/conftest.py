import pytest

from twostage.config.schema import WeightsConfig
from twostage.runtime.artifacts import read_array
from twostage.runtime.job import Job
from twostage.sources.fetch import obtain
from twostage.weights.convert import convert


@pytest.fixture(scope="session")
def converted(tmp_path_factory):
    """Folder of a network's converted weights, by its name; the real ones, converted once."""
    folders = {}

    def folder(name):
        if name not in folders:
            folders[name] = tmp_path_factory.mktemp(name)
            job = Job("weights", "convert", name, "smoke", {"name": name}, {}, str(folders[name]), [])
            convert(WeightsConfig(name), job)
        return folders[name]

    return folder


@pytest.fixture(scope="session")
def cifar_images():
    """Sixteen real images, uint8 NHWC."""
    return read_array(obtain("cifar10").paths["test_image.npy"])[:16].copy()
