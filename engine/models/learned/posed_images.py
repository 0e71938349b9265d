"""One person's photos as the networks see them: small pictures, cameras, which skin every pixel shows, and the head
that they are painted on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch.nn import functional

from engine.gaussians.mesh_raster import rasterize_mesh
from engine.heads.parametric import ParametricHead
from engine.heads.rig import Rig, make_rig
from engine.models.kit.conditions import motion_codes
from engine.models.surface import Painted
from engine.photos.photo import CROP, INNER, MARGIN, Photo
from engine.tracking.tracked import Tracked, View

PAINTED = 256
"""Texels per side of the texture that the photos are painted on."""
INSIDE = 0.5  # of the matte: pixels above it show the person


@dataclass(frozen=True)
class PaintedTexture:
    """The photos on the head, as the ``surface`` system paints them: where the networks start (ours).

    Attributes:
        neutral: [V, 3] metres, inflated to the hair.
        colors: [M, 3] 0..1 of the valid texels at :data:`PAINTED`, completed where no photo shows them.
        seen: [M] 0..1, how squarely some photo shows them. presence: [M] 0..1, how much of them is there.
    """

    neutral: torch.Tensor
    colors: torch.Tensor
    seen: torch.Tensor
    presence: torch.Tensor


@dataclass(frozen=True)
class PosedImages:
    """V photos of S × S of one person with their tracking.

    Attributes:
        rig: the person's, inflated to the hair.
        texture: the photos on it.
        images: [V, 3, S, S] RGB 0..1 over white. masks: [V, 1, S, S] mattes 0..1.
        viewmats: [V, 4, 4] rest space to camera. Ks: [V, 3, 3] in pixels of S × S.
        expressions: [V, E]. joint_rotations: [V, J, 3] axis-angle.
    """

    rig: Rig
    texture: PaintedTexture
    images: torch.Tensor
    masks: torch.Tensor
    viewmats: torch.Tensor
    Ks: torch.Tensor
    expressions: torch.Tensor
    joint_rotations: torch.Tensor

    @cached_property
    def posed(self) -> torch.Tensor:
        """[V, N, 3] the mesh's vertices in the rest space, as each photo shows them."""
        pairs = zip(self.expressions, self.joint_rotations, strict=True)
        return torch.stack([self.rig.deform(expression, rotations) for expression, rotations in pairs])

    @cached_property
    def raster(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The triangle under each pixel's centre [V, S, S] int64, -1 where there is none, and barycentrics
        [V, S, S, 3], 0 there. The mesh's rasteriser is the CPU's: vertices go there once, and the answer comes back."""
        size, device = self.images.shape[-1], self.images.device
        camera = self.posed @ self.viewmats[:, :3, :3].transpose(-2, -1) + self.viewmats[:, None, :3, 3]
        faces, Ks = self.rig.faces.cpu().numpy(), self.Ks.cpu().numpy()
        rasters = [
            rasterize_mesh(vertices, faces, K, size, size, cull_back=True)
            for vertices, K in zip(camera.cpu().numpy(), Ks, strict=True)
        ]
        triangles, barycentrics = zip(*((raster.triangle, raster.barycentric) for raster in rasters), strict=True)
        return (
            torch.from_numpy(np.stack(triangles)).long().to(device),
            torch.from_numpy(np.stack(barycentrics)).to(device),
        )

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
        return (self.raster[0] >= 0) & (self.masks[:, 0] > INSIDE)

    def uv(self, uv: np.ndarray, uv_faces: np.ndarray) -> torch.Tensor:
        """[V, 2, S, S] where every pixel lies on the UV map, v down, 0 where no mesh is; from uv [T, 2], v up."""
        triangle, barycentric = self.raster
        down = torch.from_numpy(np.column_stack((uv[:, 0], 1 - uv[:, 1]))).float()
        corners = down[torch.from_numpy(uv_faces.astype(np.int64))].to(triangle.device)  # [F, 3, 2]
        corners = corners[triangle.clamp_min(0)]  # [V, S, S, 3, 2]
        return (corners * barycentric[..., None]).sum(-2).permute(0, 3, 1, 2)


def driving_code(rig: Rig, expression: torch.Tensor, joint_rotations: torch.Tensor) -> torch.Tensor:
    """[67] the motion code of weights [E] and rotations [J, 3], without neck and head: Gaussians do not change when
    the whole head turns (ours)."""
    still = joint_rotations.clone()
    still[list(rig.chain)] = 0
    return motion_codes(expression, still)


def put_on(painted: Painted) -> PaintedTexture:
    """What :func:`engine.models.surface.paint` did, as tensors."""
    arrays = (painted.colors, painted.texture.seen, painted.presence)
    return PaintedTexture(painted.rig.neutral, *(torch.from_numpy(array).float() for array in arrays))


def pose_images(
    photos: Sequence[Photo], tracked: Tracked, head: ParametricHead, texture: PaintedTexture, size: int
) -> PosedImages:
    """Tracked photos' inner crops, at ``size`` pixels per side, and the head painted with them."""
    shrink = size / CROP
    images, masks = [], []
    for photo in photos:
        alpha = torch.from_numpy(photo.alpha[INNER, INNER] * photo.valid[INNER, INNER])[None]
        colors = torch.from_numpy(photo.foreground[INNER, INNER]).permute(2, 0, 1)
        both = torch.cat((colors * alpha + (1 - alpha), alpha))[None]
        both = functional.interpolate(both, (size, size), mode="area")[0]
        images.append(both[:3])
        masks.append(both[3:])
    crop = np.array([[0, 0, MARGIN], [0, 0, MARGIN], [0, 0, 0]])
    Ks = [(view.K - crop) * np.array([[shrink], [shrink], [1]]) for view in tracked.views]
    return assemble(make_rig(head, texture.neutral.numpy(), tracked.joints), texture, images, masks, tracked.views, Ks)


def assemble(
    rig: Rig,
    texture: PaintedTexture,
    images: Sequence[torch.Tensor],
    masks: Sequence[torch.Tensor],
    views: Sequence[View],
    Ks: Sequence[np.ndarray],
) -> PosedImages:
    """Posed images from their parts: images [3, S, S] over white, masks [1, S, S], ``Ks`` [3, 3] in their pixels."""
    return PosedImages(
        rig,
        texture,
        torch.stack(list(images)),
        torch.stack(list(masks)),
        _stack([view.viewmat for view in views]),
        _stack(Ks),
        _stack([view.expression for view in views]),
        _stack([view.joint_rotations for view in views]),
    )


def _stack(arrays: Sequence[np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(np.stack(arrays).astype(np.float32))
