"""A small made-up model in FLAME's format: what the licensed files hold, with synthetic numbers."""

from __future__ import annotations

import numpy as np

JOINTS = 5
PARENTS = np.array([[4294967295, 0, 1, 1, 1], [0, 1, 2, 3, 4]], np.int64)  # FLAME's root parent is uint32's -1


def flame_arrays(vertices: np.ndarray, faces: np.ndarray, seed: int = 0) -> dict[str, np.ndarray]:
    """FLAME's arrays under FLAME's keys for a mesh: 300 + 100 shape directions, 36 pose directions, 5 joints."""
    rng = np.random.default_rng(seed)
    count = len(vertices)
    regressor = rng.random((JOINTS, count)) ** 8
    weights = rng.random((count, JOINTS)) ** 4
    return {
        "v_template": vertices.astype(np.float64),
        "f": faces.astype(np.uint32),
        "shapedirs": rng.normal(scale=1e-3, size=(count, 3, 400)),
        "posedirs": rng.normal(scale=1e-3, size=(count, 3, 36)),
        "J_regressor": regressor / regressor.sum(axis=1, keepdims=True),
        "kintree_table": PARENTS,
        "weights": weights / weights.sum(axis=1, keepdims=True),
    }
