"""FLAME's forward pass by others: the published formula, written as it is printed, and ``smplx`` where it is installed.

Both take FLAME's arrays under FLAME's keys, [400] coefficients of shape and expression, and [5, 3] rotation vectors of
the joints in radians; they return [V, 3] posed vertices.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

PARENTS = (-1, 0, 1, 1, 1)


def published(arrays: dict[str, np.ndarray], coefficients: np.ndarray, rotvecs: np.ndarray) -> np.ndarray:
    """SMPL's equations 2 to 10 (Loper et al. 2015), which are FLAME's too: one joint, one vertex after the other."""
    rotations = Rotation.from_rotvec(rotvecs.astype(np.float64)).as_matrix()
    shaped = np.array(arrays["v_template"], np.float64)  # T + B_S(β)
    for n, coefficient in enumerate(coefficients):
        shaped += coefficient * arrays["shapedirs"][..., n]
    corrected = shaped.copy()  # T_P
    for n, entry in enumerate((rotations[1:] - np.eye(3)).flatten()):
        corrected += entry * arrays["posedirs"][..., n]
    joints = arrays["J_regressor"] @ shaped

    to_world: list[np.ndarray] = []  # G_k(θ, J)
    for k, parent in enumerate(PARENTS):
        local = np.eye(4)
        local[:3, :3], local[:3, 3] = rotations[k], joints[k] - (joints[parent] if parent >= 0 else 0)
        to_world.append(local if parent < 0 else to_world[parent] @ local)
    posed = np.zeros_like(corrected)
    for i, vertex in enumerate(corrected):
        for k, transform in enumerate(to_world):
            carried = transform[:3, :3] @ (vertex - joints[k]) + transform[:3, 3]  # G_k(θ, J) G_k(θ*, J)⁻¹ of it
            posed[i] += arrays["weights"][i, k] * carried
    return posed


def by_smplx(arrays: dict[str, np.ndarray], coefficients: np.ndarray, rotvecs: np.ndarray) -> np.ndarray:
    """The authors' own code. It adds 1e-8 to rotation vectors before it takes their length: it may differ by that."""
    smplx = pytest.importorskip(
        "smplx.lbs", reason="smplx, for non-commercial research only, is in no environment unasked: docs/licences.md"
    )
    tensors = {name: torch.as_tensor(np.asarray(array, np.float64)) for name, array in arrays.items()}
    posed, _ = smplx.lbs(
        torch.as_tensor(coefficients, dtype=torch.float64)[None],
        torch.as_tensor(rotvecs, dtype=torch.float64).reshape(1, -1),
        tensors["v_template"][None],
        tensors["shapedirs"],
        tensors["posedirs"].permute(2, 0, 1).flatten(1),
        tensors["J_regressor"],
        torch.tensor(PARENTS),
        tensors["weights"],
    )
    return posed[0].numpy()
