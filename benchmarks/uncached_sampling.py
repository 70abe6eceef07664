"""Sampling from the transformer: with a preallocated key/value cache against a full forward pass per token.

    python benchmarks/uncached_sampling.py [--threads 1] [--batch 4 --tokens 256 --layers 12 --width 768 --heads 16]

Both run here, on the same weights (85 M parameters by default) and the same random numbers, and must draw the same
tokens:

- `uncached`: for token t, the t tokens before it go through the model. It is given no more than these (a loop that
  always runs all tokens would take twice as long), and the model as it stands.
- `cached`: `twostage.sampling.sample`, all tokens.

The uncached loop takes minutes, so by default every 16th token of it is run, on the tokens that the cached one drew
before it: the middle ones of 16 equal parts, so that their mean is that of all. `--every 1` runs the whole loop. Each
of its draws is compared with the cached one. Prints and stores wall times, CPU times and ratios.
"""

# B batch, T tokens

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch

from twostage.config.schema import GPTConfig
from twostage.latents.dataset import TokenSpace
from twostage.priors.gpt import GPT
from twostage.runtime.artifacts import write_json
from twostage.sampling import Draw, sample, uniform_table


class Stopwatch:
    """Wall and CPU seconds since it was made."""

    def __init__(self) -> None:
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def read(self) -> dict[str, float]:
        return {"wall_seconds": time.perf_counter() - self.wall, "cpu_seconds": time.process_time() - self.cpu}


@torch.inference_mode()
def uncached(model: GPT, uniform_BT: torch.Tensor, index_BT: torch.Tensor, steps: range) -> None:
    """Draws the tokens of `steps` from full forward passes. Exits if one is not that of `index_BT`."""
    for t in steps:
        # The model does not look at the last token it is given, only at its position.
        logits_BV = model(index_BT[:, : t + 1])[:, t]
        if not torch.equal(Draw().codes(logits_BV, uniform_BT[:, t]), index_BT[:, t]):
            raise SystemExit(f"the two formulations drew different tokens at {t}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in {"batch": 4, "tokens": 256, "layers": 12, "width": 768, "heads": 16, "codes": 1024}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--every", type=int, default=16, help="run the uncached loop at every so-manieth token")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    return parser.parse_args()


def main() -> None:
    chosen = arguments()
    torch.set_num_threads(chosen.threads)
    torch.manual_seed(0)
    model = GPT(GPTConfig(chosen.width, chosen.layers, chosen.heads, 0.0), TokenSpace(chosen.codes, (1, chosen.tokens)))
    model.eval()
    uniform_BT = uniform_table(chosen.batch, chosen.tokens, torch.Generator().manual_seed(0))
    watch = Stopwatch()
    index_BT = sample(model, uniform_BT).flatten(1)
    cached_seconds = watch.read()
    steps = range(chosen.every // 2, chosen.tokens, chosen.every)
    watch = Stopwatch()
    uncached(model, uniform_BT, index_BT, steps)
    uncached_seconds = {name: seconds * chosen.tokens / len(steps) for name, seconds in watch.read().items()}
    result: dict[str, Any] = {
        "cached": cached_seconds,
        "uncached": uncached_seconds,
        "uncached_tokens_timed": len(steps),
        "uncached_is_extrapolated": len(steps) < chosen.tokens,
        "ratio": uncached_seconds["wall_seconds"] / cached_seconds["wall_seconds"],
        "ratio_cpu": uncached_seconds["cpu_seconds"] / cached_seconds["cpu_seconds"],
        "num_parameters": sum(parameter.numel() for parameter in model.parameters()),
        "torch": torch.__version__,
        "setting": {name: value for name, value in vars(chosen).items() if name != "out"},
    }
    write_json(chosen.out, result)
    print(json.dumps(result, indent=2))
    print(
        f"cached: {result['ratio']:.1f} times as fast as a full forward pass per token, same tokens "
        f"({len(steps)} of {chosen.tokens} uncached tokens timed)"
    )


if __name__ == "__main__":
    main()
