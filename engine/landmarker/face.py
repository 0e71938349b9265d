"""One face in an image, and which of its landmarks are where."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FACE_OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
EYE_RIGHT, EYE_LEFT = 33, 263  # the outer corners; "Left" is the subject's left


@dataclass(frozen=True)
class Face:
    """One face in an image.

    Attributes:
        landmarks: [478, 3] float64 in the image's pixels, centres at +0.5 (z in pixels too, smaller is nearer).
        scores: [52] float64 in 0..1, ARKit order; ``tongueOut`` is always 0, the network does not score it.
        rotation: [3, 3] float64 head rotation, canonical face to camera (x right, y up, z toward the viewer).
    """

    landmarks: np.ndarray
    scores: np.ndarray
    rotation: np.ndarray

    @property
    def height(self) -> float:
        """Greatest distance across the face oval in pixels; the same for a tilted head."""
        oval = self.landmarks[list(FACE_OVAL), :2]
        return float(np.linalg.norm(oval[:, None] - oval[None], axis=-1).max())

    @property
    def center(self) -> np.ndarray:
        """[2] middle of the face oval's bounding box, pixels."""
        oval = self.landmarks[list(FACE_OVAL), :2]
        return (oval.min(0) + oval.max(0)) / 2

    @property
    def roll(self) -> float:
        """Tilt in the image plane in radians, clockwise as seen, from the line of the eyes."""
        across = self.landmarks[EYE_LEFT, :2] - self.landmarks[EYE_RIGHT, :2]
        return float(np.arctan2(across[1], across[0]))

    def moved(self, matrix: np.ndarray) -> Face:
        """The face after the image went through ``matrix`` [2, 3], a similarity on pixel coordinates."""
        linear = matrix[:, :2]
        scale = np.sqrt(np.linalg.det(linear))
        xy = self.landmarks[:, :2] @ linear.T + matrix[:, 2]
        return Face(np.column_stack([xy, self.landmarks[:, 2] * scale]), self.scores, self.rotation)
