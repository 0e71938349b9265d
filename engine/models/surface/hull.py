"""Hair as a hull: the scalp is inflated until its silhouette meets the matte, and smooth where no photo tells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse
from scipy.ndimage import map_coordinates
from scipy.sparse.linalg import spsolve

from engine.heads.parametric import ParametricHead
from engine.heads.rig import Rig
from engine.models.surface.views import ViewGeometry
from engine.photos.photo import Photo

RIM = 0.4  # |cos| between normal and viewing ray under which a vertex counts as silhouette
WALK = np.arange(-30, 150)  # px along the projected normal in which the matte's edge is looked for
THICKNESS = (-0.004, 0.07)  # m of hair over the scalp
STIFFNESS = 4.0  # of the hull's bending against one silhouette sample


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """[V, 3] area-weighted unit normals."""
    normals = np.zeros_like(vertices)
    flat = np.cross(vertices[faces[:, 1]] - vertices[faces[:, 0]], vertices[faces[:, 2]] - vertices[faces[:, 0]])
    for corner in range(3):
        np.add.at(normals, faces[:, corner], flat)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


def graph_laplacian(faces: np.ndarray, count: int) -> sparse.csr_matrix:
    """[V, V] umbrella Laplacian of the mesh: mean of the neighbours minus the vertex."""
    i, j = faces[:, [0, 1, 2]].ravel(), faces[:, [1, 2, 0]].ravel()
    adjacency = sparse.coo_matrix((np.ones(len(i)), (i, j)), shape=(count, count))
    adjacency = ((adjacency + adjacency.T) > 0).astype(np.float64)
    degree = np.maximum(np.asarray(adjacency.sum(axis=1)).ravel(), 1)
    return (sparse.diags(1 / degree) @ adjacency - sparse.eye(count)).tocsr()


def inflate(
    head: ParametricHead, rig: Rig, photos: Sequence[Photo], geometry: Sequence[ViewGeometry]
) -> np.ndarray:
    """[V, 3] the neutral mesh with hair: scalp vertices moved along their normals, the face untouched.

    Silhouette vertices of every view walk to the matte's edge; a bending energy on the mesh carries the thickness over
    the rest of the scalp. Only the scalp moves.
    """
    neutral = rig.neutral.numpy().astype(np.float64)
    faces = head.faces
    normals = vertex_normals(neutral, faces)
    scalp = head.regions["scalp"]
    rows, targets, weights = [], [], []
    for photo, g in zip(photos, geometry, strict=True):
        posed = vertex_normals(g.camera, faces)
        ray = g.camera / np.linalg.norm(g.camera, axis=1, keepdims=True)
        rim = 1 - np.abs((posed * ray).sum(axis=1))
        direction = posed[:, :2] / np.maximum(np.linalg.norm(posed[:, :2], axis=1, keepdims=True), 1e-9)
        pick = np.flatnonzero(scalp & (rim > 1 - RIM) & (direction[:, 1] < 0.5))
        if not len(pick):
            continue
        path = g.pixels[pick, None] + direction[pick, None] * WALK[None, :, None]
        size = photo.alpha.shape[0]
        inside = ((path >= 1) & (path < size - 1)).all(axis=2)
        yx = (path[..., 1] - 0.5, path[..., 0] - 0.5)
        matte = map_coordinates(photo.alpha, yx, order=1, mode="constant")
        valid = photo.valid[path[..., 1].astype(int).clip(0, size - 1), path[..., 0].astype(int).clip(0, size - 1)]
        # the last step of the first run of foreground from the walk's start
        run = np.cumprod(np.where(WALK <= 0, True, matte > 0.5), axis=1).astype(bool)
        start = (matte[:, WALK <= 0] > 0.5).any(axis=1)
        last = np.where(run[:, -1], 0, run.argmin(axis=1) - 1)
        inward = len(WALK[WALK <= 0]) - 1 - (matte[:, WALK <= 0] > 0.5)[:, ::-1].argmax(axis=1)
        steps = np.where(matte[np.arange(len(pick)), np.searchsorted(WALK, 0)] > 0.5, WALK[last], WALK[inward])
        seen = start & ~run[:, -1] & (inside & valid)[np.arange(len(pick)), last]
        rows.append(pick[seen])
        targets.append((steps * g.camera[pick, 2] / g.focal)[seen])
        weights.append(rim[pick][seen])
    count = len(neutral)
    sampled = np.concatenate(rows) if rows else np.zeros(0, int)
    if len(sampled) < 12:
        return neutral
    target = np.clip(np.concatenate(targets), *THICKNESS)
    weight = np.concatenate(weights)
    laplacian = graph_laplacian(faces, count)
    pull = sparse.coo_matrix((weight, (sampled, sampled)), shape=(count, count)).tocsr()
    fixed = sparse.diags(np.where(scalp, 1e-5, 1e3))
    system = pull + STIFFNESS * (laplacian.T @ laplacian) + fixed
    thickness = spsolve(system.tocsc(), np.bincount(sampled, weight * target, minlength=count))
    thickness = np.clip(np.where(scalp, thickness, 0.0), *THICKNESS)
    return neutral + thickness[:, None] * normals
