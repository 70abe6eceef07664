"""`twostage from_data`: everything from a dataset to samples, as a study that Snakemake makes.

`python -m twostage from_data data=folder data.root=/path/to/pictures ...` checks what is asked, writes it as a study
file, and calls Snakemake. Called again, that goes on where it was stopped; another canvas draws, nothing trains.
"""

import json
import logging
import re
import subprocess
import sys
from pathlib import Path

import yaml

from twostage.commands.arguments import Parser, parsed
from twostage.commands.console import one_line_errors
from twostage.commands.run import name_pictures
from twostage.config.composition import add_study, added_folders, compose, default, options, parse
from twostage.config.overrides import changes
from twostage.config.schema import DENOISERS, VOC_LABELS, Config, SamplingConfig
from twostage.errors import TwostageError
from twostage.planning import made, prompt
from twostage.planning.chain import condition_jobs
from twostage.planning.jobs import grid_side, num_codes
from twostage.planning.whole import plan_of
from twostage.runtime.artifacts import atomic_path, read_json
from twostage.runtime.job import Tree
from twostage.sampling.condition_file import read_condition
from twostage.sampling.request import canvas_size, check_classes, check_condition, checked_draw
from twostage.sampling.sliding import windowed

# How the maps that are no colours are stored.
KIND_OF = {"segmentation": "labels", "pose": "labels", "edges": "binary", "depth": "grey"}


def check(overrides: tuple[str, ...]) -> None:
    """What would be noticed only after the training. Raises TwostageError."""
    tree = compose(overrides)
    config = parse(SamplingConfig, tree["sampling"])
    checked_draw(config, num_codes(tree["tokenizers"]))
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
    _check_own_name(tree, overrides)
    _check_classes(tree, tree["data"]["classes"])
    _check_condition(tree, overrides, config, (height, width) != grid)
    if tree["priors"]["condition"] == "coordinates" and (height, width) != grid and not config.coordinates:
        raise TwostageError("a larger canvas has coordinates of its own; set sampling.coordinates=true")
    if config.condition_file is not None:
        pixels = factor // _reduction(tree, overrides)
        kind = KIND_OF.get(_map_of(tree, overrides), "colour")
        num_labels = tree["data"]["num_labels"] or VOC_LABELS
        read_condition(config, kind, (height * pixels, width * pixels), num_labels)


def _check_own_name(tree: Tree, overrides: tuple[str, ...]) -> None:
    """Other data under the name of ours would be two datasets of one name."""
    changed = [change.key for change in changes(overrides, Config) if change.key.startswith(("data.", "latents."))]
    if changed and tree["data"]["name"] in set(options("data")) - {"folder"}:
        raise TwostageError(
            f"{changed[0]} makes other data of {tree['data']['name']}; give them a name of their own: data.name=mine"
        )


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
    """Makes the study of the overrides. Raises TwostageError for what no training can mend, before any of it."""
    prompt.folders_given("sampling.from_data", overrides)
    prompt.refuse_unread_stages("sampling.generate", overrides)
    if folders := added_folders():
        raise TwostageError(f"from_data reads no --config-dir={folders[0]}; name its values as KEY=VALUE")
    overrides = prompt.remembered("sampling.generate", overrides)
    check(overrides)
    tree = compose(overrides)
    scale, path = tree["scale"]["name"], write_study(overrides)
    jobs = plan_of(add_study(path), scale).jobs
    data = next(job for job in jobs.values() if job.verb == "prepare")
    if not made.is_made(data, jobs):
        snakemake(f"{data.out}/metadata.json", scale, path)
    metadata = read_json(data.folder / "metadata.json")
    _check_classes(tree, metadata["classes"])
    # A small folder is split in other parts than it was asked for.
    _check_held_out(tree, metadata["splits"]["validation"]["num_images"])
    snakemake(f"results/{path.stem}.csv", scale, path)
    name_pictures(next(job for job in jobs.values() if job.stage == "sampling"))


def write_study(overrides: tuple[str, ...]) -> Path:
    """A study file in build/studies/ that asks for one set of samples, as the overrides say."""
    asked = {change.key: json.loads(change.value) for change in changes(overrides, Config)}
    tree = compose(overrides)
    groups = {group: asked.get(group, default(group)) for group in ("data", "tokenizers", "priors")}
    row = groups | {key: value for key, value in asked.items() if key.startswith("data.")}
    # Another choice of these changes the names of jobs, so that no canvas takes another one's place.
    fixed = {key: value for key, value in asked.items() if "." in key and not key.startswith("data.")}
    seed = fixed.pop("priors.loop.seed", 0)
    name = re.sub(r"\W", "_", f"samples_of_{tree['data']['name']}")
    study = {
        "name": name,
        "title": f"Samples of {tree['data']['name']}",
        "rows": {tree["data"]["name"]: {"stand_in": row, "paper": row}},
        "fixed": fixed,
        "seeds": [seed],
        "measure": ["seconds_per_image"],
        "pictures": tree["sampling"]["grid_images"],
        "figures": [{"kind": "pictures"}],
    }
    path = Path("build/studies") / f"{name}.yaml"
    with atomic_path(path) as partial:
        partial.write_text(yaml.safe_dump(study, sort_keys=False, allow_unicode=True))
    return path


def snakemake(target: str, scale: str, study: Path) -> None:
    """Has Snakemake make a file. Exits as it does if it fails; it has said why."""
    if not Path("Snakefile").is_file():
        raise TwostageError(f"no Snakefile in {Path.cwd().name}/; run from the root of the twostage clone")
    config = [f"scale={scale}", f"study={study}"]
    command = [sys.executable, "-m", "snakemake", "--cores", "all", "--config", *config, "--", target]
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
