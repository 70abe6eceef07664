"""A second device on a machine that has only a CPU: tensors on it are kept apart from the CPU's as on a GPU.

It takes the place that torch keeps for devices of others (PrivateUse1), under the name "second". A tensor on it wraps
one of the CPU, on which all is computed, so numbers come out as on the CPU. Refused is what CUDA refuses: an operation
on tensors of two devices, a generator of another device, an array that shares a tensor's memory. What differs on a real
GPU stays unseen: its kernels, their rounding, missing dtypes, streams and memory. Autocast knows a few operations.
"""

import contextlib
import functools
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_flatten_with_path, tree_map, tree_unflatten
from torch.utils.backend_registration import (
    _DummyPrivateUse1Hook,
    _setup_privateuseone_for_python_backend,
)

from tests.chaos.compare import MEASURED
from twostage.runtime.artifacts import read_array, read_csv, read_json
from twostage.runtime.tensors import read_tensors

NAME = "second"
# Keys of JSON and columns of CSV: what a clock decided, and which clock it was.
LEFT_OUT = re.compile(rf"{MEASURED.pattern}|clock|from")

aten = torch.ops.aten
AT_ONCE = {aten._conj.default: aten.conj_physical.default, aten._neg_view.default: aten.neg.default}
# As on CUDA: between devices, and by places that lie on the CPU.
BETWEEN_DEVICES = {aten.copy_.default, aten._foreach_copy_.default, aten.set_.source_Tensor}
BY_PLACES = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default}
# Beside pointwise operations, those that take a number from the CPU where it is a tensor of no dimension.
TAKES_NUMBERS = {aten.fill_.Tensor, aten.masked_fill.Tensor, aten.masked_fill_.Tensor, *BY_PLACES}
LOWER = [aten.conv2d.default, aten.linear.default, aten.matmul.default, aten.bmm.default, aten.addmm.default]
LOWER += [aten.mm.default, aten.scaled_dot_product_attention.default]
FULL = [aten.layer_norm.default, aten.group_norm.default, aten.softmax.int, aten.log_softmax.int]
FULL += [aten.cross_entropy_loss.default]


class OnDevice(torch.Tensor):
    """A tensor on the second device; `raw` holds its numbers."""

    raw: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, raw: torch.Tensor) -> "OnDevice":
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            raw.shape,
            strides=raw.stride(),
            storage_offset=raw.storage_offset(),
            dtype=raw.dtype,
            device=torch.device(NAME, 0),
        )
        made.raw = raw
        return made

    def __repr__(self) -> str:
        return f"OnDevice({self.raw})"

    def tolist(self) -> Any:
        """torch itself refuses it to subclasses."""
        return self.raw.tolist()

    @property
    def data(self) -> torch.Tensor:
        """torch would exchange the shell alone."""
        return self.detach()

    @data.setter
    def data(self, other: "OnDevice") -> None:
        assert (other.shape, other.dtype) == (self.shape, self.dtype)
        self.raw = other.raw

    def __reduce_ex__(self, protocol: int) -> Any:
        """As `torch.load(map_location="cpu")` returns tensors of other devices."""
        return self.raw.__reduce_ex__(protocol)

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _computed(func, args, kwargs or {})


class _Generator:
    """The device's own generator: its draws leave the CPU's as it is."""

    def __init__(self) -> None:
        self.state = torch.get_rng_state()

    @contextlib.contextmanager
    def used(self) -> Iterator[None]:
        before = torch.get_rng_state()
        torch.set_rng_state(self.state)
        try:
            yield
        finally:
            self.state = torch.get_rng_state()
            torch.set_rng_state(before)


class _Module:
    """What torch asks of the module of a device, `torch.second`."""

    def __init__(self) -> None:
        self.on = False
        self.num_operations = 0
        self.generator: _Generator | None = None

    def is_available(self) -> bool:
        return self.on

    def is_initialized(self) -> bool:
        return True

    def device_count(self) -> int:
        return int(self.on)

    def current_device(self) -> int:
        return 0

    def _is_in_bad_fork(self) -> bool:
        return False

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]

    def get_device_name(self, device: Any = None) -> str:
        return "a second device"

    def manual_seed_all(self, seed: int) -> None:
        if self.generator:
            self.generator.state = torch.Generator().manual_seed(seed).get_state()

    def get_rng_state(self, device: Any = None) -> torch.Tensor:
        return self.generator.state.clone() if self.generator else torch.get_rng_state()

    def set_rng_state(self, state: torch.Tensor, device: Any = None) -> None:
        assert state.device.type == "cpu"
        if self.generator:
            self.generator.state = state.clone()
        else:
            torch.set_rng_state(state)


_MODULE = _Module()


class _Hook(_DummyPrivateUse1Hook):
    def is_available(self) -> bool:
        return _MODULE.on


_FALLBACK = torch.library.Library("_", "IMPL")
_AUTOCAST = torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastPrivateUse1)


def _cast(operation: Any, dtype: torch.dtype | None) -> Any:
    """The operation with its floating-point tensors in a dtype; None: the one that autocast was asked for."""

    def called(*args: Any, **kwargs: Any) -> Any:
        wanted = dtype or torch.get_autocast_dtype(NAME)

        def as_wanted(each: Any) -> Any:
            return each.to(wanted) if isinstance(each, torch.Tensor) and each.is_floating_point() else each

        with torch._C._ExcludeDispatchKeyGuard(_AUTOCAST):
            return operation(*tree_map(as_wanted, args), **tree_map(as_wanted, kwargs))

    return called


@functools.cache
def _registered() -> torch.library.Library:
    """The device made known to torch, and kernels by which `torch.tensor(..., device="second")` passes by the mode."""
    # At its first backward, torch starts a thread for each device that it knows then. A process with such threads
    # cannot run backward after a fork, so the first one is run while only the CPU is known.
    torch.ones((), requires_grad=True).backward()
    _setup_privateuseone_for_python_backend(NAME, _MODULE, _Hook())
    library = torch.library.Library("aten", "IMPL")

    # Operations that autocast does not know are left alone, and these take the dtype that CUDA's autocast gives them.
    _FALLBACK.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
    for operation in (*LOWER, *FULL):
        library.impl(operation, _cast(operation, None if operation in LOWER else torch.float32), "AutocastPrivateUse1")

    def empty_strided(size: Any, stride: Any, *, dtype: torch.dtype, **_: Any) -> OnDevice:
        return OnDevice(torch.empty_strided(size, stride, dtype=dtype))

    def copy_from(source: torch.Tensor, target: OnDevice, non_blocking: bool = False) -> OnDevice:
        target.raw.copy_(source)
        return target

    library.impl("empty_strided", empty_strided, "PrivateUse1")
    library.impl("_copy_from", copy_from, "PrivateUse1")
    return library


class _Mode(TorchDispatchMode):
    """Sees what no tensor of the device takes part in: `torch.zeros(2, device="second")`, `.to("second")`."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _computed(func, args, kwargs or {})


@contextlib.contextmanager
def second_device(own_generator: bool = False) -> Iterator[torch.device]:
    """While the block runs, the machine has the device, and it is torch's accelerator.

    Its random numbers come out of the CPU's generator, as those of a run on the CPU do, or out of its own.
    """
    _registered()
    swaps = torch.__future__.get_swap_module_params_on_conversion()
    _MODULE.on, _MODULE.generator = True, _Generator() if own_generator else None
    # `module.to` keeps the identity of its parameters, as on CUDA, though their class changes.
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        # The part of a device that Python can register does not synchronize.
        with contextlib.ExitStack() as stack:
            stack.enter_context(mock.patch.object(torch.accelerator, "synchronize"))
            stack.enter_context(mock.patch.dict(os.environ))
            os.environ.pop("TWOSTAGE_DEVICE", None)
            # Backward has no thread for this device.
            stack.enter_context(torch.autograd.set_multithreading_enabled(False))
            stack.enter_context(_Mode())
            yield torch.device(NAME)
    finally:
        _MODULE.on = False
        torch.__future__.set_swap_module_params_on_conversion(swaps)


def assert_same_on_both(write: Callable[[Path], Any], folder: Path, tolerance: float = 1e-5) -> None:
    """What `write(FOLDER)` writes on the device is what it writes on the CPU: codes exactly, other numbers nearly.

    Bytes of images may differ by one, which rounding decides. What a clock decided is left out.
    """
    write(folder / "on_cpu")
    before = _MODULE.num_operations
    with second_device():
        write(folder / "on_second")
    assert _MODULE.num_operations > before, "nothing ran on the device"
    names = [sorted(path.name for path in (folder / side).iterdir()) for side in ("on_cpu", "on_second")]
    assert names[0] == names[1] != []
    for name in names[0]:
        expected, found = (_numbers(folder / side / name) for side in ("on_cpu", "on_second"))
        assert expected.keys() == found.keys(), name
        for key, value in expected.items():
            _assert_near(found[key], value, tolerance, f"{name}: {key}")


def _assert_near(found: Any, expected: Any, tolerance: float, where: str) -> None:
    if not isinstance(expected, np.ndarray):
        assert found == pytest.approx(expected, rel=tolerance, abs=tolerance, nan_ok=True), (where, found, expected)
        return
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype), where
    exact = {"rtol": 0, "atol": expected.dtype == np.uint8}
    allowed = {"rtol": tolerance, "atol": tolerance} if expected.dtype.kind == "f" else exact
    np.testing.assert_allclose(found.astype(float), expected.astype(float), **allowed, err_msg=where)


def _numbers(path: Path) -> dict[str, Any]:
    """All that a file says, by names: tensors and arrays, or the values of JSON and CSV that no clock decided."""
    match path.suffix:
        case ".safetensors":
            tensors, metadata = read_tensors(path)
            return {name: tensor.numpy() for name, tensor in tensors.items()} | metadata
        case ".npy":
            return {"array": np.array(read_array(path))}
        case ".png":
            return {"array": np.asarray(Image.open(path))}
        case ".csv":
            rows = [{key: float(value or "nan") for key, value in row.items()} for row in read_csv(path)]
            return _leaves(rows)
        case _:
            return _leaves(read_json(path))


def _leaves(value: Any) -> dict[str, Any]:
    named = [([str(step) for step in path], leaf) for path, leaf in tree_flatten_with_path(value)[0]]
    kept = [each for each in named if not any(LEFT_OUT.fullmatch(step.strip("[']")) for step in each[0])]
    return {"".join(path): leaf for path, leaf in kept}


@functools.cache
def _is_composite(func: Any) -> bool:
    return bool(func.has_kernel_for_dispatch_key(torch._C.DispatchKey.CompositeImplicitAutograd))


def _computed(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    given, form = tree_flatten((args, kwargs))
    ours = [each for each in given if isinstance(each, OnDevice)]
    wanted = next((each for each in given if isinstance(each, torch.device)), None)
    is_ours = wanted.type == NAME if wanted is not None else bool(ours)
    if not ours and not is_ours:
        return func(*args, **kwargs)
    if _is_composite(func):
        # In inference mode torch does not take them apart by itself.
        with _Mode():
            return func.decompose(*args, **kwargs)
    if ours:
        _refuse_mixed(func, args, given)
    _refuse_generator(given, is_ours)
    _MODULE.num_operations += 1
    args, kwargs = tree_unflatten([_on_cpu(each) for each in given], form)
    drawn = _MODULE.generator and is_ours and torch.Tag.nondeterministic_seeded in func.tags
    with _MODULE.generator.used() if drawn else contextlib.nullcontext():
        # A conjugate is a view with a mark on it, which the wrapper would not have.
        found = AT_ONCE.get(func, func)(*args, **kwargs)
    # What is changed in place is returned as it came.
    came = {id(each.raw): each for each in ours} | {id(each): each for each in given if isinstance(each, torch.Tensor)}
    for each in ours:
        assert each.shape == each.raw.shape, f"{func} changes the shape of a tensor in place"

    def placed(each: Any) -> Any:
        if not isinstance(each, torch.Tensor):
            return each
        if id(each) in came or not is_ours:
            return came.get(id(each), each)
        # A view of a plain tensor is a plain tensor in inference mode, too.
        plain = func.is_view and not ours[0].is_inference()
        with torch.inference_mode(torch.is_inference_mode_enabled() and not plain):
            return OnDevice(each)

    return tree_map(placed, found)


def _on_cpu(each: Any) -> Any:
    if isinstance(each, torch.device) and each.type == NAME:
        return torch.device("cpu")
    return each.raw if isinstance(each, OnDevice) else each


def _refuse_mixed(func: Any, args: Any, given: list[Any]) -> None:
    if func in BETWEEN_DEVICES:
        return
    others = [each for each in given if isinstance(each, torch.Tensor) and not isinstance(each, OnDevice)]
    if func in BY_PLACES and isinstance(args[0], OnDevice):
        places = {id(each) for each in args[1] if each is not None}
        others = [each for each in others if id(each) not in places]
    if torch.Tag.pointwise in func.tags or func in TAKES_NUMBERS:
        others = [each for each in others if each.dim()]
    if others:
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but found at least two devices, {NAME}:0 and "
            f"{others[0].device} (in {func}, shapes {[tuple(each.shape) for each in others]})"
        )


def _refuse_generator(given: list[Any], is_ours: bool) -> None:
    for each in given:
        if is_ours and isinstance(each, torch.Generator) and each.device.type != NAME:
            raise RuntimeError(f"Expected a '{NAME}' device type for generator but found '{each.device.type}'")
