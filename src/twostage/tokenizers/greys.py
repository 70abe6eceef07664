"""Verb `tokenizers.greys`: makes each grey level a code (f = 1), so a prior draws pixels.

Source: McKinney & Willcocks 2022, Sec. 4.2: 8-bit grey values as the indices of a codebook.
"""

# N images, H height, W width, C channels, K codes

from dataclasses import dataclass

import torch

from twostage.config.schema import NUM_GREYS
from twostage.errors import TwostageError
from twostage.runtime import training
from twostage.runtime.artifacts import write_json
from twostage.runtime.job import Job
from twostage.tokenizers import pixels
from twostage.tokenizers.pixels import PixelTokenizer
from twostage.tokenizers.quantizer import count_codes, perplexity
from twostage.tokenizers.task import MapData

# Images per batch of encoding.
BATCH = 250


@dataclass
class GreysConfig:
    """A grey tokenizer: the part of TokenizerConfig that it needs. There is nothing to choose."""

    name: str
    map: str


def grey_tokenizer() -> PixelTokenizer:
    """The palette of all greys: the code of a grey pixel is its value, and decoding returns it."""
    return PixelTokenizer(torch.arange(NUM_GREYS, dtype=torch.uint8)[:, None].repeat(1, 3))


def greys(config: GreysConfig, job: Job) -> None:
    """Writes model.safetensors, config.json and metrics.json with the codes' use over the tune split.

    Raises TwostageError if the map is not an RGB image, or if its pixels have colours, which the codes would lose.
    """
    data = MapData.open(job.upstream("data"), config.map)
    if (data.kind, data.num_channels) != ("colour", 3):
        raise TwostageError(
            f"tokenizers.map={config.map} is a {data.kind} map of {data.num_channels} channels; grey levels need "
            "images, set tokenizers.map=image"
        )
    tokenizer = grey_tokenizer().to(training.device())
    count_K = torch.zeros(NUM_GREYS, dtype=torch.int64, device=training.device())
    for start in range(0, len(data.tune_NHWC), BATCH):
        image_BHWC = data.tune_NHWC[start : start + BATCH]
        if (image_BHWC != image_BHWC[..., :1]).any():
            raise TwostageError(
                f"{job.inputs['data']} has coloured pixels, which grey levels would lose; choose grey images "
                "such as data=fashion_mnist, or tokenizers=kmeans_f1"
            )
        count_K += count_codes(tokenizer.encode(tokenizer.prepare(image_BHWC)), NUM_GREYS)
    pixels.save(tokenizer, config.name, job.folder)
    metrics = {
        "num_codes": NUM_GREYS,
        "codes_used": int((count_K > 0).sum()),
        "perplexity": perplexity(count_K),
        "num_parameters": 0,
    }
    write_json(job.folder / "metrics.json", metrics)
