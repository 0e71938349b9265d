"""Views of synthetic people as photos that were tracked without any error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import cv2
import numpy as np

from engine.photos.photo import CROP, INNER, MARGIN, WINDOW, Photo
from engine.tracking.tracked import Tracked, View

LANDMARKS, SCORES, EMBEDDING = 478, 52, 128


class Views(Protocol):
    """What samples of every kind have; see :class:`engine.synthetic.SyntheticSample`. Pixels are floats or bytes."""

    @property
    def rgb(self) -> np.ndarray: ...
    @property
    def alpha(self) -> np.ndarray: ...
    @property
    def background(self) -> np.ndarray: ...
    @property
    def neutral(self) -> np.ndarray: ...
    @property
    def joints(self) -> np.ndarray: ...
    @property
    def expression(self) -> np.ndarray: ...
    @property
    def joint_rotations(self) -> np.ndarray: ...
    @property
    def viewmats(self) -> np.ndarray: ...
    @property
    def Ks(self) -> np.ndarray: ...


def portrait(person: Views, view: int) -> Photo:
    """A view as if it were a photo of the head crop alone, with nothing around it, enlarged where it is smaller.

    What only finding and tracking faces needs (landmarks, embedding) is left empty.
    """
    colors, alpha = (_floats(values[view]) for values in (person.rgb, person.alpha))
    own = colors - (1 - alpha[..., None]) * person.background
    foreground = np.where(alpha[..., None] > 1 / 255, own / np.maximum(alpha[..., None], 1 / 255), 1).clip(0, 1)
    return Photo(
        name=str(view),
        sha256="0" * 64,
        image=_window(colors, 1.0),
        alpha=_window(alpha, 0.0),
        foreground=_window(foreground, 1.0),
        valid=_window(np.ones_like(alpha), 0.0) > 0,
        landmarks=np.zeros((LANDMARKS, 3), np.float32),
        scores=np.zeros(SCORES, np.float32),
        center=np.full(2, WINDOW / 2, np.float32),
        size=np.full(2, CROP, np.float32),
        focal=None,
        embedding=np.zeros(EMBEDDING, np.float32),
        sharpness=1.0,
        warnings=(),
    )


def true_tracking(person: Views, views: Sequence[int]) -> Tracked:
    """The truth about some views, in the words of tracking."""
    enlarge = CROP / person.rgb.shape[1]
    scale, margin = np.array([[enlarge], [enlarge], [1]]), np.array([[0, 0, MARGIN], [0, 0, MARGIN], [0, 0, 0]])
    tracked = tuple(
        View(
            str(view),
            person.viewmats[view],
            person.Ks[view] * scale + margin,
            person.expression[view],
            person.joint_rotations[view],
            0.0,
        )
        for view in views
    )
    return Tracked(np.zeros(0), person.neutral, person.joints, tracked, ())


def _floats(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32) / 255 if values.dtype == np.uint8 else values


def _window(values: np.ndarray, empty: float) -> np.ndarray:
    """[S, S, ...] in the middle of a photo's window."""
    padded = np.full((WINDOW, WINDOW, *values.shape[2:]), empty, np.float32)
    padded[INNER, INNER] = cv2.resize(values, (CROP, CROP), interpolation=cv2.INTER_LINEAR)
    return padded
