"""Sample galleries: the strips of a study's grid.npy with a label each, between real images and reconstructions."""

# K kinds of strips, F states of a chain, M images, R results of an image, H W C

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from twostage.errors import TwostageError
from twostage.evaluation.words import word
from twostage.page.pictures import Picture, tiles
from twostage.runtime.artifacts import read_array, read_json

# Images in a row of two that lie above one another.
IN_A_ROW = 4
ORIGINAL = "real images"
OF_CONDITIONS = {"condition": "given", "original": ORIGINAL}
Strip = tuple[str, np.ndarray]  # its label, and its images [M, H, W, C]


@dataclass(frozen=True)
class Row:
    """A strip of a gallery."""

    label: str
    picture: Picture


@dataclass(frozen=True)
class Gallery:
    """The strips of one grid.npy. `bounds`: real images and what a tokenizer keeps of them, ceiling and floor."""

    name: str
    rows: list[Row]
    bounds: list[Row]
    why_no_bounds: str  # empty if there are some


@dataclass(frozen=True)
class Slider:
    """Two pictures above one another, of which a slider shows more or less."""

    name: str
    before: Picture
    after: Picture
    said: tuple[str, str]  # what the left and the right side show


@dataclass(frozen=True)
class Film:
    """States of some chains, of which the page shows one at a time: in the picture, they lie one below another."""

    name: str
    picture: Picture
    steps: list[int]  # after which each state is shown


def galleries(results: Path, study: str, tokenizers: list[str]) -> list[Gallery]:
    """Those of a study whose samples go through these tokenizers. Raises TwostageError for a grid of unknown strips."""
    return [_gallery(folder, results, tokenizers) for folder in _folders(results, study)]


def _folders(results: Path, study: str) -> list[Path]:
    """The study's evaluations that have pictures: one of its own name, or one for each of its rows."""
    folders = [results / "evaluation" / study, *sorted((results / "evaluation").glob(f"{study}.*"))]
    return [folder for folder in folders if (folder / "grid.npy").is_file()]


def _gallery(folder: Path, results: Path, tokenizers: list[str]) -> Gallery:
    found = list(_strips(folder))
    rows = [Row(label, tiles(images[None], f"{label}: {len(images)} images")) for label, images in found]
    bounds = [row for name in tokenizers for row in _bounds(results, name, found[0][1].shape[1:])]
    # Strips of tokenizers, of which nothing is sampled, and some others are real images and reconstructions themselves.
    has_own = not tokenizers or any("reconstructions" in label for label, _ in found)
    why = "" if bounds or has_own else f"results/ holds no reconstructions by {', '.join(tokenizers)}"
    return Gallery(folder.name, rows, bounds, why)


def _bounds(results: Path, tokenizer: str, shape: tuple[int, ...]) -> Iterator[Row]:
    path = results / "evaluation" / tokenizer / "grid.npy"
    if path.is_file() and (grid := read_array(path)).shape[2:] == shape:
        for label, images in zip(("ceiling: real images", f"floor: the same through {tokenizer}"), grid, strict=True):
            yield Row(label, tiles(images[None], f"{label}: {len(images)} images"))


def _strips(folder: Path) -> Iterator[Strip]:
    """The strips of a grid in the order of the file, by what the metrics beside it say of them."""
    metrics, grid = read_json(folder / "metrics.json"), read_array(folder / "grid.npy")
    match metrics:
        case {"runs": runs}:
            for name, image_MRHWC in zip(runs, grid, strict=True):
                near = [f"its nearest training images: {at + 1}" for at in range(image_MRHWC.shape[1] - 1)]
                yield from zip((f"{name.replace('_', ' ')}: samples", *near), image_MRHWC.swapaxes(0, 1), strict=True)
        case {"drawn": runs}:
            for run, image_MRHWC in zip(runs, grid, strict=True):
                name = f"{run['mask']}, {run['prior']}"
                drawn = [f"{name}: result {at + 1}" for at in range(image_MRHWC.shape[1] - 2)]
                seen = (f"{name}: real images through the tokenizer", f"{name}: masked")
                yield from zip((*seen, *drawn), image_MRHWC.swapaxes(0, 1), strict=True)
        case _:
            yield from zip(_labels(folder, metrics), grid, strict=True)


def _labels(folder: Path, metrics: dict[str, Any]) -> Iterator[str]:
    match metrics:
        case {"strips": labels}:
            yield from _spelled(labels, metrics.get("statistics", []))
        case {"condition": given, "factors": factors}:
            yield from (f"given: {given}", ORIGINAL)
            for row in factors.values():
                yield from (f"f = {row['factor']}: samples", f"f = {row['factor']}: reconstructions")
        case {"factors": factors}:
            yield from (f"f = {row['factor']}" for row in factors.values())
        case {"classes": named} | {"sets": named} | {"rows": named}:
            yield from (name for name in named if name != "all")
        case _:
            raise TwostageError(f"{folder}/metrics.json does not say what grid.npy shows; make both again")


def _spelled(labels: list[str], statistics: list[dict[str, Any]]) -> Iterator[str]:
    """Labels in which values have the names of their keys. One without a label shows the same as the one before."""
    values = [one["values"] for one in statistics]
    spelled = {
        " ".join(map(word, one.values())): ", ".join(f"{key} {word(value)}" for key, value in one.items())
        for one in values
    }
    last, number = "", 1
    for label in labels:
        number = 1 if label else number + 1
        last = label or last
        named = OF_CONDITIONS.get(last) or spelled.get(last, last)
        yield f"{named}, sample {number}" if number > 1 else named


def reconstructions(results: Path, variant: str) -> Slider | None:
    """Images and what a tokenizer keeps of them; None if results/ has no grid of it."""
    folder = results / "evaluation" / variant
    if not (folder / "grid.npy").is_file():
        return None
    original, output = read_array(folder / "grid.npy")
    metrics = read_json(folder / "metrics.json")
    said = f"LPIPS {metrics['lpips_vgg']:.3f}, PSNR {metrics['psnr_decibels']:.1f} dB"
    return _slider(f"{variant}: {said}", (original, output), ("real images", "reconstructions"))


def inpaintings(results: Path, study: str) -> list[Slider]:
    """For every mask and prior, what was masked and the first result."""
    found = []
    for folder in _folders(results, study):
        drawn = read_json(folder / "metrics.json").get("drawn", [])
        for one, image_MRHWC in zip(drawn, read_array(folder / "grid.npy") if drawn else [], strict=True):
            pair = (image_MRHWC[:, 1], image_MRHWC[:, 2])
            name = f"mask: {one['mask']}, {one['prior']}"
            found.append(_slider(name, pair, ("masked (grey)", "filled in, the first result")))
    return found


def films(results: Path, study: str) -> list[Film]:
    """How the first samples of every run came about; empty for a study that keeps no chains."""
    folder = results / "evaluation" / study
    if not (folder / "film.npy").is_file():
        return []
    metrics, film_FMHWC = read_json(folder / "metrics.json"), read_array(folder / "film.npy")
    found, first = [], 0
    labels = _spelled([film["label"] for film in metrics["films"]], metrics["statistics"])
    for label, step_F in zip(labels, (film["steps"] for film in metrics["films"]), strict=True):
        frame_FMHWC = film_FMHWC[first : first + len(step_F)]
        alt = f"{label}: {frame_FMHWC.shape[1]} samples after {', '.join(map(str, step_F))} steps, one below another"
        found.append(Film(label, tiles(frame_FMHWC, alt), step_F))
        first += len(step_F)
    return found


def _slider(name: str, pair: tuple[np.ndarray, np.ndarray], said: tuple[str, str]) -> Slider:
    before, after = (
        tiles(image_MHWC.reshape(-1, min(IN_A_ROW, len(image_MHWC)), *image_MHWC.shape[1:]), f"{what}: {name}")
        for image_MHWC, what in zip(pair, said, strict=True)
    )
    return Slider(name, before, after, said)
