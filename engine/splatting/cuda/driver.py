"""Launches kernels through NVIDIA's driver, by ctypes alone, in PyTorch's context and on its current stream.

Source of the functions: CUDA's driver API, https://docs.nvidia.com/cuda/cuda-driver-api.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch

from engine.errors import EngineError
from engine.splatting.cuda import binary
from engine.splatting.cuda.binary import Binary
from engine.splatting.cuda.signatures import SIGNATURES

OUT_OF_MEMORY = 2
NOT_FOR_THIS_CARD = (209, 218, 222)  # no binary for the GPU, invalid PTX, PTX of a newer version
DTYPES = (torch.float32, torch.int32, torch.int64, torch.bool)  # of tensors that kernels read and write
UPDATE = "Update NVIDIA's driver, and restart the engine."


class Driver:
    """A driver with the kernels. For any thread.

    Args:
        library: the driver's functions, as ctypes loads them.
    """

    def __init__(self, library: Any, kernels: Binary):
        self._library, self._kernels = library, kernels
        self._contexts: dict[int, ctypes.c_void_p] = {}
        self._functions: dict[tuple[int, str], ctypes.c_void_p] = {}
        self._lock = threading.Lock()
        self._call("cuInit", ctypes.c_uint(0))

    def launch(
        self,
        kernel: str,
        device: torch.device,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        shared: int,
        values: Mapping[str, torch.Tensor | float | None],
    ) -> None:
        """Queue a kernel, one of :data:`SIGNATURES`; nothing is done where a grid has no blocks.

        Args:
            device: of all tensors. grid: blocks. block: threads. shared: bytes of dynamic shared memory, 48 KB at most.
            values: every parameter by its name; tensors are contiguous and of the kernel's type.

        Raises:
            EngineError: the card is too old, or the driver refuses. torch.OutOfMemoryError: it has no memory left.
        """
        if 0 in grid:
            return
        parameters = SIGNATURES[kernel]
        names = [field[0] for field in parameters._fields_]
        assert set(values) == set(names), set(values) ^ set(names)
        held = parameters(**{name: _plain(value, device) for name, value in values.items()})
        places = [ctypes.addressof(held) + getattr(parameters, name).offset for name in names]
        stream = torch.cuda.current_stream(device)
        with self._context(stream.device_index):
            function = self._function(stream.device_index, kernel)
            sizes = [ctypes.c_uint(size) for size in (*grid, *block, shared)]
            pointers = (ctypes.c_void_p * len(places))(*places)
            self._call("cuLaunchKernel", function, *sizes, ctypes.c_void_p(stream.cuda_stream), pointers, None)

    @contextmanager
    def _context(self, index: int) -> Iterator[None]:
        """Make the context that PyTorch has on a device this thread's: the thread may never have called CUDA."""
        with self._lock:
            if index not in self._contexts:
                device, context = ctypes.c_int(), ctypes.c_void_p()
                self._call("cuDeviceGet", ctypes.byref(device), ctypes.c_int(index))
                self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
                self._contexts[index] = context
        self._call("cuCtxPushCurrent_v2", self._contexts[index])
        try:
            yield
        finally:
            self._call("cuCtxPopCurrent_v2", ctypes.byref(ctypes.c_void_p()))

    def _function(self, index: int, kernel: str) -> ctypes.c_void_p:
        with self._lock:
            if (index, kernel) not in self._functions:
                module = ctypes.c_void_p()  # stays loaded as long as the process lives
                self._call("cuModuleLoadData", ctypes.byref(module), ctypes.c_char_p(self._kernels.image))
                for name, inside in self._kernels.names.items():
                    function = ctypes.c_void_p()
                    word = ctypes.c_char_p(inside.encode())
                    self._call("cuModuleGetFunction", ctypes.byref(function), module, word)
                    self._functions[index, name] = function
            return self._functions[index, kernel]

    def _call(self, name: str, *arguments: Any) -> None:
        code = getattr(self._library, name)(*arguments)
        if code == OUT_OF_MEMORY:
            raise torch.OutOfMemoryError(f"CUDA out of memory in {name}")
        if code in NOT_FOR_THIS_CARD:
            raise EngineError(
                "This card is older than the kernels (it takes one of 2018 or newer), or its driver is.", UPDATE
            )
        if code:
            raise EngineError(f"NVIDIA's driver refuses to draw ({name}: error {code}).", UPDATE)


def _plain(value: torch.Tensor | float | None, device: torch.device) -> float | None:
    """A number, or where a tensor's values are; None is no tensor."""
    if not isinstance(value, torch.Tensor):
        return value
    assert value.device == device and value.is_contiguous(), (value.device, device, value.stride())
    assert value.dtype in DTYPES, value.dtype
    return value.data_ptr() or None


@cache
def driver() -> Driver:
    """This machine's driver, with the bundled kernels.

    Raises:
        EngineError: there is none, or the kernels are damaged.
    """
    return Driver(_library(), binary.read())


def _library() -> Any:
    try:
        return ctypes.WinDLL("nvcuda.dll") if sys.platform == "win32" else ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        raise EngineError(f"NVIDIA's driver cannot be loaded ({error}).", "Install NVIDIA's driver.") from error
