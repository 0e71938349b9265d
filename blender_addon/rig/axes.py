"""The engine's axes (y up, z toward the viewer) and Blender's (z up, the face toward -y)."""

from __future__ import annotations

import numpy as np

# Rows: Blender's x, y, z in the engine's axes. A quarter turn, so nothing is mirrored.
ENGINE_TO_BLENDER = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])


def to_blender(vectors: np.ndarray) -> np.ndarray:
    """[..., 3] positions or directions in Blender's axes, as float32."""
    return (vectors @ ENGINE_TO_BLENDER.T).astype(np.float32)


def to_engine(vectors: np.ndarray) -> np.ndarray:
    """[..., 3] positions or directions in the engine's axes, as float32."""
    return (vectors @ ENGINE_TO_BLENDER).astype(np.float32)
