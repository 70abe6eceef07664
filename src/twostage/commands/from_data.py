"""Verb `sampling.from_data`: everything from a dataset to samples, each step a job of its own that is made once.

`python -m twostage from_data data=folder data.root=/path/to/pictures ...`: called again, it goes on where it
was stopped, and after a change runs what the change concerns: another canvas draws, nothing trains.
"""

import logging
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from twostage.commands.arguments import Parser, parsed
from twostage.commands.console import one_line_errors
from twostage.commands.run import name_pictures
from twostage.config.composition import compose, parse
from twostage.config.schema import DENOISERS, VOC_LABELS, SamplingConfig
from twostage.errors import TwostageError
from twostage.planning import made, prompt
from twostage.planning.chain import condition_jobs
from twostage.planning.jobs import grid_side
from twostage.runtime.artifacts import read_json, write_json
from twostage.runtime.job import Job, Tree
from twostage.sampling.condition_file import read_condition
from twostage.sampling.request import canvas_size, check_classes, check_condition, checked_draw
from twostage.sampling.sliding import windowed
from twostage.tokenizers.greys import NUM_GREYS

log = logging.getLogger(__name__)

# How the maps that are no colours are stored.
KIND_OF = {"segmentation": "labels", "pose": "labels", "edges": "binary", "depth": "grey"}


def check(overrides: tuple[str, ...]) -> None:
    """What would be noticed only after the training. Raises TwostageError."""
    tree = compose(overrides)
    config = parse(SamplingConfig, tree["sampling"])
    checked_draw(config, _num_codes(tree))
    factor = 2 ** tree["tokenizers"]["num_downsamplings"]
    grid = (grid_side(tree),) * 2
    height, width = canvas_size(config, grid, factor)
    if (height, width) != grid:
        windowed((height, width), grid, tree["priors"]["ordering"])
        if config.given:
            raise TwostageError(
                f"sampling.given={config.given} begins with real images, of the prior's own size; drop it or the canvas"
            )
    if (architecture := tree["priors"]["architecture"]) in DENOISERS:
        raise TwostageError(
            f"from_data draws token by token, which priors={architecture} cannot; choose priors=gpt or pixelsnail"
        )
    _check_classes(tree, tree["data"]["classes"])
    _check_condition(tree, overrides, config, (height, width) != grid)
    if tree["priors"]["condition"] == "coordinates" and (height, width) != grid and not config.coordinates:
        raise TwostageError("a larger canvas has coordinates of its own; set sampling.coordinates=true")
    if config.condition_file is not None:
        pixels = factor // _reduction(tree, overrides)
        kind = KIND_OF.get(_map_of(tree, overrides), "colour")
        num_labels = tree["data"]["num_labels"] or VOC_LABELS
        read_condition(config, kind, (height * pixels, width * pixels), num_labels)


def _num_codes(tree: Tree) -> int:
    """Size of the image's codebook."""
    tokenizer = tree["tokenizers"]
    return NUM_GREYS if tokenizer["greys"] else int((tokenizer["kmeans"] or tokenizer["quantizer"])["num_codes"])


def _check_classes(tree: Tree, names: list[str]) -> None:
    """Raises TwostageError if samples of classes are asked for that are not in `names`, as far as these are known."""
    if names and tree["priors"]["condition"] == "class":
        check_classes(tree["sampling"]["classes"], names)


def _check_condition(tree: Tree, overrides: tuple[str, ...], config: SamplingConfig, is_larger: bool) -> None:
    """Raises TwostageError if the condition is none of the prior's, its codes cannot lie on the canvas, or there are
    too few held-out images.
    """
    name = tree["priors"]["condition"]
    has_codes = name is not None and not config.coordinates and config.condition_file is None
    check_condition(config, name, has_codes)
    if name not in (None, "class", "coordinates"):
        side, wanted = _condition_grid(tree, overrides), grid_side(tree)
        if side != wanted and (is_larger or config.condition_file or tree["priors"]["architecture"] == "pixelsnail"):
            raise TwostageError(
                f"priors.condition={name} has {side}x{side} tokens for the {wanted}x{wanted} of an image; this canvas "
                "or prior needs both alike: take a condition tokenizer of the image's f"
            )
        if is_larger and config.condition_file is None:
            raise TwostageError(
                "a larger canvas needs a condition as large; set sampling.condition_file to a picture of it"
            )
    limits = (tree["latents"]["validation_images"], tree["data"]["validation_images"])
    _check_held_out(tree, min((limit for limit in limits if limit is not None), default=None))


def _check_held_out(tree: Tree, num_images: int | None) -> None:
    """Raises TwostageError if samples need more than `num_images` held-out images, as beginnings or as conditions."""
    config = parse(SamplingConfig, tree["sampling"])
    has_codes = tree["priors"]["condition"] is not None and not config.coordinates and config.condition_file is None
    read = config.given > 0 or (has_codes and config.classes is None)
    needed = -(-config.num_images // config.per_condition)
    if read and num_images is not None and needed > num_images:
        raise TwostageError(
            f"sampling.num_images={config.num_images} needs {needed} validation images, there are {num_images}; lower "
            "it, or raise data.validation_images and latents.validation_images"
        )


def _condition_grid(tree: Tree, overrides: tuple[str, ...]) -> int:
    """Side of the grid of the condition's codes."""
    kept = [each for each in overrides if not each.lstrip("+~").startswith(("tokenizers=", "tokenizers."))]
    name = tree["priors"]["condition"]
    return grid_side(compose((*kept, f"tokenizers={name}")))


def _map_of(tree: Tree, overrides: tuple[str, ...]) -> str:
    """The map that conditions the prior."""
    return str(condition_jobs(tree, overrides)[-1].config["map"])


def _reduction(tree: Tree, overrides: tuple[str, ...]) -> int:
    """Pixels of the canvas, on a side, that one of the condition's pixels stands for."""
    made = (job for job in condition_jobs(tree, overrides) if job.verb == "annotate")
    return next((job.config["factor"] for job in made if "factor" in job.config), 1)


def make(overrides: tuple[str, ...]) -> None:
    """Runs all jobs that are not made. Raises TwostageError for what no training can mend, before any of it."""
    prompt.folders_given("sampling.from_data", overrides)
    overrides = prompt.remembered("sampling.generate", overrides)
    check(overrides)
    asked = prompt.asked("sampling.generate", overrides, label=True)
    jobs = [*asked.jobs.values(), asked.job]
    for number, job in enumerate(jobs, start=1):
        is_there = made.is_made(job, asked.jobs)
        log.info("[%d/%d] %s%s", number, len(jobs), job.out, ": made already" if is_there else "")
        if not is_there:
            run(job)
        if job.verb == "prepare":
            metadata = read_json(job.folder / "metadata.json")
            _check_classes(compose(overrides), metadata["classes"])
            # A small folder is split in other parts than it was asked for.
            _check_held_out(compose(overrides), metadata["splits"]["validation"]["num_images"])
    if is_there:
        name_pictures(job)


def run(job: Job) -> None:
    """Runs a job in a process of its own, as the workflow does. Exits as it does if it fails; it has said why."""
    asked = Path("build/configs") / job.stage / job.variant / f"{job.sha12}.json"
    write_json(asked, asdict(job))
    verb = f"{job.stage}.{job.verb}"
    command = [sys.executable, "-m", "twostage", verb, "--config", str(asked), "--log", str(job.folder / "log.txt")]
    status = subprocess.run(command, check=False).returncode
    if status:
        raise SystemExit(status)


def parser() -> Parser:
    """What the command takes."""
    return Parser(
        "from_data",
        "Makes all that samples need, out of a dataset: data=folder data.name=mine data.root=pictures "
        "'data.maps=[segmentation]' data.num_labels=8 priors.condition=segmentation_f4 "
        "sampling.condition_file=map.png 'sampling.canvas_pixels=[512,512]'",
        (*prompt.READS["sampling"], "scale"),
    )


def main() -> None:
    """Command line of the verb."""
    overrides = tuple(parsed(parser()).overrides)
    logging.basicConfig(level=logging.INFO, format="%(message)s", force=True)
    with one_line_errors():
        make(overrides)


if __name__ == "__main__":
    main()
