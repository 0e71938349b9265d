"""ParametricHead: the one shape of every head model, and its forward pass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

JOINTS = ("neck", "head", "jaw", "eyeLeft", "eyeRight")
REGIONS = (
    "face", "lips", "eyes", "lids", "brows", "ears", "scalp", "neck", "torso", "mouth_interior", "teeth", "tongue",
    "lashes",
)  # fmt: skip
MOUTH_INSIDE = ("mouth_interior", "teeth", "tongue")
MOUTH = ("lips", *MOUTH_INSIDE)
"""Of the regions, those of the mouth."""


@dataclass(frozen=True)
class ParametricHead:
    """A linear head model with linear-blend skinning. Metres, y up, z toward the viewer, x the subject's left.

    Attributes:
        name: ``makehuman`` or ``flame``.
        licence: one line, shown to the user and written into every avatar.
        template: [V, 3] float32.
        faces: [F, 3] int32, counter-clockwise seen from outside.
        identity_basis: [I, V, 3] float32, metres per standard deviation.
        expression_names: E names; the first 52 are :data:`engine.arkit.ARKIT_NAMES`.
        expression_basis: [E, V, 3] float32, metres at weight 1.
        joint_names: J names, :data:`JOINTS` among them; a joint's parent always comes before it.
        joint_parents: [J] int32, -1 for a root. Vertices may also follow the root itself (see ``skin_weights``).
        joint_regressor: [J, V] float32, joint positions from shaped vertices.
        skin_weights: [V, J + 1] float32, rows sum to 1; column 0 is the unmoving root (torso), column j + 1 joint j.
        pose_correctives: [9 * (J - 1) or 0, V, 3] float32 (FLAME's posedirs; empty elsewhere).
        uv: [T, 2] float32 in 0..1, v up.
        uv_faces: [F, 3] int32 into ``uv``.
        regions: name -> [V] bool, names from :data:`REGIONS`.
        landmark_triangles: [478] int32, the triangle under each MediaPipe landmark.
        landmark_barycentrics: [478, 3] float32.
        landmark_weights: [478] float32 in 0..1, how far the correspondence can be trusted (silhouette points: low).
    """

    name: str
    licence: str
    template: np.ndarray
    faces: np.ndarray
    identity_basis: np.ndarray
    expression_names: tuple[str, ...]
    expression_basis: np.ndarray
    joint_names: tuple[str, ...]
    joint_parents: np.ndarray
    joint_regressor: np.ndarray
    skin_weights: np.ndarray
    pose_correctives: np.ndarray
    uv: np.ndarray
    uv_faces: np.ndarray
    regions: dict[str, np.ndarray]
    landmark_triangles: np.ndarray
    landmark_barycentrics: np.ndarray
    landmark_weights: np.ndarray

    def face_region(self, *names: str) -> np.ndarray:
        """[F] bool: triangles whose three corners all lie in the region; of several regions, in any one of them."""
        return np.any([np.all(self.regions[name][self.faces], axis=1) for name in names], axis=0)
