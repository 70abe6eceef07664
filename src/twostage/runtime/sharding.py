"""How a model is laid out for its training: sharded over processes, its blocks computed again, compiled."""

import functools
from collections.abc import Iterator
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.utils.checkpoint import checkpoint

from twostage.config.schema import LoopConfig
from twostage.errors import TwostageError
from twostage.runtime import processes


def laid_out(model: nn.Module, config: LoopConfig) -> nn.Module:
    """What a step calls for `model`, on its device; it shares the parameters. Build optimizers afterwards.

    Raises TwostageError for an unknown `config.sharding`.
    """
    blocks = list(blocks_of(model))
    if config.checkpoint_activations:
        for block in blocks:
            # Between forward and backward a block keeps its input alone (Chen et al. 2016, Sec. 3).
            block.forward = functools.partial(checkpoint, block.forward, use_reentrant=False)
    if config.compile:
        model.compile()
    match config.sharding:
        case "none":
            return processes.replicated(model)
        case "fsdp":
            return processes.sharded(model, blocks)
        case other:
            raise TwostageError(f"loop.sharding={other} is unknown; choose none or fsdp")


def blocks_of(model: nn.Module) -> Iterator[nn.Module]:
    """The members of the model's outermost lists: of a transformer, its layers."""
    for part in model.children():
        if isinstance(part, nn.ModuleList):
            yield from part
        else:
            yield from blocks_of(part)


def state_of(model: nn.Module, optimizer: Optimizer, config: LoopConfig) -> tuple[dict[str, Any], dict[str, Any]]:
    """Model and optimizer, whole; of a sharded model they are empty in all processes but the first."""
    match config.sharding:
        case "fsdp":
            from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict

            return get_state_dict(model, optimizer, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
        case _:
            return model.state_dict(), optimizer.state_dict()


def load_state(
    model: nn.Module, optimizer: Optimizer, config: LoopConfig, state: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    """Restores what `state_of` returned, whatever the number of processes."""
    match config.sharding:
        case "fsdp":
            from torch.distributed.checkpoint.state_dict import StateDictOptions, set_state_dict

            options = StateDictOptions(full_state_dict=True)
            set_state_dict(model, optimizer, model_state_dict=state[0], optim_state_dict=state[1], options=options)
        case _:
            model.load_state_dict(state[0])
            optimizer.load_state_dict(state[1])


def weights_of(model: nn.Module, config: LoopConfig) -> dict[str, Any]:
    """The model's tensors, whole; of a sharded model there are none in all processes but the first."""
    match config.sharding:
        case "fsdp":
            from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

            return get_model_state_dict(model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
        case _:
            return model.state_dict()
