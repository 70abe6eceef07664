"""What the authors released: one entry per checkpoint, with its addresses and the numbers that are printed for it.

Taming Transformers: names, pages and FIDs are those of the README of github.com/CompVis/taming-transformers. Its pages
are folders; addresses of single files come from there, from the authors' notebooks and from public code that downloads
them. Where no such address is known, it is None. The authors give neither sizes nor checksums.
SUNDAE: github.com/vvvm23/sundae-vqgan has configs and names no address of a checkpoint, so there is no entry.
"""

from dataclasses import dataclass
from typing import Literal

from twostage.errors import TwostageError

# Of the repository. For the weights themselves the authors state none.
LICENCE = "MIT (repository); none stated for weights"
README = "README"
PAPER = "Esser et al. 2021"
_HEIBOX = "https://heibox.uni-heidelberg.de"
_KOOFR = "https://app.koofr.net/content/links"
_REPOSITORY = "https://raw.githubusercontent.com/CompVis/taming-transformers/master"


@dataclass(frozen=True)
class File:
    """A file on the web. Size and checksum are of public records, as the authors give none; a checksum if two agree."""

    url: str | None
    num_bytes: int | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Printed:
    """A printed number: (r)FID against a split of the dataset, None if unsaid, and where it stands."""

    quantity: Literal["rfid", "fid"]
    split: Literal["train", "validation"] | None
    value: float
    source: str


@dataclass(frozen=True)
class Released:
    """One checkpoint. `page`: where a person finds it. `draw`: overrides of sampling by which its FID was measured."""

    name: str
    kind: Literal["tokenizer", "transformer"]
    dataset: str
    page: str
    config: File
    checkpoint: File
    condition: str | None = None
    printed: tuple[Printed, ...] = ()
    draw: tuple[str, ...] = ()
    licence: str = LICENCE


def _koofr(link: str, folder: str, stamp: str) -> tuple[File, File]:
    """Config and checkpoint in a shared folder of the authors."""
    at = f"{_KOOFR}/{link}/files/get"
    project = f"{stamp}-project.yaml"
    return (
        File(f"{at}/{project}?path=%2F{folder}%2Fconfigs%2F{project}&force"),
        File(f"{at}/last.ckpt?path=%2F{folder}%2Fcheckpoints%2Flast.ckpt&force"),
    )


_CIN = "2021-04-03T19-39-50_cin_transformer"
_FACESHQ = "2020-11-13T21-41-45_faceshq_transformer"
_SFLCKR = f"{_HEIBOX}/d/73487ab6e5314cb5adba/files/?p=%2F"
# Table 4: drawn from the 250 likeliest codes; all classes in turn.
_CIN_DRAW = ("sampling.top_k=250", "sampling.classes=[]")

ENTRIES = (
    Released(
        "vqgan_imagenet_f16_1024",
        "tokenizer",
        "ImageNet",
        f"{_HEIBOX}/d/8088892a516d4e3baf92/",
        File(f"{_HEIBOX}/f/6ecf2af6c658432c8298/?dl=1"),
        File(f"{_HEIBOX}/f/140747ba53464f49b476/?dl=1"),
        printed=(
            Printed("rfid", "train", 10.54, f"{README}; {PAPER}, Table 5"),
            Printed("rfid", "validation", 7.94, f"{README}; {PAPER}, Table 5"),
        ),
    ),
    Released(
        "vqgan_imagenet_f16_16384",
        "tokenizer",
        "ImageNet",
        f"{_HEIBOX}/d/a7530b09fed84f80a887/",
        File(
            f"{_HEIBOX}/f/274fb24ed38341bfa753/?dl=1",
            692,
            "00e2c6189926f1d89ecfef73e9598db77981c1982f0555fbade963ffd16143c7",
        ),
        File(
            f"{_HEIBOX}/f/867b05fc8c4841768640/?dl=1",
            980_092_370,
            "845a68805098cb666420d5db93df53f3a3b6dd443e6dd85c05759c5b998cd663",
        ),
        printed=(
            Printed("rfid", "train", 7.41, f"{README}; {PAPER}, Table 5"),
            Printed("rfid", "validation", 4.98, f"{README}; {PAPER}, Table 5"),
        ),
    ),
    Released(
        "ffhq_transformer",
        "transformer",
        "FFHQ",
        "https://k00.fr/yndvfu95",
        *_koofr(
            "0fc005bf-3dca-4079-9d40-cdf38d42cd7a", "2021-04-23T18-19-01_ffhq_transformer", "2021-04-23T18-19-01"
        ),
        printed=(
            Printed("fid", "train", 9.6, README),
            Printed("fid", None, 9.76, "McKinney & Willcocks 2022, Table 1"),
        ),
        draw=("sampling.top_k=250",),
    ),
    Released(
        "celebahq_transformer",
        "transformer",
        "CelebA-HQ",
        "https://k00.fr/2xkmielf",
        *_koofr(
            "6dddf083-40c8-470a-9360-a9dab2a94e96", "2021-04-23T18-11-19_celebahq_transformer", "2021-04-23T18-11-19"
        ),
        printed=(
            Printed("fid", "train", 10.2, README),
            Printed("fid", None, 10.2, "McKinney & Willcocks 2022, Table 2"),
        ),
        draw=("sampling.top_k=250",),
    ),
    Released(
        "cin_transformer",
        "transformer",
        "ImageNet",
        "https://k00.fr/s511rwcv",
        File(None),
        File(f"{_KOOFR}/90cbd5aa-ef70-4f5e-99bc-f12e5a89380e/files/get/last.ckpt?path=%2F{_CIN}%2Fcheckpoints%2Flast.ckpt"),
        "class",
        (Printed("fid", "train", 15.98, f"{README}; {PAPER}, Table 4"),),
        _CIN_DRAW,
    ),
    Released(
        "coco_transformer",
        "transformer",
        "COCO-Stuff",
        "https://k00.fr/2zz6i2ce",
        File(None),
        File(None),
        "segmentation",
        (Printed("fid", "validation", 20.4, README), Printed("fid", "validation", 22.4, f"{PAPER}, Table 2")),
    ),
    Released(
        "ade20k_transformer",
        "transformer",
        "ADE20K",
        "https://k00.fr/ot46cksa",
        *_koofr(
            "0f65c2cd-7102-4550-a2bd-07fd383aac9e", "2020-11-20T21-45-44_ade20k_transformer", "2020-11-20T21-45-44"
        ),
        "segmentation",
        (Printed("fid", "validation", 35.5, f"{README}; {PAPER}, Table 2"),),
    ),
    Released(
        "sflckr",
        "transformer",
        "S-FLCKR",
        f"{_HEIBOX}/d/73487ab6e5314cb5adba/",
        File(f"{_SFLCKR}configs%2F2020-11-09T13-31-51-project.yaml&dl=1"),
        File(f"{_SFLCKR}checkpoints%2Flast.ckpt&dl=1", 4_263_525_412),
        "segmentation",
    ),
    Released(
        "faceshq_transformer",
        "transformer",
        "FFHQ and CelebA-HQ",
        "https://k00.fr/qqfl2do8",
        File(f"{_REPOSITORY}/configs/faceshq_transformer.yaml"),
        File(f"{_KOOFR}/a04deec9-0c59-4673-8b37-3d696fe63a5d/files/get/last.ckpt?path=%2F{_FACESHQ}%2Fcheckpoints%2Flast.ckpt"),
        "coordinates",
    ),
    Released(
        "drin_transformer",
        "transformer",
        "ImageNet (animals)",
        "https://k00.fr/39jcugc5",
        *_koofr("028f1ba8-404d-42c4-a866-9a8a4eebb40c", "2020-11-20T12-54-32_drin_transformer", "2020-11-20T12-54-32"),
        "depth",
    ),
)  # fmt: skip

RELEASED = {entry.name: entry for entry in ENTRIES}


def find_released(name: str) -> Released:
    """The entry with this name. Raises TwostageError with the known names."""
    if name not in RELEASED:
        raise TwostageError(f"unknown checkpoint {name!r}; expected one of {', '.join(RELEASED)}")
    return RELEASED[name]
