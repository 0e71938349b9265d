"""Bends a head's mesh onto what pictures of splats show: smoothly, to landmarks, and along normals to the surface."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

from engine.exchange.look import Look
from engine.exchange.similarity import Similarity
from engine.heads.parametric import MOUTH_INSIDE, ParametricHead
from engine.heads.portrait import vertex_normals
from engine.heads.register import laplacian

STIFFNESS = (300.0, 100.0, 30.0, 10.0)  # of the displacements against 1 per vertex on the surface, step by step
REACH = (0.02, 0.015, 0.01, 0.008)  # metres along the normal, within which the surface is looked for
PULL = 2.0  # of a landmark
SQUARE = 0.3  # cosine between normal and line of sight, from which a picture says where skin is
HELD = 0.05  # pull of vertices without a goal toward where the fit put them
RIGID = {"eyes": "lids", "teeth": "lips", "tongue": "lips", "lashes": "lids"}  # what goes as a whole with what skin
BEHIND = 0.002  # metres behind the skin, that the mouth's lining is at least
IRIS, FOREMOST = 0.005, 0.9  # metres around the middle of an eye in which its front lies; quantile of that
NEAR = 200  # vertices of that skin, that carry it


def settle(
    shaped: np.ndarray,
    head: ParametricHead,
    goals: np.ndarray,
    trust: np.ndarray,
    sights: Sequence[Look],
    to_head: Similarity,
) -> np.ndarray:
    """[V, 3] metres, the vertices ``shaped`` [V, 3] bent.

    Args:
        goals: [478, 3] where the landmarks shall come. trust: [478] how much they count.
        sights: pictures with depth, in the splats' space. to_head: from there to the vertices'.
    """
    count = len(shaped)
    skin = ~np.logical_or.reduce([head.regions[name] for name in ("eyes", "lashes", *MOUTH_INSIDE)])
    bent = laplacian(head.faces, count)
    bending = bent.T @ bent
    rows = np.repeat(np.arange(len(goals)), 3)
    entries = head.landmark_barycentrics.ravel().astype(np.float64), (rows, head.faces[head.landmark_triangles].ravel())
    pins = sparse.coo_array(entries, shape=(len(goals), count)).tocsr()
    on_skin = skin[head.faces[head.landmark_triangles]].all(axis=1)
    pull = sparse.diags_array(PULL * trust * on_skin)
    pinned, wanted = pins.T @ pull @ pins, pins.T @ pull @ (goals - pins @ shaped)
    moved = np.zeros_like(shaped)
    for stiffness, reach in zip(STIFFNESS, REACH, strict=True):
        placed = shaped + moved
        along, weights = _to_surface(placed, vertex_normals(placed, head.faces), sights, to_head, reach)
        weights *= skin
        matrix = sparse.diags_array(weights + HELD) + pinned + stiffness * bending
        moved = splu(matrix.tocsc()).solve(weights[:, None] * (moved + along) + wanted)
    placed = shaped + _whole(moved, shaped, head)
    for side in (placed[:, 0] > 0, placed[:, 0] <= 0):
        eye = head.regions["eyes"] & side
        if eye.any():
            placed[eye] += _eye_to_surface(placed[eye], sights, to_head)
    lining = head.regions["mouth_interior"] & ~head.regions["lips"]
    placed[lining, 2] -= _before(placed[lining], sights[0], to_head)
    return placed


def _before(vertices: np.ndarray, sight: Look, to_head: Similarity) -> np.ndarray:
    """[K] metres that ``vertices`` [K, 3] have to go back to be behind what a picture from the front shows."""
    pixels = sight.pixels(to_head.inverse().points(vertices))
    shown = to_head.points(sight.places(pixels))[:, 2]
    return np.nan_to_num(vertices[:, 2] - (shown - BEHIND)).clip(0, REACH[0])


def _eye_to_surface(eye: np.ndarray, sights: Sequence[Look], to_head: Similarity) -> np.ndarray:
    """[3] the way ahead or back that brings an eyeball's front, of vertices ``eye`` [K, 3], to what is seen there: lids
    that shut must pass before all of it."""
    front = eye[np.hypot(*(eye - eye.mean(axis=0))[:, :2].T) < IRIS]
    front = front[front[:, 2] > eye[:, 2].mean()]
    ahead = np.tile([0.0, 0.0, 1.0], (len(front), 1))
    ways, seen = _to_surface(front, ahead, sights, to_head, REACH[-1])
    return np.array([0.0, 0.0, np.quantile(ways[seen > 0, 2], FOREMOST) if (seen > 0).any() else 0.0])


def _to_surface(
    vertices: np.ndarray, normals: np.ndarray, sights: Sequence[Look], to_head: Similarity, reach: float
) -> tuple[np.ndarray, np.ndarray]:
    """[V, 3] the way along each normal to the surface, and how well [V] 0..1 it is seen within ``reach``."""
    back = to_head.inverse()
    points = back.points(vertices)
    ways, sums = np.zeros(len(vertices)), np.zeros(len(vertices))
    for sight in sights:
        pixels = sight.pixels(points)
        way = ((to_head.points(sight.places(pixels)) - vertices) * normals).sum(axis=1)
        facing = -(sight.rays(pixels) @ back.rotation.T * normals).sum(axis=1)
        weight = np.where((facing > SQUARE) & (np.abs(np.nan_to_num(way, nan=np.inf)) < reach), facing**2, 0.0)
        ways += weight * np.nan_to_num(way)
        sums += weight
    return normals * (ways / np.maximum(sums, 1e-9))[:, None], np.minimum(sums, 1.0)


def _whole(moved: np.ndarray, shaped: np.ndarray, head: ParametricHead) -> np.ndarray:
    """``moved`` [V, 3] with eyes, teeth, tongue and lashes as the skin around them goes, each as a whole."""
    moved = moved.copy()
    for name, around in RIGID.items():
        carriers = np.flatnonzero(head.regions[around])
        for side in (shaped[:, 0] > 0, shaped[:, 0] <= 0) if around == "lids" else (np.ones(len(shaped), bool),):
            part = head.regions[name] & side
            if part.any() and len(carriers):
                middle = shaped[part].mean(axis=0)
                _, near = cKDTree(shaped[carriers]).query(middle, k=min(NEAR, len(carriers)))
                moved[part] = moved[carriers[near]].mean(axis=0)
    return moved
