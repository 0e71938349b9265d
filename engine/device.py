"""Which device works and draws: a GPU that has proven itself, otherwise the CPU; how data come there, and back."""

from __future__ import annotations

import dataclasses
import gc
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from engine.errors import EngineError
from engine.progress import Progress
from engine.splatting import rasterization
from engine.splatting.backends import backend_for

LOG = logging.getLogger(__name__)
AUTO = "auto"
CPU = torch.device("cpu")
SIDE = 16  # px, of the picture that is tried
OFF = 0.02  # of a colour's range, by which the GPU's picture may differ from the CPU's


T = TypeVar("T")


@dataclass(frozen=True)
class Device:
    """Where networks run, and Gaussians are fitted and drawn.

    Attributes:
        torch: the device of their tensors. name: "cpu", or what the GPU is called. backend: the rasteriser's name.
        reason: why it is no GPU; empty where it is one or the user chose the CPU.
    """

    torch: torch.device
    name: str
    backend: str
    reason: str = ""


def on_cpu(reason: str = "") -> Device:
    """The CPU, and why."""
    return Device(CPU, "cpu", backend_for("cpu").name, reason)


def find_gpu(wanted: str = AUTO) -> Device:
    """The GPU, if it draws and differentiates one Gaussian as the CPU does; otherwise the CPU with the reason.

    May take minutes where gsplat compiles its kernels; those of the extension are compiled already.

    Args:
        wanted: "auto", "cpu", "cuda" or "cuda:1" and so on.
    """
    if wanted == "cpu":
        return on_cpu()
    if not torch.cuda.is_available():
        if torch.version.cuda is None:
            return on_cpu("This engine was built without CUDA; the extension's CUDA edition draws on NVIDIA's cards.")
        return on_cpu("No NVIDIA card was found, or its driver is older than CUDA " + torch.version.cuda + ".")
    device = torch.device("cuda:0" if wanted in (AUTO, "cuda") else wanted)  # with its number, as tensors name it
    try:
        name = torch.cuda.get_device_name(device)
        _try(device)
    except Exception as error:  # drivers, compilers and torch raise anything
        return on_cpu(_why(error))
    return Device(device, name, backend_for("cuda").name)


def check_wanted(wanted: str) -> str:
    """The same word, if it names a device.

    Raises:
        EngineError: it does not.
    """
    head, colon, number = wanted.partition(":")
    if wanted in (AUTO, "cpu", "cuda") or head == "cuda" and colon and number.isdecimal() and len(number) < 3:
        return wanted
    raise EngineError(f"There is no device called {wanted!r}.", "Choose auto, cpu, cuda or cuda:NUMBER.")


def chosen_device(wanted: str, progress: Progress) -> Device:
    """The one device of a piece of work; where it is not the one that was asked for, a note says why.

    Raises:
        EngineError: ``wanted`` names none.
    """
    found = find_gpu(check_wanted(wanted))
    if found.reason and wanted != AUTO:
        progress.note(found.reason)
    return found


def moved(value: T, device: torch.device) -> T:
    """A tensor on ``device``, or a dataclass with its tensors, and the dataclasses in it, there.

    What is neither stays as it is, numpy's arrays too; where all is there already, it is the same object.
    """
    if isinstance(value, torch.Tensor):
        return value.to(device)  # type: ignore[return-value]
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    before: dict[str, Any] = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    after = {name: moved(part, device) for name, part in before.items()}
    if all(after[name] is before[name] for name in before):
        return value
    return dataclasses.replace(value, **after)


def attempt(work: Callable[[torch.device], T], device: torch.device, stage: str, progress: Progress) -> T:
    """What ``work`` makes on ``device``; where a GPU's memory does not suffice for it, what it makes on the CPU.

    Args:
        work: called again from the start after a failure; what it gave to the GPU is freed by then.
        stage: what the artist calls it, in the note that the user gets.
    """
    try:
        return work(device)
    except torch.cuda.OutOfMemoryError as error:
        if device == CPU:
            raise
        LOG.warning("The GPU's memory did not suffice for %s: %s", stage, str(error))
    # Out here the error is gone (a log has but its text), and with it the frames whose tensors it kept alive.
    gc.collect()
    torch.cuda.empty_cache()
    progress.note(f"The GPU's memory did not suffice for {stage}; that was done on the CPU, which takes longer.")
    return work(CPU)


def _try(device: torch.device) -> None:
    """Draw one Gaussian there and on the CPU, with gradients.

    Raises:
        EngineError: the pictures or their gradients differ. Anything else: it cannot be drawn.
    """
    pictures, slopes = [], []
    for at in (CPU, device):
        means = torch.tensor([[0.0, 0.0, 1.0]], device=at, requires_grad=True)
        K = torch.tensor([[SIDE, 0.0, SIDE / 2], [0.0, SIDE, SIDE / 2], [0.0, 0.0, 1.0]], device=at)
        renders, _, _ = rasterization(
            means,
            torch.tensor([[1.0, 0.0, 0.0, 0.0]], device=at),
            torch.tensor([[0.2, 0.1, 0.1]], device=at),
            torch.tensor([0.8], device=at),
            torch.tensor([[0.9, 0.5, 0.1]], device=at),
            torch.eye(4, device=at)[None],
            K[None],
            SIDE,
            SIDE,
        )
        renders[0, : SIDE // 2, :, 0].sum().backward()
        pictures.append(renders.detach().cpu())
        slopes.append(means.grad.cpu() if means.grad is not None else torch.full((1, 3), torch.nan))
    off = float((pictures[0] - pictures[1]).abs().max())
    slope = float((slopes[0] - slopes[1]).abs().max() / slopes[0].abs().max())
    if not (off < OFF and slope < OFF):
        raise EngineError("Its picture of one Gaussian differs from the CPU's.", "Update the card's driver.")


def _why(error: BaseException) -> str:
    """What an artist reads of an error that a GPU raised."""
    if isinstance(error, torch.cuda.OutOfMemoryError):
        return "The GPU has no memory left; close what else uses it, and restart the engine."
    if isinstance(error, EngineError):
        return f"{error.message} {error.hint}"
    text = str(error).strip()
    if "no kernel image" in text:
        return "This card is too old, or too new, for the installed PyTorch."
    first = text.splitlines()[0] if text else ""
    return f"The GPU cannot draw ({type(error).__name__}{': ' if first else ''}{first[:200]})."


class Drawing:
    """The device that draws previews now. The CPU, until a GPU is found, and again once that fails. For any thread.

    Attributes:
        wanted: what the user chose.
    """

    def __init__(self, wanted: str = AUTO, find: Callable[[str], Device] = find_gpu):
        self.wanted, self._find = wanted, find
        self._now = on_cpu() if wanted == "cpu" else on_cpu("The GPU is being tried; the CPU draws until then.")

    @property
    def now(self) -> Device:
        return self._now

    def start(self) -> None:
        """Look for a GPU on a thread of its own."""
        threading.Thread(target=self._look, name="gpu", daemon=True).start()

    def give_up(self, error: BaseException) -> Device:
        """Draw on the CPU from now on, because the GPU raised ``error``."""
        LOG.error("The GPU is given up, the CPU draws", exc_info=error)
        self._now = on_cpu(_why(error))
        return self._now

    def _look(self) -> None:
        try:
            self._now = self._find(self.wanted)
        except BaseException as error:
            self.give_up(error)
        LOG.info("Drawing on %s. %s", self._now.name, self._now.reason)
