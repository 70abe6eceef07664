"""`twostage sample`: images out of a prior, by the verb that its architecture needs.

By itself it is sampling.generate, or sampling.denoise for SUNDAE priors, and takes their overrides. With `--model` it
needs neither a clone nor artifacts: the model is a folder with a tokenizer and a prior, or the name of one in models/.
"""

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

from twostage.commands import run
from twostage.commands.arguments import Parser, parsed
from twostage.commands.console import log, one_line_errors, start_log
from twostage.commands.dispatch import config_of, work_of
from twostage.commands.paths import expanded, writable_file
from twostage.config.composition import compose, parse
from twostage.config.schema import DENOISERS
from twostage.errors import TwostageError
from twostage.home import home
from twostage.planning.prompt import group_of, without_folders
from twostage.planning.unread import INSTEAD, refuse_unread
from twostage.planning.verbs import VERBS
from twostage.runtime.artifacts import atomic_path, read_json
from twostage.runtime.fingerprint import PACKAGE
from twostage.runtime.job import Job, Tree

# What every model's folder holds; for priors with a condition also what that is read from, see `_inputs`.
PARTS = ("tokenizer", "prior")
FILES_OF_PART = ("config.json", "model.safetensors")
# Where models with names lie: in the clone, and in the package.
NAMED = (Path("models"), PACKAGE / "models")
# As many images as a picture shows at a glance.
NUM_IMAGES = 16


def verb_of(overrides: tuple[str, ...]) -> str:
    """The verb that draws from the prior that the overrides choose, or that prior=DIR names."""
    named = [override.partition("=")[2] for override in overrides if override.startswith("prior=")]
    if named:
        return _verb(read_json(home(named[-1]) / "config.json"))
    return _verb(compose(without_folders(overrides))["priors"])


def _verb(prior: Any) -> str:
    is_denoiser = isinstance(prior, dict) and prior.get("architecture") in DENOISERS
    return "sampling.denoise" if is_denoiser else "sampling.generate"


def folder_of(model: str) -> Path:
    """The folder of a model, by its path or name. Raises TwostageError if there is none, or it is not whole."""
    folders = (expanded(model), *(place / model for place in NAMED))
    folder = next((path for path in folders if path.is_dir()), None)
    if folder is None:
        names = sorted({path.name for place in NAMED if place.is_dir() for path in place.iterdir() if path.is_dir()})
        raise TwostageError(f"no folder {model}, and no model of this name; known: {', '.join(names) or 'none'}")
    wanted = [f"{part}/{name}" for part in PARTS for name in FILES_OF_PART]
    if absent := [name for name in wanted if not (folder / name).is_file()]:
        raise TwostageError(f"{folder} lacks {', '.join(absent)}; a model is a folder with {', '.join(wanted)}")
    return folder


def draw(model: str, out: Path, overrides: tuple[str, ...]) -> None:
    """Draws images from a model and writes them as one picture, `out`. Raises TwostageError before it draws anything
    if the model is incomplete, damaged, or conditional without a condition, or an override is not one of sampling.
    """
    folder = folder_of(model)
    prior = described(folder / "prior")
    verb = _verb(prior)
    config, scale = _config(verb, prior, overrides)
    inputs = _inputs(folder, prior, config)
    # A mistake in what was typed need not wait for torch.
    work = work_of(verb)
    _require_whole(inputs)
    with tempfile.TemporaryDirectory() as drawn:
        job = Job("sampling", verb.split(".")[1], folder.name, scale, config, inputs, drawn, VERBS[verb].files)
        work(parse(config_of(work), config), job)
        with atomic_path(out) as temporary:
            shutil.copyfile(Path(drawn) / "grid.png", temporary)


def _require_whole(inputs: dict[str, str]) -> None:
    """Loads the model's parts once, so that a damaged one is told before anything is drawn from it."""
    from twostage.commands.loading import load_prior, load_tokenizer

    load_prior(Path(inputs["prior"]))
    for name in ("tokenizer", "condition_tokenizer"):
        if name in inputs:
            load_tokenizer(Path(inputs[name]))


def _config(verb: str, prior: Tree, overrides: tuple[str, ...]) -> tuple[Tree, str]:
    """The verb's config and the name of its scale. All images are shown; a cut of the codes leaves small codebooks."""
    if others := [each for each in overrides if group_of(each) not in ("sampling", "scale")]:
        raise TwostageError(f"{others[0]}: a model is as it was trained; with --model choose sampling.KEY alone")
    usual = [f"scale.sampling.num_images={NUM_IMAGES}", "sampling.grid_images=${sampling.num_images}"]
    num_codes = prior["tokens"].get("num_codes")
    top_k = compose(overrides)["scale"]["sampling"]["top_k"]
    if isinstance(num_codes, int) and top_k is not None and top_k > num_codes:
        usual.append(f"scale.sampling.top_k={num_codes}")
    tree = compose((*usual, *overrides))
    sampling, scale = tree["sampling"], tree["scale"]["name"]
    if verb in INSTEAD:
        refuse_unread(verb, prior["architecture"], sampling, compose((*usual, f"scale={scale}"))["sampling"])
        denoising: Tree = sampling["denoising"]
        return denoising, scale
    return {key: value for key, value in sampling.items() if key not in ("denoising", "inpainting")}, scale


def described(folder: Path) -> Tree:
    """The prior's config. Raises TwostageError if it is none of ours."""
    values = read_json(folder / "config.json")
    if not isinstance(values, dict) or not isinstance(values.get("tokens"), dict):
        raise TwostageError(f"{folder}/config.json describes no prior that was trained here; bring the folder again")
    return values


def _inputs(folder: Path, prior: Tree, config: Tree) -> dict[str, str]:
    """The folders that are read. Raises TwostageError if the prior has a condition and the model's folder has none."""
    names = list(PARTS)
    if prior["tokens"].get("condition") is not None and not config["coordinates"]:
        names.append("condition_tokenizer" if config["condition_file"] else "condition")
    if config.get("given"):
        names.append("latents")
    if absent := [name for name in names if not (folder / name).is_dir()]:
        asked = "sampling.given needs real images" if absent[0] == "latents" else "its prior has a condition"
        raise TwostageError(f"{folder} lacks the folder {absent[0]}/: {asked}; copy it from the artifacts of the model")
    return {name: str(folder / name) for name in names}


def parser() -> Parser:
    """What the command takes."""
    about = (
        "Draws images: by sampling.generate, or sampling.denoise for SUNDAE priors. With --model DIR --out x.png, from "
        "the folders tokenizer/ and prior/ of DIR into one picture, by overrides of sampling; without, by overrides"
    )
    made = run.verb_parser("sampling.generate", "sample", about)
    made.add_argument("--model", metavar="DIR", help="a folder with tokenizer/ and prior/, or a name in models/")
    return made


def check(arguments: argparse.Namespace) -> None:
    """Raises TwostageError if --model has no picture to write."""
    if arguments.model is not None and (arguments.out is None or arguments.out.suffix != ".png"):
        raise TwostageError("--model draws one picture; name it: --out x.png")
    if arguments.model is not None:
        writable_file(arguments.out)
    if arguments.model is not None and arguments.cfg is not None:
        raise TwostageError("--cfg prints what artifacts are made by; with --model there are none")


def main() -> None:
    """Command line."""
    arguments = parsed(parser(), check)
    overrides = tuple(arguments.overrides)
    with one_line_errors():
        start_log(arguments.log)
        if arguments.model is not None:
            draw(arguments.model, arguments.out, overrides)
            log.info("%s", arguments.out)
            return
        verb = verb_of(overrides)
    log.info("twostage sample is %s here", verb)
    run.run_verb(verb, arguments)
