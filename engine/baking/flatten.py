"""Gaussians laid flat: every one is mapped with its triangle into the UV atlas, and the atlas is drawn as a picture.

Seen along the mesh's normals, what lies higher above the skin covers what lies lower, as from outside. Nothing hides a
cheek behind a nose or a tongue behind lips there, so one drawing colours all of a head.
"""

from __future__ import annotations

from dataclasses import dataclass

import igl
import numpy as np
import torch
from scipy.spatial.transform import Rotation

from engine.gaussians.binding import triangle_frames
from engine.gaussians.gaussians import BoundGaussians, Splats
from engine.splatting import rasterization

DISTANCE = 1e5  # texels from the camera to the atlas: so far that its rays are parallel
HEIGHT = 1e3  # texels of depth for a metre above the skin; float32 tells 8 µm at that distance
THIN = 1e-3  # texels, a flat Gaussian's third extent


@dataclass(frozen=True)
class Unfolded:
    """A mesh and its UV map: vertices [V, 3], faces [F, 3], uv [T, 2] in 0..1 with v up, uv_faces [F, 3]."""

    vertices: np.ndarray
    faces: np.ndarray
    uv: np.ndarray
    uv_faces: np.ndarray

    def islands(self) -> np.ndarray:
        """[F] int, which connected piece of the UV map each face belongs to."""
        return igl.facet_components(self.uv_faces)[1]


def flatten(splats: Splats, gaussians: BoundGaussians, mesh: Unfolded, size: int) -> Splats:
    """Splats in the plane of the atlas, one unit a texel, at ``DISTANCE`` from a camera at the origin.

    Args:
        splats: N on the mesh as it is. gaussians: what they are bound to. size: texels a side.

    Returns:
        N flat splats with the camera's axes: x right, y down (v is up), z away; nearer is farther above the skin.
    """
    vertices, faces = torch.from_numpy(mesh.vertices), torch.from_numpy(mesh.faces).long()
    frames, _ = triangle_frames(vertices, faces)
    corners = vertices[faces]  # [F, 3, 3]
    edges = (corners[:, 1:] - corners[:, :1]) @ frames[:, :, :2]  # [F, 2, 2], rows: two edges in the face's plane
    places = torch.from_numpy(mesh.uv) * torch.tensor((1.0, -1.0)) + torch.tensor((0.0, 1.0))
    places = (places * size)[torch.from_numpy(mesh.uv_faces).long()]  # [F, 3, 2] texels from the upper left
    maps = torch.linalg.pinv(edges.double()) @ (places[:, 1:] - places[:, :1]).double()  # of rows in the face's plane
    own, frame = maps.float()[gaussians.triangles], frames[gaussians.triangles]

    anchors = torch.einsum("nk,nkd->nd", gaussians.barycentrics, corners[gaussians.triangles])
    offsets = ((splats.means - anchors)[:, None] @ frame)[:, 0]
    means = torch.einsum("nk,nkd->nd", gaussians.barycentrics, places[gaussians.triangles])
    means = means + (offsets[:, None, :2] @ own)[:, 0]
    turns = torch.from_numpy(Rotation.from_quat(splats.quats.numpy(), scalar_first=True).as_matrix()).float()
    axes = (turns * splats.scales[:, None]).transpose(1, 2) @ frame[:, :, :2] @ own  # [N, 3, 2], rows
    _, lengths, spread = torch.linalg.svd(axes, full_matrices=False)  # [N, 2], [N, 2, 2] rows
    angle = torch.atan2(spread[:, 0, 1], spread[:, 0, 0]) / 2
    zero = torch.zeros_like(angle)
    return Splats(
        means=torch.column_stack((means - size / 2, DISTANCE - HEIGHT * offsets[:, 2])),
        quats=torch.stack((angle.cos(), zero, zero, angle.sin()), dim=1),
        scales=torch.column_stack((lengths, torch.full_like(zero, THIN))),
        opacities=splats.opacities,
        colors=splats.colors,
    )


def draw(splats: Splats, size: int, shown: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The atlas as seen from above.

    Args:
        splats: from :func:`flatten`. shown: [N] bool, which of them.

    Returns:
        colours [size, size, 3] sRGB premultiplied by alpha, alpha [size, size].
    """
    K = torch.tensor([[DISTANCE, 0, size / 2], [0, DISTANCE, size / 2], [0, 0, 1]])
    renders, alphas, _ = rasterization(
        splats.means, splats.quats, splats.scales, splats.opacities, splats.colors,
        torch.eye(4)[None], K[None], size, size, visible=shown,
    )  # fmt: skip
    return renders[0, ..., :3].numpy(), alphas[0, ..., 0].numpy()
