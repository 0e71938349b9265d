"""The mesh as each photo sees it: camera-space vertices, pixels and a depth buffer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from engine.gaussians.mesh_raster import MeshRaster, rasterize_mesh
from engine.heads.portrait import vertex_normals
from engine.heads.rig import Rig
from engine.photos.photo import WINDOW
from engine.tracking.tracked import View


@dataclass(frozen=True)
class ViewGeometry:
    """camera: [V, 3] vertices in camera space; pixels: [V, 2]; focal px; raster: the mesh in the photo's window."""

    camera: np.ndarray
    pixels: np.ndarray
    focal: float
    raster: MeshRaster


def pose_rig(rig: Rig, view: View) -> torch.Tensor:
    """[V, 3] the rig's vertices in the rest space, in a view's expression and pose."""
    with torch.no_grad():
        return rig.deform(torch.from_numpy(view.expression).float(), torch.from_numpy(view.joint_rotations).float())


def view_geometry(rig: Rig, view: View) -> ViewGeometry:
    """Pose the rig as in a view and rasterise it into the photo's window."""
    camera = pose_rig(rig, view).numpy().astype(np.float64) @ view.viewmat[:3, :3].T + view.viewmat[:3, 3]
    pixels = camera @ view.K.T
    raster = rasterize_mesh(camera, rig.faces.numpy(), view.K, WINDOW, WINDOW)
    return ViewGeometry(camera, pixels[:, :2] / pixels[:, 2:], float(view.K[0, 0]), raster)


def pixels_of(points: np.ndarray, view: View) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Where a photo's window shows places [M, 3] of the world: row and column [M], kept inside it, whether they are
    inside [M], and depth [M] in metres."""
    camera = points @ view.viewmat[:3, :3].T + view.viewmat[:3, 3]
    pixels = camera @ view.K.T
    column, row = (pixels[:, :2] / pixels[:, 2:]).astype(int).T
    inside = (column >= 0) & (row >= 0) & (column < WINDOW) & (row < WINDOW)
    return row.clip(0, WINDOW - 1), column.clip(0, WINDOW - 1), inside, camera[:, 2]


def slants(g: ViewGeometry, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How the mesh of ``faces`` [F, 3] turns away from the camera: at each vertex the cosine [V] between its normal and
    the viewing ray, -1 where it faces the camera, and the direction [V, 2] of its normal in the picture."""
    normals = vertex_normals(g.camera, faces)
    ray = g.camera / np.linalg.norm(g.camera, axis=1, keepdims=True)
    flat = normals[:, :2] / np.maximum(np.linalg.norm(normals[:, :2], axis=1, keepdims=True), 1e-9)
    return (normals * ray).sum(axis=1), flat


def facing(rig: Rig, view: View) -> float:
    """Cosine between the camera's axis and the direction in which the head looks; 1 is a frontal view."""
    turn = view.viewmat[:3, :3] @ rig.head_transform(torch.from_numpy(view.joint_rotations).float())[:3, :3].numpy()
    return float(-turn[2, 2])
