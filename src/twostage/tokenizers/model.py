"""The tokenizer (encoder, codebook and decoder), and how it is saved and loaded.

Source: Esser et al. 2021, Sec. 3.1 and Table 6.
"""

# B batch, C channels, D code_dim, H height, W width, h = H / factor, w = W / factor

from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from twostage.config.composition import parse
from twostage.config.schema import TokenizerConfig
from twostage.config.values import without_unused
from twostage.errors import TwostageError
from twostage.runtime import training
from twostage.runtime.artifacts import read_json, write_json
from twostage.runtime.tensors import read_tensors, write_tensors
from twostage.tokenizers.accepted import require_codes, require_prepared
from twostage.tokenizers.maps import prepare_map
from twostage.tokenizers.networks import Decoder, Encoder
from twostage.tokenizers.quantizer import Quantized, Quantizer


class Forward(NamedTuple):
    """One pass through the tokenizer. `hidden_BCHW` is the input of the decoder's last layer."""

    output_BCHW: Tensor
    hidden_BCHW: Tensor
    quantized: Quantized


class Tokenizer(nn.Module):
    """Turns a map with `num_channels` channels into a grid of code indices, and back.

    `kind` is the kind of the map in a dataset's metadata: colour, grey, binary or labels. `factor` is f = 2^m.
    """

    def __init__(self, config: TokenizerConfig, kind: str, num_channels: int) -> None:
        super().__init__()
        self.config, self.kind, self.num_channels = config, kind, num_channels
        self.num_codes, self.factor = config.quantizer.num_codes, 2**config.num_downsamplings
        code_dim = config.quantizer.code_dim
        projected = config.layout == "released"
        num_features = config.z_channels if projected else code_dim
        self.encoder = Encoder(config, num_channels, num_features)
        self.project_in = nn.Conv2d(num_features, code_dim, 1) if projected else nn.Identity()
        self.quantizer = Quantizer(config.quantizer)
        self.project_out = nn.Conv2d(code_dim, num_features, 1) if projected else nn.Identity()
        self.decoder = Decoder(config, num_channels, num_features)
        # Convolutions on CPUs and GPUs are fastest with channels last; the values are the same.
        self.to(memory_format=torch.channels_last)

    def prepare(self, map_BHWC: np.ndarray) -> Tensor:
        """Stored uint8 maps as `image_BCHW`, on this tokenizer's device. See `maps.prepare_map`."""
        return prepare_map(map_BHWC, self.kind, self.num_channels).to(self.quantizer.codebook_KD.device)

    def forward(self, image_BCHW: Tensor) -> Forward:
        """Encodes, quantizes and decodes. The output is the input of the loss: logits for cross-entropies."""
        quantized = self.quantizer(self.features(image_BCHW))
        hidden_BCHW = self.decoder.trunk(self.project_out(quantized.code_BDHW))
        return Forward(self.decoder.conv_out(hidden_BCHW), hidden_BCHW, quantized)

    def features(self, image_BCHW: Tensor) -> Tensor:
        """The encoder's output, [B, D, h, w]. Raises TwostageError if the image does not match this tokenizer."""
        self._check(image_BCHW)
        return self.project_in(self.encoder(image_BCHW.contiguous(memory_format=torch.channels_last)))

    @torch.no_grad()
    def encode(self, image_BCHW: Tensor) -> Tensor:
        """`image_BCHW`: float32 as `prepare` makes it (colours in [-1, 1]). Returns int64 [B, h, w] in [0, num_codes).

        The decoder does not run. Raises TwostageError if type, shape or range are not those of `prepare`, or if height
        or width is not divisible by the factor. Source: Esser et al. 2021, Eq. 2.
        """
        require_prepared(image_BCHW, self.num_channels, self.quantizer.codebook_KD.dtype, self.kind)
        return self.quantizer.index(self.features(image_BCHW))

    @torch.no_grad()
    def decode(self, index_BHW: Tensor) -> Tensor:
        """`index_BHW`: int64 in [0, num_codes). Returns float32 [B, C, H, W] in the same space as `prepare`.

        Colours, grey and binary maps: about [-1, 1] (not clamped after l1 or l2). Labels: their probabilities.
        Raises TwostageError for a wrong type or shape, or an index out of range. Source: Esser et al. 2021, Eq. 3.
        """
        require_codes(index_BHW)
        return self.to_image(self.decoder(self.project_out(self.quantizer.lookup(index_BHW))))

    def to_image(self, output_BCHW: Tensor) -> Tensor:
        """Turns the network's output into the result of `decode`."""
        match (self.config.loss.reconstruction, self.kind):
            case ("cross_entropy", _):
                return output_BCHW.softmax(1)
            case ("binary_cross_entropy", "labels"):
                return output_BCHW.sigmoid()
            case ("binary_cross_entropy", _):
                return 2.0 * output_BCHW.sigmoid() - 1.0
            case _:
                return output_BCHW

    def _check(self, image_BCHW: Tensor) -> None:
        _, num_channels, height, width = image_BCHW.shape
        if num_channels != self.num_channels:
            raise TwostageError(
                f"tokenizer {self.config.name} takes {self.num_channels} channels, got {num_channels}; "
                f"give it the map it was trained on: {self.config.map}"
            )
        self.require_sides(height, width)

    def require_sides(self, height: int, width: int) -> None:
        """Raises TwostageError if the sides of an image in pixels are not divisible by the factor."""
        if height % self.factor or width % self.factor:
            raise TwostageError(
                f"tokenizer {self.config.name} needs sides divisible by {self.factor}, got {height}x{width}; "
                "set data.size or tokenizers.num_downsamplings"
            )


def save(tokenizer: Tokenizer, folder: Path) -> None:
    """Writes model.safetensors and config.json into `folder`."""
    write_tensors(folder / "model.safetensors", tokenizer.state_dict())
    config = without_unused(TokenizerConfig, asdict(tokenizer.config))
    description = {"kind": tokenizer.kind, "num_channels": tokenizer.num_channels, "config": config}
    write_json(folder / "config.json", description)


def load(folder: Path) -> Tokenizer:
    """The tokenizer of an artifact folder, ready to encode and decode, on the accelerator if there is one.

    Raises TwostageError if files are missing or damaged, or if the weights do not match the config.
    """
    folder = Path(folder)
    description = read_json(folder / "config.json")
    config = parse(TokenizerConfig, description["config"])
    tokenizer = Tokenizer(config, description["kind"], description["num_channels"])
    tensors, _ = read_tensors(folder / "model.safetensors")
    try:
        tokenizer.load_state_dict(tensors)
    except RuntimeError as error:
        raise TwostageError(
            f"{folder}/model.safetensors does not match config.json ({str(error).splitlines()[-1].strip()}); "
            "make both again"
        ) from error
    return tokenizer.eval().requires_grad_(False).to(training.device())
