"""Pictures in the light of HDR screens, as phones and cameras write HEIC files, brought to sRGB."""

from __future__ import annotations

import numpy as np

from engine.curves import to_linear

PQ, HLG = 16, 18  # transfer characteristics of ITU-T H.273, table 3
WHITE = 203.0  # cd/m² of diffuse white in both (ITU-R BT.2408, table 1)
PEAK = 1000.0  # cd/m² of HLG's nominal screen
KNEE = 0.8  # of white; what is brighter is compressed into the rest
# Linear light of primaries to sRGB's: BT.2020 (9) and Display P3 (12), from their chromaticities at D65.
TO_SRGB: dict[int, np.ndarray] = {
    9: np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32),
    12: np.array([[1.2249, -0.2247, 0.0], [-0.0420, 1.0419, 0.0], [-0.0197, -0.0786, 1.0979]], np.float32),
}


def to_srgb(image: np.ndarray, primaries: int, transfer: int) -> np.ndarray:
    """Map a picture's tones so that diffuse white and what is below look as in sRGB; highlights are compressed.

    Args:
        image: [H, W, 3] uint8. primaries, transfer: H.273's numbers; unknown ones are taken as sRGB's.

    Returns:
        [H, W, 3] uint8 sRGB.
    """
    matrix = TO_SRGB.get(primaries)
    if matrix is None and transfer not in (PQ, HLG):
        return image
    values = np.arange(256) / 255
    curve = {PQ: _from_pq, HLG: _from_hlg}.get(transfer, to_linear)(values).astype(np.float32)
    linear = curve[image]
    if transfer == HLG:  # the scene's light becomes a screen's, by its luminance (ITU-R BT.2100, table 5)
        luminance = linear @ np.array([0.2627, 0.6780, 0.0593], np.float32)
        linear *= PEAK / WHITE * np.maximum(luminance, 1e-6)[..., None] ** np.float32(0.2)
    if matrix is not None:
        linear = linear @ matrix.T
    if transfer in (PQ, HLG):
        brightest = np.maximum(linear.max(axis=-1, keepdims=True), 1e-6)
        over = np.maximum(brightest - KNEE, 0) / (1 - KNEE)
        linear *= np.where(brightest > KNEE, KNEE + (1 - KNEE) * over / (1 + over), brightest) / brightest
    linear = np.clip(linear, 0, 1)
    shown = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** np.float32(1 / 2.4) - 0.055)
    return (255 * shown + 0.5).astype(np.uint8)


def _from_pq(values: np.ndarray) -> np.ndarray:
    """SMPTE ST 2084's inverse, in units of diffuse white."""
    power = values ** (1 / 78.84375)
    return (np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)) ** (1 / 0.1593017578125) * 10000 / WHITE


def _from_hlg(values: np.ndarray) -> np.ndarray:
    """ITU-R BT.2100's inverse: the scene's light, 0 to 1."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(values <= 0.5, values**2 / 3, (np.exp((values - c) / a) + b) / 12)
