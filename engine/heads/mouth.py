"""Fit the default head's teeth, tongue and inner mouth into a head that has none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from engine.gaussians.mesh_raster import rasterize_mesh
from engine.heads.landmarks import LOWER_LIP_INNER, UPPER_LIP_INNER
from engine.heads.parametric import MOUTH_INSIDE, ParametricHead
from engine.heads.register import Registration, Surface, similarity_between
from engine.heads.transfer import skin_frames

LOCAL = 0.04  # metres around the lips whose landmarks place the teeth
LINING = 0.003  # metres from the target's own skin within which it has the inner mouth already
FOLLOW = 0.012  # metres, the reach of the skin that carries the mouth along when the face changes
FADE = 0.012  # metres from the skin over which the inner mouth stops following its expressions


@dataclass(frozen=True)
class Mouth:
    """What is appended to a head's mesh.

    Attributes:
        vertices: [M, 3] metres. faces: [K, 3] into ``vertices``.
        origins: [M] the source model's vertices that they come from.
        deltas: [E, M, 3] the source's expressions.
        follow: [M, V] rows sum to 1: the skin that identity carries them along with.
        yielding: [M] 0..1, how much they give way to the skin's own expressions (teeth and tongue: not at all).
    """

    vertices: np.ndarray
    faces: np.ndarray
    origins: np.ndarray
    deltas: np.ndarray
    follow: np.ndarray
    yielding: np.ndarray


def fit_mouth(source: ParametricHead, target: Surface, correspondence: Registration) -> Mouth:
    """Place the source's mouth in the target's head.

    Teeth and tongue keep their shape (one similarity from the landmarks around the lips) and stay as far behind the
    lips as they are in the source; the inner mouth follows the registration, where the target has no such skin.

    Returns:
        Mouth; empty where the source has no mouth parts.
    """
    own_marks = source.template[source.faces[source.landmark_triangles]]
    own_marks = (own_marks * source.landmark_barycentrics[..., None]).sum(axis=1).astype(np.float64)
    lips = [*UPPER_LIP_INNER, *LOWER_LIP_INNER]
    away, _ = cKDTree(own_marks[lips]).query(own_marks)
    place = similarity_between(own_marks, target.landmarks, source.landmark_weights * np.exp(-((away / LOCAL) ** 2)))

    hard = source.regions["teeth"] | source.regions["tongue"]
    to_skin, _ = cKDTree(target.vertices[np.unique(target.faces)]).query(correspondence.warped)
    used = source.face_region(*MOUTH_INSIDE)
    deep = source.regions["mouth_interior"] & (to_skin > LINING)
    used &= hard[source.faces].any(axis=1) | deep[source.faces].any(axis=1)
    origins, faces = np.unique(source.faces[used], return_inverse=True)

    own = source.template[origins].astype(np.float64)
    fixed = own @ place[:, :3].T + place[:, 3]
    fixed[:, 2] -= _too_far_forward(source, own, fixed, hard[origins], target, np.cbrt(np.linalg.det(place[:, :3])))
    vertices = np.where(hard[origins, None], fixed, correspondence.warped[origins])
    frames = np.where(hard[origins, None, None], place[:, :3], skin_frames(source, correspondence.warped)[origins])
    deltas = np.einsum("mij,emj->emi", frames, source.expression_basis[:, origins]).astype(np.float32)

    skin = np.unique(target.faces)
    distance = np.linalg.norm(vertices[:, None] - target.vertices[None, skin], axis=-1)
    nearest = distance.min(axis=1, keepdims=True)
    weights = np.exp(-(((distance - nearest) / FOLLOW) ** 2) - 2 * nearest * (distance - nearest) / FOLLOW**2)
    follow = np.zeros((len(vertices), len(target.vertices)), np.float32)
    follow[:, skin] = weights / weights.sum(axis=1, keepdims=True)
    yielding = np.where(hard[origins], 0.0, np.exp(-((nearest[:, 0] / FADE) ** 2)))
    return Mouth(
        vertices.astype(np.float32),
        faces.reshape(-1, 3).astype(np.int32),
        origins,
        deltas,
        follow,
        yielding.astype(np.float32),
    )


def _too_far_forward(
    source: ParametricHead, own: np.ndarray, placed: np.ndarray, hard: np.ndarray, target: Surface, scale: float
) -> float:
    """Metres by which the front teeth stick out, compared with their place behind the source's lips."""
    inside = source.face_region(*MOUTH_INSIDE, "eyes", "lashes")
    before = _behind_the_lips(own[hard], source.template.astype(np.float64), source.faces[~inside])
    after = _behind_the_lips(placed[hard], target.vertices, target.faces)
    front = before < np.percentile(before, 25)
    return float(max(np.median((scale * before - after)[front]), 0.0))


def _behind_the_lips(points: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """[N] metres from each point straight forward to the face's outermost skin."""
    distance, size, width = 10.0, 512, 0.16  # from so far away all rays are nearly parallel
    middle = (points.min(axis=0) + points.max(axis=0)) / 2 + [0, 0, distance]
    focal = distance / width * size
    K = np.array([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]])
    depth = rasterize_mesh((vertices - middle) * [1, -1, -1], faces, K, size, size).depth
    seen = (points - middle) * [1, -1, -1]
    column, row = ((seen[:, :2] / seen[:, 2:] * focal + size / 2).astype(int).clip(0, size - 1)).T
    return seen[:, 2] - depth[row, column]
