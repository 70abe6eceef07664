"""How fast a training reads its batches from the stored arrays, and how much memory that takes.

    python benchmarks/reading.py [--gigabytes 4] [--batch-size 64] [--folder DIR]

Writes random images of 256x256 pixels as data.prepare stores them, drops them from the cache where the system allows,
then reads a shuffled epoch batch by batch, as `TokenizerTask.batch` does. Writes benchmarks/reading.json.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

from twostage.runtime.artifacts import new_array, read_array

SIDE, CHUNK = 256, 256
OUT = Path(__file__).with_suffix(".json")


def write(path: Path, num_images: int) -> None:
    rng = np.random.default_rng(0)
    noise_CHW3 = rng.integers(0, 256, (CHUNK, SIDE, SIDE, 3), np.uint8)
    with new_array(path, (num_images, SIDE, SIDE, 3), np.uint8) as image_NHWC:
        for start in range(0, num_images, CHUNK):
            rows = image_NHWC[start : start + CHUNK]
            rows[:] = noise_CHW3[: len(rows)]


def forget(path: Path) -> None:
    """Drops the file's pages, which the system would otherwise answer from memory."""
    with open(path, "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def epoch(path: Path, batch_size: int) -> dict[str, float]:
    """Images a second, of wall time and of CPU time; memory that is not the system's cache."""
    image_NHWC, process = read_array(path), psutil.Process()
    order_N = np.random.default_rng(1).permutation(len(image_NHWC))
    own, wall, cpu, total = [], time.perf_counter(), time.process_time(), 0
    for start in range(0, len(order_N), batch_size):
        total += int(image_NHWC[order_N[start : start + batch_size]][0, 0, 0, 0])
        memory = process.memory_info()
        own.append((memory.rss - memory.shared) / 2**20)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    found = {"images_per_second": len(order_N) / wall, "images_per_cpu_second": len(order_N) / cpu}
    return {name: round(value) for name, value in {**found, "own_memory_mb": max(own)}.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=4)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--folder", type=Path, help="on the disk to measure; by default a temporary one")
    arguments = parser.parse_args()
    num_images = int(arguments.gigabytes * 1e9 / (3 * SIDE**2))
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        path = Path(folder) / "train_image.npy"
        write(path, num_images)
        forget(path)
        cold = epoch(path, arguments.batch_size)
        warm = epoch(path, arguments.batch_size)
    found = {"images": num_images, "gigabytes": arguments.gigabytes, "batch_size": arguments.batch_size}
    OUT.write_text(json.dumps({**found, "from_disk": cold, "from_cache": warm}, indent=2) + "\n")
    print(OUT.read_text())


if __name__ == "__main__":
    main()
