"""What the networks cost: once per head, and per frame."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from engine.avatar import Avatar, deform
from engine.benchmark.measure import median_seconds
from engine.benchmark.splatting import FRAMES, frames, values_of
from engine.gaussians.binding import bind, pose
from engine.gaussians.gaussians import Splats
from engine.models.kit.rehearsal import Rehearsal
from engine.models.kit.scene import portrait_camera, shell_avatar
from engine.splatting import rasterization

CREATE_REPEATS = 5  # a pass takes long, and varies little

Build = Callable[[int, torch.device], Rehearsal]
"""A rehearsal for a number of photos on a device."""


def create(
    build: Build, count: int, device: torch.device, dtype: torch.dtype, repeats: int = CREATE_REPEATS
) -> dict[str, float]:
    """``s``: photos in the device's memory to Gaussians. ``parameters_M``: millions of weights that take part.

    Args:
        dtype: float32, or bfloat16 by autocast over the whole pass (what that does to the result is not measured).
    """
    case = build(count, device)
    with torch.inference_mode(), _cast(device, dtype):
        taken = median_seconds(case.create, device, repeats)
    weights = sum(p.numel() for module in case.modules for p in module.parameters())
    return {"s": taken, "parameters_M": weights / 1e6}


def frame(
    build: Build, count: int, device: torch.device, dtype: torch.dtype, size: int, repeats: int = FRAMES
) -> dict[str, float]:
    """A frame of a head that is there already: the network's share, the rig's, and an image of ``size``².

    Returns:
        ``FPS`` and ``ms`` of all three; ``network_ms`` of the first alone; ``Gaussians``. The rig moves the shell on
        the CPU, as the engine does. Weights are random, so Gaussians are as large as training would start them.
    """
    case = build(count, device)
    network = case.frame
    assert network is not None
    avatar = shell_avatar(1, device)
    viewmats, Ks = (each.to(device) for each in portrait_camera(size))

    with torch.inference_mode():

        def predict() -> Splats:
            with _cast(device, dtype):
                return Splats(*(field.float() for field in vars(network(head)).values()))

        def whole() -> torch.Tensor:
            splats = predict()
            if case.anchors is not None:
                splats = _carried(splats, avatar, *case.anchors)
            return rasterization(*values_of(splats), viewmats, Ks, size, size)[0]

        with _cast(device, dtype):
            head = case.create()
        alone, together = frames(predict, device, repeats), frames(whole, device, repeats)
        return together | {"network_ms": alone["ms"], "Gaussians": float(len(predict().means))}


def _carried(splats: Splats, avatar: Avatar, triangles: torch.Tensor, barycentrics: torch.Tensor) -> Splats:
    """Gaussians at rest, moved along with the avatar's mesh under all its keys and bones."""
    device = splats.means.device
    vertices, faces = (torch.from_numpy(each).to(device) for each in (avatar.vertices, avatar.faces))
    parts = torch.zeros_like(triangles, dtype=torch.uint8)
    bound = bind(*values_of(splats), parts, vertices, faces, triangles, barycentrics)
    moved = deform(avatar, np.full(len(avatar.key_names), 0.5), np.full((len(avatar.joint_names), 3), 0.05))
    return pose(bound, moved.to(device), faces, avatar.rest_areas)


def _cast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)
