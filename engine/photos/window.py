"""The square around a head, and the way of pixels into it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.landmarker import Face
from engine.photos.photo import CROP, WINDOW
from engine.photos.resampling import warp

CROP_SIDE = 2.4  # crop side in face heights: from chin to the top of the hair a head then fills about 60 % of it
RAISE = 0.1  # the crop's middle lies this many face heights above the face's, which leaves room for hair


@dataclass(frozen=True)
class Window:
    """Where a head's window lies in its photo: ``window = scale * photo + shift``, pixel centres at +0.5 in both.

    Attributes:
        scale: window pixels per photo pixel.
        shift: [2] float64, window pixels.
    """

    scale: float
    shift: np.ndarray

    @classmethod
    def around(cls, face: Face) -> Window:
        """The window whose inner crop holds the whole head and where the shoulders start."""
        scale = CROP / (CROP_SIDE * face.height)
        middle = face.center - (0.0, RAISE * face.height)
        return cls(scale, WINDOW / 2 - scale * middle)

    def resample(self, image: np.ndarray) -> np.ndarray:
        """[H, W] or [H, W, C] photo pixels to [WINDOW, WINDOW(, C)]; the photo's border goes on outside of it."""
        matrix = np.array([[self.scale, 0.0, self.shift[0]], [0.0, self.scale, self.shift[1]]])
        return warp(image, matrix, WINDOW)

    def inside(self, width: int, height: int) -> np.ndarray:
        """[WINDOW, WINDOW] bool, pixels whose centre lies in a photo of that size."""
        across = (np.arange(WINDOW) + 0.5 - self.shift[0]) / self.scale
        down = (np.arange(WINDOW) + 0.5 - self.shift[1]) / self.scale
        return ((down >= 0) & (down < height))[:, None] & ((across >= 0) & (across < width))[None]

    def cut(self, image: np.ndarray, reach: float) -> tuple[np.ndarray, Window]:
        """The photo's own pixels in and around the window.

        Args:
            image: [H, W, C].
            reach: side of the part to keep, in window sides; it ends where the photo does.

        Returns:
            The part, and the same window seen from it.
        """
        height, width = image.shape[:2]
        middle, half = (WINDOW / 2 - self.shift) / self.scale, reach * WINDOW / 2 / self.scale
        left, top = np.floor(np.maximum(middle - half, 0)).astype(int)
        right, bottom = np.ceil(np.minimum(middle + half, (width, height))).astype(int)
        return image[top:bottom, left:right], Window(self.scale, self.shift + self.scale * np.array([left, top]))

    def shrunk(self, scale: float) -> Window:
        """The same window seen from the photo scaled by ``scale``."""
        return Window(self.scale / scale, self.shift)
