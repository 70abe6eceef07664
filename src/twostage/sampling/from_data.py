"""Verb `sampling.from_data`: everything from a dataset to samples, each step a job of its own that is made once.

`python -m twostage.sampling.from_data data=folder data.root=/path/to/pictures ...`: called again, it goes on where it
was stopped, and after a change runs what the change concerns: another canvas draws, nothing trains.
"""

import argparse
import logging
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from twostage import cli
from twostage.artifacts import read_json, sha256_json, write_json
from twostage.chain import chain, condition_jobs
from twostage.configs import SamplingConfig, compose, parse
from twostage.data.pictures import DECODE_ERRORS, upright_size
from twostage.errors import TwostageError
from twostage.fingerprint import fingerprint
from twostage.jobs import PROVENANCE, Job, Tree
from twostage.sampling.request import canvas_size, check_classes, check_condition, checked_draw
from twostage.sampling.sliding import windowed
from twostage.tokenizers.greys import NUM_GREYS
from twostage.verbs import grid_side

log = logging.getLogger(__name__)


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
    if tree["priors"]["architecture"] == "sundae":
        raise TwostageError(
            "from_data draws token by token, which priors=sundae cannot; choose priors=gpt or pixelsnail"
        )
    _check_classes(tree, tree["data"]["classes"])
    _check_condition(tree, overrides, config, (height, width) != grid)
    if tree["priors"]["condition"] == "coordinates" and (height, width) != grid and not config.coordinates:
        raise TwostageError("a larger canvas has coordinates of its own; set sampling.coordinates=true")
    if config.condition_file is None:
        return
    try:
        found = upright_size(Path(config.condition_file).expanduser())
    except DECODE_ERRORS as error:
        raise TwostageError(f"sampling.condition_file={config.condition_file} cannot be decoded: {error}") from error
    pixels = factor // _reduction(tree, overrides)
    if found[0] < width * pixels or found[1] < height * pixels:
        raise TwostageError(
            f"{config.condition_file} is {found[0]}x{found[1]}, the canvas wants {width * pixels}x{height * pixels}; "
            "conditions are not enlarged: bring a larger one, or set a smaller sampling.canvas_pixels"
        )


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
    read = config.given > 0 or (has_codes and config.classes is None)
    limits = (tree["latents"]["validation_images"], tree["data"]["validation_images"])
    held_out = min((limit for limit in limits if limit is not None), default=None)
    needed = -(-config.num_images // config.per_condition)
    if read and held_out is not None and needed > held_out:
        raise TwostageError(
            f"sampling.num_images={config.num_images} needs {needed} validation images, there are {held_out}; lower "
            "it, or raise data.validation_images and latents.validation_images"
        )


def _condition_grid(tree: Tree, overrides: tuple[str, ...]) -> int:
    """Side of the grid of the condition's codes."""
    kept = [each for each in overrides if not each.lstrip("+~").startswith(("tokenizers=", "tokenizers."))]
    name = tree["priors"]["condition"]
    return grid_side(compose((*kept, f"tokenizers={name}")))


def _reduction(tree: Tree, overrides: tuple[str, ...]) -> int:
    """Pixels of the canvas, on a side, that one of the condition's pixels stands for."""
    made = (job for job in condition_jobs(tree, overrides) if job.verb == "annotate")
    return next((job.config["factor"] for job in made if "factor" in job.config), 1)


def is_made(job: Job) -> bool:
    """Whether the job's files are there and come of this config, this code and its upstream as it lies there now."""
    path = job.folder / PROVENANCE
    if not path.exists() or not all((job.folder / file).exists() for file in job.files):
        return False
    record = read_json(path)
    asked = (sha256_json(job.config), sha256_json(fingerprint(f"{job.stage}.{job.verb}")))
    if (record["config_sha256"], record["code_sha256"]) != asked:
        return False
    if job.config.get("source") == "folder" and _touched_since(job.config, path):
        return False
    upstream = [read_json(Path(folder) / PROVENANCE) for folder in job.inputs.values()]
    return all(record["rests_on"].get(it["job"], {}).get("files_sha256") == it["files_sha256"] for it in upstream)


def _touched_since(data: Tree, record: Path) -> bool:
    """Whether a picture, map, folder or index is newer than the record, or the folder or an index is gone."""
    root = Path(data["root"]).expanduser()
    indices = [root / Path(name).expanduser() for key in ("index", "validation_index") if (name := data[key])]
    if not root.is_dir() or not all(index.is_file() for index in indices):
        return True
    return any(path.stat().st_mtime > record.stat().st_mtime for path in (root, *root.rglob("*"), *indices))


def make(overrides: tuple[str, ...]) -> None:
    """Runs all jobs that are not made. Raises TwostageError for what no training can mend, before any of it."""
    check(overrides)
    jobs = chain(overrides)
    for number, job in enumerate(jobs, start=1):
        made = is_made(job)
        log.info("[%d/%d] %s%s", number, len(jobs), job.out, ": made already" if made else "")
        if not made:
            run(job)
        if job.verb == "prepare":
            _check_classes(compose(overrides), read_json(job.folder / "metadata.json")["classes"])
    if made:
        cli.name_pictures(job)


def run(job: Job) -> None:
    """Runs a job in a process of its own, as the workflow does. Exits as it does if it fails; it has said why."""
    asked = Path("build/configs") / job.stage / job.variant / f"{job.sha12}.json"
    write_json(asked, asdict(job))
    verb = f"twostage.{job.stage}.{job.verb}"
    command = [sys.executable, "-m", verb, "--config", str(asked), "--log", str(job.folder / "log.txt")]
    status = subprocess.run(command, check=False).returncode
    if status:
        raise SystemExit(status)


def main() -> None:
    """Command line of the verb."""
    parser = argparse.ArgumentParser(
        prog="python -m twostage.sampling.from_data",
        description="Makes all that samples need, out of a dataset: data=folder data.name=mine data.root=pictures "
        "'data.maps=[segmentation]' data.num_labels=8 priors.condition=segmentation_f4 "
        "sampling.condition_file=map.png 'sampling.canvas_pixels=[512,512]'",
    )
    parser.add_argument("overrides", nargs="*", help="group=choice or key=value of conf/, in Hydra's syntax")
    overrides = tuple(parser.parse_args().overrides)
    logging.basicConfig(level=logging.INFO, format="%(message)s", force=True)
    with cli.one_line_errors():
        make(overrides)


if __name__ == "__main__":
    main()
