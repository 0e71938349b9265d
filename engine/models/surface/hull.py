"""Hair as a hull: the scalp is inflated until its silhouette meets the matte, and smooth where no photo tells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from scipy import sparse
from scipy.ndimage import map_coordinates
from scipy.sparse.linalg import spsolve

from engine.heads.parametric import ParametricHead
from engine.heads.portrait import vertex_normals
from engine.heads.rig import Rig
from engine.models.surface.views import ViewGeometry, slants, view_geometry
from engine.photos.photo import Photo
from engine.tracking.tracked import View

RIMS = (0.4, 0.25, 0.2)  # |cos| between normal and viewing ray under which a vertex counts as silhouette, pass by pass
WALK = np.arange(-30, 150)  # px along the projected normal in which the matte's edge is looked for
SOLID = 0.9  # matte above which hair is solid; single strands stand out from the hull as Gaussians of their own
INSET = 2  # px that the hull stays inside, since its Gaussians reach over its edge
THICKNESS = (-0.004, 0.07)  # m of hair over the scalp
STIFFNESS = 1.0  # of the hull's bending against one silhouette sample


def mesh_graph(faces: np.ndarray, count: int) -> sparse.csr_matrix:
    """[V, V] 1 where an edge of the mesh links two of its ``count`` vertices."""
    i, j = faces[:, [0, 1, 2]].ravel(), faces[:, [1, 2, 0]].ravel()
    one_way = sparse.coo_matrix((np.ones(len(i)), (i, j)), shape=(count, count))
    return ((one_way + one_way.T) > 0).astype(np.float64)


def graph_laplacian(faces: np.ndarray, count: int) -> sparse.csr_matrix:
    """[V, V] umbrella Laplacian of the mesh: mean of the neighbours minus the vertex."""
    adjacency = mesh_graph(faces, count)
    degree = np.maximum(np.asarray(adjacency.sum(axis=1)).ravel(), 1)
    return (sparse.diags(1 / degree) @ adjacency - sparse.eye(count)).tocsr()


def inflate(head: ParametricHead, rig: Rig, photos: Sequence[Photo], views: Sequence[View]) -> Rig:
    """The rig with hair: scalp vertices moved along their normals, the face untouched.

    Silhouette vertices of every view walk to the matte's edge; a bending energy on the mesh carries the thickness over
    the rest of the scalp. An inflated mesh has another silhouette than the one that was measured, so the walk is
    repeated from there.
    """
    bald = rig.neutral.numpy().astype(np.float64)
    normals = vertex_normals(bald, head.faces)
    thickness = np.zeros(len(bald))
    for rim in RIMS:
        geometry = [view_geometry(rig, view) for view in views]
        picks, steps, weights = _walk(head, photos, geometry, rim)
        if len(picks) < 12:
            break
        thickness = _spread(head, picks, thickness[picks] + steps, weights)
        rig = replace(rig, neutral=torch.from_numpy(bald + thickness[:, None] * normals).float())
    return rig


def _walk(
    head: ParametricHead, photos: Sequence[Photo], geometry: Sequence[ViewGeometry], rim_width: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Silhouette vertices [S], how far each must move to meet the matte's edge [S] in metres, and weights [S]."""
    faces, scalp = head.faces, head.regions["scalp"]
    rows, targets, weights = [], [], []
    for photo, g in zip(photos, geometry, strict=True):
        cosine, direction = slants(g, faces)
        rim = 1 - np.abs(cosine)
        pick = np.flatnonzero(scalp & (rim > 1 - rim_width) & (direction[:, 1] < 0.5))
        if not len(pick):
            continue
        path = g.pixels[pick, None] + direction[pick, None] * WALK[None, :, None]
        size = photo.alpha.shape[0]
        inside = ((path >= 1) & (path < size - 1)).all(axis=2)
        yx = (path[..., 1] - 0.5, path[..., 0] - 0.5)
        matte = map_coordinates(photo.alpha, yx, order=1, mode="constant")
        valid = photo.valid[path[..., 1].astype(int).clip(0, size - 1), path[..., 0].astype(int).clip(0, size - 1)]
        # the last step of the first run of foreground from the walk's start
        run = np.cumprod(np.where(WALK <= 0, True, matte > SOLID), axis=1).astype(bool)
        start = (matte[:, WALK <= 0] > SOLID).any(axis=1)
        last = np.where(run[:, -1], 0, run.argmin(axis=1) - 1)
        inward = len(WALK[WALK <= 0]) - 1 - (matte[:, WALK <= 0] > SOLID)[:, ::-1].argmax(axis=1)
        steps = np.where(matte[np.arange(len(pick)), np.searchsorted(WALK, 0)] > SOLID, WALK[last], WALK[inward])
        seen = start & ~run[:, -1] & (inside & valid)[np.arange(len(pick)), last]
        rows.append(pick[seen])
        targets.append(((steps - INSET) * g.camera[pick, 2] / g.focal)[seen])
        weights.append(rim[pick][seen])
    if not rows:
        return np.zeros(0, int), np.zeros(0), np.zeros(0)
    return np.concatenate(rows), np.concatenate(targets), np.concatenate(weights)


def _spread(head: ParametricHead, sampled: np.ndarray, target: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """[V] metres: the smoothest thickness over the scalp that agrees with the samples."""
    scalp = head.regions["scalp"]
    count = len(scalp)
    laplacian = graph_laplacian(head.faces, count)
    pull = sparse.coo_matrix((weight, (sampled, sampled)), shape=(count, count)).tocsr()
    fixed = sparse.diags(np.where(scalp, 1e-5, 1e3))
    system = pull + STIFFNESS * (laplacian.T @ laplacian) + fixed
    thickness = spsolve(system.tocsc(), np.bincount(sampled, weight * np.clip(target, *THICKNESS), minlength=count))
    return np.clip(np.where(scalp, thickness, 0.0), *THICKNESS)
