"""Absorbing-state diffusion over image codes: tokens are masked one after another and predicted from the others.

Source: Bond-Taylor et al. 2021, "Unleashing Transformers", arXiv 2111.12701, after Austin et al. 2021 (D3PM).

At step t of T a token is masked, z_t = m, with probability t / T, independently of the others. A reverse step unmasks
each masked token with probability 1 / t and draws it from p(z_0 | z_t). So the negative log-likelihood is at most

    (bound)       sum over t = 1..T of 1/t E[ sum over masked i of -log p(z_0,i | z_t) ].

The default training loss weights the steps by how much of the image is visible:

    (reweighted)  mean over t = 1..T of (T - t + 1)/T E[ sum over masked i of -log p(z_0,i | z_t) ].

(The released code has 1 - t/T, which leaves out the step at which all tokens are masked.) The network does not get t,
because it sees how many tokens are masked.
"""

# B batch, T image tokens (in the equations N, as T is the number of steps there), D width, V vocabulary

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from twostage.config.schema import AbsorbingConfig, HourglassConfig, TransformerConfig
from twostage.errors import TwostageError
from twostage.latents.dataset import TokenSpace
from twostage.priors.denoiser import Denoiser
from twostage.priors.hourglass import Grouping, Hourglass
from twostage.priors.linear import Linear
from twostage.priors.transformer import Transformer, initialise


class Absorbing(Denoiser):
    """Logits [B, T, V] of all codes, given the unmasked ones. Masked tokens have the code `mask_code`."""

    architecture = "absorbing"

    def __init__(self, config: AbsorbingConfig, tokens: TokenSpace) -> None:
        network, width, order_T = _network(config, tokens)
        # One more code than the vocabulary, for the mask.
        super().__init__(width, tokens, tokens.num_codes + 1, order_T)
        self.config, self.mask_code = config, tokens.num_codes
        self.network = network
        self.head = Linear(width, tokens.num_codes, bias=False)
        initialise(self)

    @property
    def num_steps(self) -> int:
        """T of the diffusion: by default the number of tokens of an image."""
        return self.config.num_steps or self.tokens.num_tokens

    def mixed(self, x_BTD: torch.Tensor) -> torch.Tensor:
        """Features [B, T, D] of embeddings, both in the order of the network."""
        return self.network(x_BTD)


def _network(config: AbsorbingConfig, tokens: TokenSpace) -> tuple[nn.Module, int, torch.Tensor]:
    """The network, its width, and its order of tokens. Raises TwostageError if its sizes are missing."""
    match config:
        case AbsorbingConfig(network="transformer", transformer=TransformerConfig() as sizes):
            transformer = Transformer(sizes, tokens.num_tokens, causal=False)
            return transformer, sizes.width, torch.arange(tokens.num_tokens)
        case AbsorbingConfig(network="hourglass", hourglass=HourglassConfig() as shape):
            grouping = Grouping.of(shape.resampling, tokens.grid, shape.shorten_factor)
            return Hourglass(shape, tokens.grid, grouping), shape.width, grouping.order_T
        case other:
            raise TwostageError(
                f"priors.absorbing.network={other.network} needs its sizes; set priors.absorbing.{other.network}, or "
                "choose transformer or hourglass"
            )


@dataclass(frozen=True)
class Masks:
    """Steps and masked tokens of some images: all random numbers of one training step."""

    step_B: torch.Tensor  # t, int64 in 1..num_steps
    masked_BT: torch.Tensor  # bool
    num_steps: int

    @classmethod
    def draw(cls, rng: np.random.Generator, index_BT: torch.Tensor, num_steps: int) -> "Masks":
        """Uniform steps, and tokens masked with probability t / T, on the device of the tokens."""
        step_B = rng.integers(1, num_steps + 1, len(index_BT))
        masked_BT = rng.random(index_BT.shape, np.float32) < step_B[:, None] / num_steps
        device = index_BT.device
        return cls(torch.from_numpy(step_B).to(device), torch.from_numpy(masked_BT).to(device), num_steps)

    def of(self, rows: slice) -> "Masks":
        """The masks of some images."""
        return Masks(self.step_B[rows], self.masked_BT[rows], self.num_steps)

    def loss(self, nll_BT: torch.Tensor, kind: str) -> torch.Tensor:
        """The loss per token, from the cross-entropies of masked tokens (0 for the others).

        `kind` is `reweighted` or `elbo`: the two sums at the top of this file, divided by the number of tokens.
        Raises TwostageError for another kind.
        """
        match kind:
            case "reweighted":
                weight_B = (self.num_steps - self.step_B + 1) / self.num_steps
            case "elbo":
                weight_B = self.num_steps / self.step_B
            case other:
                raise TwostageError(f"priors.absorbing.loss={other} is unknown; choose reweighted or elbo")
        return (weight_B * nll_BT.sum(1)).mean() / nll_BT.shape[1]


class BoundMasks:
    """Masks with which the mean cross-entropy of masked tokens is an unbiased estimate of (bound) per token.

    A reverse step has the weight 1/t, and a token is masked with probability t/T. So (bound) is N times the mean over
    steps of the cross-entropy of one token, which is drawn uniformly and always masked, while the others are masked
    with probability t/T. Given the mask, this token is equally likely any masked one, so their mean has less variance.
    No mask is empty, and no weight is large. Steps are spread evenly over the images.

    Masks are drawn image by image, so they are the same for every model, seed, evaluation point and batch size.
    """

    def __init__(self, num_images: int, num_tokens: int, num_steps: int, rng: np.random.Generator) -> None:
        self.num_tokens, self.num_steps, self._rng = num_tokens, num_steps, rng
        share_N = (rng.permutation(num_images) + rng.random()) / num_images
        self.step_N = 1 + (share_N * num_steps).astype(np.int64)

    def of(self, images: np.ndarray) -> torch.Tensor:
        """Masks bool [B, T] of the next images. Call it in the order of the images."""
        uniform_BU = self._rng.random((len(images), self.num_tokens + 1))
        masked_BT = uniform_BU[:, 1:] < self.step_N[images, None] / self.num_steps
        certain_B = (uniform_BU[:, 0] * self.num_tokens).astype(np.int64)
        masked_BT[np.arange(len(images)), certain_B] = True
        return torch.from_numpy(masked_BT)


def mean_over_masked(nll_BT: torch.Tensor, masked_BT: torch.Tensor) -> torch.Tensor:
    """Mean over the masked tokens of each image, float64 [B]. `nll_BT` must be 0 for the other tokens."""
    return nll_BT.double().sum(1) / masked_BT.sum(1)
