"""Converts a released transformer (Net2Net) and its tokenizers to a folder that `twostage sample --model` draws from.

python -m twostage sampling.import_released --config C.yaml --checkpoint C.ckpt --out DIR
"""

import logging
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from twostage import tokenizers
from twostage.errors import TwostageError
from twostage.latents.coordinates import coordinates_sha256
from twostage.latents.dataset import TokenSpace, index_file
from twostage.priors.gpt import Net2Net
from twostage.priors.import_released import read_checkpoint, read_config, rename
from twostage.priors.model import load_strictly, net2net_format, store
from twostage.runtime.artifacts import sha256_json, write_array, write_json
from twostage.sampling.request import SPLIT
from twostage.sources.checkpoints import read_released_config
from twostage.tokenizers.import_released import convert as convert_tokenizer

log = logging.getLogger(__name__)


def convert(config: Path, checkpoint: Path, out: Path) -> None:
    """Writes the folders `tokenizer` and `prior`, and what the condition is read from, into `out`.

    That is `condition_tokenizer` of a map (segmentation, depth), `condition` of classes, and nothing of coordinates.
    Raises TwostageError if `out` holds something, or if config and checkpoint are not of a transformer that draws.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise TwostageError(f"--out {out} holds something; name an empty or a new folder")
    params = _params(config)
    parent = out.resolve().parent
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent, prefix=".converting.") as temporary:
        partial = Path(temporary) / "model"
        _convert(params, config, checkpoint, partial)
        # It takes the place of an empty folder, and of no other.
        partial.rename(out.resolve())
    log.info("%s: twostage sample --model %s --out x.png draws from it", out, out)


def _convert(params: Mapping[str, Any], config: Path, checkpoint: Path, out: Path) -> None:
    convert_tokenizer(config, checkpoint, out / "tokenizer")
    image = _tokens(out / "tokenizer", params["first_stage_config"]["params"]["ddconfig"]["resolution"])
    factor = tokenizers.load(out / "tokenizer").factor
    tokens = replace(image, condition=_condition(params, config, checkpoint, image, factor, out))
    sizes, num_codes, num_positions = read_config(config)
    _check(tokens, num_codes, num_positions, config)
    model = Net2Net(sizes, tokens, num_codes, num_positions, params.get("sos_token", 0))
    tensors = rename(read_checkpoint(checkpoint), checkpoint)
    if "head.weight" in tensors:
        tensors["head.weight"] = tensors["head.weight"][: tokens.num_codes].clone()
    load_strictly(model, tensors, checkpoint)
    store(out / "prior", net2net_format(model), model.state_dict())


def _params(config: Path) -> Mapping[str, Any]:
    """`model.params` of a released transformer. Raises TwostageError if that is not what the file describes."""
    tree = read_released_config(config)
    try:
        params: Mapping[str, Any] = tree["model"]["params"]
        permuter = params.get("permuter_config") or {"target": "Identity"}
        _ = params["first_stage_config"]["params"]["ddconfig"]["resolution"], params["transformer_config"]["params"]
    except (KeyError, TypeError, AttributeError) as error:
        raise TwostageError(
            f"--config {config} lacks {error}; give the config of a released transformer, with first_stage_config and "
            "transformer_config in model.params"
        ) from error
    if not str(permuter["target"]).endswith("Identity"):
        raise TwostageError(
            f"--config {config} orders tokens by {permuter['target']}; only row-major (Identity) is read"
        )
    return params


def _condition(
    params: Mapping[str, Any], config: Path, checkpoint: Path, image: TokenSpace, factor: int, out: Path
) -> TokenSpace | None:
    """The tokens of the condition, whose files are written. None if there is none."""
    stage = params.get("cond_stage_config", "__is_unconditional__")
    if params.get("unconditional") or stage == "__is_unconditional__":
        return None
    target = str(stage.get("target") if isinstance(stage, dict) else stage).rpartition(".")[2]
    match target, stage.get("params") if isinstance(stage, dict) else None:
        case "Labelator", {"n_classes": int() as number}:
            return _classes(number, out / "condition")
        case "CoordStage", {"n_embed": int() as num_codes, "down_factor": int() as own}:
            if own != factor:
                raise TwostageError(f"--config {config}: coordinates of f = {own} for images of f = {factor}")
            meaning = coordinates_sha256(factor, num_codes)
            return TokenSpace(num_codes, image.grid, map="coordinates", tokenizer_sha256=meaning)
        case "VQModel" | "VQSegmentationModel" | "VQNoDiscModel", {"ddconfig": {"resolution": int() as resolution}}:
            convert_tokenizer(config, checkpoint, out / "condition_tokenizer", "cond_stage")
            size = params.get("downsample_cond_size", -1)
            return _tokens(out / "condition_tokenizer", size if size > 0 else resolution)
        case other, _:
            raise TwostageError(
                f"--config {config} has the condition {other}; expected Labelator (classes) with n_classes, CoordStage "
                "(coordinates) with n_embed and down_factor, a VQGAN of a map with ddconfig, or __is_unconditional__"
            )


def _tokens(folder: Path, side: int) -> TokenSpace:
    """What the tokenizer of the folder makes of square images or maps with sides of so many pixels."""
    tokenizer = tokenizers.load(folder)
    assert isinstance(tokenizer, tokenizers.Tokenizer)
    grid = (side // tokenizer.factor,) * 2
    return TokenSpace(tokenizer.num_codes, grid, map=tokenizer.config.map, tokenizer_sha256=tokenizers.checksum(folder))


def _classes(number: int, folder: Path) -> TokenSpace:
    """Latents of every class in turn, named by their numbers, as the released config has no names."""
    names = [f"class_{label}" for label in range(number)]
    vocabulary = {"num_codes": number, "classes": names}
    meaning = sha256_json(vocabulary)
    write_array(folder / index_file(SPLIT), np.arange(number, dtype=np.uint16)[:, None, None])
    splits = {SPLIT: {"num_images": number, "unigram_entropy_nats": float(np.log(number))}}
    metadata = {**vocabulary, "tokenizer_sha256": meaning, "grid": [1, 1], "map": "class", "data": "released"}
    write_json(folder / "metadata.json", metadata | {"flips": False, "splits": splits})
    return TokenSpace(number, (1, 1), map="class", tokenizer_sha256=meaning)


def _check(tokens: TokenSpace, num_codes: int, num_positions: int, config: Path) -> None:
    """Raises TwostageError if the codes do not fit the transformer's table, or the sequence its positions."""
    condition = tokens.condition
    most = max(tokens.num_codes, 0 if condition is None else condition.num_codes)
    # The last code of an image is predicted, never read.
    length = (1 if condition is None else condition.num_tokens) + tokens.num_tokens - 1
    if most > num_codes or length > num_positions:
        raise TwostageError(
            f"--config {config}: the transformer reads {num_codes} codes at {num_positions} positions, its stages make "
            f"{most} codes and sequences of {length}; give the config that belongs to this checkpoint"
        )
