"""Sampling from the transformer: a preallocated key/value cache against caches that are concatenated every step.

    python benchmarks/gpt_sampling.py [--threads 2] [--batch 32 --tokens 256 --layers 12 --width 768 --heads 16]

All formulations run here, on the same weights and the same random numbers, and must draw the same tokens:

- `concatenated`: as the released code does it. The keys and values of every step are kept in a list, which is
  concatenated at every step; each layer then concatenates its new key and value to its part.
- `concatenated_once`: the gentler variant, where each layer keeps its own past and concatenates only that.
- `preallocated`: `twostage.sampling.sample`.

The first two have separate query, key and value products and attention written out. Prints and stores wall times, CPU
times and ratios.
"""

# B batch, T tokens, D width, H heads, E width of a head, V vocabulary, L layers

import argparse
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.nn import functional

from twostage.config.schema import GPTConfig
from twostage.latents.dataset import TokenSpace
from twostage.priors.gpt import GPT
from twostage.priors.transformer import Block
from twostage.runtime.artifacts import write_json
from twostage.sampling import Draw, sample, uniform_table

KeyValue = tuple[torch.Tensor, torch.Tensor]


def plain_attention(block: Block, x_BTD: torch.Tensor, past: KeyValue | None) -> tuple[torch.Tensor, KeyValue]:
    """Attention of one new token to everything before it; the past is concatenated, that is copied."""
    attention = block.attention
    B, T, D = x_BTD.shape
    weights, biases = attention.query_key_value.weight.chunk(3), attention.query_key_value.bias.chunk(3)
    query_BHTE, key_BHTE, value_BHTE = (
        functional.linear(x_BTD, weight, bias).view(B, T, attention.num_heads, -1).transpose(1, 2)
        for weight, bias in zip(weights, biases, strict=True)
    )
    if past is not None:
        key_BHTE = torch.cat((past[0], key_BHTE), dim=-2)
        value_BHTE = torch.cat((past[1], value_BHTE), dim=-2)
    score_BHTT = query_BHTE @ key_BHTE.transpose(-2, -1) * (1 / math.sqrt(query_BHTE.shape[-1]))
    mixed_BTD = (score_BHTT.softmax(-1) @ value_BHTE).transpose(1, 2).contiguous().view(B, T, D)
    return attention.out(mixed_BTD), (key_BHTE, value_BHTE)


class LayerPast:
    """Keys and values of every layer, replaced by longer ones every step."""

    def __init__(self) -> None:
        self.past_L: list[KeyValue] = []

    def before(self, num_layers: int) -> list[KeyValue | None]:
        return [*self.past_L] or [None] * num_layers

    def after(self, past_L: list[KeyValue]) -> None:
        self.past_L = past_L


class ListedPast:
    """One tensor [L, 2, B, H, 1, E] of every step in a list, concatenated every step."""

    def __init__(self) -> None:
        self.steps: list[torch.Tensor] = []

    def before(self, num_layers: int) -> list[KeyValue | None]:
        if not self.steps:
            return [None] * num_layers
        return [(layer[0], layer[1]) for layer in torch.cat(self.steps, dim=-2)]

    def after(self, past_L: list[KeyValue]) -> None:
        self.steps.append(torch.stack([torch.stack([key[:, :, -1:], value[:, :, -1:]]) for key, value in past_L]))


@torch.inference_mode()
def plain_sample(model: GPT, uniform_BT: torch.Tensor, past: LayerPast | ListedPast) -> torch.Tensor:
    """As `sample`, in the plain formulation; tokens [B, T]."""
    trunk = model.transformer
    x_BTD = model.start.expand(len(uniform_BT), 1, -1)
    drawn = []
    for t in range(model.tokens.num_tokens):
        x_BTD = x_BTD + trunk.positions[t]
        past_L = past.before(len(trunk.blocks))
        for layer, block in enumerate(trunk.blocks):
            mixed_BTD, past_L[layer] = plain_attention(block, block.attention_norm(x_BTD), past_L[layer])
            x_BTD = x_BTD + mixed_BTD
            x_BTD = x_BTD + block.mlp(block.mlp_norm(x_BTD))
        past.after(past_L)
        drawn.append(Draw().codes(model.head(trunk.norm(x_BTD))[:, -1], uniform_BT[:, t]))
        x_BTD = model.codes(drawn[-1])[:, None]
    return torch.stack(drawn, dim=1)


class Run(NamedTuple):
    wall_seconds: float
    cpu_seconds: float
    index_BT: torch.Tensor


def timed(road: Callable[[torch.Tensor], torch.Tensor], uniform_BT: torch.Tensor) -> Run:
    """One call with these random numbers."""
    wall, cpu = time.perf_counter(), time.process_time()
    index_BT = road(uniform_BT)
    return Run(time.perf_counter() - wall, time.process_time() - cpu, index_BT)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in {"batch": 32, "tokens": 256, "layers": 12, "width": 768, "heads": 16, "codes": 1024}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=1, help="the best of so many is reported")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    return parser.parse_args()


def main() -> None:
    chosen = arguments()
    torch.set_num_threads(chosen.threads)
    torch.manual_seed(0)
    config = GPTConfig(chosen.width, chosen.layers, chosen.heads, 0.0)
    model = GPT(config, TokenSpace(chosen.codes, (1, chosen.tokens))).eval()
    uniform_BT = uniform_table(chosen.batch, chosen.tokens, torch.Generator().manual_seed(0))
    roads: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
        "concatenated": lambda uniform_BT: plain_sample(model, uniform_BT, ListedPast()),
        "concatenated_once": lambda uniform_BT: plain_sample(model, uniform_BT, LayerPast()),
        "preallocated": lambda uniform_BT: sample(model, uniform_BT).flatten(1),
    }
    # Alternating, so that a machine that slows down slows all.
    runs = [{name: timed(road, uniform_BT) for name, road in roads.items()} for _ in range(chosen.repeats)]
    result = summary(runs) | {
        "num_parameters": sum(parameter.numel() for parameter in model.parameters()),
        "setting": {name: value for name, value in vars(chosen).items() if name != "out"},
    }
    write_json(chosen.out, result)
    print(json.dumps(result, indent=2))
    print(f"preallocated: {result['ratio']:.2f} times as fast as concatenated every step, same tokens")


def summary(runs: list[dict[str, Run]]) -> dict[str, Any]:
    """Least seconds of every road, and how many times as fast the preallocated one is."""
    first = runs[0]["preallocated"].index_BT
    if not all(torch.equal(run.index_BT, first) for round_ in runs for run in round_.values()):
        raise SystemExit("the formulations drew different tokens")
    wall = {name: min(run[name].wall_seconds for run in runs) for name in runs[0]}
    cpu = {name: min(run[name].cpu_seconds for run in runs) for name in runs[0]}
    return {
        "wall_seconds": wall,
        "cpu_seconds": cpu,
        "ratio": wall["concatenated"] / wall["preallocated"],
        "ratio_cpu": cpu["concatenated"] / cpu["preallocated"],
        "ratio_concatenated_once": wall["concatenated_once"] / wall["preallocated"],
    }


if __name__ == "__main__":
    main()
