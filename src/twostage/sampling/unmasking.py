"""Draws whole code grids from an absorbing diffusion prior: every token once, several per step.

Source: Bond-Taylor et al. 2021, arXiv 2111.12701: the reverse process, with temperature.
"""

# B samples, A of them with tokens to draw, T image tokens, S condition tokens

from collections.abc import Callable

import numpy as np
import torch

from twostage.errors import TwostageError
from twostage.priors.absorbing import Absorbing
from twostage.priors.linear import packed
from twostage.sampling.draw import Draw
from twostage.sampling.whole import Chains, States, Streams, require_fitting


def num_steps_of(model: Absorbing, asked: int | None) -> int:
    """The number of steps for drawing an image: by default the number of its tokens.

    Raises TwostageError for more steps, because many of these would draw nothing.
    """
    num_tokens = model.tokens.num_tokens
    if asked is not None and not 1 <= asked <= num_tokens:
        raise TwostageError(
            f"unmasking.steps={asked}, but an image has {num_tokens} tokens, each of which is drawn once; set 1 to "
            f"{num_tokens}, or null for {num_tokens}"
        )
    return asked or num_tokens


@torch.inference_mode()
def unmask(
    model: Absorbing,
    steps: int,
    draw: Draw,
    streams: Streams,
    condition_BS: torch.Tensor | None = None,
    given_BT: torch.Tensor | None = None,
    redrawn_BT: np.ndarray | None = None,
    watch: Callable[[int, torch.Tensor], None] | None = None,
) -> Chains:
    """Draws one image per stream, starting with all tokens masked; row-major.

    A reverse step from t unmasks each masked token with probability 1/t. So each token is drawn at one of the `steps`,
    uniformly and independently of the others, from the model's distribution given the tokens drawn before. For each
    sample, the network runs only at steps that draw one of its tokens.

    `condition_BS`: int64, for conditional priors. To inpaint: where `redrawn_BT`, bool, is false, tokens are those of
    `given_BT`, int64, and never masked. `watch` is called with the number of steps done and all states, int64 [B, T],
    before the first step and after each. Masked tokens have the code `model.mask_code`.
    Raises TwostageError if condition codes do not match the model.
    """
    require_fitting(model, condition_BS, len(streams))
    num_tokens = model.tokens.num_tokens
    first_BT = torch.full((len(streams), num_tokens), model.mask_code)
    states = States(model, first_BT, condition_BS, given_BT, redrawn_BT)
    when_BT, uniform_BT = streams.uniforms(np.arange(len(streams)), num_tokens)
    # In double precision the product is always less than the number of steps.
    step_BT = np.where(states.redrawn_BT, (when_BT.astype(np.float64) * steps).astype(np.int64), -1)
    steps_B = np.zeros(len(streams), np.int64)
    if watch:
        watch(0, states.index_BT)
    with packed(model, first_BT.numel()):
        for step in range(steps):
            chosen_BT = step_BT == step
            active_A = np.flatnonzero(chosen_BT.any(1))
            if len(active_A):
                chosen_AT = chosen_BT[active_A]
                uniform_K = states.to_device(uniform_BT[active_A][chosen_AT])
                states.replace(active_A, chosen_AT, draw.codes(states.logits(active_A, chosen_AT), uniform_K))
                steps_B[active_A] += 1
            if watch:
                watch(step + 1, states.index_BT)
    return Chains(states.index_BT, steps_B)
