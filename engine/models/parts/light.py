"""In what light a face was photographed, as far as painted parts must know it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

GREY = np.array([0.299, 0.587, 0.114])
SKIN_LUMINANCE, SKIN_CHROMA = 0.55, 0.16  # of sRGB's range: skin in the light in which parts' colours were chosen


@dataclass(frozen=True)
class Light:
    """brightness: factor on a colour; saturation: 0 in a black-and-white photo, 1 in a usual one."""

    brightness: float
    saturation: float

    def on(self, color: np.ndarray) -> np.ndarray:
        """[..., 3] a colour as it would look in this light."""
        color = np.asarray(color, float)
        grey = (color @ GREY)[..., None]
        return np.clip((grey + (color - grey) * self.saturation) * self.brightness, 0, 1)


def light_on(skin: np.ndarray) -> Light:
    """From colours [M, 3] of seen skin; daylight where there are none."""
    if not len(skin):
        return Light(1.0, 1.0)
    middle = np.median(skin, axis=0)
    chroma = float(middle.max() - middle.min())
    return Light(
        float(np.clip(middle @ GREY / SKIN_LUMINANCE, 0.45, 1.2)), float(np.clip(chroma / SKIN_CHROMA, 0, 1.0))
    )
