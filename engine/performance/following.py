"""Follows one actor's face through a clip: found once, then looked for where it was, as MediaPipe does in videos."""

from __future__ import annotations

import cv2
import numpy as np

from engine.landmarker import Face, detect_faces, follow_face
from engine.photos.identity import embed
from engine.photos.outliers import SAME_PERSON

SIDE = 960  # px, longer side of the picture in which faces are looked for
EVERY = 25  # frames between looks at who it is
FAR = 0.6  # of the face's height, that it moves from one frame to the next at most; beyond, there was a cut
NOBODY, SOMEBODY_ELSE = "no face is seen.", "another person's face is seen."


class Follower:
    """The actor's face, frame after frame.

    Args:
        embedding: [128] float32, the actor's SFace identity.
    """

    def __init__(self, embedding: np.ndarray):
        self._actor = embedding
        self._last: Face | None = None
        self._since = 0
        self.missed = NOBODY

    def see(self, image: np.ndarray) -> Face | None:
        """The face in the next frame, [H, W, 3] uint8 sRGB; None where the actor's is not there, as ``missed`` says."""
        face = follow_face(image, self._last) if self._last is not None else None
        if face is not None and self._last is not None:
            if np.linalg.norm(face.center - self._last.center) > FAR * self._last.height:
                face = None
        self._since += 1
        if face is not None and self._since >= EVERY:
            face = face if self._is_actor(image, face) else None
        if face is None:
            face = self._find(image)
        self._last = face
        return face

    def _is_actor(self, image: np.ndarray, face: Face) -> bool:
        self._since = 0
        return float(embed(image, face.landmarks) @ self._actor) >= SAME_PERSON

    def _find(self, image: np.ndarray) -> Face | None:
        found = look(image)
        alike = [float(embed(image, face.landmarks) @ self._actor) for face in found]
        self._since = 0
        self.missed = SOMEBODY_ELSE if found else NOBODY
        return found[int(np.argmax(alike))] if alike and max(alike) >= SAME_PERSON else None


def look(image: np.ndarray) -> list[Face]:
    """All faces in a frame, in its own pixels."""
    scale = min(1.0, SIDE / max(image.shape[:2]))
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image
    back = np.array([[1 / scale, 0.0, 0.0], [0.0, 1 / scale, 0.0]])
    return [face.moved(back) for face in detect_faces(small)]
