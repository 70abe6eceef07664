"""FID's Inception: torch-fidelity's own extractor against the fused one, same weights, same images, one run.

    python benchmarks/inception.py [--threads 2] [--batch 50 --size 32 --repeats 3]

Both run here in turn on random images and must give the same features. Prints and stores seconds per image of process
CPU time and of wall time, images per second, and how many times as fast the fused extractor is.
"""

# B batch, C channels, H height, W width, D features

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from twostage.runtime.artifacts import write_json
from twostage.weights import fused_inception, inception

# Of a feature's size, or of 1 where that is more; the stock extractor is as far from its own result in float64.
TOLERANCE = 1e-5


class Run(NamedTuple):
    wall_seconds: float
    cpu_seconds: float
    feature_BD: Tensor


@torch.inference_mode()
def timed(extractor: torch.nn.Module, image_BCHW: Tensor) -> Run:
    wall, cpu = time.perf_counter(), time.process_time()
    (feature_BD,) = extractor(image_BCHW)
    return Run(time.perf_counter() - wall, time.process_time() - cpu, feature_BD)


def summary(runs: list[dict[str, Run]], batch: int) -> dict[str, object]:
    """Medians over the repeats, ratios, and the largest difference of any feature."""
    stock_BD, fused_BD = runs[0]["stock"].feature_BD, runs[0]["fused"].feature_BD
    difference = float(((fused_BD - stock_BD).abs() / stock_BD.abs().clamp(min=1)).max())
    if difference > TOLERANCE:
        raise SystemExit(f"features differ by {difference:.2e}, expected at most {TOLERANCE}")
    wall = {name: statistics.median(run[name].wall_seconds for run in runs) for name in runs[0]}
    cpu = {name: statistics.median(run[name].cpu_seconds for run in runs) for name in runs[0]}
    return {
        "wall_seconds_per_image": {name: seconds / batch for name, seconds in wall.items()},
        "cpu_seconds_per_image": {name: seconds / batch for name, seconds in cpu.items()},
        "images_per_second": {name: batch / seconds for name, seconds in wall.items()},
        "ratio": wall["stock"] / wall["fused"],
        "ratio_cpu": cpu["stock"] / cpu["fused"],
        "largest_difference_of_features": difference,
    }


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in {"batch": 50, "size": 32, "repeats": 3}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--weights", type=Path, default=Path("artifacts/laptop/weights/inception"))
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    return parser.parse_args()


def main() -> None:
    chosen = arguments()
    torch.set_num_threads(chosen.threads)
    generator = torch.Generator().manual_seed(0)
    shape = (chosen.batch, 3, chosen.size, chosen.size)
    image_BCHW = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    extractors = {"stock": inception.load(chosen.weights), "fused": fused_inception.load(chosen.weights)}
    for extractor in extractors.values():
        # Warms up allocators and convolution plans.
        timed(extractor, image_BCHW[:2])
    # Alternating, so that a machine that slows down slows both.
    runs = [
        {name: timed(extractor, image_BCHW) for name, extractor in extractors.items()} for _ in range(chosen.repeats)
    ]
    setting = {name: value for name, value in vars(chosen).items() if name not in ("out", "weights")}
    result = summary(runs, chosen.batch) | {"torch": torch.__version__, "setting": setting}
    write_json(chosen.out, result)
    print(json.dumps(result, indent=2))
    print(f"fused: {result['ratio']:.2f} times as fast as torch-fidelity's extractor, same features")


if __name__ == "__main__":
    main()
