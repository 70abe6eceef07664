"""Verb `data.check`: says what a local copy of a dataset lacks.

It is not a job: it only reads, and prints what it finds.
"""

# N images

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from twostage.config.schema import DataConfig
from twostage.data.cards import CARDS, Card
from twostage.data.collection import Record
from twostage.data.folder import (
    CHUNK,
    KEYPOINTS,
    FolderCollection,
    class_names,
    found_images,
    images_folder,
    in_parallel,
    left_out,
    maps_of,
    maps_to_read,
    poses_of,
    root_folder,
    with_reasons,
)
from twostage.data.listing import lines_of, named, walk
from twostage.data.pictures import RefusedError, TooSmallError, UndecodableError, require_colours, upright_size
from twostage.data.prepare import require_valid
from twostage.data.splits import fitting, keep_classes
from twostage.errors import TwostageError

T = TypeVar("T")


def check(config: DataConfig) -> tuple[list[str], list[str]]:
    """What the folder `data.root` holds and what is wrong with it, one line each. Reads only the headers of pictures.

    Maps are decoded: their sizes must equal those of their images, and labels must be below `data.num_labels`. Raises
    TwostageError if the folder is missing or has no pictures, or if the index is wrong.
    """
    if config.source != "folder":
        raise TwostageError(f"{config.name} is downloaded by python -m twostage fetch; nothing to check")
    require_valid(config)
    listing = walk(root_folder(config))
    root, used = listing.root, set[Path]()
    paths, held_out = found_images(config, listing)
    used.update(paths)
    found = [f"{len(paths)} pictures in {images_folder(root)}"]
    problems = [*_against_card(CARDS.get(config.name), config, root, paths), *_sizes(config, paths)]
    for name in maps_to_read(config, root):
        try:
            maps = maps_of(name, listing, paths, config)
        except TwostageError as error:
            problems.append(str(error))
            continue
        used.update(maps)
        found.append(f"{len(maps)} maps in {root / name}")
        problems += _maps(config, name, paths, maps)
    if "pose" in config.maps:
        try:
            found.append(f"poses of {len(poses_of(root, paths))} pictures in {root / KEYPOINTS}")
        except TwostageError as error:
            problems.append(str(error))
    problems += _splits(config, class_names(paths, images_folder(root)), [path in held_out for path in paths])
    return [*found, *lines_of(left_out(config, listing, used))], problems


def _against_card(card: Card | None, config: DataConfig, root: Path, paths: Sequence[Path]) -> Iterator[str]:
    """How a copy differs from a complete one. Pictures that an index leaves out do not count as missing."""
    if card is None:
        return
    images = images_folder(root)
    absent = [str(images / folder) for folder in card.folders if not (images / folder).is_dir()]
    if absent:
        yield f"missing folders: {named(absent)}"
    classes = class_names(paths, images)
    if card.num_classes is not None and len(classes) != card.num_classes:
        yield f"{len(classes)} class sub-folders in {images}, expected {card.num_classes}"
    if config.index is not None:
        return
    missing = card.missing_numbers({path.stem for path in paths})
    if missing:
        yield f"missing pictures: {named(missing)}"
    elif card.num_images is not None and len(paths) < card.num_images:
        yield f"{card.num_images - len(paths)} of {card.num_images} pictures are missing"


def _splits(config: DataConfig, classes: Sequence[str], held_out: Sequence[bool]) -> Iterator[str]:
    """What of the classes that are asked for, and of the number of pictures, keeps `prepare` from splitting them."""
    records = [Record("", "", 0, held_out=each, position=at) for at, each in enumerate(held_out)]
    try:
        keep_classes({}, classes, config.classes)
        fitting(records, config.tune_images, config.validation_images)
    except TwostageError as error:
        yield str(error)


def _sizes(config: DataConfig, paths: Sequence[Path]) -> Iterator[str]:
    seen_N = _chunked("pictures", _size_or_error, paths)
    damaged = [it for it in seen_N if isinstance(it, UndecodableError)]
    refused = [str(it) for it in seen_N if isinstance(it, RefusedError)]
    small = [path for path, it in zip(paths, seen_N, strict=True) if isinstance(it, tuple) and min(it) < config.size]
    if damaged:
        yield f"cannot decode {with_reasons(damaged)}"
    if refused:
        yield f"{refused[0]}{f' ({len(refused)} such pictures)' if len(refused) > 1 else ''}"
    if small:
        yield f"smaller than data.size={config.size}: {named(small)}"


def _size_or_error(path: Path) -> tuple[int, int] | UndecodableError | RefusedError:
    try:
        require_colours(path)
        return upright_size(path)
    except (UndecodableError, RefusedError) as error:
        return error


def _maps(config: DataConfig, name: str, paths: Sequence[Path], maps: Sequence[Path]) -> Iterator[str]:
    collection = FolderCollection(config, [], list(paths), {name: list(maps)})

    def problem(position: int) -> str | None:
        record = Record("", "", 0, held_out=False, position=position)
        try:
            collection.read_map(name, maps[position], record)
        except (UndecodableError, TooSmallError):
            # The image itself is damaged, and is reported with the images.
            return None
        except TwostageError as error:
            return str(error)
        return None

    wrong = [line for line in _chunked(name, problem, range(len(paths))) if line is not None]
    if wrong:
        more = f" ({len(wrong)} such maps)" if len(wrong) > 1 else ""
        yield f"{wrong[0]}{more}"


def _chunked(what: str, work: Callable[..., T], items: Sequence[object]) -> list[T]:
    starts = tqdm(range(0, len(items), CHUNK), desc=f"check {what}", unit="chunk", disable=None)
    return [result for start in starts for result in in_parallel(work, items[start : start + CHUNK])]
