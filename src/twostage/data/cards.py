"""Cards of the papers' datasets: licence, source, layout and size of a complete copy.

`python -m twostage cards > docs/datasets.md` writes the page; a test checks that page, cards and conf/data agree.
"""

from dataclasses import dataclass, field

from twostage.config import composition
from twostage.config.yaml_files import read_yaml

# Marks facts that we could not read on the publisher's page.
AS_PUBLISHED = "see the publisher"


@dataclass(frozen=True)
class Card:
    """One dataset; its config is conf/data/<key>.yaml.

    `folders` must lie in the pictures' common folder. `num_images` and `num_classes` count a complete copy; None: we do
    not know the publisher's number. `numbered`: patterns of file names without extension, each with its first and last
    number, to name missing pictures.
    """

    title: str
    used_for: str
    licence: str
    source: str
    layout: tuple[str, ...]
    folders: tuple[str, ...] = ()
    num_images: int | None = None
    num_classes: int | None = None
    numbered: tuple[tuple[str, int, int], ...] = ()
    notes: tuple[str, ...] = field(default=())

    def missing_numbers(self, stems: set[str]) -> list[str]:
        """Names of the numbered pictures that are missing in `stems`."""
        wanted = (pattern.format(n) for pattern, first, last in self.numbered for n in range(first, last + 1))
        return [name for name in wanted if name not in stems]


FFHQ_LICENCE = (
    "the set: Creative Commons BY-NC-SA 4.0; each photograph: its own Flickr licence, all of which allow "
    "non-commercial use"
)
FFHQ_SOURCE = "github.com/NVlabs/ffhq-dataset: `images1024x1024`, 70,000 PNG files, 89 GB"
FFHQ_NUMBERS = (("{:05d}", 0, 69999),)
IMAGENET_LICENCE = "ImageNet's terms of access: non-commercial research and education; registration"

CARDS = {
    "imagenet": Card(
        "ImageNet (ILSVRC 2012)",
        "Esser et al. 2021: IN, c-IN, IN-Edges, IN-SR; Table 4 and 5. McKinney & Willcocks 2022: ImageNet",
        IMAGENET_LICENCE,
        "image-net.org: `ILSVRC2012_img_train.tar`",
        ("n01440764/n01440764_10026.JPEG, ...: one sub-folder per class (synset)",),
        num_classes=1000,
        notes=("About 1.28 million training images (McKinney & Willcocks 2022, Table 3).",),
    ),
    "restricted_imagenet": Card(
        "Restricted ImageNet (Santurkar et al. 2019)",
        "Esser et al. 2021: RIN, c-RIN, D-RIN",
        IMAGENET_LICENCE,
        "ImageNet's training images of nine ranges of classes; depth by MiDaS v2.0 (Ranftl et al. 2020)",
        (
            "images/n01629819/..., one sub-folder per class: either all 1,000 of ImageNet or just those of the ranges",
            "depth/n01629819/...: one map per used image, grey, 8 or 16 bits",
        ),
        num_classes=203,
        notes=(
            "Ranges of classes, first to last, counted from 0 in the order of the synsets' names: dogs 151-268, cats "
            "281-285, frogs 30-32, turtles 33-37, birds 80-100, primates 365-382, fish 389-397, crabs "
            "118-121, insects 300-319.",
        ),
    ),
    "lsun_churches_towers": Card(
        "LSUN outdoor churches and towers (Yu et al. 2015)",
        "Esser et al. 2021: LSUN-CT",
        AS_PUBLISHED,
        "github.com/fyu/lsun: one database per category; its `data.py export` writes images (shorter side 256)",
        ("church_outdoor/..., tower/...: the exported images",),
        folders=("church_outdoor", "tower"),
        num_classes=2,
    ),
    "ffhq": Card(
        "FFHQ (Karras et al. 2019) at 256x256",
        "Esser et al. 2021: FFHQ. McKinney & Willcocks 2022: Table 1",
        FFHQ_LICENCE,
        FFHQ_SOURCE,
        ("00000/00000.png, ..., 69000/69999.png, or all in one folder",),
        num_images=70000,
        numbered=FFHQ_NUMBERS,
        notes=(
            "The publisher assigns the first 60,000 to training, and McKinney & Willcocks 2022 use this split. To get "
            "it, name the last 10,000 in data.validation_index.",
        ),
    ),
    "ffhq_1024": Card(
        "FFHQ (Karras et al. 2019) at 1024x1024",
        "McKinney & Willcocks 2022: FFHQ1024",
        FFHQ_LICENCE,
        FFHQ_SOURCE,
        ("as for ffhq: the same images",),
        num_images=70000,
        numbered=FFHQ_NUMBERS,
    ),
    "celeba_hq": Card(
        "CelebA-HQ (Karras et al. 2018)",
        "Esser et al. 2021: CelebA-HQ. McKinney & Willcocks 2022: Table 2",
        "CelebA's, which excludes commercial use; for the full text " + AS_PUBLISHED,
        "github.com/tkarras/progressive_growing_of_gans makes it from CelebA",
        ("..., 30,000 images in any format that Pillow reads (not .npy), in one folder",),
        num_images=30000,
        notes=("30,000: McKinney & Willcocks 2022, Table 3.",),
    ),
    "faces_hq": Card(
        "FacesHQ: CelebA-HQ and FFHQ",
        "Esser et al. 2021: Sec. 4.3, Fig. 7 and 8",
        "See CelebA-HQ and FFHQ.",
        "See CelebA-HQ and FFHQ.",
        ("celeba_hq/..., ffhq/...: their images, at most one folder deep",),
        folders=("celeba_hq", "ffhq"),
        num_images=100000,
        num_classes=2,
    ),
    "s_flckr": Card(
        "S-FLCKR (Esser et al. 2021, supplement)",
        "Esser et al. 2021: Table 1, Fig. 1, 5 and 6 (up to 1280x832)",
        "the authors may not distribute it; each photograph has its own licence",
        "collected by the authors from Flickr and Reddit: bring landscape photographs of your own",
        (
            "images/...: photographs",
            "segmentation/...: one map per photograph, same names, one channel, ids 0 to 181 by DeepLab v2 trained on "
            "COCO-Stuff",
        ),
        notes=("The authors' has 107,625 photographs: 96,861 for training, 10,764 for validation (released code).",),
    ),
    "ade20k": Card(
        "ADE20K scene parsing (Zhou et al. 2017)",
        "Esser et al. 2021: Table 2",
        AS_PUBLISHED,
        "sceneparsing.csail.mit.edu: `ADEChallengeData2016.zip`",
        (
            "images/training/ADE_train_00000001.jpg, ..., images/validation/ADE_val_00000001.jpg, ...",
            "segmentation/...: the archive's `annotations`, renamed; ids 0 (other) to 150",
            "validation.txt: `(cd images && ls validation/*.jpg) > validation.txt`",
        ),
        folders=("training", "validation"),
        num_images=22210,
        numbered=(("ADE_train_{:08d}", 1, 20210), ("ADE_val_{:08d}", 1, 2000)),
    ),
    "coco_stuff": Card(
        "COCO-Stuff on COCO 2017 (Caesar et al. 2018)",
        "Esser et al. 2021: Table 2",
        "annotations: Creative Commons BY 4.0; photographs: Flickr's terms of use",
        "github.com/nightrome/cocostuff: `train2017.zip`, `val2017.zip`, `stuffthingmaps_trainval2017.zip`",
        (
            "images/train2017/..., images/val2017/...: 118 and 5 thousand images",
            "segmentation/train2017/..., segmentation/val2017/...: the stuffthingmaps; ids 0 to 181, 255 unlabelled",
            "validation.txt: `(cd images && ls val2017/ | sed s,^,val2017/,) > validation.txt`",
        ),
        folders=("train2017", "val2017"),
        notes=("One is added to every id, as in the released code: 0 unlabelled, 1 to 182: 183 labels.",),
    ),
    "deepfashion": Card(
        "DeepFashion (Liu et al. 2016)",
        "Esser et al. 2021: pose-guided synthesis",
        AS_PUBLISHED,
        "liuziwei7.github.io/projects/DeepFashion.html; the paper does not say which of its benchmarks it used",
        (
            "images/...: the images, in any sub-folders",
            "keypoints.json: the people's keypoints in COCO's format, as pose estimators write them; file_name is "
            "relative to images/",
        ),
        notes=("The prior sees 84 tokens of keypoints and 256 of the image (Table 7: length 340).",),
    ),
}

INTRODUCTION = """# Datasets

`python -m twostage cards > docs/datasets.md` writes this page. A test checks it against `conf/data`.

You bring these data. Put a copy where `root` says, or set `data.root`. Then ask what the copy lacks, and prepare it:

```bash
python -m twostage check data=imagenet data.root=/data/imagenet
python -m twostage data.prepare data=imagenet data.root=/data/imagenet   # then as with any other data
```

The check counts the missing parts and names the first ones. It reads images and maps but writes nothing. We do not have
the authors' index files. To use a part of a copy, set `data.index=names.txt`: a file in `root` with one name per line,
relative to the folder of images. `data.validation_index=held_out.txt` names the images that are held out. Without it, a
seeded draw chooses them.

## What files may be

`twostage` never guesses what a file means. It refuses an ambiguous file by name:

- Images: grey, palette, RGB, CMYK or YCbCr. 16-bit grey is scaled to 8 bits; of 16-bit colours the upper 8 bits are
  used. Transparent parts become white. Floating-point and 32-bit images are refused, because their range is unknown.
- Depth maps: grey with 8 or 16 bits, or colours that are all grey. Coloured, transparent and floating-point maps are
  refused.
- Pictures and depth maps whose numbers of 8 bits were saved in 16 are refused: all of them would become black.
- Edge maps: 0 and 1, or black and white (cut at half). A map without any edge left is refused.
- Label maps: one channel, lossless. In a palette image the indices are the labels; in a grey image the stored numbers
  are, at 1, 2, 4, 8 and 16 bits alike. Labels are 0 to 255 before `data.label_offset` is added, modulo 256 (255 becomes
  0).
- EXIF orientation is applied; colour profiles are not. Animations and files with several pages are refused.
- Formats: PNG, JPEG, WebP, AVIF, JPEG 2000, TIFF, BMP, GIF, PNM, TGA, QOI, PCX. HEIC is not read: convert it.

Every file of the folder is used, or counted with the reason why it was left out: in the log, in `metadata.json`
(`left_out`) and by the check. If a folder has too few images for `data.tune_images` and `data.validation_images`, each
gets a tenth, at least one (`splits_adapted`).

"{unknown}" marks facts that we could not read on the publisher's page.
"""


def document() -> str:
    """The text of docs/datasets.md."""
    parts = [_section(name, card) for name, card in CARDS.items()]
    return "\n".join([INTRODUCTION.format(unknown=AS_PUBLISHED), *parts])


def _section(name: str, card: Card) -> str:
    config = read_yaml(composition.CONF / "data" / f"{name}.yaml")
    maps = ", ".join(config["maps"]) or "none"
    if "num_labels" in config:
        maps += f" of {config['num_labels']} labels"
    lines = [
        f"## {card.title}",
        "",
        f"- Config: [conf/data/{name}.yaml](../conf/data/{name}.yaml), `data={name}`",
        f"- Used for: {card.used_for}",
        f"- Licence: {card.licence}",
        f"- From: {card.source}",
        f"- Layout under `{config['root']}/`:",
        *(f"  - {line}" for line in card.layout),
        f"- Maps: {maps}",
        f"- A complete copy: {_whole(card)}",
        *(f"- {note}" for note in card.notes),
        "",
    ]
    return "\n".join(lines)


def _whole(card: Card) -> str:
    classes = f"{card.num_classes:,} class sub-folders" if card.num_classes else ""
    images = f"{card.num_images:,} images" if card.num_images else f"number of images: {AS_PUBLISHED}"
    return ", ".join(part for part in (images, classes) if part)
