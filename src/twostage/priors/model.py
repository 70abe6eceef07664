"""Builds, saves and loads priors of all architectures."""

# B batch, T image tokens, S condition tokens, V vocabulary

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

from twostage.config import plugins
from twostage.config.composition import parse
from twostage.config.schema import AbsorbingConfig, GPTConfig, PixelSNAILConfig, PriorConfig, SundaeConfig
from twostage.errors import TwostageError
from twostage.latents.dataset import TokenSpace
from twostage.latents.orderings import inverse, ordering
from twostage.priors.absorbing import Absorbing
from twostage.priors.condition import require_codes_of, require_tokens
from twostage.priors.denoiser import Denoiser, DenoisingPrior
from twostage.priors.gpt import GPT, Net2Net, ReleasedGPT
from twostage.priors.pixelsnail import PixelSNAIL
from twostage.priors.sundae import Sundae
from twostage.runtime.artifacts import read_json, write_json
from twostage.runtime.tensors import read_tensors, write_tensors

Model = GPT | PixelSNAIL  # autoregressive: both map (index_BT, condition_BS | None) to logits_BTV
AnyModel = Model | Denoiser  # what can be trained here
S = TypeVar("S")
# Priors of plugins, by the names of their architectures: sizes and tokens -> a network with random weights.
OWN: dict[str, Callable[[dict[str, Any], TokenSpace], torch.nn.Module]] = {}


def add_prior(name: str, build: Callable[[dict[str, Any], TokenSpace], torch.nn.Module]) -> None:
    """Adds an autoregressive prior of a plugin: `priors.architecture=NAME`, its sizes in `priors.own`.

    The network maps tokens int64 [B, T] in the order `priors.ordering`, and condition tokens [B, S] or None, to logits
    [B, T, V]: those at t are of token t and have seen the tokens before t alone. Raises TwostageError if the name is
    taken.
    """
    plugins.add(
        "architecture", name, OWN, build, taken=("gpt", "pixelsnail", "sundae", "absorbing", "released", "net2net")
    )


def _own(name: str, sizes: dict[str, Any], tokens: TokenSpace, ordering: str) -> Model:
    model: Any = OWN[name](sizes, tokens)
    # As every prior of ours says of itself.
    model.config, model.tokens, model.ordering = sizes, tokens, ordering
    own: Model = model
    return own


def build(config: PriorConfig, tokens: TokenSpace) -> AnyModel:
    """A newly initialised prior.

    Raises TwostageError for an unknown architecture, missing sizes, or an ordering that does not fit it or the grid.
    """
    ordering(config.ordering, *tokens.grid)
    match config.architecture:
        case "gpt":
            return GPT(_required(config.gpt, "gpt"), tokens, config.ordering)
        case "pixelsnail":
            if config.ordering != PixelSNAIL.ordering:
                raise TwostageError(
                    f"priors=pixelsnail needs priors.ordering={PixelSNAIL.ordering}, got {config.ordering}; its "
                    "convolutions see only pixels above and to the left, so choose priors=gpt for other orderings"
                )
            return PixelSNAIL(_required(config.pixelsnail, "pixelsnail"), tokens)
        case "sundae":
            _require_grid(config)
            return Sundae(_required(config.sundae, "sundae"), tokens)
        case "absorbing":
            _require_grid(config)
            return Absorbing(_required(config.absorbing, "absorbing"), tokens)
        case name if name in OWN:
            return _own(name, config.own, tokens, config.ordering)
        case other:
            raise TwostageError(
                f"priors.architecture={other} is unknown; choose priors=gpt, priors=pixelsnail, priors=sundae or "
                "priors=absorbing"
            )


def _require_grid(config: PriorConfig) -> None:
    """Denoisers do not order the tokens."""
    if config.ordering != Denoiser.ordering:
        raise TwostageError(
            f"priors={config.architecture} draws all tokens at once, got priors.ordering={config.ordering}; "
            f"leave it {Denoiser.ordering}"
        )


def _required(sizes: S | None, architecture: str) -> S:
    if sizes is None:
        raise TwostageError(f"priors.architecture={architecture} needs its sizes; set priors.{architecture}")
    return sizes


def num_parameters(model: torch.nn.Module) -> int:
    """Number of trainable parameters of a model."""
    return sum(parameter.numel() for parameter in model.parameters())


@dataclass(frozen=True)
class Prior:
    """A trained autoregressive prior.

    Logits at position t predict token `t + first_predicted`. A prior trained here has a start token: its logits at t
    predict token t from the tokens before t. A released prior has none: its logits at t predict token t + 1 from the
    tokens up to and including t, and the start of a sequence (condition, class or start codes) is part of `index_BT`.

    "Before" refers to the order of the model's sequence. Inputs and outputs are row-major for every order.
    """

    model: GPT | PixelSNAIL | ReleasedGPT
    first_predicted: int

    @torch.inference_mode()
    def logits(self, index_BT: torch.Tensor, condition_BS: torch.Tensor | None = None) -> torch.Tensor:
        """Logits float32 [B, T, V] for tokens int64 [B, T] in row-major order and condition tokens [B, S].

        Raises TwostageError if a condition is missing or not expected, or for a wrong type, shape or range.
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
            # The sequence may be shorter than the grid.
            return model(index_BT, condition_BS)
        order_T = ordering(model.ordering, *model.tokens.grid)
        return model(index_BT[:, order_T], condition_BS)[:, inverse(order_T)]


def trained_format(config: PriorConfig, tokens: TokenSpace) -> dict[str, Any]:
    """The `config.json` of a prior trained here."""
    is_own = config.architecture in OWN
    sizes = config.own if is_own else asdict(getattr(config, config.architecture))
    return _format(config.architecture, config.ordering, tokens, sizes)


def _format(architecture: str, ordering: str, tokens: TokenSpace, sizes: Any) -> dict[str, Any]:
    return {
        "format": "twostage",
        "architecture": architecture,
        "ordering": ordering,
        "tokens": tokens.as_json(),
        architecture: sizes,
    }


def released_format(config: GPTConfig, num_codes: int, num_positions: int) -> dict[str, Any]:
    """The `config.json` of an imported prior."""
    return {"format": "released", "gpt": asdict(config), "num_codes": num_codes, "num_positions": num_positions}


def net2net_format(model: Net2Net) -> dict[str, Any]:
    """The `config.json` of an imported prior whose tokens are known, so that it draws."""
    layout = {"num_codes": model.codes.num_embeddings, "num_positions": len(model.transformer.positions)}
    return _format("net2net", model.ordering, model.tokens, {**asdict(model.config), **layout, "sos": model.sos})


def store(folder: Path, values: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    """Writes `model.safetensors` and `config.json`."""
    write_tensors(folder / "model.safetensors", tensors)
    write_json(folder / "config.json", values)


def load(folder: Path | str) -> Prior | DenoisingPrior:
    """The prior of an artifact folder, on the CPU and in evaluation mode.

    Raises TwostageError if a file is missing or the weights do not match the config.
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
    """Loads exactly these tensors into the model.

    Raises TwostageError that names a missing or unexpected tensor or one with a wrong shape.
    """
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    given = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    for name in [*wanted, *given]:
        if wanted.get(name) != given.get(name):
            raise TwostageError(
                f"{source}: tensor {name} is {given.get(name, 'missing')}, the config expects "
                f"{wanted.get(name, 'none of this name')}; use weights and config of the same model"
            )
    model.load_state_dict(tensors)


def _architecture(values: Any, folder: Path) -> str:
    """The format of a config, or "released". Raises TwostageError if this version has no such prior."""
    match values:
        case {"format": "released", "gpt": {}, "num_codes": int(), "num_positions": int()}:
            return "released"
        # Configs of earlier versions lack the checksum that identifies the codes.
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
        case "net2net":
            sizes = dict(values["net2net"])
            layout = {key: sizes.pop(key) for key in ("num_codes", "num_positions", "sos")}
            return Net2Net(parse(GPTConfig, sizes), TokenSpace.from_json(values["tokens"]), **layout)
        case "released":
            return ReleasedGPT(GPTConfig(**values["gpt"]), values["num_codes"], values["num_positions"])
        case name if name in OWN:
            return _own(name, values[name], TokenSpace.from_json(values["tokens"]), values["ordering"])
        case other:
            raise TwostageError(f"a prior of the architecture {other} comes from another version; train it again")
