"""From a head's pose in the camera to the avatar's: where the torso is, and what neck and head do on top of it."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from engine.heads.lbs import joint_transforms
from engine.tracking.solver import TO_CAMERA

TORSO_YAW_SHARE = 0.5  # a turned head turns half with the torso, as portraits go
LARGEST_TURN = np.deg2rad(40)  # of the head against the torso


def upright_torso(head_rotation: np.ndarray) -> np.ndarray:
    """[3, 3] a torso's likely rotation into the camera, given the head's: upright, half turned along."""
    forward = (TO_CAMERA @ head_rotation)[:, 2]
    yaw = np.arctan2(forward[0], forward[2])
    return TO_CAMERA @ Rotation.from_euler("y", TORSO_YAW_SHARE * yaw).as_matrix()


def torso_view(
    chain: tuple[int, ...],
    parents: np.ndarray,
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
    turned = joint_transforms(torch.from_numpy(rotations), torch.from_numpy(joints).double(), parents)[chain[-1]]
    return pose @ np.linalg.inv(turned.numpy()), rotations
