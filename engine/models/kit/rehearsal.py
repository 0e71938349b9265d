"""A network with random weights and random photos of a head-shaped shell, ready to be timed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from engine.gaussians.gaussians import Splats
from engine.heads.atlas import make_atlas, position_map
from engine.models.kit.correspondence import Correspondence, mesh_correspondence
from engine.models.kit.scene import arc_cameras, on_shell, shell


@dataclass(frozen=True)
class Rehearsal:
    """A network with random weights and everything that it reads in the device's memory.

    Attributes:
        modules: what has weights.
        create: photos to a head; its answer is what ``frame`` needs. The first frame's Gaussians are made too.
        frame: that answer to another frame's Gaussians [N, ...]; None where the rig alone moves them.
        anchors: triangles [N] and barycentrics [N, 3] of the shell under those Gaussians, which the rig then carries
            along; None where they are in place.
    """

    modules: tuple[nn.Module, ...]
    create: Callable[[], Any]
    frame: Callable[[Any], Splats] | None = None
    anchors: tuple[torch.Tensor, torch.Tensor] | None = None


@dataclass(frozen=True)
class Photos:
    """One person in V photos of H × W: noise, as seen by cameras on an arc around the shell.

    Attributes:
        images: [1, V, 3, H, W] 0..1. where: the shell's raster. viewmats: [1, V, 4, 4]. Ks: [1, V, 3, 3].
        positions: [1, V, 3, H, W] metres, 0 beside the shell.
    """

    images: torch.Tensor
    where: Correspondence
    viewmats: torch.Tensor
    Ks: torch.Tensor
    positions: torch.Tensor


def shell_photos(count: int, height: int, width: int, device: torch.device, seed: int = 0) -> Photos:
    """``count`` photos of the shell."""
    mesh = shell()
    viewmats, Ks = arc_cameras(count, height, width)
    where = mesh_correspondence(
        [mesh.vertices] * count, mesh.faces, mesh.uv, mesh.faces, viewmats.numpy(), Ks.numpy(), height, width
    )
    uv_up = torch.stack((where.uv[:, :, 0], 1 - where.uv[:, :, 1]), dim=-1)
    positions = torch.from_numpy(on_shell(uv_up.numpy())).movedim(-1, 2) * where.mask
    images = torch.rand(1, count, 3, height, width, generator=torch.Generator().manual_seed(seed))
    on_device = Correspondence(*(each.to(device) for each in (where.uv, where.mask, where.confidence)))
    return Photos(images.to(device), on_device, viewmats[None].to(device), Ks[None].to(device), positions.to(device))


def built(network: Callable[[Any], nn.Module], config: Any, device: torch.device) -> Any:
    """The network with random weights, made on the device: a thousand times faster there than on a CPU."""
    with torch.device(device):
        made = network(config)
    return made.to(device).eval()


def then(once: Callable[[], Any], move: Callable[[Any], Splats]) -> Callable[[], Any]:
    """``once`` and a first frame after it; the answer is that of ``once``."""

    def both() -> Any:
        head = once()
        move(head)
        return head

    return both


def only(splats: Splats) -> Splats:
    """The one person of a batch."""
    return Splats(*(field[0] for field in vars(splats).values()))


def square(config: Any) -> tuple[int, int]:
    return config.image_size, config.image_size


def texels_of_shell(
    resolution: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
    """The shell's texels: which are valid [R, R], where those lie [M, 3], and their triangles and barycentrics."""
    mesh = shell()
    atlas = make_atlas(mesh.uv, mesh.faces, resolution)
    surface = position_map(atlas, mesh.faces, torch.from_numpy(mesh.vertices))[torch.from_numpy(atlas.mask)]
    triangles = torch.from_numpy(atlas.triangle[atlas.mask]).long()
    barycentrics = torch.from_numpy(atlas.barycentric[atlas.mask])
    return torch.from_numpy(atlas.mask).to(device), surface.to(device), (triangles.to(device), barycentrics.to(device))


def any_triangle(faces: torch.Tensor, vertices: int) -> tuple[torch.Tensor, torch.Tensor]:
    """For every vertex a triangle at it [V], and the vertex in that triangle's barycentrics [V, 3]."""
    place = torch.zeros(vertices, dtype=torch.long, device=faces.device)
    place[faces.flatten()] = torch.arange(faces.numel(), device=faces.device)
    return place // 3, nn.functional.one_hot(place % 3, 3).float()
