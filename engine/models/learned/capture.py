"""One person's photos as the networks see them: small pictures, cameras, and which skin every pixel shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch.nn import functional

from engine.gaussians.mesh_raster import rasterize_mesh
from engine.heads.rig import Rig
from engine.models.kit.conditions import motion_codes
from engine.photos.photo import CROP, INNER, MARGIN, Photo
from engine.tracking.tracked import View

SIZE = 256
"""px per side of the photos that the small networks take."""
INSIDE = 0.5  # of the matte: pixels above it show the person
DEPTH_BIAS = 0.004  # m behind the mesh that a pixel shows at which a point still counts as seen
FACING = 3  # colours weigh by the cosine between normal and ray to this power


@dataclass(frozen=True)
class Capture:
    """V photos of S × S of one person with their tracking.

    Attributes:
        rig: the person's, as tracked.
        images: [V, 3, S, S] RGB 0..1 over white. masks: [V, 1, S, S] mattes 0..1.
        viewmats: [V, 4, 4] rest space to camera. Ks: [V, 3, 3] in pixels of S × S.
        expressions: [V, E]. joint_rotations: [V, J, 3] axis-angle.
        triangle: [V, S, S] int64, of the mesh under each pixel's centre, -1 where there is none.
        barycentric: [V, S, S, 3], 0 there.
    """

    rig: Rig
    images: torch.Tensor
    masks: torch.Tensor
    viewmats: torch.Tensor
    Ks: torch.Tensor
    expressions: torch.Tensor
    joint_rotations: torch.Tensor
    triangle: torch.Tensor
    barycentric: torch.Tensor

    @cached_property
    def posed(self) -> torch.Tensor:
        """[V, N, 3] the mesh's vertices in the rest space, as each photo shows them."""
        pairs = zip(self.expressions, self.joint_rotations, strict=True)
        return torch.stack([self.rig.deform(expression, rotations) for expression, rotations in pairs])

    @cached_property
    def head_transforms(self) -> torch.Tensor:
        """[V, 4, 4] how each photo's pose moves the head in the rest space."""
        return torch.stack([self.rig.head_transform(rotations) for rotations in self.joint_rotations])

    @cached_property
    def head_viewmats(self) -> torch.Tensor:
        """[V, 4, 4] the head's own space to camera: where the cameras are for someone who does not move the head."""
        return self.viewmats @ self.head_transforms

    @cached_property
    def motions(self) -> torch.Tensor:
        """[V, 67] motion codes."""
        pairs = zip(self.expressions, self.joint_rotations, strict=True)
        return torch.stack([driving_code(self.rig, expression, rotations) for expression, rotations in pairs])

    @cached_property
    def seen(self) -> torch.Tensor:
        """[V, S, S] bool, pixels of the person under which the mesh lies."""
        return (self.triangle >= 0) & (self.masks[:, 0] > INSIDE)

    def uv(self, uv: np.ndarray, uv_faces: np.ndarray) -> torch.Tensor:
        """[V, 2, S, S] where every pixel lies on the UV map, v down, 0 where no mesh is; from uv [T, 2], v up."""
        down = torch.from_numpy(np.column_stack((uv[:, 0], 1 - uv[:, 1]))).float()
        corners = down[torch.from_numpy(uv_faces.astype(np.int64))][self.triangle.clamp_min(0)]  # [V, S, S, 3, 2]
        return (corners * self.barycentric[..., None]).sum(-2).permute(0, 3, 1, 2)


def driving_code(rig: Rig, expression: torch.Tensor, joint_rotations: torch.Tensor) -> torch.Tensor:
    """[67] the motion code of weights [E] and rotations [J, 3], without neck and head: Gaussians do not change when
    the whole head turns (ours)."""
    still = joint_rotations.clone()
    still[list(rig.chain)] = 0
    return motion_codes(expression, still)


def capture_photos(photos: Sequence[Photo], views: Sequence[View], rig: Rig, size: int = SIZE) -> Capture:
    """Tracked photos' inner crops, at ``size``."""
    shrink = size / CROP
    images, masks, Ks = [], [], []
    for photo, view in zip(photos, views, strict=True):
        alpha = torch.from_numpy(photo.alpha[INNER, INNER] * photo.valid[INNER, INNER])[None]
        colors = torch.from_numpy(photo.foreground[INNER, INNER]).permute(2, 0, 1)
        both = torch.cat((colors * alpha + (1 - alpha), alpha))[None]
        both = functional.interpolate(both, (size, size), mode="area")[0]
        images.append(both[:3])
        masks.append(both[3:])
        K = view.K.copy()
        K[:2, 2] -= MARGIN
        Ks.append(K * np.array([[shrink], [shrink], [1]]))
    posed = [
        rig.deform(torch.from_numpy(view.expression).float(), torch.from_numpy(view.joint_rotations).float())
        for view in views
    ]
    rasters = []
    for vertices, view, K in zip(posed, views, Ks, strict=True):
        camera = vertices.numpy().astype(np.float64) @ view.viewmat[:3, :3].T + view.viewmat[:3, 3]
        rasters.append(rasterize_mesh(camera, rig.faces.numpy(), K, size, size, cull_back=True))
    return Capture(
        rig,
        torch.stack(images),
        torch.stack(masks),
        _stack([view.viewmat for view in views]),
        _stack(Ks),
        _stack([view.expression for view in views]),
        _stack([view.joint_rotations for view in views]),
        torch.from_numpy(np.stack([raster.triangle for raster in rasters])).long(),
        _stack([raster.barycentric for raster in rasters]),
    )


def _stack(arrays: Sequence[np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(np.stack(arrays).astype(np.float32))


@torch.no_grad()
def observe(capture: Capture, triangles: torch.Tensor, barycentrics: torch.Tensor) -> torch.Tensor:
    """The photos' colours at points of the mesh: mean over the photos that see a point, the frontal ones more.

    Args:
        triangles: [M] int64. barycentrics: [M, 3].

    Returns:
        [M, 4]: colour, black where no photo sees the point; then how well it is seen, 0..1.
    """
    faces = capture.rig.faces
    views, size = len(capture.images), capture.images.shape[-1]
    corners = capture.posed[:, faces[triangles]]  # [V, M, 3, 3]
    points = _to_camera((corners * barycentrics[..., None]).sum(-2), capture.viewmats)  # [V, M, 3]
    edges = corners[:, :, 1:] - corners[:, :, :1]
    normals = functional.normalize(torch.linalg.cross(edges[:, :, 0], edges[:, :, 1]), dim=-1)
    normals = normals @ capture.viewmats[:, :3, :3].transpose(-2, -1)
    facing = -(normals * functional.normalize(points, dim=-1)).sum(-1).clamp(-1, 0)

    pixels = points @ capture.Ks.transpose(-2, -1)
    pixels = pixels[..., :2] / pixels[..., 2:]
    inside = ((pixels > 0) & (pixels < size)).all(-1)
    column, row = pixels.long().clamp(0, size - 1).unbind(-1)
    view = torch.arange(views)[:, None]
    shown = capture.posed[view[..., None], faces[capture.triangle[view, row, column].clamp_min(0)]]  # [V, M, 3, 3]
    shown = (shown * capture.barycentric[view, row, column][..., None]).sum(-2)
    depth = _to_camera(shown, capture.viewmats)[..., 2]
    visible = inside & (capture.triangle[view, row, column] >= 0) & (points[..., 2] < depth + DEPTH_BIAS)

    grid = (pixels / size * 2 - 1)[:, :, None]  # [V, M, 1, 2]
    layers = torch.cat((capture.images, capture.masks), dim=1)
    sampled = functional.grid_sample(layers, grid, padding_mode="border", align_corners=False)[..., 0]  # [V, 4, M]
    weight = visible * (sampled[:, 3] > INSIDE) * facing**FACING
    total = weight.sum(0)
    colors = (sampled[:, :3] * weight[:, None]).sum(0) / total.clamp_min(1e-6)
    return torch.cat((colors, total.sqrt().clamp_max(1)[None])).T


def _to_camera(points: torch.Tensor, viewmats: torch.Tensor) -> torch.Tensor:
    """[V, M, 3] through [V, 4, 4]."""
    return points @ viewmats[:, :3, :3].transpose(-2, -1) + viewmats[:, None, :3, 3]
