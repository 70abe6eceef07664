"""Decoding a large canvas in tiles against the whole canvas at once: memory, time, and how far the pixels are apart.

    python benchmarks/tiled_decoding.py --tokenizer artifacts/laptop/tokenizers/cifar10.vqgan_f4 --image photo.png

Four ways, each in a process of its own, so that its peak memory is known, on the codes of one photograph:

- `exact`: `tokenizer.decode` in float64; not at the paper's sizes, where it takes minutes.
- `whole`: `tokenizer.decode`.
- `tiles`: `twostage.tokenizers.tiles.decode`, whose tiles share the statistics of the canvas.
- `alone`: the same tiles with margins four times as wide, each decoded by itself, as overlapping tiles usually are.

Prints and stores, for every size: seconds, peak memory beyond that of the process with its weights loaded, and the
largest and the mean difference from `exact`, or where there is none from `tiles`, in units of 1/255.
On CPUs `whole` is not the truth: PyTorch's GroupNorm sums channels-last features in float32, which on a large canvas
costs it digits.
"""

# B batch, C channels, H W rows and columns of tokens

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from twostage import tokenizers
from twostage.data.pictures import image_array
from twostage.runtime.artifacts import read_array, write_array, write_json
from twostage.tokenizers import tiles

SIZES = ((512, 768), (1024, 1024), (832, 1280))
EXACT_PIXELS = 512 * 768
WAYS = ("exact", "whole", "tiles", "alone")


def decoded_alone(tokenizer: Any, index_1HW: torch.Tensor) -> torch.Tensor:
    """Every tile and its margin decoded as if there were nothing else."""
    factor, (height, width) = tokenizer.factor, index_1HW.shape[1:]
    margin = 4 * tiles.decoder_margin(tokenizer.decoder.levels)
    image_1CHW = torch.empty(1, tokenizer.num_channels, height * factor, width * factor)
    for tile in tiles.tiles_of(height, width, tiles.TILE_PIXELS // factor, margin):
        rows, columns = (slice(part.start * factor, part.stop * factor) for part in tile.core)
        image_1CHW[..., rows, columns] = tile.core_of(tokenizer.decode(tile.cropped(index_1HW)))
    return image_1CHW


def peak_megabytes() -> float:
    """Of this process; `resource` would count its parent's too. Linux only."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e6


@torch.inference_mode()
def decode(way: str, folder: Path, codes: Path, out: Path) -> None:
    """One way; prints its seconds and memory as JSON and writes its pixels."""
    tokenizer = tokenizers.load(folder)
    index_1HW = torch.from_numpy(np.array(read_array(codes)))
    if way == "exact":
        tokenizer = tokenizer.double()
    tokenizer.decode(index_1HW[:, :4, :4])
    before, start = peak_megabytes(), time.process_time()
    match way:
        case "whole" | "exact":
            image_1CHW = tokenizer.decode(index_1HW)
        case "tiles":
            image_1CHW = tiles.decode(tokenizer, index_1HW)
        case _:
            image_1CHW = decoded_alone(tokenizer, index_1HW)
    print(json.dumps({"cpu_seconds": time.process_time() - start, "megabytes": peak_megabytes() - before}))
    write_array(out, image_1CHW.numpy())


def measured(chosen: argparse.Namespace, size: tuple[int, int]) -> dict[str, Any]:
    """All ways at one size."""
    tokenizer = tokenizers.load(chosen.tokenizer)
    with Image.open(chosen.image) as picture:
        # Enlarged where it must be: what counts is that the codes are those of a photograph.
        larger = picture.convert("RGB").resize(
            [max(side, own) for side, own in zip(size[::-1], picture.size, strict=True)]
        )
    with torch.inference_mode():
        index_1HW = tiles.encode(tokenizer, image_array(larger, size)[None])
    write_array(chosen.scratch / "codes.npy", index_1HW.numpy())
    result: dict[str, Any] = {}
    ways = WAYS if size[0] * size[1] <= EXACT_PIXELS else WAYS[1:3]
    for way in ways:
        paths = [str(chosen.tokenizer), str(chosen.scratch / "codes.npy"), str(chosen.scratch / f"{way}.npy")]
        run = subprocess.run(
            [sys.executable, __file__, "--one", way, *paths], capture_output=True, text=True, check=True
        )
        result[way] = json.loads(run.stdout)
    truth = "exact" if "exact" in ways else "tiles"
    for way in set(ways) - {truth}:
        apart = np.abs(read_array(chosen.scratch / f"{way}.npy") - read_array(chosen.scratch / f"{truth}.npy")) * 127.5
        result[way] |= {"largest_difference": float(apart.max()), "mean_difference": float(apart.mean())}
    return result


def main() -> None:
    if "--one" in sys.argv:
        way, *paths = sys.argv[sys.argv.index("--one") + 1 :]
        decode(way, *(Path(path) for path in paths))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--image", type=Path, required=True)
    parser.add_argument("--scratch", type=Path, default=Path("build/scratch/tiled_decoding"))
    parser.add_argument(
        "--sizes", nargs="*", default=["x".join(map(str, size)) for size in SIZES], help="height x width"
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    chosen = parser.parse_args()
    sizes = {text: tuple(int(side) for side in text.split("x")) for text in chosen.sizes}
    result = {text: measured(chosen, size) for text, size in sizes.items()}
    tokenizer = tokenizers.load(chosen.tokenizer)
    setting = {"tokenizer": chosen.tokenizer.name, "factor": tokenizer.factor, "channels": tokenizer.config.channels}
    write_json(chosen.out, setting | {"tile_pixels": tiles.TILE_PIXELS, "torch": torch.__version__, "sizes": result})
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
