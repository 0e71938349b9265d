"""Faces in an image: 478 landmarks, 52 ARKit scores and a head rotation, by MediaPipe's networks without MediaPipe.

The networks are those of Google's FaceLandmarker bundle (BlazeFace, arXiv 1907.05047; Attention Mesh, arXiv 2006.10962;
Blendshape V2, arXiv 2309.05782), run by OpenCV; what MediaPipe does between them is written here anew. Its own library
sends usage metrics to its makers, and this engine sends nothing.
"""

from __future__ import annotations

import numpy as np

from engine.landmarker import boxes, mesh, models, pose
from engine.landmarker.face import Face

__all__ = ["MAX_FACES", "Face", "detect_faces", "follow_face"]

MAX_FACES = 5


def follow_face(image: np.ndarray, before: Face) -> Face | None:
    """The face of a clip's frame, looked for where it was in the frame before; None where there is none any more.

    Args:
        image: [H, W, 3] uint8 sRGB. before: in pixels of the image.
    """
    with models.loaded() as networks:
        return _look(networks, image, boxes.around(before.landmarks))


def detect_faces(image: np.ndarray) -> list[Face]:
    """One look at an image: up to ``MAX_FACES`` faces, the surest first, possibly none. Safe in any thread.

    Args:
        image: [H, W, 3] uint8 sRGB.

    Raises:
        AssetError: the models have not been fetched.
    """
    with models.loaded() as networks:
        looks = [_look(networks, image, roi) for roi in boxes.find(networks.detector, image)[:MAX_FACES]]
    return [face for face in looks if face is not None]


def _look(networks: models.Networks, image: np.ndarray, roi: boxes.Roi) -> Face | None:
    """The face in a square of the image; None where it shows none."""
    landmarks = mesh.find(networks.mesh, image, roi)
    if landmarks is None:
        return None
    scores = mesh.scores(networks.blendshapes, landmarks)
    return Face(landmarks, scores, pose.rotation(networks.canonical, landmarks, image.shape[:2]))
