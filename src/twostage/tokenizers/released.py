"""Converts configs and state dicts of the released VQGAN to our format. Pure; `import_released` reads the files."""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from twostage.config.schema import (
    DiscriminatorConfig,
    LoopConfig,
    QuantizerConfig,
    TokenizerConfig,
    TokenizerLossConfig,
)
from twostage.errors import TwostageError

# Parts of a released transformer checkpoint. The stages hold a tokenizer each, of the image and of its condition.
PARTS = ("transformer.", "first_stage_model.", "cond_stage_model.")
# Parts of a released VQGAN that do not belong to the tokenizer: LPIPS, which comes from the weights stage, and the
# random projection that colours segmentations for display.
IGNORED = ("loss.perceptual_loss.", "colorize")
DISCRIMINATOR = "loss.discriminator.main."

# Released module name -> ours. `_rename` handles the indices of levels.
_RENAMED = {
    "quantize.embedding.weight": "quantizer.codebook_KD",
    "quant_conv.": "project_in.",
    "post_quant_conv.": "project_out.",
    ".mid.block_1.": ".middle.0.",
    ".mid.attn_1.": ".middle.1.",
    ".mid.block_2.": ".middle.2.",
    ".nin_shortcut.": ".shortcut.",
    ".q.": ".query.",
    ".k.": ".key.",
    ".v.": ".value.",
    ".proj_out.": ".project.",
}
_LEVEL = re.compile(r"(encoder|decoder)\.(?:down|up)\.(\d+)\.(block|attn|downsample|upsample)\.")
_LEVEL_PART = {"block": "blocks", "attn": "attentions", "downsample": "resample", "upsample": "resample"}

Parts = tuple[dict[str, Tensor], dict[str, Tensor]]


def split_state(state: Mapping[str, Tensor], num_levels: int, stage: str = "first_stage") -> Parts:
    """The tensors of our `Tokenizer` and of our `PatchDiscriminator` (empty if there is none).

    `state` belongs to a VQGAN, or to a transformer that contains it as its `stage`: first_stage (of the image) or
    cond_stage (of the condition). Raises TwostageError for an unknown key.
    """
    tokenizer, discriminator = {}, {}
    for name, tensor in _stage(state, f"{stage}_model.").items():
        if name.startswith(DISCRIMINATOR):
            discriminator[name.removeprefix(DISCRIMINATOR)] = tensor
        elif not name.startswith(IGNORED):
            tokenizer[_rename(name, num_levels)] = tensor
    return tokenizer, discriminator


def _stage(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    if not any(name.startswith("first_stage_model.") for name in state):
        return dict(state)
    strangers = [name for name in state if not name.startswith(PARTS)]
    if strangers:
        raise TwostageError(
            f"checkpoint: key {strangers[0]} (of {len(strangers)}) is unknown; beside {prefix}*, "
            f"expected {' or '.join(part + '*' for part in PARTS if part != prefix)}"
        )
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def _rename(name: str, num_levels: int) -> str:
    def level(match: re.Match[str]) -> str:
        # Released decoders number levels by resolution, ours in the order in which they run.
        at = int(match[2]) if match[1] == "encoder" else num_levels - 1 - int(match[2])
        return f"{match[1]}.levels.{at}.{_LEVEL_PART[match[3]]}."

    name = _LEVEL.sub(level, name)
    # Longest first: post_quant_conv. ends in quant_conv.
    for released in sorted(_RENAMED, key=len, reverse=True):
        if released in name:
            name = name.replace(released, _RENAMED[released])
            if not released.startswith("."):
                break
    return name


def translate_config(released: Mapping[str, Any], name: str, stage: str = "first_stage") -> tuple[TokenizerConfig, int]:
    """Our config and the number of channels, from the parsed YAML of a released VQGAN or transformer.

    `stage` as in `split_state`. A released config has no training settings (learning rate, budget); these fields are 0.
    Raises TwostageError if the YAML is not such a config.
    """
    try:
        params = released["model"]["params"]
        if "first_stage_config" in params:
            params = params[f"{stage}_config"]["params"]
        network = params["ddconfig"]
        return _config(params, network, name), network["in_channels"]
    except (KeyError, TypeError) as error:
        raise TwostageError(f"config: {error} not found; expected a released VQGAN's YAML with model.params") from error


def _config(params: Mapping[str, Any], network: Mapping[str, Any], name: str) -> TokenizerConfig:
    if network["double_z"]:
        raise TwostageError("config: ddconfig.double_z is true, expected false; that is a KL autoencoder, not a VQGAN")
    if network["in_channels"] != network["out_ch"]:
        raise TwostageError(f"config: in_channels {network['in_channels']} and out_ch {network['out_ch']} differ")
    multipliers = list(network["ch_mult"])
    sides = [network["resolution"] // 2**level for level in range(len(multipliers))]
    return TokenizerConfig(
        name=name,
        map={3: "image", 1: "depth"}.get(network["in_channels"], "segmentation"),
        layout="released",
        num_downsamplings=len(multipliers) - 1,
        channels=network["ch"],
        channel_multipliers=multipliers,
        num_res_blocks=network["num_res_blocks"],
        attention_levels=[level for level, side in enumerate(sides) if side in network["attn_resolutions"]],
        z_channels=network["z_channels"],
        dropout=network["dropout"],
        quantizer=_quantizer(params),
        loss=_loss(params, network),
        discriminator=_discriminator(params),
        learning_rate=0.0,
        decay_from=None,
        adversarial_learning_rate=None,
        warmup_steps=0,
        betas=[0.5, 0.9],
        # Not trained here.
        loop=LoopConfig(steps=1, batch_size=1, evaluate_every=1, checkpoint_every=1, seed=0, precision="float32"),
    )


def _quantizer(params: Mapping[str, Any]) -> QuantizerConfig:
    return QuantizerConfig(
        num_codes=params["n_embed"],
        code_dim=params["embed_dim"],
        beta=0.25,
        beta_on="codebook",
        learned_by="gradient",
        ema_decay=0.99,
        init="uniform",
        revive_after=None,
    )


def _loss(params: Mapping[str, Any], network: Mapping[str, Any]) -> TokenizerLossConfig:
    loss = params.get("lossconfig", {}).get("params") or {}
    image = network["in_channels"] == 3
    return TokenizerLossConfig(
        reconstruction="l1" if network["in_channels"] in (1, 3) else "binary_cross_entropy",
        perceptual="vgg" if image else "none",
        early_perceptual="none",
        early_perceptual_steps=0,
        perceptual_weight=loss.get("perceptual_weight", 1.0),
        adversarial="hinge" if "disc_start" in loss else "none",
        adversarial_weight=loss.get("disc_weight", 1.0),
        adversarial_start=loss.get("disc_start", 0),
        adaptive=True,
        adaptive_delta=1e-4,
        adaptive_max=1e4,
    )


def _discriminator(params: Mapping[str, Any]) -> DiscriminatorConfig:
    loss = params.get("lossconfig", {}).get("params") or {}
    return DiscriminatorConfig(
        channels=loss.get("disc_ndf", 64),
        layers=loss.get("disc_num_layers", 3),
        learning_rate=0.0,
        betas=[0.5, 0.9],
        steps_ahead=0,
        augment=False,
        lecam=0.0,
    )
