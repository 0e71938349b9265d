"""Finds the face in splats of unknown axes and size, by looking at them from all sides."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
from scipy.spatial.transform import Rotation

from engine.exchange.look import Look, look
from engine.exchange.similarity import Similarity
from engine.gaussians.gaussians import Splats
from engine.heads.parametric import ParametricHead
from engine.heads.register import similarity_between
from engine.landmarker import Face
from engine.photos.landmarks import likeness, locate, refine
from engine.progress import Progress
from engine.rendering import Camera
from engine.tracking.solver import TO_CAMERA, landmark_model

SEARCH_SIDE, LOOK_SIDE = 320, 512  # px of the pictures in which a face is looked for, and looked at
DISTANCE = 12.0  # of the camera, in radii: a portrait lens, whose faces the landmarker knows
WIDE = 2.4  # radii from side to side of a picture: half of all splats lie within one of the middle
FACE_WIDE = 2.6  # the same of a look at a face, in face heights
SURE, LEAST = 0.88, 0.6  # of likeness: an upright face's from its front is above the first, from elsewhere the second
CANDIDATES = 6  # of those that are not sure, that are looked at from their front
STRAIGHT = 10.0  # degrees that a face may still be tilted as seen from its front
LOOKS = 3  # each from where the last one says that the front is
SHOWN = 0.5  # of the landmarks, that lie on something
AT_FIRST = 0.3  # metres, roughly, between the head's and the shoulders' ends: the rasteriser's scale while searching


def find_head(splats: Splats, head: ParametricHead, progress: Progress) -> Similarity | None:
    """What brings splats to where a head model lies, in metres, upright and face to +z; None where no face is seen.

    A face is looked for from all sides, then looked at from its front; its landmarks' places on the splats against
    those of the model say the rest. Sizes are the model's: an adult's.
    """
    middle, radius = extent(splats)
    near = Similarity(AT_FIRST / radius, np.eye(3), -middle * AT_FIRST / radius)
    splats = near.splats(splats)
    model = landmark_model(head)
    for sight, face in _candidates(splats, progress):
        if (front := _from_front(splats, sight, face)) is not None:
            places, seen = front
            matrix = similarity_between(places, model.positions, model.weights * seen)
            return Similarity.of(matrix).after(near)
    return None


def extent(splats: Splats) -> tuple[np.ndarray, float]:
    """Middle [3] and radius of where most splats are, in their own unit; far background counts little."""
    means = splats.means.detach().cpu().double().numpy()
    middle = np.median(means, axis=0)
    return middle, max(float(np.median(np.linalg.norm(means - middle, axis=1))), 1e-12)


def _candidates(splats: Splats, progress: Progress) -> Iterator[tuple[Look, Face]]:
    """What may be faces: sure ones as soon as they are seen, usual sides first, then the likeliest of the others."""
    others = []
    middle, radius = extent(splats)
    sides = (_from_afar(splats, rotation, middle, radius, SEARCH_SIDE) for rotation in _directions())
    for done, (sight, turn) in enumerate((sight, turn) for sight in sides for turn in range(4)):
        progress.update(done / (4 * len(DIRECTIONS)))
        picture = np.ascontiguousarray(np.rot90(sight.picture, turn))
        face = locate(picture)
        if face is None or (sure := likeness(picture, face)) < LEAST:
            continue
        # the camera turned about its axis, in place of the picture
        rolled = (
            Rotation.from_euler("z", 90 * turn, degrees=True).as_matrix() @ TO_CAMERA @ sight.camera.viewmat[:3, :3]
        )
        found = sure, _from_afar(splats, rolled, middle, radius, SEARCH_SIDE), face
        if sure > SURE:
            yield found[1:]
        else:
            others.append(found)
    for _, sight, face in sorted(others, key=lambda found: -found[0])[:CANDIDATES]:
        yield sight, face


def _from_front(splats: Splats, sight: Look, face: Face) -> tuple[np.ndarray, np.ndarray] | None:
    """[478, 3] places of a face's landmarks as they are seen from its front, and which [478] are seen; None where no
    face is there."""
    for _ in range(LOOKS):
        rotation = face.rotation.T @ TO_CAMERA @ sight.camera.viewmat[:3, :3]
        places = sight.places(face.landmarks[:, :2])
        if not np.isfinite(places).all(axis=1).any():
            return None
        centre = np.nanmedian(places, axis=0)
        tall = face.height * float(np.nanmedian(sight.depth)) / sight.camera.K[0, 0]
        sight = _from_afar(splats, rotation, centre, FACE_WIDE * tall / WIDE, LOOK_SIDE)
        nearer = locate(sight.picture)
        if nearer is None:
            return None
        face = refine(sight.picture, nearer)
    places = sight.places(face.landmarks[:, :2])
    seen = np.asarray(np.isfinite(places).all(axis=1))
    if seen.mean() < SHOWN or likeness(sight.picture, face) < SURE or np.degrees(abs(face.roll)) > STRAIGHT:
        return None
    return np.where(seen[:, None], places, 0.0), seen


DIRECTIONS = sorted((d for d in product((0, -1, 1), repeat=3) if any(d)), key=lambda d: (np.abs(d).sum(), -abs(d[2])))
"""To a cube's sides, edges and corners: no face is seen from more than 30° aside by all."""


def _directions() -> Iterator[np.ndarray]:
    """[3, 3] world to engine axes (y up, z toward the camera) of cameras all around."""
    for direction in DIRECTIONS:
        backward = np.array(direction) / np.linalg.norm(direction)
        up = np.array([0.0, 1.0, 0.0]) if abs(backward[1]) < 0.9 else np.array([0.0, 0.0, 1.0])
        right = np.cross(up, backward)
        right /= np.linalg.norm(right)
        yield np.stack([right, np.cross(backward, right), backward])


def _from_afar(splats: Splats, rotation: np.ndarray, middle: np.ndarray, radius: float, side: int) -> Look:
    """The splats along −z of the axes into which ``rotation`` [3, 3] turns the world."""
    viewmat = np.eye(4)
    viewmat[:3, :3] = TO_CAMERA @ rotation
    viewmat[:3, 3] = -viewmat[:3, :3] @ middle + (0, 0, DISTANCE * radius)
    focal = side / WIDE * DISTANCE
    K = np.array([[focal, 0.0, side / 2], [0.0, focal, side / 2], [0.0, 0.0, 1.0]])
    return look(splats, Camera(viewmat, K, side, side))
