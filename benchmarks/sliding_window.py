"""Sliding-window sampling: caches and waves against the whole window through the model for every token.

    python benchmarks/sliding_window.py [--threads 1] [--canvas 32 32 --window 16 --layers 6 --width 256 --heads 8]
    python benchmarks/sliding_window.py --layers 12 --width 768 --heads 16 --every 32      # 85 M parameters

All run here, on the same weights and the same random numbers, and must draw the same tokens:

- `token_by_token`: as the released code does it. For every token the whole window around it goes through the model as
  it stands (`twostage.sampling.sliding.slide_token_by_token`).
- `token_by_token_packed`: the same with the weights in the order that is fastest on CPUs, as sampling has them
  elsewhere; it tells how much of the gain is due to the schedule alone.
- `slide`: `twostage.sampling.slide`.

With `--conditional`, a spatial condition of as many tokens comes before every window; nothing of it can be shared
between windows either. With `--every N`, of the first two only every Nth token is run, on the tokens that `slide` drew,
and compared with its draw; their time is multiplied, as every whole window costs the same. Prints and stores wall
times, CPU times and ratios.
"""

# B batch, T tokens of the canvas

import argparse
import json
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch

from twostage.config.schema import GPTConfig
from twostage.latents.dataset import TokenSpace
from twostage.priors.gpt import GPT
from twostage.priors.linear import packed
from twostage.runtime.artifacts import write_json
from twostage.sampling import Draw, slide, uniform_table
from twostage.sampling.canvas import Canvas
from twostage.sampling.sliding import Board, WholeWindows, slide_token_by_token


class Stopwatch:
    """Wall and CPU seconds since it was made."""

    def __init__(self) -> None:
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def read(self, times: float = 1) -> dict[str, float]:
        """The seconds, multiplied by `times`."""
        return {
            "wall_seconds": times * (time.perf_counter() - self.wall),
            "cpu_seconds": times * (time.process_time() - self.cpu),
        }


class Setting(NamedTuple):
    """What all formulations are given."""

    model: GPT
    canvas: Canvas
    uniform_BT: torch.Tensor
    condition_BHW: torch.Tensor | None

    @property
    def size(self) -> tuple[int, int]:
        return self.canvas.height, self.canvas.width


def setting(chosen: argparse.Namespace) -> Setting:
    """A random model, random numbers and, if chosen, a random condition."""
    torch.manual_seed(0)
    grid = (chosen.window, chosen.window)
    condition = TokenSpace(chosen.codes, grid) if chosen.conditional else None
    config = GPTConfig(chosen.width, chosen.layers, chosen.heads, 0.0)
    model = GPT(config, TokenSpace(chosen.codes, grid, condition)).eval()
    canvas = Canvas(*chosen.canvas, grid)
    uniform_BT = uniform_table(chosen.batch, canvas.num_tokens, torch.Generator().manual_seed(0))
    condition_BHW = torch.randint(chosen.codes, (chosen.batch, *chosen.canvas)) if chosen.conditional else None
    return Setting(model, canvas, uniform_BT, condition_BHW)


@torch.inference_mode()
def some_tokens(given: Setting, index_BT: torch.Tensor, every: int) -> int:
    """Draws every so-manieth token from its whole window; returns how many. Exits if one is not that of `index_BT`."""
    board = Board(given.model, given.canvas, len(index_BT), given.condition_BHW, index_BT)
    windows = WholeWindows(given.model, board)
    places = given.canvas.places()[every // 2 :: every]
    for place in places:
        logits_BV = windows.logits([place])[0]
        if not torch.equal(Draw().codes(logits_BV, given.uniform_BT[:, place.rank]), index_BT[:, place.rank]):
            raise SystemExit(f"the formulations drew different tokens at {place}")
    return len(places)


def token_by_token(given: Setting, index_BT: torch.Tensor, every: int) -> dict[str, float]:
    """Seconds of the plain formulation, of which every so-manieth token is run."""
    watch = Stopwatch()
    if every > 1:
        number = some_tokens(given, index_BT, every)
        return watch.read(given.canvas.num_tokens / number)
    found_BHW = slide_token_by_token(given.model, given.uniform_BT, given.size, condition=given.condition_BHW)
    seconds = watch.read()
    if not torch.equal(found_BHW.flatten(1), index_BT):
        raise SystemExit("the formulations drew different tokens")
    return seconds


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--canvas", type=int, nargs=2, default=[32, 32], help="rows and columns, tokens")
    for name, default in {"window": 16, "batch": 1, "layers": 6, "width": 256, "heads": 8, "codes": 1024}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--conditional", action="store_true")
    parser.add_argument("--every", type=int, default=1, help="run the plain formulations at every so-manieth token")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    return parser.parse_args()


def main() -> None:
    chosen = arguments()
    torch.set_num_threads(chosen.threads)
    given = setting(chosen)
    watch = Stopwatch()
    index_BT = slide(given.model, given.uniform_BT, given.size, condition=given.condition_BHW).flatten(1)
    seconds = {"slide": watch.read()}
    for name, context in (
        ("token_by_token", nullcontext()),
        ("token_by_token_packed", packed(given.model, chosen.batch * given.model.tokens.num_tokens)),
    ):
        with context:
            seconds[name] = token_by_token(given, index_BT, chosen.every)
    result = summary(seconds) | {
        "plain_tokens_timed": len(range(chosen.every // 2, given.canvas.num_tokens, chosen.every)),
        "canvas_tokens": given.canvas.num_tokens,
        "waves": len(given.canvas.waves()),
        "num_parameters": sum(parameter.numel() for parameter in given.model.parameters()),
        "torch": torch.__version__,
        "setting": {name: value for name, value in vars(chosen).items() if name != "out"},
    }
    write_json(chosen.out, result)
    print(json.dumps(result, indent=2))
    print(
        f"slide: {result['ratio']:.1f} times as fast as the whole window for every token "
        f"({result['ratio_packed']:.1f} times with packed weights there too), same tokens "
        f"({result['plain_tokens_timed']} of {given.canvas.num_tokens} plain tokens timed)"
    )


def summary(seconds: dict[str, dict[str, float]]) -> dict[str, Any]:
    """Seconds of every formulation, and how many times as fast `slide` is."""

    def ratio(name: str, clock: str) -> float:
        return seconds[name][clock] / seconds["slide"][clock]

    return {
        "seconds": seconds,
        "ratio": ratio("token_by_token", "wall_seconds"),
        "ratio_cpu": ratio("token_by_token", "cpu_seconds"),
        "ratio_packed": ratio("token_by_token_packed", "wall_seconds"),
        "ratio_packed_cpu": ratio("token_by_token_packed", "cpu_seconds"),
    }


if __name__ == "__main__":
    main()
