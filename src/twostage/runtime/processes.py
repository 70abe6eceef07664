"""The processes that do one job together: torchrun starts them, accelerate joins them.

With one process nothing here changes a value, and accelerate is not imported. With several, all of them must call the
same functions in the same order.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from twostage.errors import TwostageError
from twostage.runtime.launch import MOST_WAITING, count, rank

T = TypeVar("T")
A = TypeVar("A")


@contextlib.contextmanager
def joined() -> Iterator[None]:
    """While the block runs, the processes can exchange tensors. Enter it once, after CUDA_VISIBLE_DEVICES is set."""
    if count() == 1:
        yield
        return
    from accelerate import PartialState

    # Picks the device of this process and the library that connects them: NCCL for CUDA, gloo for CPUs.
    # The first one may compute for hours while the others wait for its end.
    PartialState(cpu=_on_cpu(), timeout=MOST_WAITING)
    # Not in `finally`: after an error the others may never come here.
    yield
    wait()
    torch.distributed.destroy_process_group()


def _on_cpu() -> bool:
    # It imports this module.
    from twostage.runtime import training

    return training.device().type == "cpu"


def wait() -> None:
    """Returns when all processes are here."""
    if count() > 1:
        torch.distributed.barrier()


def from_first(value: T) -> T:
    """The value of the first process; that of the others is not used."""
    if count() == 1:
        return value
    from accelerate.utils import broadcast_object_list

    found: T = broadcast_object_list([value])[0]
    return found


def totals(parts: list[float], device: torch.device) -> list[float]:
    """The sums over processes of some numbers, in double precision, which not every accelerator has."""
    if count() == 1:
        return parts
    found: list[float] = total(torch.tensor(parts, dtype=torch.float64, device=device)).tolist()
    return found


def total(part: Tensor) -> Tensor:
    """The sum over processes of tensors of one shape."""
    return _reduced(part, "sum")


def mean(part: Tensor) -> Tensor:
    """The mean over processes of tensors of one shape."""
    return _reduced(part, "mean")


def _reduced(part: Tensor, how: str) -> Tensor:
    if count() == 1:
        return part
    from accelerate.utils import reduce

    found: Tensor = reduce(part, how)
    return found


def means(scalars: Mapping[str, Tensor]) -> dict[str, float]:
    """The mean of each scalar over processes."""
    if count() == 1:
        return {name: float(value.detach()) for name, value in scalars.items()}
    together = mean(torch.stack([value.detach().double() for value in scalars.values()]))
    return dict(zip(scalars, together.tolist(), strict=True))


def gathered(part_ND: Tensor) -> Tensor:
    """The rows of all processes, in the order of their numbers. Each must have as many."""
    if count() == 1:
        return part_ND
    from accelerate.utils import gather

    found: Tensor = gather(part_ND.contiguous())
    return found


def mean_with_gradient(part: Tensor) -> Tensor:
    """As `mean`, and differentiable: gradients are of the sum over processes of what each makes of the mean."""
    return part if count() == 1 else _Mean.apply(part)


class _Mean(torch.autograd.Function):
    # torch has this, but deprecated; its successor's module is private.
    @staticmethod
    def forward(_: Any, part: Tensor) -> Tensor:
        return mean(part)

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        return mean(gradient)


def replicated(model: nn.Module) -> nn.Module:
    """The model as `DistributedDataParallel`, which averages gradients over processes in `backward`.

    It shares its parameters with `model`. With one process, `model` itself.
    """
    if count() == 1 or not any(parameter.requires_grad for parameter in model.parameters()):
        return model
    # Buffers are equal in all processes by themselves, and a model may be called several times before `backward`.
    return nn.parallel.DistributedDataParallel(model, forward_sync_buffers=False)


def sharded(model: nn.Module, blocks: Iterable[nn.Module]) -> nn.Module:
    """The model with its parameters cut up: each process keeps a part, and all of a block only while it computes.

    Gradients are averaged over processes in `backward`. Build optimizers afterwards. With one process, nothing changes.
    Source: PyTorch's FSDP2, `fully_shard`.
    """
    if count() == 1:
        return model
    from torch.distributed.fsdp import fully_shard

    mesh = torch.distributed.init_device_mesh(next(model.parameters()).device.type, (count(),))
    for part in (*blocks, model):
        # gloo sums, but has no mean.
        fully_shard(part, mesh=mesh).set_force_sum_reduction_for_comms(_on_cpu())
    return model


def whole(part: Tensor) -> Tensor:
    """What a sharded model gives, such as the norm of its gradients, as a plain tensor."""
    if count() == 1:
        return part
    from torch.distributed.tensor import DTensor

    return part.full_tensor() if isinstance(part, DTensor) else part


def exchanging(model: nn.Module, is_last: bool) -> contextlib.AbstractContextManager[None]:
    """Passes through a `replicated` model in the block average gradients only if no more of the step follow."""
    if is_last or not isinstance(model, nn.parallel.DistributedDataParallel):
        return contextlib.nullcontext()
    return model.no_sync()


def in_turn(items: Iterable[T], work: Callable[[T], A]) -> Iterator[tuple[T, A]]:
    """Each item with `work(item)`, in their order, in the first process; the others do their share and get nothing.

    Of n processes each works on every n-th item, so an answer does not depend on their number.
    """
    rest = iter(items)
    if count() == 1:
        yield from ((item, work(item)) for item in rest)
    while group := list(itertools.islice(rest, count())):
        own = work(group[rank()]) if rank() < len(group) else None
        answers: list[Any] | None = [None] * count() if rank() == 0 else None
        torch.distributed.gather_object(own, answers)
        if answers is not None:
            # The last items may be fewer than the processes.
            yield from zip(group, answers[: len(group)], strict=True)


def own_part(num_rows: int, what: str) -> slice:
    """The rows of this process, out of those of all processes: as many in each, in the order of their numbers.

    Raises TwostageError if they cannot be divided; `what` names them.
    """
    if num_rows % count():
        raise TwostageError(
            f"{what}={num_rows} cannot be divided among {count()} processes; choose a multiple, or another number of "
            "processes"
        )
    each = num_rows // count()
    return slice(rank() * each, (rank() + 1) * each)
