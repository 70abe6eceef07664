"""A user's own folder of pictures of any size, with optional class sub-folders and maps beside them.

root/            or    root/images/           pictures, or one sub-folder of pictures per class
root/segmentation/  root/depth/  root/edges/  maps, named as the pictures are (any picture extension)
root/keypoints.json                           people's keypoints in COCO's format, for the map pose

A text file with one name per line may list the pictures to use (data.index), another one the pictures to hold out
(data.validation_index). Every file of the folder is used, or counted as left out with the reason.
"""

# N images, H height, W width, C channels

import codecs
import hashlib
import itertools
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import TypeVar

import numpy as np

from twostage.config import values
from twostage.config.schema import DataConfig
from twostage.data.collection import Record
from twostage.data.keypoints import Poses, pose_map, read_keypoints
from twostage.data.listing import LINK, ByName, LeftOut, Listing, lines_of, named, nfc, walk
from twostage.data.maps import canny_edges
from twostage.data.pictures import (
    RefusedError,
    TooSmallError,
    UndecodableError,
    binary_array,
    decode,
    grey_array,
    image_array,
    label_array,
    upright_size,
)
from twostage.errors import TwostageError
from twostage.home import home
from twostage.runtime.artifacts import sha256_json

MAP_FOLDERS = ("segmentation", "depth", "edges")
KEYPOINTS = "keypoints.json"
# Pictures per task of the thread pool.
CHUNK = 256

T = TypeVar("T")


@dataclass
class FolderCollection:
    """Pictures that are decoded on demand."""

    config: DataConfig
    classes: list[str]
    paths: list[Path]
    map_paths: dict[str, list[Path]]
    poses: list[Poses] = field(default_factory=list)  # one per picture, if the map pose is asked for
    records: list[Record] = field(default_factory=list)
    sources: dict[str, str] = field(default_factory=dict)
    left_out: LeftOut = field(default_factory=dict)  # the folder's other files

    def images(self, records: Sequence[Record]) -> np.ndarray:
        """Pixels of these records, uint8 NHWC."""
        return np.stack(in_parallel(self._image, [self.paths[record.position] for record in records]))

    def map(self, name: str, records: Sequence[Record], image_NHWC: np.ndarray) -> np.ndarray:
        """The map `name` of these records, uint8 NHW. Read from files; edges without a folder are made by Canny."""
        if name == "pose":
            return np.stack([pose_map(self.poses[record.position], self.config.size) for record in records])
        if name not in self.map_paths:
            return canny_edges(image_NHWC, self.config.canny_sigma)
        paths = self.map_paths[name]
        return np.stack(in_parallel(lambda record: self.read_map(name, paths[record.position], record), records))

    def _image(self, path: Path) -> np.ndarray:
        return image_array(decode(path), (self.config.size, self.config.size))

    def read_map(self, name: str, path: Path, record: Record) -> np.ndarray:
        """One map, uint8 [size, size]. Raises TwostageError if it is damaged or has a wrong size or wrong labels."""
        try:
            picture = decode(path)
        except UndecodableError as error:
            raise TwostageError(f"a map cannot be decoded: {error}; replace it") from error
        size = upright_size(self.paths[record.position])
        if picture.size != size:
            raise TwostageError(
                f"{path} is {_by(picture.size)}, its image {_by(size)}; a map must have the size of its image"
            )
        crop = (self.config.size, self.config.size)
        match name:
            case "segmentation":
                assert self.config.num_labels is not None
                return label_array(picture, crop, self.config.num_labels, self.config.label_offset)
            case "depth":
                return grey_array(picture, crop)
            case _:
                return binary_array(picture, crop)


def collect(config: DataConfig) -> FolderCollection:
    """All pictures of the folder data.root. Decodes each once to check it.

    Raises TwostageError, naming files, if the folder is missing or empty, or if a picture is damaged, too small, in an
    unsupported mode or without its map.
    """
    listing = walk(root_folder(config))
    root, images = listing.root, images_folder(listing.root)
    paths, held_out = found_images(config, listing)
    classes = class_names(paths, images)
    poses = poses_of(root, paths) if "pose" in config.maps else []
    map_paths = {name: maps_of(name, listing, paths, config) for name in maps_to_read(config, root)}
    collection = FolderCollection(config, classes, paths, map_paths, poses)
    collection.left_out = left_out(config, listing, {*paths, *(path for found in map_paths.values() for path in found)})
    digests = _verified(collection)
    for position, (path, digest) in enumerate(zip(paths, digests, strict=True)):
        name = path.relative_to(images).as_posix()
        label = classes.index(nfc(name.split("/")[0])) if classes else 0
        collection.records.append(Record(name, digest, label, held_out=path in held_out, position=position))
    collection.sources = {"images": sha256_json([[record.id, record.sha256] for record in collection.records])}
    return collection


def images_folder(root: Path) -> Path:
    """The folder of the pictures: root/images, or root itself."""
    return root / "images" if (root / "images").is_dir() else root


def found_images(config: DataConfig, listing: Listing) -> tuple[list[Path], set[Path]]:
    """The pictures to use, sorted, and those of them that data.validation_index holds out.

    Raises TwostageError if there are none, or if a picture that an index names is missing.
    """
    root, images = listing.root, images_folder(listing.root)
    values.check(DataConfig, asdict(config), "data", config.name)
    _require_ranges_apart(config)
    _require_maps_told_from_classes(config, listing)
    paths = [path for path in listing.below(images) if images != root or not _is_map(path, root)]
    if not paths:
        others = lines_of(left_out(config, listing, set()))
        raise TwostageError("; ".join([f"{images} has no pictures; {_bring(config)}", *others]))
    names = [path.relative_to(images).as_posix() for path in paths]
    by_name = ByName(dict(zip(names, paths, strict=True)))
    wanted = {
        key: {name: by_name.get(name) for name in listed(root, getattr(config, key), f"data.{key}")}
        for key in ("index", "validation_index")
    }
    missing = sorted({name for found in wanted.values() for name, path in found.items() if path is None})
    if missing:
        raise TwostageError(
            f"the index names {named(missing)}, not found in {images}; add them or remove them from the index"
        )
    held_out = {path for path in wanted["validation_index"].values() if path is not None}
    chosen = paths
    if config.index is not None:
        named_by_one = {*wanted["index"].values(), *held_out}
        chosen = [path for path in paths if path in named_by_one]
    used = _in_ranges(config, chosen, images)
    _require_enough(config, len(paths), used, held_out)
    return used, held_out


def _require_ranges_apart(config: DataConfig) -> None:
    """Raises TwostageError for a range of classes that is no pair, or two of them that share a class."""
    for pair in config.class_ranges:
        if len(pair) != 2 or not 0 <= pair[0] <= pair[1]:
            raise TwostageError(f"data.class_ranges has {list(pair)}; expected [first, last], counted from 0")
    in_order = sorted(config.class_ranges)
    for before, after in itertools.pairwise(in_order):
        if after[0] <= before[1]:
            raise TwostageError(
                f"data.class_ranges has {list(before)} and {list(after)}, which share class {after[0]}; name each "
                "class in one range"
            )


def _require_enough(config: DataConfig, number: int, used: Sequence[Path], held_out: set[Path]) -> None:
    """Raises TwostageError if the indices and ranges leave too few of a folder's `number` pictures for three splits."""
    keys = [key for key in ("index", "validation_index", "class_ranges") if getattr(config, key)]
    by = " and ".join(f"data.{key}" for key in keys)
    validation = sum(path in held_out for path in used)
    if held_out and not validation:
        raise TwostageError(
            f"none of the {len(held_out)} pictures that data.validation_index names is of a class in "
            "data.class_ranges; name some that are"
        )
    fewest = 2 if held_out else 3
    left = len(used) - validation
    if left < fewest <= number:
        what = "train and tune" if held_out else "train, tune and validation"
        named = "fewer pictures in data.validation_index" if held_out else "more pictures"
        leave = "leave" if len(keys) > 1 else "leaves"
        raise TwostageError(
            f"{by} {leave} {left} of {number} pictures for {what}, which need at least one each: name {named}, or add "
            "pictures"
        )


def _require_maps_told_from_classes(config: DataConfig, listing: Listing) -> None:
    """Raises TwostageError if a folder named like a map may be a class: none of its pictures is named like an image."""
    root = listing.root
    if images_folder(root) != root:
        return
    images = {_stem(path, root) for path in listing.pictures if not _is_map(path, root)}
    for name in MAP_FOLDERS:
        maps = [path for path in listing.pictures if _is_map(path, root) and path.is_relative_to(root / name)]
        if name not in config.maps and maps and not any(_stem(path, root / name) in images for path in maps):
            raise TwostageError(
                f"{root / name} holds {len(maps)} pictures, none with the name of another picture. If it is a class, "
                f"move all classes into {root / 'images'}/; if it is a map, name its files like their pictures"
            )


def _stem(path: Path, folder: Path) -> str:
    return nfc(path.relative_to(folder).with_suffix("").as_posix())


def left_out(config: DataConfig, listing: Listing, used: set[Path]) -> LeftOut:
    """The files of the folder that are not used, by reason."""
    root, images = listing.root, images_folder(listing.root)
    indices = [config.index, config.validation_index]
    read = {os.path.realpath(root / home(index)) for index in indices if index is not None}
    if "pose" in config.maps:
        read.add(os.path.realpath(root / KEYPOINTS))
    reasons = {path: why for path, why in listing.others.items() if os.path.realpath(path) not in read}
    reasons |= dict.fromkeys(listing.wrong, LINK)
    for path in set(listing.pictures) - used:
        reasons[path] = _why_unused(config, path, root, images)
    found: LeftOut = {}
    for path, reason in sorted(reasons.items()):
        found.setdefault(reason, []).append(path.relative_to(root).as_posix())
    return found


def _why_unused(config: DataConfig, path: Path, root: Path, images: Path) -> str:
    if _is_map(path, root):
        asked = path.relative_to(root).parts[0] in config.maps
        return "a map of a picture that is not used" if asked else "a map that data.maps does not name"
    if not path.is_relative_to(images):
        return "a picture beside images/"
    ranges = "" if not config.class_ranges else "of a class outside data.class_ranges"
    index = "" if config.index is None else "not named by data.index"
    return " or ".join(part for part in (index, ranges) if part) or "not used"


def _in_ranges(config: DataConfig, paths: list[Path], images: Path) -> list[Path]:
    """Pictures of the classes in data.class_ranges. Raises TwostageError for a wrong number of class sub-folders."""
    classes = class_names(paths, images)
    wanted = [position for first, last in config.class_ranges for position in range(first, last + 1)]
    if not wanted or len(classes) == len(wanted):
        return paths
    if len(classes) <= max(wanted):
        raise TwostageError(
            f"{images} has {len(classes)} class sub-folders; data.class_ranges expects either just its "
            f"{len(wanted)} classes, or all classes, of which it uses some from {min(wanted)} to {max(wanted)}"
        )
    kept = {classes[position] for position in wanted}
    return [path for path in paths if nfc(path.relative_to(images).parts[0]) in kept]


def listed(root: Path, index: str | None, key: str) -> list[str]:
    """The names in an index file, one per line, relative to the folder of pictures; none without a file.

    A relative path of the file starts at `root`. Raises TwostageError if the file is missing, empty or names a picture
    twice.
    """
    if index is None:
        return []
    if not index.strip():
        raise TwostageError(f"{key} is an empty text; give a text file with one name per line, or null for none")
    try:
        text = _text((root / home(index)).read_bytes())
    except (OSError, ValueError) as error:
        raise TwostageError(
            f"{key}={index} cannot be read ({error}); give a text file with one name per line"
        ) from error
    # `find .` puts ./ before every name.
    names = [PurePosixPath(line.strip()).as_posix() for line in text.split("\n") if line.strip()]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice or not names:
        what = f"names {named(twice)} twice" if twice else "is empty"
        raise TwostageError(f"{key}={index} {what}; expected each picture once, one name per line")
    return names


def _text(content: bytes) -> str:
    """The text of a file with file names: UTF-16 if it has a byte order mark, else UTF-8.

    Bytes that are not UTF-8 are kept as Python keeps them in file names.
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16")
    return os.fsdecode(content.removeprefix(codecs.BOM_UTF8))


def root_folder(config: DataConfig) -> Path:
    """The folder data.root. If it is missing, raises TwostageError that says what to bring."""
    # The path of an empty text would be the current folder.
    if config.root is None or not config.root.strip():
        raise TwostageError(f"data.root is not set; {_bring(config)}")
    root = home(config.root)
    if not root.is_dir():
        raise TwostageError(f"data.root={config.root} is not a folder; {_bring(config)}")
    return root


def _bring(config: DataConfig) -> str:
    maps = "".join(f", {name}/ with a map per picture" for name in config.maps if name not in ("edges", "pose"))
    maps += f", {KEYPOINTS} with the people in each" if "pose" in config.maps else ""
    return (
        f"you must bring the data of {config.name}: put its pictures (at least {config.size}x{config.size}) there, "
        f"or in one sub-folder per class, or in images/{maps}; or set data.root"
    )


def _is_map(path: Path, root: Path) -> bool:
    folder, *rest = path.relative_to(root).parts
    return bool(rest) and folder in MAP_FOLDERS


def class_names(paths: Sequence[Path], images: Path) -> list[str]:
    """Names of the class sub-folders, sorted, in Unicode form NFC; none if all pictures lie in the folder itself."""
    flat = [path for path in paths if path.parent == images]
    if not flat:
        return sorted({nfc(path.relative_to(images).parts[0]) for path in paths})
    if len(flat) < len(paths):
        raise TwostageError(
            f"{images} has pictures ({flat[0].name}) beside class sub-folders; put all pictures in sub-folders, or none"
        )
    return []


def maps_to_read(config: DataConfig, root: Path) -> list[str]:
    """Names of the maps that need a folder."""
    return [name for name in config.maps if name != "pose" and (name != "edges" or (root / name).is_dir())]


def poses_of(root: Path, paths: Sequence[Path]) -> list[Poses]:
    """Poses in the order of the pictures. Raises TwostageError if one is missing or has a wrong picture size."""
    file, images = root / KEYPOINTS, images_folder(root)
    by_name = ByName(read_keypoints(file))
    names = [path.relative_to(images).as_posix() for path in paths]
    found = {name: poses for name in names if (poses := by_name.get(name)) is not None}
    lacking = [path for path, name in zip(paths, names, strict=True) if name not in found]
    if lacking:
        raise TwostageError(f"{file} does not list {named(lacking)}; add them, with file_name relative to {images}")
    sizes = zip(names, in_parallel(size_in_header, paths), strict=True)
    wrong = [(name, size) for name, size in sizes if size is not None and found[name].size != size]
    if wrong:
        (name, size), more = wrong[0], f" ({len(wrong)} such pictures)" if len(wrong) > 1 else ""
        raise TwostageError(
            f"{file} says that {name} is {_by(found[name].size)}, but it is {_by(size)}{more}; correct width and height"
        )
    return [found[name] for name in names]


def size_in_header(path: Path) -> tuple[int, int] | None:
    """Width and height; None for a damaged picture."""
    try:
        return upright_size(path)
    except UndecodableError:
        return None


def maps_of(name: str, listing: Listing, paths: Sequence[Path], config: DataConfig) -> list[Path]:
    """The map `name` of every picture. Raises TwostageError, naming pictures, if one has no map or several."""
    folder, images = listing.root / name, images_folder(listing.root)
    if not folder.is_dir():
        raise TwostageError(f"{folder} is missing; {_bring(config)}")
    found: dict[str, Path] = {}
    for path in listing.below(folder):
        other = found.setdefault(path.relative_to(folder).with_suffix("").as_posix(), path)
        if other != path:
            raise TwostageError(f"{other} and {path.name} are maps of the same image; remove one")
    by_name = ByName(found)
    names = [path.relative_to(images).with_suffix("").as_posix() for path in paths]
    maps = [by_name.get(name) for name in names]
    lacking = [path for path, it in zip(paths, maps, strict=True) if it is None]
    if lacking:
        raise TwostageError(
            f"no map in {folder} for {named(lacking)}; add {folder / names[paths.index(lacking[0])]}.png or remove "
            "the image"
        )
    served: dict[Path, Path] = {}
    for path, it in zip(paths, maps, strict=True):
        if it is not None and served.setdefault(it, path) != path:
            raise TwostageError(
                f"{served[it]} and {path.name} would have one map, {it}; give one of them another name and a map of "
                "its own, or remove it"
            )
    return [path for path in maps if path is not None]


def _verified(collection: FolderCollection) -> list[str]:
    """sha256 of the pixels of every picture, as they will be stored. So everything is decoded before writing starts."""
    undecodable: list[UndecodableError] = []
    refused: list[str] = []
    small: list[tuple[Path, str]] = []

    def digest(path: Path) -> str:
        try:
            return hashlib.sha256(collection._image(path).tobytes()).hexdigest()
        except UndecodableError as error:
            undecodable.append(error)
        except RefusedError as error:
            refused.append(str(error))
        except TooSmallError as error:
            small.append((path, str(error)))
        return ""

    paths = collection.paths
    digests = [
        value for start in range(0, len(paths), CHUNK) for value in in_parallel(digest, paths[start : start + CHUNK])
    ]
    if undecodable:
        raise TwostageError(f"cannot decode {with_reasons(undecodable)}; replace or remove")
    if refused:
        raise TwostageError(f"{min(refused)}{f' ({len(refused)} such images)' if len(refused) > 1 else ''}")
    if small:
        path, size = min(small)
        more = f" ({len(small)} such images)" if len(small) > 1 else ""
        needed = collection.config.size
        raise TwostageError(
            f"{path} is {size}, the crop {needed}x{needed}{more}; images are not enlarged: lower data.size or remove it"
        )
    return digests


def in_parallel(work: Callable[..., T], items: Sequence[object]) -> list[T]:
    """Applies `work` to all items, with as many threads as the process may use."""
    # Pillow releases the interpreter's lock while decoding.
    with ThreadPoolExecutor(_num_threads()) as pool:
        return list(pool.map(work, items))


def _num_threads() -> int:
    """The first number of OMP_NUM_THREADS, by which the workflow says how many threads; at most 8 without one.

    OpenMP also allows one number per level of nested threads: "4,2".
    """
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if re.fullmatch(r"\+?[0-9]{1,9}", first) and int(first) > 0:
        return int(first)
    return min(8, os.cpu_count() or 1)


def with_reasons(errors: Sequence[UndecodableError]) -> str:
    """The first few files that cannot be decoded, each with its reason, and their total number."""
    return named([f"{error.path} ({error.reason})" for error in sorted(errors, key=lambda error: error.path)])


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
