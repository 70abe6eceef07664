"""Converts an hourglass transformer in the released format (McKinney & Willcocks 2022) to our files."""

# D width, S tokens of a group

import logging
import math
import re
from pathlib import Path
from typing import Any

import torch

from twostage.config.composition import parse
from twostage.config.schema import PriorConfig, SundaeConfig
from twostage.errors import TwostageError
from twostage.latents.dataset import TokenSpace
from twostage.priors.model import load_strictly, store, trained_format
from twostage.priors.rotary import RELEASED_SIDE, released_frequencies
from twostage.priors.sundae import Sundae
from twostage.sources.checkpoints import read_released_state

log = logging.getLogger(__name__)

SIZES = {"vocab_size", "sequence_length", "dim", "nb_heads", "dim_head", "shorten_factor", "depth", "use_rotary",
         "conditional", "num_classes"}  # fmt: skip
RELEASED_HEAD_WIDTH = 64  # released code, if the config has none

BLOCKS = {"pre_transformer": "before", "valley_transformer": "within", "post_transformer": "after"}
_BLOCK = rf"transformer\.({'|'.join(BLOCKS)})\.layers\.(\d+)\."
_DOWN, _UP = (rf"transformer\.attn_resampling_{side}_valley\.layers\.0\." for side in ("pre", "post"))
RENAMED = [
    (r"token_emb\.weight", "codes.weight"),
    (r"class_emb\.weight", "condition_codes.weight"),
    (r"to_logits\.(weight|bias)", r"head.\1"),
    (r"transformer\.norm_out\.(weight|bias)", r"hourglass.norm.\1"),
    (r"transformer\.downsample\.proj\.(weight|bias)", r"hourglass.shorten.project.\1"),
    (r"transformer\.upsample\.proj\.(weight|bias)", r"hourglass.lengthen.project.\1"),
    (_BLOCK + r"0\.norm\.(weight|bias)", r"hourglass.\1.\2.norm.\3"),
    (_BLOCK + r"0\.fn\.to_out\.(weight|bias)", r"hourglass.\1.\2.attention.out.\3"),
    (_BLOCK + r"1\.norm\.(weight|bias)", r"hourglass.\1.\2.perceptron.norm.\3"),
    (_BLOCK + r"1\.fn\.0\.(weight|bias)", r"hourglass.\1.\2.perceptron.layers.0.\3"),
    (_BLOCK + r"1\.fn\.3\.(weight|bias)", r"hourglass.\1.\2.perceptron.layers.2.\3"),
    (_DOWN + r"0\.norm\.(weight|bias)", r"hourglass.shorten.norm.\1"),
    (_DOWN + r"0\.fn\.to_q\.weight", "hourglass.shorten.query.weight"),
    (_DOWN + r"0\.fn\.to_kv\.weight", "hourglass.shorten.key_value.weight"),
    (_DOWN + r"0\.fn\.to_out\.(weight|bias)", r"hourglass.shorten.out.\1"),
    (_UP + r"0\.fn\.to_kv\.weight", "hourglass.lengthen.value.weight"),
    (_UP + r"0\.fn\.to_out\.(weight|bias)", r"hourglass.lengthen.out.\1"),
] + [
    (prefix + released, rf"hourglass.{ours}.perceptron.{name}.\1")
    for prefix, ours in ((_DOWN, "shorten"), (_UP, "lengthen"))
    for released, name in (
        (r"1\.norm\.(weight|bias)", "norm"),
        (r"1\.fn\.0\.(weight|bias)", "layers.0"),
        (r"1\.fn\.3\.(weight|bias)", "layers.2"),
    )
]
# Queries to a single key, and the norm before them, have no influence, see `hourglass.Lengthen`.
WITHOUT_INFLUENCE = re.compile(_UP + r"0\.(norm\.(weight|bias)|fn\.to_q\.weight)")
FREQUENCIES = re.compile(r"transformer\.(\w+)\.rotary_pos_emb\.freqs")
# Two matrices of the released code form one of ours.
QUERY = re.compile(_BLOCK + r"0\.fn\.to_q\.weight")


def is_hourglass(tree: Any) -> bool:
    """Whether a released config describes an hourglass transformer."""
    return isinstance(tree, dict) and "shorten_factor" in tree


def import_hourglass(tree: dict[str, Any], config: Path, checkpoint: Path, out: Path) -> None:
    """Writes `model.safetensors` and `config.json`.

    Raises TwostageError if a size in the config or a tensor in the checkpoint is missing or unknown.
    """
    sizes, tokens = _read_sizes(tree, config)
    state = dict(read_released_state(checkpoint, entry="net"))
    _check_frequencies(state, sizes, tokens, checkpoint)
    model = Sundae(sizes, tokens)
    load_strictly(model, rename(state, sizes.shorten_factor, checkpoint), checkpoint)
    # Only the sizes are known, not how it was trained.
    store(out, trained_format(PriorConfig(architecture="sundae", sundae=sizes), tokens), model.state_dict())
    log.info("wrote %s: %s layers, width %d, %d codes", out, sizes.depth, sizes.width, tokens.num_codes)


def _read_sizes(tree: dict[str, Any], path: Path) -> tuple[SundaeConfig, TokenSpace]:
    unlike = set(tree) ^ SIZES
    if unlike - {"dim_head", "num_classes"} or not tree["use_rotary"]:
        raise TwostageError(
            f"--config {path} has {', '.join(sorted(tree))}, expected {', '.join(sorted(SIZES))} and use_rotary=true; "
            "give the config of a released hourglass transformer"
        )
    if tree["conditional"] and "num_classes" not in tree:
        raise TwostageError(f"--config {path} is conditional but has no num_classes; add the number of classes")
    side = math.isqrt(tree["sequence_length"])
    if side**2 != tree["sequence_length"]:
        raise TwostageError(
            f"--config {path}: sequence_length={tree['sequence_length']} must be a square number; "
            "give the length that came with the checkpoint"
        )
    classes = TokenSpace(tree["num_classes"], (1, 1), map="class") if tree["conditional"] else None
    sizes = {
        "width": tree["dim"],
        "num_heads": tree["nb_heads"],
        "head_width": tree.get("dim_head", RELEASED_HEAD_WIDTH),
        "depth": tree["depth"],
        "shorten_factor": tree["shorten_factor"],
        "resampling": "released",
        "rotary": "released",
        "dropout": 0.0,
        "unrolls": 2,
    }
    return parse(SundaeConfig, sizes), TokenSpace(tree["vocab_size"], (side, side), classes)


def rename(state: dict[str, torch.Tensor], size: int, source: Path) -> dict[str, torch.Tensor]:
    """Released tensors with our names. Raises TwostageError for an unknown or missing name."""
    renamed: dict[str, torch.Tensor] = {}
    for name, tensor in state.items():
        if WITHOUT_INFLUENCE.fullmatch(name) or FREQUENCIES.fullmatch(name):
            continue
        if match := QUERY.fullmatch(name):
            name = f"hourglass.{match[1]}.{match[2]}.attention.query_key_value.weight"
            tensor = torch.cat([tensor, _key_value(state, match, source)])
        elif re.fullmatch(_BLOCK + r"0\.fn\.to_kv\.weight", name):
            continue
        else:
            name = _renamed(name, source)
        renamed[_with_our_blocks(name)] = _rearranged(_with_our_blocks(name), tensor, size)
    return renamed


def _renamed(name: str, source: Path) -> str:
    matches = [re.sub(old, new, name) for old, new in RENAMED if re.fullmatch(old, name)]
    if not matches:
        raise TwostageError(f"{source}: unknown tensor {name}; give the checkpoint of a released hourglass transformer")
    return matches[0]


def _with_our_blocks(name: str) -> str:
    return re.sub("|".join(BLOCKS), lambda match: BLOCKS[match[0]], name)


def _key_value(state: dict[str, torch.Tensor], query: re.Match[str], source: Path) -> torch.Tensor:
    name = f"transformer.{query[1]}.layers.{query[2]}.0.fn.to_kv.weight"
    if name not in state:
        raise TwostageError(f"{source}: tensor {name} is missing; download the checkpoint again")
    return state[name]


def _rearranged(name: str, tensor: torch.Tensor, size: int) -> torch.Tensor:
    """Released groups are flattened with the token as last index, ours with it as first. Values are half of to_kv."""
    match name:
        case "hourglass.shorten.project.weight":
            return tensor.unflatten(1, (-1, size)).transpose(1, 2).flatten(1)
        case "hourglass.lengthen.project.weight" | "hourglass.lengthen.project.bias":
            return tensor.unflatten(0, (-1, size)).transpose(0, 1).flatten(0, 1)
        case "hourglass.lengthen.value.weight":
            return tensor.chunk(2)[1]
        case _:
            return tensor


def _check_frequencies(state: dict[str, torch.Tensor], sizes: SundaeConfig, tokens: TokenSpace, source: Path) -> None:
    """Raises TwostageError if the checkpoint's angles differ from those of `rotary.angles`."""
    for name, found in state.items():
        match = FREQUENCIES.fullmatch(name)
        if match is None:
            continue
        short = math.isqrt(tokens.num_tokens // sizes.shorten_factor)
        side = short if match[1] == "valley_transformer" else RELEASED_SIDE
        expected = released_frequencies(side, sizes.head_width // 4)
        if found.shape != expected.shape or not torch.allclose(found, expected, rtol=1e-4):
            raise TwostageError(f"{source}: {name} has other frequencies than the released code for this config")
