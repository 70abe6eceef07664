"""The terms of the objective (Esser et al. 2021, Eq. 4 to 7), as functions of tensors, without models."""

# B batch, C channels, H height, W width

from torch import Tensor
from torch.nn import functional
from torch.nn.grad import conv2d_weight

from twostage.errors import TwostageError
from twostage.runtime import processes


def reconstruction_loss(name: str, output_BCHW: Tensor, image_BCHW: Tensor) -> Tensor:
    """Mean reconstruction loss over elements (l1, l2, binary_cross_entropy) or pixels (cross_entropy).

    For cross-entropies `output_BCHW` holds logits, and the image is one-hot, or in [-1, 1] for a binary map.
    """
    match name:
        case "l1":
            return functional.l1_loss(output_BCHW, image_BCHW)
        case "l2":
            return functional.mse_loss(output_BCHW, image_BCHW)
        case "cross_entropy":
            return functional.cross_entropy(output_BCHW, image_BCHW.argmax(1))
        case "binary_cross_entropy":
            return functional.binary_cross_entropy_with_logits(output_BCHW, (image_BCHW > 0).to(output_BCHW))
        case other:
            raise TwostageError(
                f"loss.reconstruction {other} is unknown; expected l1, l2, cross_entropy or binary_cross_entropy"
            )


def generator_loss(name: str, logit_fake: Tensor) -> Tensor:
    """Adversarial loss of the tokenizer. log: Eq. 5, log(1 - D(fake)); hinge, as released: the negative mean logit.

    non_saturating: -log D(fake) (Goodfellow et al. 2014, Sec. 3).
    """
    match name:
        case "hinge":
            return -logit_fake.mean()
        case "log":
            return -functional.softplus(logit_fake).mean()
        case "non_saturating":
            return functional.softplus(-logit_fake).mean()
        case other:
            raise _unknown(other)


def discriminator_loss(name: str, logit_real: Tensor, logit_fake: Tensor) -> Tensor:
    """Loss of the discriminator: half the sum over real and fake, as released; log and non_saturating: minus Eq. 5."""
    match name:
        case "hinge":
            return 0.5 * (functional.relu(1.0 - logit_real).mean() + functional.relu(1.0 + logit_fake).mean())
        case "log" | "non_saturating":
            return 0.5 * (functional.softplus(-logit_real).mean() + functional.softplus(logit_fake).mean())
        case other:
            raise _unknown(other)


def _unknown(name: str) -> TwostageError:
    return TwostageError(f"loss.adversarial {name} is unknown; expected hinge, log, non_saturating or none")


def adaptive_weight(hidden_BCHW: Tensor, gradients_BCHW: tuple[Tensor, Tensor], weight: Tensor, delta: float) -> Tensor:
    """lambda of Eq. 7: norm of the reconstruction gradient over norm of the adversarial one, at the last layer.

    The last layer is a 3x3 convolution, so the gradient of its weight follows from its input, `hidden_BCHW`, and the
    gradients at the reconstruction. No pass through the networks is needed. The norms are of the gradients' means over
    processes.
    """
    hidden_BCHW = hidden_BCHW.detach().to(weight.dtype)
    reconstruction, adversarial = (
        processes.mean(conv2d_weight(hidden_BCHW, weight.shape, gradient.to(weight.dtype), padding=1)).norm()
        for gradient in gradients_BCHW
    )
    return reconstruction / (adversarial + delta)
