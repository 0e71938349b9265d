"""A graphics card where there is none: tensors that say they are on another device, keep true values in the CPU's
memory, and refuse whatever a real card refuses.

PyTorch's own fake tensors are no help for this on a build without CUDA: indexing one on "cuda" raises "not linked with
support for cuda devices", and a backward pass ends the process. PyTorch does let a device be written in Python (its
"PrivateUse1"). This one, "card", computes what the CPU computes, so that tests may compare to the last bit, run
masks and other shapes that depend on data, and see where values leave the card: only ``cpu()``, ``to()``, ``item()``,
``tolist()`` and the like bring them out; numpy cannot read them.

It is stricter than CUDA: a tensor of the CPU's may not even be an index into one of the card's (that would be a copy,
and a wait, each time); a number in a tensor without dimensions may go along with any. Copying into a tensor is moving.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils import backend_registration
from torch.utils._pytree import tree_leaves

from engine import splatting
from engine.splatting.backends import backend_for

COPY = torch.ops.aten._to_copy.default
COPY_IN = torch.ops.aten.copy_.default
MATMUL = (torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__)
NUMBER = torch.ops.aten._local_scalar_dense.default


class MixedDevices(RuntimeError):
    """An operation on tensors of two devices."""


class OnCard(torch.Tensor):
    """A tensor on the card. Attributes: inner: its values."""

    inner: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> OnCard:
        return torch.Tensor._make_wrapper_subclass(
            cls, inner.shape, strides=inner.stride(), storage_offset=inner.storage_offset(), dtype=inner.dtype,
            device=the_card(),
        )  # fmt: skip

    def __init__(self, inner: torch.Tensor):
        self.inner = inner

    def __repr__(self) -> str:  # type: ignore[override]
        return f"OnCard({self.inner})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        for value in (*args, *kwargs.values()) if func is not COPY_IN else ():
            _check(func, value)
        leaves = func is NUMBER or func is COPY and str(kwargs.get("device") or "card").startswith("cpu")
        if kwargs.get("device") is not None:
            kwargs["device"] = "cpu"
        out = func(*_each(_inner, args), **{name: _each(_inner, value) for name, value in kwargs.items()})
        if leaves:
            return out
        changed = tree_leaves((args, kwargs)) if func._schema.is_mutable else ()
        known = {id(each.inner): each for each in changed if isinstance(each, OnCard)}
        return _each(lambda x: _outer(x, known), out)


def _each(change: Any, value: Any) -> Any:
    """A value, or all in a list of lists, changed."""
    return type(value)(_each(change, x) for x in value) if isinstance(value, (list, tuple)) else change(value)


def _inner(value: Any) -> Any:
    return value.inner if isinstance(value, OnCard) else value


def _outer(value: Any, known: dict[int, OnCard]) -> Any:
    if not isinstance(value, torch.Tensor):
        return value
    return known[id(value)] if id(value) in known else OnCard(value)


def _check(func: Any, value: Any) -> None:
    listed = isinstance(value, (list, tuple))
    for each in value if listed else (value,):
        elsewhere = isinstance(each, torch.Tensor) and not isinstance(each, OnCard)
        if elsewhere and (each.ndim or listed):
            raise MixedDevices(f"{func}: a tensor {tuple(each.shape)} on the CPU among the card's")


class _Enter(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return OnCard(x.detach().clone())

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> torch.Tensor:
        return grads[0].inner


class _Leave(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> torch.Tensor:
        return x.inner.detach().clone()

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> torch.Tensor:
        return OnCard(grads[0])


class _Driver(TorchFunctionMode):
    """Makes and moves tensors as the device's own library would."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in (torch.Tensor.to, torch.Tensor.cpu):
            return self._moved(func, *args, **kwargs)
        if func is torch.Tensor.tolist:
            return func(_inner(args[0]))
        if func in MATMUL and any(isinstance(x, OnCard) and x.ndim == 1 for x in args):
            return _by_matrices(*args)
        if func is torch.Tensor.new_tensor and isinstance(args[0], OnCard):
            kwargs = {"dtype": args[0].dtype, "device": args[0].device} | kwargs
            func, args = torch.tensor, args[1:]
        if func in (torch.Tensor.__getitem__, torch.Tensor.__setitem__) and isinstance(args[0], OnCard):
            places = args[1] if isinstance(args[1], tuple) else (args[1],)
            args = (args[0], tuple(map(_listed, places)), *args[2:])
        if kwargs and _is_card(kwargs.get("device")) and not any(isinstance(x, OnCard) for x in tree_leaves(args)):
            free = kwargs.pop("requires_grad", False)
            return OnCard(func(*args, **kwargs | {"device": "cpu"})).requires_grad_(free)
        return func(*args, **kwargs)

    def _moved(self, func: Any, x: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        """``x.to(…)`` or ``x.cpu()`` by its parts: the type first, then the device."""
        like = [each for each in args if isinstance(each, torch.Tensor)]
        named = [each for each in (*args, kwargs.get("device")) if isinstance(each, (str, torch.device))]
        types = [each for each in (*args, kwargs.get("dtype")) if isinstance(each, torch.dtype)]
        device = torch.device("cpu") if func is torch.Tensor.cpu else (named or [(like or [x])[0].device])[0]
        dtype = (types or [(like or [x])[0].dtype])[0]
        turned = torch.Tensor.type(x, dtype) if x.dtype != dtype else x
        there, wanted = isinstance(x, OnCard), _is_card(device)
        if there == wanted:
            return turned.clone() if kwargs.get("copy") else turned
        return (_Enter if wanted else _Leave).apply(turned)


def _by_matrices(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """A product with a vector: PyTorch's own changes a shape in place, of which the outer tensor would not know."""
    row, column = a.ndim == 1, b.ndim == 1
    product = torch.matmul(a[None] if row else a, b[:, None] if column else b)
    product = product.squeeze(-1) if column else product
    return product.squeeze(-1 if column else -2) if row else product


def _is_card(device: Any) -> bool:
    return isinstance(device, (str, torch.device)) and str(device).startswith("card")


def _listed(value: Any) -> Any:
    return OnCard(torch.tensor(value)) if isinstance(value, list) else value


class _Module(backend_registration._DummyBackendModule):
    @staticmethod
    def get_amp_supported_dtype() -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]


@lru_cache(maxsize=1)
def the_card() -> torch.device:
    """Once a process; nothing takes it for a default. Autocast is accepted and does nothing."""
    backend_registration._setup_privateuseone_for_python_backend("card", _Module())
    _ANY.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
    for name in ("empty.memory_format", "empty_strided"):  # PyTorch itself makes numbers next to what is on the card
        _ATEN.impl(name, partial(_made, getattr(torch, name.partition(".")[0])), "PrivateUse1")
    return torch.device("card", 0)


_ANY, _ATEN = torch.library.Library("_", "IMPL"), torch.library.Library("aten", "IMPL")


def _made(make: Any, *args: Any, **kwargs: Any) -> OnCard:
    return OnCard(make(*args, **kwargs | {"device": "cpu", "layout": torch.strided}))


@contextmanager
def card() -> Iterator[torch.device]:
    """A card within; the CPU's rasteriser draws on it."""
    there = the_card()

    class Rasteriser:
        @staticmethod
        def rasterize(*given: Any, **named: Any) -> Any:
            if any(isinstance(x, torch.Tensor) and not isinstance(x, OnCard) for x in (*given, *named.values())):
                raise MixedDevices("rasterization: a tensor on the CPU among the card's")
            named = {name: _out(value) for name, value in named.items()}
            renders, alphas, meta = backend_for("cpu").rasterize(*map(_out, given), **named)
            return renders.to(there), alphas.to(there), {name: _in(value) for name, value in meta.items()}

    def _out(value: Any) -> Any:
        return value.cpu() if isinstance(value, OnCard) else value

    def _in(value: Any) -> Any:
        return value.to(there) if isinstance(value, torch.Tensor) else value

    # Backward on this thread: the others start with a process's first backward, for the devices that are known by then.
    with _Driver(), torch.autograd.set_multithreading_enabled(False), pytest.MonkeyPatch.context() as patch:
        patch.setattr(splatting, "backend_for", lambda kind: Rasteriser if kind == "card" else backend_for(kind))
        yield there
