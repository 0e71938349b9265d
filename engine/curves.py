"""Curves that more than one place draws with."""

from __future__ import annotations

import numpy as np


def smoothstep(x: np.ndarray, low: float | np.ndarray = 0.0, high: float | np.ndarray = 1.0) -> np.ndarray:
    """0 below ``low``, 1 above ``high``, and between them a cubic that is level at both ends."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def to_linear(srgb: np.ndarray) -> np.ndarray:
    """sRGB 0..1 to linear light (IEC 61966-2-1)."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((np.maximum(srgb, 0) + 0.055) / 1.055) ** 2.4)
