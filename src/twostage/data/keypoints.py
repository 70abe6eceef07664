"""Keypoints of people in COCO's format (Lin et al. 2014), drawn as a map of labels: the condition `pose`."""

# P pictures, K keypoints, H height, W width

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from twostage.errors import TwostageError

NUM_KEYPOINTS = 17
# Labels: 0 is background, 1 to 17 are the keypoints in COCO's order, the rest are limbs between two keypoints.
LIMB = NUM_KEYPOINTS + 1
# COCO's skeleton, counted from 0: nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles.
SKELETON = (
    (15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8), (7, 9), (8, 10), (1, 2),
    (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6),
)  # fmt: skip
# The label of each label in a mirrored picture: left and right swap.
MIRRORED = np.array([0, 1, *(label ^ 1 for label in range(2, LIMB)), LIMB], np.uint8)
FORMAT = (
    "expected COCO's: images with id, file_name, width and height, annotations with image_id and keypoints, "
    f"{NUM_KEYPOINTS} times x, y, visibility"
)

Person = np.ndarray  # float64 [K, 3]: x, y in pixels of the picture, visibility (0: not labelled)


@dataclass(frozen=True)
class Poses:
    """The people of one picture."""

    size: tuple[int, int]  # width, height of the picture
    people: list[Person]


def read_keypoints(path: Path) -> dict[str, Poses]:
    """File name of a picture -> its poses. Raises TwostageError if the file is missing or has a wrong format."""
    if not path.is_file():
        raise TwostageError(f"{path} is missing; data.maps has pose, which needs the pictures' keypoints: {FORMAT}")
    try:
        tree = json.loads(path.read_text())
        names: dict[Any, str] = {}
        found: dict[str, Poses] = {}
        for image in tree["images"]:
            number, name = image["id"], image["file_name"]
            if not isinstance(name, str):
                raise TypeError(f"file_name is {name!r}, not a text")
            if number in names:
                raise TwostageError(
                    f"{path} has two images with the id {number}, {names[number]} and {name}; give each its own id"
                )
            if name in found:
                raise TwostageError(f"{path} lists {name} twice; keep one entry, with all people of the picture")
            names[number] = name
            found[name] = Poses((int(image["width"]), int(image["height"])), [])
        for annotation in tree["annotations"]:
            found[names[annotation["image_id"]]].people.append(_person(annotation))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise TwostageError(f"{path} is not a keypoint file ({type(error).__name__}: {error}); {FORMAT}") from error
    return found


def _person(annotation: dict[str, Any]) -> Person:
    keypoints = np.asarray(annotation["keypoints"], dtype=np.float64)
    if keypoints.shape != (3 * NUM_KEYPOINTS,):
        raise ValueError(f"{keypoints.size} numbers for a person")
    if not np.isfinite(keypoints).all():
        raise ValueError("a coordinate is not a finite number")
    return keypoints.reshape(NUM_KEYPOINTS, 3)


def pose_map(poses: Poses, size: int) -> np.ndarray:
    """Label ids uint8 [size, size] in [0, 19): lines for limbs, and discs on top for keypoints.

    Cropped and scaled like the picture (`pictures.fitted`). Unlabelled keypoints and their limbs are left out.
    """
    width, height = poses.size
    side = min(width, height)
    corner = np.array([(width - side) / 2, (height - side) / 2])
    sheet = Image.new("L", (size, size), 0)
    draw, radius = ImageDraw.Draw(sheet), max(1.0, size / 64)
    placed = [((person[:, :2] - corner) * size / side, person[:, 2] > 0) for person in poses.people]
    for place_K2, seen_K in placed:
        for a, b in SKELETON:
            if seen_K[a] and seen_K[b]:
                draw.line([*place_K2[a], *place_K2[b]], fill=LIMB, width=round(radius))
    for place_K2, seen_K in placed:
        for k in np.flatnonzero(seen_K):
            x, y = place_K2[k]
            draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=int(k) + 1)
    return np.asarray(sheet)
