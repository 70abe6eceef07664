"""Checkpoints in the released format (Esser et al. 2021), tiny and with random weights."""

import re

import torch
import yaml

from twostage.tokenizers import Tokenizer
from twostage.tokenizers.released import translate_config

SIDE, GRID, NUM_CODES = 16, (4, 4), 16  # pixels of a square image; its tokens at f = 4; codes of every tokenizer
WIDTH, HEADS, LAYERS = 8, 2, 2
# Our names -> the released ones.
NAMES = [
    ("quantizer.codebook_KD", "quantize.embedding.weight"),
    ("project_in.", "quant_conv."),
    ("project_out.", "post_quant_conv."),
    (".middle.0.", ".mid.block_1."),
    (".middle.1.", ".mid.attn_1."),
    (".middle.2.", ".mid.block_2."),
    (".shortcut.", ".nin_shortcut."),
    (".query.", ".q."),
    (".key.", ".k."),
    (".value.", ".v."),
    (".project.", ".proj_out."),
]
PARTS = {"blocks": "block", "attentions": "attn", "resample": ""}


def vqgan_config(channels=3):
    network = {"double_z": False, "z_channels": 8, "resolution": SIDE, "in_channels": channels, "out_ch": channels}
    network |= {"ch": 32, "ch_mult": [1, 1, 2], "num_res_blocks": 1, "attn_resolutions": [4], "dropout": 0.0}
    params = {"embed_dim": 4, "n_embed": NUM_CODES, "ddconfig": network}
    return {"target": "taming.models.vqgan.VQModel", "params": params}


def vqgan_state(channels=3):
    """Tensors of random weights under their released names."""
    config, _ = translate_config({"model": vqgan_config(channels)}, "tiny")
    kind = {3: "colour", 1: "grey"}.get(channels, "labels")
    return {_released(name): value for name, value in Tokenizer(config, kind, channels).state_dict().items()}


def _released(name):
    for ours, theirs in NAMES:
        name = name.replace(ours, theirs)

    def level(match):
        down = match[1] == "encoder"
        at, way = (int(match[2]), "down") if down else (2 - int(match[2]), "up")
        return f"{match[1]}.{way}.{at}.{PARTS[match[3]] or f'{way}sample'}."

    return re.sub(r"(encoder|decoder)\.levels\.(\d)\.(\w+)\.", level, name)


def transformer_state(vocabulary, positions):
    """Tensors of a random transformer under their released names."""
    shapes = {
        "tok_emb.weight": (vocabulary, WIDTH),
        "pos_emb": (1, positions, WIDTH),
        "head.weight": (vocabulary, WIDTH),
    }
    linears = {f"attn.{name}": (WIDTH, WIDTH) for name in ("query", "key", "value", "proj")}
    linears |= {"mlp.0": (4 * WIDTH, WIDTH), "mlp.2": (WIDTH, 4 * WIDTH)}
    norms = ["ln_f", *(f"blocks.{layer}.{name}" for layer in range(LAYERS) for name in ("ln1", "ln2"))]
    for layer in range(LAYERS):
        shapes |= {f"blocks.{layer}.{name}.weight": shape for name, shape in linears.items()}
        shapes |= {f"blocks.{layer}.{name}.bias": shape[:1] for name, shape in linears.items()}
        shapes[f"blocks.{layer}.attn.mask"] = (1, 1, positions, positions)
    shapes |= {f"{name}.{kind}": (WIDTH,) for name in norms for kind in ("weight", "bias")}
    return {f"transformer.{name}": torch.randn(shape) for name, shape in shapes.items()}


CONDITIONS = {
    "unconditional": {"unconditional": True, "sos_token": 3, "cond_stage_config": "__is_unconditional__"},
    "class": {
        "cond_stage_key": "class_label",
        "cond_stage_config": {"target": "taming.modules.util.Labelator", "params": {"n_classes": 5}},
    },
    "coordinates": {
        "cond_stage_key": "coord",
        "cond_stage_config": {
            "target": "taming.modules.misc.coord.CoordStage",
            "params": {"n_embed": NUM_CODES, "down_factor": 4},
        },
    },
    "depth": {"cond_stage_key": "depth", "cond_stage_config": vqgan_config(1)},
    "segmentation": {"cond_stage_key": "segmentation", "cond_stage_config": vqgan_config(6)},
}
CHANNELS = {"depth": 1, "segmentation": 6}


def write_released(folder, condition=None, vocabulary=NUM_CODES + 4, **changes):
    """Writes config.yaml and checkpoint.ckpt of a tokenizer, or of a transformer under a condition, into the folder."""
    torch.manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    if condition is None:
        tree, state = vqgan_config(), vqgan_state()
    else:
        positions = 16 + (16 if condition in ("coordinates", "depth", "segmentation") else 1) - 1
        sizes = {"vocab_size": vocabulary, "block_size": positions, "n_layer": LAYERS, "n_head": HEADS, "n_embd": WIDTH}
        tree = {"params": {"first_stage_config": vqgan_config(), "transformer_config": {"params": sizes}}}
        tree["params"] |= CONDITIONS[condition] | changes
        state = {f"first_stage_model.{name}": value for name, value in vqgan_state().items()}
        state |= transformer_state(vocabulary, positions)
        if condition in CHANNELS:
            of_condition = vqgan_state(CHANNELS[condition])
            state |= {f"cond_stage_model.{name}": value for name, value in of_condition.items()}
        if condition == "segmentation":
            state["cond_stage_model.colorize"] = torch.randn(3, 6, 1, 1)
    (folder / "config.yaml").write_text(yaml.safe_dump({"model": tree}))
    torch.save({"state_dict": state}, folder / "checkpoint.ckpt")
    return folder / "config.yaml", folder / "checkpoint.ckpt"
