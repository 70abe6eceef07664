"""One forward pass over a grid of tokens: the hourglass transformer against a plain one with as many parameters.

    python benchmarks/hourglass_forward.py [--threads 1] [--side 32 --batch 2 --width 256 --heads 8 --layers 8]

The plain transformer has the same blocks (axial positions on every head, no causal mask), only all of them on all
tokens; the hourglass has its layers in the proportions of McKinney & Willcocks 2022, Table 3 (2 - 12 - 2), shortened by
4, and a width for which both have the same number of parameters, within 5 %. Prints and stores wall times, CPU times
and the ratio.
"""

# B batch, T tokens, D width

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from twostage.config.schema import SundaeConfig
from twostage.priors.hourglass import Block, Grouping, Hourglass
from twostage.priors.rotary import angles, rotation
from twostage.runtime.artifacts import write_json


class Plain(nn.Module):
    """As many blocks as `config.depth` has in all, every one on all tokens."""

    def __init__(self, config: SundaeConfig, side: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(config) for _ in range(sum(config.depth)))
        self.norm = nn.LayerNorm(config.width)
        angle_THF = angles("axial", (side, side), config.head_width, config.num_heads, shortened=False)
        self.register_buffer("rotation_THF2", rotation(angle_THF))

    def forward(self, x_BTD: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x_BTD = block(x_BTD, self.rotation_THF2)
        return self.norm(x_BTD)


def sizes(width: int, heads: int, head_width: int, depth: list[int]) -> SundaeConfig:
    return SundaeConfig(width, heads, head_width, depth, 4, "patches", "axial", 0.0, 2)


def num_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def hourglass_of(number: int, like: SundaeConfig, depth: list[int], side: int) -> tuple[SundaeConfig, Hourglass]:
    """The hourglass of about `number` parameters and with the heads of `like`: its width is found."""
    candidates = [sizes(width, like.num_heads, like.head_width, depth) for width in range(8, 2 * like.width, 8)]

    def build(config: SundaeConfig) -> Hourglass:
        return Hourglass(config, (side, side), Grouping.of("patches", (side, side), 4))

    with torch.device("meta"):
        best = min(candidates, key=lambda config: abs(num_parameters(build(config)) - number))
    return best, build(best)


def least_seconds(roads: dict[str, Callable[[], torch.Tensor]], repeats: int) -> dict[str, dict[str, float]]:
    """Least wall and CPU seconds of each, called in turn so that a machine that slows down slows all."""
    best: dict[str, dict[str, float]] = {}
    for attempt in range(repeats + 1):
        for name, road in roads.items():
            wall, cpu = time.perf_counter(), time.process_time()
            road()
            if torch.accelerator.is_available():
                torch.accelerator.synchronize()
            now = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
            # The first call of each warms up.
            if attempt:
                best[name] = {clock: min(value, best.get(name, now)[clock]) for clock, value in now.items()}
    return best


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=32, help="rows and columns of the grid, tokens")
    for name, default in {"batch": 2, "width": 256, "heads": 8, "layers": 8, "repeats": 3}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--depth", type=int, nargs=3, default=[2, 12, 2], help="layers of the hourglass")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    return parser.parse_args()


@torch.inference_mode()
def main() -> None:
    chosen = arguments()
    torch.set_num_threads(chosen.threads)
    torch.manual_seed(0)
    of_plain = sizes(chosen.width, chosen.heads, chosen.width // chosen.heads, [0, chosen.layers, 0])
    plain = Plain(of_plain, chosen.side).eval().to(chosen.device)
    number = num_parameters(plain)
    config, hourglass = hourglass_of(number, of_plain, chosen.depth, chosen.side)
    hourglass = hourglass.eval().to(chosen.device)
    if abs(num_parameters(hourglass) / number - 1) > 0.05:
        raise SystemExit(f"{num_parameters(hourglass)} parameters against {number}: choose another --width or --depth")
    inputs = {
        name: torch.randn(chosen.batch, chosen.side**2, width, device=chosen.device)
        for name, width in (("plain", chosen.width), ("hourglass", config.width))
    }
    roads = {"plain": lambda: plain(inputs["plain"]), "hourglass": lambda: hourglass(inputs["hourglass"])}
    seconds = least_seconds(roads, chosen.repeats)
    result = {
        "seconds": seconds,
        "ratio": seconds["plain"]["wall"] / seconds["hourglass"]["wall"],
        "ratio_cpu": seconds["plain"]["cpu"] / seconds["hourglass"]["cpu"],
        "num_parameters": {"plain": number, "hourglass": num_parameters(hourglass)},
        "hourglass_width": config.width,
        "torch": torch.__version__,
        "setting": {name: value for name, value in vars(chosen).items() if name != "out"},
    }
    write_json(chosen.out, result)
    print(json.dumps(result, indent=2))
    print(f"hourglass: {result['ratio']:.2f} times as fast as a plain transformer of as many parameters")


if __name__ == "__main__":
    main()
