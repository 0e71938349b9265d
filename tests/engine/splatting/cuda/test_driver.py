"""Whatever the driver refuses, and whatever became of the file of kernels, is told with a way out."""

from __future__ import annotations

import ctypes
import hashlib
import json

import pytest
import torch

from engine.errors import EngineError
from engine.splatting.cuda import binary, driver
from engine.splatting.cuda.binary import FILE, LIST, Binary
from engine.splatting.cuda.driver import Driver
from tests.engine.splatting.cuda.card import IMAGE, NAMES

OFFSETS = {"n_isects": 1, "isect_ids": torch.zeros(1, dtype=torch.int64), "I": 1, "n_tiles": 1, "tile_n_bits": 1}
LAUNCH = ("intersect_offset_kernel", torch.device("cpu"), (1, 1, 1), (256, 1, 1), 0)


@pytest.mark.parametrize(
    ("function", "code", "said"),
    [
        ("cuModuleLoadData", 209, "older than the kernels"),
        ("cuModuleLoadData", 222, "older than the kernels"),
        ("cuModuleGetFunction", 500, "cuModuleGetFunction: error 500"),
        ("cuDevicePrimaryCtxRetain", 101, "error 101"),
        ("cuCtxPushCurrent_v2", 201, "error 201"),
        ("cuLaunchKernel", 719, "error 719"),
    ],
)
def test_what_the_driver_refuses_is_told(card, function, code, said):
    card.fails = {function: code}
    values = OFFSETS | {"offsets": torch.zeros(1, dtype=torch.int32)}
    made = Driver(card.library, Binary(IMAGE, NAMES))
    with pytest.raises(EngineError, match=said) as raised:
        made.launch(*LAUNCH, values)
    assert "driver" in raised.value.hint
    card.fails = {}
    made.launch(*LAUNCH, values)  # nothing half-made was kept
    assert len(card.launches) == 1


def test_no_memory_left_is_what_pytorch_says_of_it(card):
    card.fails = {"cuModuleLoadData": 2}
    made = Driver(card.library, Binary(IMAGE, NAMES))
    with pytest.raises(torch.OutOfMemoryError, match="cuModuleLoadData"):
        made.launch(*LAUNCH, OFFSETS | {"offsets": torch.zeros(1, dtype=torch.int32)})


@pytest.mark.parametrize(
    "wrong",
    [
        {"offsets": torch.zeros(1, dtype=torch.float64)},
        {"offsets": torch.zeros(2, 2, dtype=torch.int32).T},
        {"offsets": torch.zeros(1, dtype=torch.int32, device="meta")},
        {},
        {"offsets": None, "more": 1},
    ],
)
def test_what_a_kernel_would_read_wrongly_is_not_launched(card, wrong):
    made = Driver(card.library, Binary(IMAGE, NAMES))
    with pytest.raises(AssertionError):
        made.launch(*LAUNCH, OFFSETS | wrong)
    assert not card.launches


def test_a_machine_without_the_driver(monkeypatch):
    def missing(name):
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    monkeypatch.setattr(ctypes, "WinDLL", missing, raising=False)
    with pytest.raises(EngineError, match="cannot be loaded") as raised:
        driver._library()
    assert "Install NVIDIA's driver" in raised.value.hint


def test_damaged_kernels_are_never_opened(tmp_path):
    listed = {"sha256": hashlib.sha256(IMAGE).hexdigest(), "names": NAMES}
    assert not binary.is_bundled(tmp_path)
    (tmp_path / FILE).write_bytes(IMAGE)
    (tmp_path / LIST).write_text(json.dumps(listed))
    assert binary.is_bundled(tmp_path) and binary.read(tmp_path) == Binary(IMAGE, NAMES)

    def refused():
        with pytest.raises(EngineError, match="damaged") as raised:
            binary.read(tmp_path)
        assert raised.value.hint == binary.AGAIN

    for image in (IMAGE[:-1], IMAGE[:-1] + b"?", b""):
        (tmp_path / FILE).write_bytes(image)
        refused()
    (tmp_path / FILE).unlink()
    refused()
    (tmp_path / FILE).write_bytes(IMAGE)
    for text in ("", "[]", "{}", json.dumps(listed | {"names": {}}), json.dumps(listed | {"names": None})):
        (tmp_path / LIST).write_text(text)
        refused()
