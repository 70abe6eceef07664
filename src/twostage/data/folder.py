"""A user's own folder of pictures of any size, with optional class sub-folders and maps beside them.

root/            or    root/images/           pictures, or one sub-folder of pictures per class
root/segmentation/  root/depth/  root/edges/  maps, named as the pictures are (any picture extension)
root/keypoints.json                           people's keypoints in COCO's format, for the map pose

A text file of names, one a line, may say which pictures are used (data.index), and another which of them are held out
(data.validation_index).
"""

# N images, H height, W width, C channels

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from twostage.artifacts import sha256_json
from twostage.configs import DataConfig
from twostage.data.collection import Record
from twostage.data.keypoints import Poses, pose_map, read_keypoints
from twostage.data.maps import canny_edges
from twostage.data.pictures import (
    DECODE_ERRORS,
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

MAP_FOLDERS = ("segmentation", "depth", "edges")
KEYPOINTS = "keypoints.json"
# How many files an error names.
NAMED = 5
# Pictures handed to the pool at a time.
CHUNK = 256

T = TypeVar("T")


@dataclass
class FolderCollection:
    """Pictures that are decoded when they are asked for."""

    config: DataConfig
    classes: list[str]
    paths: list[Path]
    map_paths: dict[str, list[Path]]
    poses: list[Poses] = field(default_factory=list)  # of every picture, if the map pose is asked for
    records: list[Record] = field(default_factory=list)
    sources: dict[str, str] = field(default_factory=dict)

    def images(self, records: Sequence[Record]) -> np.ndarray:
        """Pixels of these records, uint8 NHWC."""
        return np.stack(in_parallel(self._image, [self.paths[record.position] for record in records]))

    def map(self, name: str, records: Sequence[Record], image_NHWC: np.ndarray) -> np.ndarray:
        """The map `name` of these records, uint8 NHW: read, or for edges without a folder made by Canny."""
        if name == "pose":
            return np.stack([pose_map(self.poses[record.position], self.config.size) for record in records])
        if name not in self.map_paths:
            return canny_edges(image_NHWC, self.config.canny_sigma)
        paths = self.map_paths[name]
        return np.stack(in_parallel(lambda record: self.read_map(name, paths[record.position], record), records))

    def _image(self, path: Path) -> np.ndarray:
        return image_array(decode(path), (self.config.size, self.config.size))

    def read_map(self, name: str, path: Path, record: Record) -> np.ndarray:
        """One map, uint8 [size, size]. Raises TwostageError if it is damaged, of another size or holds odd labels."""
        try:
            picture = decode(path)
        except UndecodableError as error:
            raise TwostageError(f"a map cannot be decoded: {error}; replace it") from error
        size = upright_size(self.paths[record.position])
        if picture.size != size:
            raise TwostageError(
                f"{path} is {_by(picture.size)}, its image {_by(size)}; a map has the size of its image"
            )
        crop = (self.config.size, self.config.size)
        match name:
            case "segmentation":
                assert self.config.num_labels is not None
                return label_array(picture, crop, self.config.num_labels, path, self.config.label_offset)
            case "depth":
                return grey_array(picture, crop)
            case _:
                return binary_array(picture, crop)


def collect(config: DataConfig) -> FolderCollection:
    """All pictures of the folder data.root, each decoded once to verify it.

    Raises TwostageError, naming files, if the folder is missing, empty or a picture is damaged, too small or lacks a
    map.
    """
    root = root_folder(config)
    images = images_folder(root)
    held_out = set(listed(root, config.validation_index, "data.validation_index"))
    paths = found_images(config, root, held_out.union(listed(root, config.index, "data.index")))
    classes = class_names(paths, images)
    poses = poses_of(root, paths) if "pose" in config.maps else []
    collection = FolderCollection(config, classes, paths, _map_paths(config, root, paths), poses)
    digests = _verified(collection)
    for position, (path, digest) in enumerate(zip(paths, digests, strict=True)):
        name = path.relative_to(images).as_posix()
        label = classes.index(name.split("/")[0]) if classes else 0
        collection.records.append(Record(name, digest, label, held_out=name in held_out, position=position))
    collection.sources = {"images": sha256_json([[record.id, record.sha256] for record in collection.records])}
    return collection


def images_folder(root: Path) -> Path:
    """Where the pictures lie: root/images, or root itself."""
    return root / "images" if (root / "images").is_dir() else root


def found_images(config: DataConfig, root: Path, listed_names: Set[str] = frozenset()) -> list[Path]:
    """The pictures of the folder, sorted, or those that an index names. Raises TwostageError if any is missing."""
    images = images_folder(root)
    paths = [path for path in _pictures(images, root) if images != root or not _is_map(path, root)]
    if not paths:
        raise TwostageError(f"{images} has no pictures; {_bring(config)}")
    by_name = {path.relative_to(images).as_posix(): path for path in paths}
    missing = sorted(listed_names - by_name.keys())
    if missing:
        raise TwostageError(
            f"the index names {named(missing)} of which {images} has no picture; add or take them off the index"
        )
    if config.index is not None:
        paths = [path for name, path in by_name.items() if name in listed_names]
    return _in_ranges(config, paths, images)


def _in_ranges(config: DataConfig, paths: list[Path], images: Path) -> list[Path]:
    """Pictures of the classes in data.class_ranges. Raises TwostageError if the class sub-folders cannot be those."""
    classes = class_names(paths, images)
    wanted = [position for first, last in config.class_ranges for position in range(first, last + 1)]
    if not wanted or len(classes) == len(wanted):
        return paths
    if len(classes) <= max(wanted):
        raise TwostageError(
            f"{images} has {len(classes)} class sub-folders; data.class_ranges expects its {len(wanted)} classes "
            f"alone, or all of which they are numbers {min(wanted)} to {max(wanted)}"
        )
    kept = {classes[position] for position in wanted}
    return [path for path in paths if path.relative_to(images).parts[0] in kept]


def listed(root: Path, index: str | None, key: str) -> list[str]:
    """The names in an index file, one a line, relative to the folder of pictures; none without a file.

    The file lies in `root`, unless its whole path is given. Raises TwostageError if it is missing, empty or names a
    picture twice.
    """
    if index is None:
        return []
    try:
        lines = (root / Path(index).expanduser()).read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TwostageError(f"{key}={index} cannot be read ({error}); give a text file, one name a line") from error
    names = [line.strip() for line in lines if line.strip()]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice or not names:
        what = f"names {named(twice)} twice" if twice else "is empty"
        raise TwostageError(f"{key}={index} {what}; expected every picture once, one name a line")
    return names


def root_folder(config: DataConfig) -> Path:
    """The folder data.root. Raises TwostageError, saying what to bring, if there is none."""
    if config.root is None:
        raise TwostageError(f"data.root is not set; {_bring(config)}")
    root = Path(config.root).expanduser()
    if not root.is_dir():
        raise TwostageError(f"data.root={config.root} is not a folder; {_bring(config)}")
    return root


def _bring(config: DataConfig) -> str:
    maps = "".join(f", {name}/ with a map per picture" for name in config.maps if name not in ("edges", "pose"))
    maps += f", {KEYPOINTS} with the people in each" if "pose" in config.maps else ""
    return (
        f"{config.name} is data that you bring: put its pictures (at least {config.size}x{config.size}) there, or in "
        f"one sub-folder per class, or in images/{maps}; or set data.root"
    )


def _pictures(folder: Path, root: Path) -> list[Path]:
    """Every picture below `folder`, sorted by name; hidden files and other kinds of file are left out."""
    return sorted(_walk(folder, root.resolve(), set(Image.registered_extensions())))


def _walk(folder: Path, root: Path, extensions: set[str]) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        for entry in entries:
            path = Path(entry.path)
            if entry.name.startswith("."):
                continue
            if entry.is_symlink() and (entry.is_dir() or not path.resolve().is_relative_to(root)):
                raise TwostageError(
                    f"{path} is a link to a folder or out of {root}; copy what it points to in its place"
                )
            if entry.is_dir():
                yield from _walk(path, root, extensions)
            elif path.suffix.lower() in extensions:
                yield path


def _is_map(path: Path, root: Path) -> bool:
    folder, *rest = path.relative_to(root).parts
    return bool(rest) and folder in MAP_FOLDERS


def class_names(paths: Sequence[Path], images: Path) -> list[str]:
    """Names of the class sub-folders, sorted; none if all pictures lie in the folder itself."""
    flat = [path for path in paths if path.parent == images]
    if not flat:
        return sorted({path.relative_to(images).parts[0] for path in paths})
    if len(flat) < len(paths):
        raise TwostageError(
            f"{images} has pictures ({flat[0].name}) beside class sub-folders; put all pictures in sub-folders, or none"
        )
    return []


def _map_paths(config: DataConfig, root: Path, paths: Sequence[Path]) -> dict[str, list[Path]]:
    """Map files per map name, in the order of `paths`. Edges without a folder are made by Canny, so not listed."""
    return {name: maps_of(root / name, root, paths, config) for name in maps_to_read(config, root)}


def maps_to_read(config: DataConfig, root: Path) -> list[str]:
    """Names of the maps that must lie in folders of their own."""
    return [name for name in config.maps if name != "pose" and (name != "edges" or (root / name).is_dir())]


def poses_of(root: Path, paths: Sequence[Path]) -> list[Poses]:
    """Poses in the order of the pictures. Raises TwostageError if one is missing or of a picture of another size."""
    file, images = root / KEYPOINTS, images_folder(root)
    found = read_keypoints(file)
    names = [path.relative_to(images).as_posix() for path in paths]
    lacking = [path for path, name in zip(paths, names, strict=True) if name not in found]
    if lacking:
        raise TwostageError(f"{file} does not list {named(lacking)}; add them, file_name counts from {images}")
    sizes = zip(names, in_parallel(size_in_header, paths), strict=True)
    wrong = [(name, size) for name, size in sizes if size is not None and found[name].size != size]
    if wrong:
        (name, size), more = wrong[0], f" ({len(wrong)} such pictures)" if len(wrong) > 1 else ""
        raise TwostageError(
            f"{file} says that {name} is {_by(found[name].size)}, it is {_by(size)}{more}; mend width and height"
        )
    return [found[name] for name in names]


def size_in_header(path: Path) -> tuple[int, int] | None:
    """Width and height; None of a damaged picture."""
    try:
        return upright_size(path)
    except DECODE_ERRORS:
        return None


def maps_of(folder: Path, root: Path, paths: Sequence[Path], config: DataConfig) -> list[Path]:
    """The map of every picture. Raises TwostageError, naming pictures, if there is not just one of each."""
    if not folder.is_dir():
        raise TwostageError(f"{folder} is missing; {_bring(config)}")
    found: dict[Path, Path] = {}
    for path in _pictures(folder, root):
        other = found.setdefault(path.relative_to(folder).with_suffix(""), path)
        if other != path:
            raise TwostageError(f"{other} and {path.name} are maps of the same image; remove one")
    names = [path.relative_to(images_folder(root)).with_suffix("") for path in paths]
    lacking = [path for path, name in zip(paths, names, strict=True) if name not in found]
    if lacking:
        raise TwostageError(
            f"no map in {folder} for {named(lacking)}; add {folder / names[paths.index(lacking[0])]}.png or remove "
            "the image"
        )
    return [found[name] for name in names]


def _verified(collection: FolderCollection) -> list[str]:
    """sha256 of the pixels of every picture, as they will be stored. Decodes everything before anything is written."""
    undecodable: list[Path] = []
    small: list[tuple[Path, str]] = []

    def digest(path: Path) -> str:
        try:
            return hashlib.sha256(collection._image(path).tobytes()).hexdigest()
        except UndecodableError:
            undecodable.append(path)
        except TooSmallError as error:
            small.append((path, str(error)))
        return ""

    paths = collection.paths
    digests = [
        value for start in range(0, len(paths), CHUNK) for value in in_parallel(digest, paths[start : start + CHUNK])
    ]
    if undecodable:
        raise TwostageError(f"cannot decode {named(sorted(undecodable))}; replace or remove")
    if small:
        path, size = min(small)
        more = f" ({len(small)} such images)" if len(small) > 1 else ""
        needed = collection.config.size
        raise TwostageError(
            f"{path} is {size}, the crop {needed}x{needed}{more}; images are not enlarged: lower data.size or remove it"
        )
    return digests


def in_parallel(work: Callable[..., T], items: Sequence[object]) -> list[T]:
    """`work` of every item, by as many threads as the process may use."""
    # Pillow decodes without the interpreter's lock; the workflow tells every job its threads this way.
    threads = int(os.environ.get("OMP_NUM_THREADS") or min(8, os.cpu_count() or 1))
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, items))


def named(paths: Sequence[Path | str]) -> str:
    """The first few of them, and how many there are in all."""
    names = ", ".join(str(path) for path in paths[:NAMED])
    return names if len(paths) <= NAMED else f"{names} and {len(paths) - NAMED} more ({len(paths)} in all)"


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
