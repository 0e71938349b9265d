"""Lays the default head over splats: by the landmarks of pictures of them, then by the surface that these show."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from engine.avatar import Avatar
from engine.errors import AvatarError, PhotoError
from engine.exchange.look import Look, look
from engine.exchange.settling import settle
from engine.exchange.similarity import Similarity
from engine.gaussians.gaussians import Splats
from engine.heads.parametric import ParametricHead
from engine.heads.register import similarity_between
from engine.landmarker import Face
from engine.photos.landmarks import find_face
from engine.progress import Progress
from engine.rendering import orbit_camera
from engine.tracking import SOURCE_SIGMA
from engine.tracking.solver import LandmarkModel, landmark_model

VIEWS = tuple(np.deg2rad([(0, 0), (-18, 0), (18, 0), (-36, 0), (36, 0), (0, 15), (0, -15)]))  # yaw, pitch
SIDE = 1024  # px of the pictures
ROUNDS = 12  # of fits whose weights or spaces depend on their results
MISSED = 0.001  # metres between lines of sight at which a landmark is half trusted
NOISE, OUTLIER = 0.001, 3.0  # metres, of a landmark in space; from which multiple on it counts less
LARGEST = 0.01  # metres that a landmark may be off the fitted head: beyond, it is a mistake
COVERED = 0.002  # metres behind what is seen, from which a splat is hidden by it
FEWEST = 3  # pictures with a face, from which its places in space are known
HINT = "Show the face: turn the splats so that it looks along -Y in Blender, or crop the scene to the person."

_Seen = tuple[Face, Look]


@dataclass(frozen=True)
class Registered:
    """The default head on splats.

    Attributes:
        vertices: [V, 3] float64 metres, the person's mesh as the splats show it, in the head model's own space.
        to_head: from the splats' space to that one.
        hidden: [N] bool, splats that no picture of the face shows.
        off: millimetres between landmarks of the mesh and of the splats, the mean.
    """

    vertices: np.ndarray
    to_head: Similarity
    hidden: np.ndarray
    off: float


def register_head(avatar: Avatar, splats: Splats, head: ParametricHead, progress: Progress) -> Registered:
    """Lay ``head`` over the ``splats`` of a static ``avatar``, whose face looks to +z.

    The cameras of the pictures are known, so their landmarks meet in space: shape, expression and similarity are fitted
    to them there. Then the mesh is bent, smoothly, to those landmarks and to the surface that the pictures show.

    Raises:
        AvatarError: no face is seen in the splats.
    """
    progress.start("pictures")
    seen = _pictures(avatar, splats, progress)
    progress.start("tracking")
    marks, trust = _in_space(seen)
    model = landmark_model(head)
    fit = _fit(model, marks, trust, np.median([face.scores for face, _ in seen], axis=0))
    shaped = head.template + np.tensordot(fit.identity, head.identity_basis, axes=1)
    shaped = shaped + np.tensordot(fit.expression, head.expression_basis, axes=1)
    goals = fit.to_head.points(marks)
    off = np.linalg.norm(goals - fit.places, axis=1)
    trust = trust * model.weights * (off < LARGEST)
    sights = [sight for _, sight in seen]
    vertices = settle(shaped, head, goals, trust, sights, fit.to_head)
    means = splats.means.double().numpy()
    hidden = np.logical_and.reduce([sight.covers(means, COVERED / fit.to_head.scale) for sight in sights])
    progress.finish()
    return Registered(vertices, fit.to_head, hidden, float(1e3 * np.average(off, weights=trust)))


@dataclass(frozen=True)
class _Fit:
    """What lays a model's landmarks over those in space: identity [I], expression [E], similarity; places [478, 3]."""

    identity: np.ndarray
    expression: np.ndarray
    to_head: Similarity
    places: np.ndarray


def _fit(model: LandmarkModel, seen: np.ndarray, trust: np.ndarray, scores: np.ndarray) -> _Fit:
    """Similarity and shape in turns: the shape is linear once the landmarks ``seen`` [478, 3] lie in the model's space.

    Args:
        trust: [478] 0..1. scores: [52] ARKit weights, around which the expression is looked for.
    """
    count_i, count_e = model.identity_basis.shape[-1], model.expression_basis.shape[-1]
    basis = np.concatenate([model.identity_basis, model.expression_basis], axis=2).reshape(-1, count_i + count_e)
    middle = np.concatenate([np.zeros(count_i), scores, np.zeros(count_e - len(scores))])
    stiffness = np.concatenate([np.ones(count_i), np.full(count_e, SOURCE_SIGMA**-2)])
    shape = middle
    for _ in range(ROUNDS):
        places = model.positions + (basis @ shape).reshape(-1, 3)
        weights = model.weights * trust
        to_head = Similarity.of(similarity_between(seen, places, weights))
        remains = to_head.points(seen) - places
        weights /= 1 + (np.linalg.norm(remains, axis=1) / (OUTLIER * NOISE)) ** 2
        rows = np.repeat(weights, 3)[:, None] / NOISE**2
        right = (rows * basis).T @ (to_head.points(seen) - model.positions).ravel() + stiffness * middle
        shape = np.linalg.solve((rows * basis).T @ basis + np.diag(stiffness), right)
        shape[count_i:] = shape[count_i:].clip(0, 1)
    return _Fit(shape[:count_i], shape[count_i:], to_head, model.positions + (basis @ shape).reshape(-1, 3))


def _pictures(avatar: Avatar, splats: Splats, progress: Progress) -> list[_Seen]:
    """The splats from around the face, where it is found."""
    seen = []
    for done, (yaw, pitch) in enumerate(VIEWS):
        progress.update(done / len(VIEWS))
        sight = look(splats, orbit_camera(avatar, yaw, pitch, SIDE, SIDE))
        with suppress(PhotoError):
            found = find_face(sight.picture, avatar.name)
            if not found.turned:
                seen.append((found.face, sight))
    if len(seen) < FEWEST:
        raise AvatarError(f"No face is seen in the splats of {avatar.name}.", HINT)
    return seen


def _in_space(seen: Sequence[_Seen]) -> tuple[np.ndarray, np.ndarray]:
    """[478, 3] where the landmarks of several pictures with known cameras meet, and how far they can be trusted [478].

    Views that miss the others count less: behind cheek and nose the networks only guess.
    """
    origins = np.array([-s.camera.viewmat[:3, :3].T @ s.camera.viewmat[:3, 3] for _, s in seen])
    across = []
    for face, sight in seen:
        ray = sight.rays(face.landmarks[:, :2])
        across.append(np.eye(3) - ray[:, :, None] * ray[:, None, :])
    lines = np.array(across)  # [P, 478, 3, 3] what of a place lies off the line of sight
    weights = np.ones(lines.shape[:2])
    for _ in range(ROUNDS):
        normal = np.einsum("pl,plij->lij", weights, lines)
        right = np.einsum("pl,plij,pj->li", weights, lines, origins)
        places = np.linalg.solve(normal, right[:, :, None])[:, :, 0]
        misses = np.linalg.norm(np.einsum("plij,plj->pli", lines, places - origins[:, None]), axis=2)
        weights = 1 / (1 + (misses / MISSED) ** 2)
    spread_out = np.sqrt((weights * misses**2).sum(axis=0) / weights.sum(axis=0))
    return places, 1 / (1 + (spread_out / MISSED) ** 2)
