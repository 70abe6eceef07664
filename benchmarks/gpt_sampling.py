"""Sampling from the transformer: a preallocated key/value cache against one that is concatenated every step.

    python benchmarks/gpt_sampling.py [--threads 2] [--batch 32 --tokens 256 --layers 12 --width 768 --heads 16]

Both formulations run here, on the same weights and the same random numbers, and must draw the same tokens. The plain
one is what textbooks and released code do: separate query, key and value products, keys and values joined to the past
of every layer at every step, and attention written out. Prints and stores times and their ratio.
"""

# B batch, T tokens, D width, H heads, E width of a head, V vocabulary, L layers

import argparse
import json
import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.nn import functional

from twostage.artifacts import write_json
from twostage.configs import GPTConfig
from twostage.latents.dataset import TokenSpace
from twostage.priors.generate import draw, generate
from twostage.priors.gpt import GPT
from twostage.priors.transformer import Block

Past = tuple[torch.Tensor, torch.Tensor] | None


def plain_attention(block: Block, x_BTD: torch.Tensor, past: Past) -> tuple[torch.Tensor, Past]:
    """Attention of one new token to everything before it; the past is joined, that is copied."""
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


@torch.inference_mode()
def plain_generate(model: GPT, num_samples: int, generator: torch.Generator) -> torch.Tensor:
    """As `generate`, in the plain formulation."""
    trunk = model.transformer
    past_L: list[Past] = [None] * len(trunk.blocks)
    x_BTD = model.start.expand(num_samples, 1, -1)
    drawn = []
    for t in range(model.tokens.num_tokens):
        x_BTD = x_BTD + trunk.positions[t]
        for layer, block in enumerate(trunk.blocks):
            mixed_BTD, past_L[layer] = plain_attention(block, block.attention_norm(x_BTD), past_L[layer])
            x_BTD = x_BTD + mixed_BTD
            x_BTD = x_BTD + block.mlp(block.mlp_norm(x_BTD))
        drawn.append(draw(model.head(trunk.norm(x_BTD))[:, -1], generator))
        x_BTD = model.codes(drawn[-1])[:, None]
    return torch.stack(drawn, dim=1)


def timed(sample: Callable[[torch.Generator], torch.Tensor]) -> tuple[float, torch.Tensor]:
    """Wall seconds and tokens of one call, with a generator of fixed seed."""
    start = time.perf_counter()
    index_BT = sample(torch.Generator().manual_seed(0))
    return time.perf_counter() - start, index_BT


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
    roads = {
        "plain": lambda generator: plain_generate(model, chosen.batch, generator),
        "preallocated": lambda generator: generate(model, chosen.batch, generator),
    }
    # Alternating, so that a machine that slows down slows both.
    runs = [{name: timed(road) for name, road in roads.items()} for _ in range(chosen.repeats)]
    if not all(torch.equal(run["plain"][1], run["preallocated"][1]) for run in runs):
        raise SystemExit("the two formulations drew different tokens")
    seconds = {name: min(run[name][0] for run in runs) for name in roads}
    result = {
        "seconds_plain": seconds["plain"],
        "seconds_preallocated": seconds["preallocated"],
        "ratio": seconds["plain"] / seconds["preallocated"],
        "num_parameters": sum(parameter.numel() for parameter in model.parameters()),
        "setting": {name: value for name, value in vars(chosen).items() if name != "out"},
    }
    write_json(chosen.out, result)
    print(json.dumps(result, indent=2))
    print(f"preallocated cache: {result['ratio']:.2f} times as fast as a concatenated one, same tokens")


if __name__ == "__main__":
    main()
