"""From a head's pose in the camera to the avatar's: where the torso is, and what neck and head do on top of it."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from engine.tracking.solver import TO_CAMERA

TORSO_YAW_SHARE = 0.5  # a turned head turns half with the torso, as portraits go
LARGEST_TURN = np.deg2rad(40)  # of the head against the torso


def head_transform(chain: tuple[int, ...], joints: np.ndarray, rotations: np.ndarray) -> np.ndarray:
    """[4, 4]: what neck and head rotations [J, 3] do to the head's rest points."""
    out = np.eye(4)
    for j in chain:
        turn = np.eye(4)
        turn[:3, :3] = Rotation.from_rotvec(rotations[j]).as_matrix()
        turn[:3, 3] = joints[j] - turn[:3, :3] @ joints[j]
        out = out @ turn
    return out


def upright_torso(head_rotation: np.ndarray) -> np.ndarray:
    """[3, 3] a torso's likely rotation into the camera, given the head's: upright, half turned along."""
    forward = (TO_CAMERA @ head_rotation)[:, 2]
    yaw = np.arctan2(forward[0], forward[2])
    return TO_CAMERA @ Rotation.from_euler("y", TORSO_YAW_SHARE * yaw).as_matrix()


def torso_view(
    chain: tuple[int, ...],
    joints: np.ndarray,
    head_rotation: np.ndarray,
    head_translation: np.ndarray,
    torso_rotation: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Split a head pose into the torso's view matrix and joint rotations, shared evenly along the chain.

    Returns:
        viewmat [4, 4] of the rest space (torso), joint rotations [J, 3]; together they put the head where it was.
    """
    relative = Rotation.from_matrix(torso_rotation.T @ head_rotation).as_rotvec()
    relative *= min(1.0, LARGEST_TURN / max(np.linalg.norm(relative), 1e-9))
    rotations = np.zeros((len(joints), 3))
    rotations[list(chain)] = relative / len(chain)
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = head_rotation, head_translation
    return pose @ np.linalg.inv(head_transform(chain, joints, rotations)), rotations
