"""Converts a released prior to our files: a transformer (Esser et al. 2021) or an hourglass transformer (McKinney &
Willcocks 2022), depending on the config.

python -m twostage priors.import_released --config C.yaml --checkpoint C.ckpt --out DIR
"""

import logging
import re
from pathlib import Path

import torch

from twostage.config.schema import GPTConfig
from twostage.errors import TwostageError
from twostage.priors.gpt import ReleasedGPT
from twostage.priors.import_hourglass import import_hourglass, is_hourglass
from twostage.priors.model import load_strictly, released_format, store
from twostage.sources.checkpoints import read_released_config, read_released_state

log = logging.getLogger(__name__)

PREFIX = "transformer."
# A buffer of the released attention: the causal mask, which fused attention does not need.
IGNORED = re.compile(r"blocks\.\d+\.attn\.mask")
RENAMED = [
    (r"tok_emb\.weight", "codes.weight"),
    (r"pos_emb", "transformer.positions"),
    (r"blocks\.(\d+)\.ln1\.(weight|bias)", r"transformer.blocks.\1.attention_norm.\2"),
    (r"blocks\.(\d+)\.ln2\.(weight|bias)", r"transformer.blocks.\1.mlp_norm.\2"),
    (r"blocks\.(\d+)\.attn\.proj\.(weight|bias)", r"transformer.blocks.\1.attention.out.\2"),
    (r"blocks\.(\d+)\.mlp\.(0|2)\.(weight|bias)", r"transformer.blocks.\1.mlp.\2.\3"),
    (r"ln_f\.(weight|bias)", r"transformer.norm.\1"),
    (r"head\.weight", "head.weight"),
]
# Three matrices of the released code form one of ours.
PROJECTION = re.compile(r"(blocks\.\d+)\.attn\.(query|key|value)\.(weight|bias)")


def convert(config: Path, checkpoint: Path, out: Path) -> None:
    """Writes `model.safetensors` and `config.json` of a released hourglass, or of a checkpoint's `transformer.` part.

    Raises TwostageError if a size in the config or a tensor in the checkpoint is missing or unknown.
    """
    tree = read_released_config(config)
    if is_hourglass(tree):
        import_hourglass(tree, config, checkpoint, out)
        return
    sizes, num_codes, num_positions = read_config(config)
    tensors = rename(read_checkpoint(checkpoint), checkpoint)
    model = ReleasedGPT(sizes, num_codes, num_positions)
    load_strictly(model, tensors, checkpoint)
    store(out, released_format(sizes, num_codes, num_positions), model.state_dict())
    log.info("wrote %s: %d layers, width %d, %d codes", out, sizes.num_layers, sizes.width, num_codes)


def read_config(path: Path) -> tuple[GPTConfig, int, int]:
    """Sizes, vocabulary and positions of a released config. Raises TwostageError if one is missing or unknown."""
    tree = read_released_config(path)
    try:
        values = dict(tree["model"]["params"]["transformer_config"]["params"])
    except (KeyError, TypeError, ValueError) as error:
        raise TwostageError(
            f"--config {path} has no model.params.transformer_config.params; give the config of a released transformer"
        ) from error
    dropouts = {float(values.pop(name, 0.0)) for name in ("embd_pdrop", "attn_pdrop", "resid_pdrop")}
    known = {"n_embd", "n_layer", "n_head", "vocab_size", "block_size"}
    if set(values) != known or len(dropouts) > 1:
        raise TwostageError(
            f"{path}: transformer_config.params has {', '.join(sorted(values))}, expected {', '.join(sorted(known))} "
            "and at most one dropout rate; give the config of a released transformer"
        )
    sizes = GPTConfig(values["n_embd"], values["n_layer"], values["n_head"], dropouts.pop())
    return sizes, values["vocab_size"], values["block_size"]


def read_checkpoint(path: Path) -> dict[str, torch.Tensor]:
    """The transformer's tensors, with their names inside it. Unpickles only tensors.

    Raises TwostageError if the file is missing or damaged, holds other objects, or has no transformer.
    """
    tensors = read_released_state(path)
    found = {name.removeprefix(PREFIX): value for name, value in tensors.items() if name.startswith(PREFIX)}
    if not found:
        raise TwostageError(f"{path} has no tensor named {PREFIX}*; give the checkpoint of a released transformer")
    return found


def rename(tensors: dict[str, torch.Tensor], source: Path) -> dict[str, torch.Tensor]:
    """Released tensors with our names. Raises TwostageError for an unknown name."""
    renamed: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        if IGNORED.fullmatch(name) or PROJECTION.fullmatch(name):
            continue
        matches = [re.sub(old, new, name) for old, new in RENAMED if re.fullmatch(old, name)]
        if not matches:
            raise TwostageError(
                f"{source}: unknown tensor {PREFIX}{name}; give the checkpoint of a released transformer"
            )
        renamed[matches[0]] = tensor[0] if name == "pos_emb" else tensor
    return renamed | _joined_projections(tensors, source)


def _joined_projections(tensors: dict[str, torch.Tensor], source: Path) -> dict[str, torch.Tensor]:
    kinds = {(match[1], match[3]) for name in tensors if (match := PROJECTION.fullmatch(name))}
    joined = {}
    for block, kind in sorted(kinds):
        names = [f"{block}.attn.{part}.{kind}" for part in ("query", "key", "value")]
        missing = [name for name in names if name not in tensors]
        if missing:
            raise TwostageError(f"{source}: tensor {PREFIX}{missing[0]} is missing; download the checkpoint again")
        joined[f"transformer.{block}.attention.query_key_value.{kind}"] = torch.cat([tensors[name] for name in names])
    return joined
