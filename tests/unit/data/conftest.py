import numpy as np
import pytest
from PIL import Image

from twostage.config.schema import DataConfig
from twostage.data.prepare import prepare
from twostage.runtime.artifacts import read_array, read_json
from twostage.runtime.job import Job
from twostage.sources.fetch import obtain

ANIMALS = ["bird", "cat", "deer", "dog", "frog", "horse"]


class Prepared:
    """What `data.prepare` wrote into a folder."""

    def __init__(self, folder):
        self.folder = folder
        self.metadata = read_json(folder / "metadata.json")
        self.ids = read_json(folder / "splits.json")

    def array(self, split, name):
        return read_array(self.folder / f"{split}_{name}.npy")

    def digests(self, split):
        return {image_HWC.tobytes() for image_HWC in self.array(split, "image")}


def config_of(name, source, **changes):
    values = {"size": 32, "tune_images": 500, "canny_sigma": 1.0} | changes
    return DataConfig(name=name, source=source, **values)


def run(config, folder):
    prepare(config, Job("data", "prepare", config.name, "smoke", {}, {}, str(folder), []))
    return Prepared(folder)


@pytest.fixture(scope="session")
def cifar10_whole(tmp_path_factory):
    return run(config_of("cifar10", "cifar10"), tmp_path_factory.mktemp("cifar10"))


@pytest.fixture(scope="session")
def cifar10_horses(tmp_path_factory):
    """Two animals with edges, in another order than CIFAR-10's."""
    config = config_of("horses", "cifar10", classes=["horse", "bird"], maps=["edges"])
    return run(config, tmp_path_factory.mktemp("horses"))


@pytest.fixture(scope="session")
def fashion(tmp_path_factory):
    config = config_of("fashion_mnist", "fashion_mnist", maps=["segmentation"], num_labels=11)
    return run(config, tmp_path_factory.mktemp("fashion_mnist"))


@pytest.fixture(scope="session")
def real_pictures():
    """Forty real CIFAR-10 images, enlarged to 48x40 (width x height) so that there is something to crop."""
    image_NHWC = read_array(obtain("cifar10").paths["test_image.npy"])[:40]
    return [Image.fromarray(np.ascontiguousarray(image)).resize((48, 40)) for image in image_NHWC]


@pytest.fixture
def pictures(tmp_path, real_pictures):
    """A folder of thirty of them in two class sub-folders."""
    root = tmp_path / "pictures"
    for position, picture in enumerate(real_pictures[:30]):
        folder = root / ("even" if position % 2 == 0 else "odd")
        folder.mkdir(parents=True, exist_ok=True)
        picture.save(folder / f"{position:02d}.png")
    return root
