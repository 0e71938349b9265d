"""What is benchmarked: a head-shaped shell with cameras around it, made of formulas so that no data file is needed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from engine.arkit import ARKIT_NAMES
from engine.avatar import Avatar
from engine.gaussians.gaussians import BoundGaussians, Splats
from engine.heads.atlas import DEFAULT_TEXELS
from engine.heads.parametric import JOINTS

COUNT, SIZE = DEFAULT_TEXELS, 512
"""The scene's Gaussians, and the edge of its image in pixels."""

HEAD_RADII = (0.08, 0.12, 0.10)
HEAD_DISTANCE = 0.6
FOCAL = 2.2  # of the image's shorter side
ARC = 0.7  # radians to either side of the front
SIDE = 70  # quads per side of the shell's grid: 71² = 5041 vertices, as many as FLAME has
BORDER = 0.03  # of the UV map stays empty, so that as many texels are valid as on a real head's map
OPACITY = 0.9


@dataclass(frozen=True)
class Shell:
    """An ellipsoid as big as a head, around the origin. vertices [V, 3] float32 metres, faces [F, 3] int32,
    uv [V, 2] float32, v up; uv faces are the faces."""

    vertices: np.ndarray
    faces: np.ndarray
    uv: np.ndarray


def shell(side: int = SIDE) -> Shell:
    """A grid of ``side``² quads around the ellipsoid, closed but for a pinhole at each pole."""
    v, u = np.meshgrid(np.linspace(0, 1, side + 1), np.linspace(0, 1, side + 1), indexing="ij")
    uv = BORDER + (1 - 2 * BORDER) * np.stack((u.ravel(), v.ravel()), axis=1)
    first = (np.arange(side)[:, None] * (side + 1) + np.arange(side)).ravel()
    above = first + side + 1
    faces = np.concatenate((np.stack((first, first + 1, above + 1), 1), np.stack((first, above + 1, above), 1)))
    return Shell(on_shell(uv), faces.astype(np.int32), uv.astype(np.float32))


def on_shell(uv: np.ndarray) -> np.ndarray:
    """Places of the UV map [..., 2], v up, on the ellipsoid [..., 3], float32 metres."""
    u, v = np.moveaxis((uv - BORDER) / (1 - 2 * BORDER) - 0.5, -1, 0)
    longitude, latitude = 2 * math.pi * u, (math.pi - 0.02) * v
    level = np.cos(latitude)
    sphere = np.stack((level * np.sin(longitude), np.sin(latitude), level * np.cos(longitude)), axis=-1)
    return (sphere * HEAD_RADII).astype(np.float32)


def shell_avatar(count: int, device: torch.device, seed: int = 0) -> Avatar:
    """The shell as an avatar with ``count`` Gaussians, all shape keys and joints; every key bulges somewhere."""
    mesh, rng = shell(), np.random.default_rng(seed)
    corners = mesh.vertices[mesh.faces]
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    triangles = rng.choice(len(areas), count, p=areas / areas.sum())
    width = flat_width(count)
    bound = BoundGaussians(
        triangles=torch.from_numpy(triangles),
        barycentrics=torch.from_numpy(rng.dirichlet(np.ones(3), count)).float(),
        offsets=torch.zeros(count, 3),
        quats=torch.tensor([1.0, 0.0, 0.0, 0.0]).repeat(count, 1),
        scales=torch.tensor([width, width, 0.1 * width]).repeat(count, 1),
        opacities=torch.full((count,), OPACITY),
        colors=torch.from_numpy(rng.random((count, 3), np.float32)),
        parts=torch.zeros(count, dtype=torch.uint8),
    )
    centres = mesh.vertices[rng.integers(0, len(mesh.vertices), len(ARKIT_NAMES))]
    near = np.exp(-np.square(mesh.vertices - centres[:, None]).sum(-1) / 0.02**2)  # [E, V]
    deltas = (0.005 * near[..., None] * mesh.vertices / 0.1).astype(np.float32)
    return Avatar(
        name="shell",
        vertices=mesh.vertices,
        faces=mesh.faces,
        uv=mesh.uv,
        uv_faces=mesh.faces,
        regions={},
        key_names=ARKIT_NAMES,
        key_deltas=deltas,
        joint_names=JOINTS,
        joint_parents=np.array([-1, 0, 1, 1, 1], np.int32),
        joint_positions=np.zeros((len(JOINTS), 3), np.float32),
        skin_weights=rng.dirichlet(np.ones(len(JOINTS) + 1), len(mesh.vertices)).astype(np.float32),
        gaussians=BoundGaussians(**{name: field.to(device) for name, field in vars(bound).items()}),
        views=(),
        provenance={},
    )


def flat_width(count: int) -> float:
    """Metres: the standard deviation of flat Gaussians of which ``count`` cover the shell evenly."""
    return 0.7 * math.sqrt(4.0 * math.pi * 0.1**2 / count)


def head_shell(count: int = COUNT, seed: int = 0) -> Splats:
    """A head-sized ellipsoid (16 × 24 × 20 cm) around the origin, tiled with flat Gaussians of opacity 0.9 and random
    colour, as wide as an even cover of its surface asks for."""
    generator = torch.Generator().manual_seed(seed)
    directions = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=-1)
    radii = torch.tensor(HEAD_RADII)
    nx, ny, nz = torch.nn.functional.normalize(directions / radii, dim=-1).unbind(-1)
    width = flat_width(count)
    return Splats(
        means=directions * radii,
        quats=torch.stack([1.0 + nz, -ny, nx, torch.zeros(count)], -1),  # turns z into the normal
        scales=torch.tensor([width, width, 0.1 * width]).expand(count, 3).contiguous(),
        opacities=torch.full((count,), OPACITY),
        colors=torch.rand(count, 3, generator=generator),
    )


def portrait_camera(size: int = SIZE) -> tuple[torch.Tensor, torch.Tensor]:
    """Camera [1, 4, 4] and intrinsics [1, 3, 3] that see :func:`head_shell` from 60 cm, filling most of the image."""
    return arc_cameras(1, size, size)


def arc_cameras(count: int, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Cameras [V, 4, 4] on an arc before the head, the first at its left end (one alone in front), and their
    intrinsics [V, 3, 3]."""
    front = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))
    front[2, 3] = HEAD_DISTANCE
    yaws = torch.linspace(-ARC, ARC, count) if count > 1 else torch.zeros(1)
    turns = torch.eye(4).repeat(count, 1, 1)
    turns[:, 0, 0] = turns[:, 2, 2] = yaws.cos()
    turns[:, 2, 0], turns[:, 0, 2] = yaws.sin(), -yaws.sin()
    focal = FOCAL * min(height, width)
    K = torch.tensor([[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]])
    return front @ turns, K.repeat(count, 1, 1)
