"""Seconds per image: SUNDAE's chain of so many steps against the cached autoregressive sampler, over sides of the grid.

    python benchmarks/sundae_sampling.py [--sides 8 16 32 --steps 10 25 50 100 --batch 4]

Both models are random, of equal vocabulary and of as many parameters, within 5 %: those of a GPT of `--width` and
`--layers`. Both draw the same number of grids in one batch, one after the other. The chain updates half of the tokens
in each step and nothing freezes. Prints a table of seconds and ratios, and for every side the number of steps at which
the chain would take as long as the autoregressive sampler (on a line through the measured numbers).

Last, freezing: random models come to no rest, so the head is made to prefer one code, the chain is cold, and the same
chain is run with and without freezing. What it saves is held against the share of sample-steps that it leaves out.
"""

# B batch, T tokens

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from twostage.config.schema import GPTConfig, SundaeConfig
from twostage.latents.dataset import TokenSpace
from twostage.priors.gpt import GPT
from twostage.priors.sundae import Sundae
from twostage.runtime.artifacts import write_json
from twostage.sampling import sample, uniform_table
from twostage.sampling.denoising import Schedule, Streams, denoise

DEPTH = [1, 6, 1]
TOLERANCE = 0.15


def num_parameters(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def sundae_like(gpt: GPT, heads: int) -> Sundae:
    """The SUNDAE of about as many parameters, with the heads of the transformer: its width is found."""
    head_width, number = gpt.config.width // heads, num_parameters(gpt)

    def build(width: int) -> Sundae:
        return Sundae(SundaeConfig(width, heads, head_width, DEPTH, 4, "patches", "axial", 0.0, 2), gpt.tokens)

    with torch.device("meta"):
        best = min(range(8, 2 * gpt.config.width, 8), key=lambda width: abs(num_parameters(build(width)) - number))
    model = build(best)
    if abs(num_parameters(model) / number - 1) > 0.05:
        raise SystemExit(f"{num_parameters(model)} parameters against {number}: choose another --width")
    return model.eval()


def seconds_of(road: Callable[..., Any], device: str, *given: Any) -> tuple[float, Any]:
    """CPU seconds of one thread, which other jobs of the machine hardly move; on an accelerator, wall seconds."""
    if device == "cpu":
        start = time.process_time()
        result = road(*given)
        return time.process_time() - start, result
    torch.accelerator.synchronize()
    start = time.perf_counter()
    result = road(*given)
    torch.accelerator.synchronize()
    return time.perf_counter() - start, result


def at_side(side: int, chosen: argparse.Namespace) -> dict[str, Any]:
    """Seconds per image of both samplers on a grid of `side` x `side` tokens."""
    torch.manual_seed(0)
    tokens = TokenSpace(chosen.codes, (side, side))
    gpt = GPT(GPTConfig(chosen.width, chosen.layers, chosen.heads, 0.0), tokens).eval().to(chosen.device)
    sundae = sundae_like(gpt, chosen.heads).to(chosen.device)
    uniform_BT = uniform_table(chosen.batch, side**2, torch.Generator().manual_seed(0))

    def chain(steps: int) -> Any:
        schedule = Schedule(steps, steps, (1.0, 1.0), (0.5, 0.5))
        return denoise(sundae, schedule, Streams(0, range(chosen.batch)))

    chain(1)
    autoregressive, _ = seconds_of(sample, chosen.device, gpt, uniform_BT)
    found = {steps: seconds_of(chain, chosen.device, steps)[0] / chosen.batch for steps in chosen.steps}
    autoregressive /= chosen.batch
    return {
        "side": side,
        "num_parameters": {"gpt": num_parameters(gpt), "sundae": num_parameters(sundae)},
        "autoregressive_seconds_per_image": autoregressive,
        "sundae_seconds_per_image": {str(steps): seconds for steps, seconds in found.items()},
        "times_as_fast": {str(steps): autoregressive / seconds for steps, seconds in found.items()},
        "crossing_steps": crossing(found, autoregressive),
    }


def crossing(seconds: dict[int, float], rival: float) -> float:
    """Steps at which a chain takes as long as the rival, on a line through the measured ones."""
    slope, start = np.polyfit(list(seconds), list(seconds.values()), 1)
    return float((rival - start) / slope)


def freezing(chosen: argparse.Namespace) -> dict[str, Any]:
    """What freezing and the early stop save, and what the frozen share predicts. Exits if they save less."""
    torch.manual_seed(0)
    side, steps = chosen.freezing_side, max(chosen.steps)
    gpt = GPT(GPTConfig(chosen.width, chosen.layers, chosen.heads, 0.0), TokenSpace(chosen.codes, (side, side)))
    model = sundae_like(gpt, chosen.heads).to(chosen.device)
    with torch.no_grad():
        model.head.bias[0] += 4

    def chain(min_steps: int) -> Any:
        schedule = Schedule(steps, min_steps, (0.3, 0.3), (0.3, 0.3))
        return denoise(model, schedule, Streams(0, range(4 * chosen.batch)))

    whole, _ = seconds_of(chain, chosen.device, steps)
    stopped, chains = seconds_of(chain, chosen.device, min(10, steps))
    result = {
        "side": side,
        "steps": steps,
        "mean_steps": float(chains.steps_B.mean()),
        "seconds_without": whole,
        "seconds_with": stopped,
        "saved_share": 1 - stopped / whole,
        "frozen_share": float(1 - chains.steps_B.mean() / steps),
    }
    if result["saved_share"] < (1 - TOLERANCE) * result["frozen_share"]:
        raise SystemExit(f"freezing saves less than the frozen share says: {result}")
    return result


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sides", type=int, nargs="+", default=[8, 16, 32])
    parser.add_argument("--steps", type=int, nargs="+", default=[10, 25, 50, 100])
    defaults = {"batch": 4, "codes": 1024, "width": 256, "layers": 8, "heads": 8, "freezing-side": 16}
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    return parser.parse_args()


def main() -> None:
    chosen = arguments()
    torch.set_num_threads(1)
    rows = [at_side(side, chosen) for side in chosen.sides]
    result = {
        "rows": rows,
        "freezing": freezing(chosen),
        "torch": torch.__version__,
        "setting": {name: value for name, value in vars(chosen).items() if name != "out"},
    }
    write_json(chosen.out, result)
    print(json.dumps(result, indent=2))
    print("side  autoregressive  " + "  ".join(f"{f'{steps} steps':>16}" for steps in chosen.steps) + "  equal at")
    for row in rows:
        cells = [
            f"{row['sundae_seconds_per_image'][str(steps)]:7.3f} s {row['times_as_fast'][str(steps)]:5.2f} x"
            for steps in chosen.steps
        ]
        seconds = row["autoregressive_seconds_per_image"]
        print(f"{row['side']:4d}  {seconds:12.3f} s  {'  '.join(cells)}  {row['crossing_steps']:.0f} steps")
    saved = result["freezing"]
    print(f"freezing saves {saved['saved_share']:.0%}; of sample-steps {saved['frozen_share']:.0%} are left out")


if __name__ == "__main__":
    main()
