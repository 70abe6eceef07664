"""Assigns images to splits: pure, seeded, and with no image in two splits by content."""

import hashlib
from collections.abc import Sequence

from twostage.config.schema import SPLITS
from twostage.data.collection import Record
from twostage.data.listing import nfc
from twostage.errors import TwostageError

# ours: one seed for all scales and studies, so that all models are compared on the same images
SEED = 0


def assign(records: Sequence[Record], tune_images: int, validation_images: int | None) -> dict[str, list[Record]]:
    """The records by split. Each split is in a seeded order, so its first n images are an unbiased choice.

    Validation is what the source holds out, or else `validation_images` of its images. `tune_images` of the rest are
    for learning-rate sweeps. An image whose pixels also occur in validation is dropped from tune and train, and one
    whose pixels occur in tune is dropped from train. Raises TwostageError if no image is left to train on.
    """
    shuffled = sorted(records, key=_draw)
    validation = [record for record in shuffled if record.held_out]
    rest = [record for record in shuffled if not record.held_out]
    if not validation:
        _require_positive("data.validation_images", validation_images)
        validation, rest = rest[:validation_images], rest[validation_images:]
    _require_positive("data.tune_images", tune_images)
    if len(rest) <= tune_images:
        raise TwostageError(
            f"{len(records)} images are too few for {len(validation)} validation images, {tune_images} tune images "
            "and any training images; add images, or lower data.tune_images or data.validation_images"
        )
    splits = {"validation": validation, "tune": rest[:tune_images], "train": rest[tune_images:]}
    return _without_leaks(splits)


def fitting(records: Sequence[Record], tune_images: int, validation_images: int | None) -> tuple[int, int | None]:
    """`tune_images` and `validation_images` for a folder of any size.

    As configured, if training images remain. Otherwise at most a tenth of the images each, and at least one; images
    that the folder itself holds out stay. Raises TwostageError if there is not one image for each split.
    """
    is_held_out = any(record.held_out for record in records)
    rest = sum(not record.held_out for record in records)
    if not is_held_out:
        _require_positive("data.validation_images", validation_images)
    _require_positive("data.tune_images", tune_images)
    taken = tune_images + (0 if is_held_out else validation_images or 0)
    if rest > taken:
        return tune_images, validation_images
    fewest = 2 if is_held_out else 3
    if rest < fewest:
        raise TwostageError(
            f"{rest} images are too few; expected at least {fewest}, so that train, tune and validation have one each: "
            "add more images"
        )
    share = max(1, rest // 10)
    # The images that the folder holds out are not ours to reduce.
    return min(tune_images, share), validation_images if is_held_out else min(validation_images or share, share)


def keep_classes(
    splits: dict[str, list[Record]], classes: Sequence[str], kept: Sequence[str]
) -> dict[str, list[Record]]:
    """The records of the classes `kept` (all if empty). The split of an image does not depend on `kept`.

    Raises TwostageError for an unknown or repeated class, or if a split is left empty.
    """
    kept = [nfc(name) for name in kept]
    unknown = [name for name in kept if name not in classes]
    if unknown or len(set(kept)) != len(kept):
        expected = ", ".join(classes) or "none, as there are no class sub-folders"
        raise TwostageError(
            f"data.classes has {', '.join(unknown or kept)}; expected different classes from: {expected}"
        )
    labels = {classes.index(name) for name in kept or classes}
    chosen = {name: [r for r in records if not classes or r.label in labels] for name, records in splits.items()}
    for name, records in chosen.items():
        if not records:
            raise TwostageError(
                f"the {name} split is empty, because equal images count once; add more different images, or "
                "raise data.tune_images"
            )
    return chosen


def _draw(record: Record) -> bytes:
    # A hash of the name instead of a generator: an image keeps its place when others are added or removed.
    return hashlib.sha256(f"{SEED}/{record.id}".encode(errors="surrogateescape")).digest()


def _without_leaks(splits: dict[str, list[Record]]) -> dict[str, list[Record]]:
    seen: set[str] = set()
    clean: dict[str, list[Record]] = {}
    for name in reversed(SPLITS):
        clean[name] = [record for record in splits[name] if record.sha256 not in seen]
        seen |= {record.sha256 for record in clean[name]}
    return {name: clean[name] for name in SPLITS}


def _require_positive(key: str, value: int | None) -> None:
    if value is None or value < 1:
        raise TwostageError(f"{key} is {value}; expected at least 1")
