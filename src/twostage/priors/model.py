"""Building, storing and reading priors of every architecture."""

# B batch, T image tokens, S condition tokens, V vocabulary

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

from twostage.config.composition import parse
from twostage.config.schema import AbsorbingConfig, GPTConfig, PixelSNAILConfig, PriorConfig, SundaeConfig
from twostage.errors import TwostageError
from twostage.latents.dataset import TokenSpace
from twostage.latents.orderings import inverse, ordering
from twostage.priors.absorbing import Absorbing
from twostage.priors.condition import require_codes_of, require_tokens
from twostage.priors.denoiser import Denoiser, DenoisingPrior
from twostage.priors.gpt import GPT, ReleasedGPT
from twostage.priors.pixelsnail import PixelSNAIL
from twostage.priors.sundae import Sundae
from twostage.runtime.artifacts import read_json, write_json
from twostage.runtime.tensors import read_tensors, write_tensors

Model = GPT | PixelSNAIL  # autoregressive: both map (index_BT, condition_BS | None) to logits_BTV
AnyModel = Model | Denoiser  # what trains here
S = TypeVar("S")


def build(config: PriorConfig, tokens: TokenSpace) -> AnyModel:
    """A freshly initialised prior.

    Raises TwostageError for an unknown architecture, one without its sizes, or an ordering that it or the grid lacks.
    """
    ordering(config.ordering, *tokens.grid)
    match config.architecture:
        case "gpt":
            return GPT(_required(config.gpt, "gpt"), tokens, config.ordering)
        case "pixelsnail":
            if config.ordering != PixelSNAIL.ordering:
                raise TwostageError(
                    f"priors=pixelsnail needs priors.ordering={PixelSNAIL.ordering}, got {config.ordering}; its "
                    "convolutions see what lies above and to the left, so choose priors=gpt for other orderings"
                )
            return PixelSNAIL(_required(config.pixelsnail, "pixelsnail"), tokens)
        case "sundae":
            _require_grid(config)
            return Sundae(_required(config.sundae, "sundae"), tokens)
        case "absorbing":
            _require_grid(config)
            return Absorbing(_required(config.absorbing, "absorbing"), tokens)
        case other:
            raise TwostageError(
                f"priors.architecture={other} is unknown; choose priors=gpt, priors=pixelsnail, priors=sundae or "
                "priors=absorbing"
            )


def _require_grid(config: PriorConfig) -> None:
    """Denoisers have no order of the tokens."""
    if config.ordering != Denoiser.ordering:
        raise TwostageError(
            f"priors={config.architecture} draws all tokens at once, got priors.ordering={config.ordering}; leave it "
            f"{Denoiser.ordering}"
        )


def _required(sizes: S | None, architecture: str) -> S:
    if sizes is None:
        raise TwostageError(f"priors.architecture={architecture} needs its sizes; set priors.{architecture}")
    return sizes


def num_parameters(model: torch.nn.Module) -> int:
    """Trainable numbers of a model."""
    return sum(parameter.numel() for parameter in model.parameters())


@dataclass(frozen=True)
class Prior:
    """A finished autoregressive prior.

    Logits at position t are of token `t + first_predicted`. A prior trained here has a start token of its own: its
    logits at t are of token t and have seen the tokens before t. A released one has none: its logits at t have seen
    the tokens up to and including t and are of token t + 1, and whatever starts a sequence (condition, class or start
    codes) is part of `index_BT`.

    "Before" is meant in the order of the model's sequence; what goes in and comes out is row-major for every order.
    """

    model: GPT | PixelSNAIL | ReleasedGPT
    first_predicted: int

    @torch.inference_mode()
    def logits(self, index_BT: torch.Tensor, condition_BS: torch.Tensor | None = None) -> torch.Tensor:
        """Raw outputs float32 [B, T, V] of tokens int64 [B, T] in row-major order, under condition tokens [B, S].

        Raises TwostageError if a condition is missing or not wanted, or for another type, shape or range.
        """
        if not isinstance(self.model, ReleasedGPT):
            tokens = self.model.tokens
            fewest = 1 if self.model.ordering == "row_major" else tokens.num_tokens
            require_tokens(index_BT, tokens.num_codes, fewest, tokens.num_tokens)
            require_codes_of(tokens, condition_BS)
            return self._logits_of_grid(self.model, index_BT, condition_BS)
        if condition_BS is not None:
            raise TwostageError("a released prior takes its condition as the first tokens of the sequence")
        require_tokens(index_BT, self.model.codes.num_embeddings, 1, len(self.model.transformer.positions))
        return self.model(index_BT)

    @staticmethod
    def _logits_of_grid(model: Model, index_BT: torch.Tensor, condition_BS: torch.Tensor | None) -> torch.Tensor:
        if model.ordering == "row_major":
            # The first tokens of a grid may come alone.
            return model(index_BT, condition_BS)
        order_T = ordering(model.ordering, *model.tokens.grid)
        return model(index_BT[:, order_T], condition_BS)[:, inverse(order_T)]


def trained_format(config: PriorConfig, tokens: TokenSpace) -> dict[str, Any]:
    """The `config.json` of a prior trained here."""
    return {
        "format": "twostage",
        "architecture": config.architecture,
        "ordering": config.ordering,
        "tokens": tokens.as_json(),
        config.architecture: asdict(getattr(config, config.architecture)),
    }


def released_format(config: GPTConfig, num_codes: int, num_positions: int) -> dict[str, Any]:
    """The `config.json` of an imported prior."""
    return {"format": "released", "gpt": asdict(config), "num_codes": num_codes, "num_positions": num_positions}


def store(folder: Path, values: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    """Writes `model.safetensors` and `config.json`."""
    write_tensors(folder / "model.safetensors", tensors)
    write_json(folder / "config.json", values)


def load(folder: Path | str) -> Prior | DenoisingPrior:
    """The prior of an artifact folder, on the CPU and in evaluation mode.

    Raises TwostageError if a file is missing or the weights do not fit the config.
    """
    folder = Path(folder)
    values = read_json(folder / "config.json")
    architecture = _architecture(values, folder)
    model = _from_config(architecture, values)
    tensors, _ = read_tensors(folder / "model.safetensors")
    load_strictly(model, tensors, folder / "model.safetensors")
    model.eval()
    match architecture:
        case "sundae" | "absorbing":
            assert isinstance(model, Denoiser)
            return DenoisingPrior(model)
        case _:
            assert not isinstance(model, Denoiser)
            return Prior(model, int(isinstance(model, ReleasedGPT)))


def load_strictly(model: torch.nn.Module, tensors: dict[str, torch.Tensor], source: Path) -> None:
    """Fills the model with exactly these tensors. Raises TwostageError naming a tensor that is missing, left over or
    of another shape.
    """
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    given = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    for name in [*wanted, *given]:
        if wanted.get(name) != given.get(name):
            raise TwostageError(
                f"{source}: tensor {name} is {given.get(name, 'missing')}, the config expects "
                f"{wanted.get(name, 'none of this name')}; use the weights and the config of one model"
            )
    model.load_state_dict(tensors)


def _architecture(values: Any, folder: Path) -> str:
    """That of a prior trained here, or "released". Raises TwostageError if this version has no such prior."""
    match values:
        case {"format": "released", "gpt": {}, "num_codes": int(), "num_positions": int()}:
            return "released"
        # Without a checksum nothing tells what the codes mean: it is of an earlier version.
        case {
            "format": "twostage",
            "architecture": str() as name,
            "ordering": str(),
            "tokens": {"tokenizer_sha256": _},
        } if name in values:
            return name
    raise TwostageError(
        f"{folder}/config.json is not the config of a prior of this version; train it again, or import it again"
    )


def _from_config(architecture: str, values: dict[str, Any]) -> AnyModel | ReleasedGPT:
    """A model without weights."""
    match architecture:
        case "gpt":
            return GPT(GPTConfig(**values["gpt"]), TokenSpace.from_json(values["tokens"]), values["ordering"])
        case "pixelsnail":
            return PixelSNAIL(PixelSNAILConfig(**values["pixelsnail"]), TokenSpace.from_json(values["tokens"]))
        case "sundae":
            return Sundae(SundaeConfig(**values["sundae"]), TokenSpace.from_json(values["tokens"]))
        case "absorbing":
            return Absorbing(parse(AbsorbingConfig, values["absorbing"]), TokenSpace.from_json(values["tokens"]))
        case "released":
            return ReleasedGPT(GPTConfig(**values["gpt"]), values["num_codes"], values["num_positions"])
        case other:
            raise TwostageError(f"a prior of the architecture {other} is of another version; train it again")
