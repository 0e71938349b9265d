"""A GPU draws only once it has proven itself; whatever goes wrong, the CPU draws and says why."""

import time

import numpy as np
import pytest
import torch

from engine import device
from engine.avatar import Pose
from engine.device import Device, Drawing, check_wanted, find_gpu
from engine.errors import EngineError
from engine.rendering import Camera
from engine.server.heads import Previewer, Resident, Shot
from engine.splatting import rasterization

GPU = Device(torch.device("meta"), "A card", "gsplat")  # a device that nothing draws on


@pytest.fixture
def card(monkeypatch):
    """A machine with a card and its driver, as far as PyTorch says."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda which: "A card")


def test_without_a_card_the_cpu_draws_and_says_what_is_missing(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    assert find_gpu().name == "cpu" and "CUDA edition" in find_gpu().reason
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert "driver is older than CUDA 13.0" in find_gpu().reason
    assert find_gpu("cpu").reason == ""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("CUDA error: no kernel image is available for execution on the device"), "too old, or too new"),
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB"), "no memory left"),
        (EngineError("The GPU rasteriser gsplat is not installed.", "Install it."), "gsplat is not installed. Install"),
        (OSError("libcuda.so.1: file too short\nand more"), "OSError: libcuda.so.1: file too short)"),
    ],
)
def test_every_way_in_which_a_card_fails_is_told_apart(monkeypatch, card, error, said):
    def fail(*_):
        raise error

    monkeypatch.setattr(device, "_try", fail)
    found = find_gpu()
    assert (found.torch.type, found.backend) == ("cpu", "numba")
    assert said in found.reason


def test_a_card_that_draws_wrongly_or_without_gradients_is_not_believed(monkeypatch, card):
    class Elsewhere:
        """The CPU in the card's place, wrong in one thing."""

        def __init__(self, wrong):
            self.calls, self.wrong = 0, wrong

        def __call__(self, means, *rest):
            self.calls += 1
            renders, alphas, meta = rasterization(means, *rest)
            return (self.wrong(renders) if self.calls == 2 else renders), alphas, meta

    def tried(wrong):
        monkeypatch.setattr(device, "rasterization", Elsewhere(wrong))
        device._try(torch.device("cpu"))

    tried(lambda renders: renders)
    for wrong in (lambda r: r * 0.5, lambda r: r * torch.nan, lambda r: r.detach() + 0.5 * (r - r.detach())):
        with pytest.raises(EngineError, match="differs from the CPU's"):
            tried(wrong)


@pytest.mark.slow
def test_a_card_that_fails_in_the_middle_is_given_up_and_the_picture_is_drawn_all_the_same(avatar):
    drawing = Drawing("auto", find=lambda wanted: GPU)
    assert "being tried" in drawing.now.reason
    drawing.start()
    for _ in range(100):
        if drawing.now is GPU:
            break
        time.sleep(0.05)
    assert drawing.now is GPU
    previewer, head = Previewer(drawing), Resident(avatar)
    previewer.start()
    camera = Camera(np.diag([1.0, -1, -1, 1]), np.array([[20.0, 0, 8], [0, 20, 8], [0, 0, 1]]), 16, 16)
    for sequence in range(2):
        frame = previewer.request("a", Shot(head, Pose({}, {}), camera, sequence)).result(60)
        assert np.frombuffer(frame.pixels, np.uint8).reshape(16, 16, 4)[8, 8, 0] > 200
    assert drawing.now.name == "cpu" and "meta" in drawing.now.reason
    previewer.close()


def test_a_driver_that_tears_down_the_search_leaves_the_cpu():
    def torn(wanted):
        raise SystemExit(1)

    drawing = Drawing("auto", find=torn)
    drawing._look()
    assert drawing.now.name == "cpu" and "SystemExit" in drawing.now.reason


@pytest.mark.parametrize("word", ["auto", "cpu", "cuda", "cuda:0", "cuda:12"])
def test_devices_have_names(word):
    assert check_wanted(word) == word


@pytest.mark.parametrize("word", ["", "gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:1234", "mps"])
def test_what_is_no_device_is_refused_by_name(word):
    with pytest.raises(EngineError, match=repr(word)):
        check_wanted(word)
