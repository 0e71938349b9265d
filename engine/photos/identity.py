"""Who is in the picture: SFace's 128-d embedding, for the same-person check and for CSIM."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import onnxruntime

from engine import assets
from engine.photos.onnx import keep_first_input, open_bytes
from engine.photos.resampling import warp

SFACE_SIDE = 112
# ArcFace's five points in a 112 px square (insightface): eyes, nose tip, mouth corners, as seen from left to right.
# Insightface counts pixel centres from 0, this package from 0.5.
TEMPLATE = 0.5 + np.array(
    [(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)]
)
# The same points among MediaPipe's 478. An eye's middle is the mean of its corners.
EYES = ((33, 133), (362, 263))
NOSE_AND_MOUTH = (1, 61, 291)


def embed(image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """SFace identity of one face (Zhong et al., "SFace", arXiv 2205.12010).

    The face is aligned by MediaPipe's landmarks rather than by a second detector's: it separates persons as well
    (samples: same ≥ 0.50, different ≤ 0.29) and works on renders on which detectors fail.

    Args:
        image: [H, W, 3] uint8 sRGB.
        landmarks: [478, 2] or [478, 3] in pixels of ``image``, centres at +0.5.

    Returns:
        [128] float32 of unit length; the dot product of two is their cosine similarity.
    """
    points = np.vstack([*(landmarks[list(eye), :2].mean(0) for eye in EYES), landmarks[list(NOSE_AND_MOUTH), :2]])
    aligned = warp(image, _similarity(points, TEMPLATE), SFACE_SIDE)
    planes = aligned.astype(np.float32).transpose(2, 0, 1)[None]  # [1, 3, 112, 112], RGB 0..255
    (raw,) = _sface().run(None, {"data": planes})
    return raw[0] / np.linalg.norm(raw[0])


def _similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """[2, 3] least-squares similarity that takes ``source`` [N, 2] to ``target`` [N, 2]."""
    a, b = source @ (1, 1j), target @ (1, 1j)
    turn = np.vdot(a - a.mean(), b - b.mean()) / np.vdot(a - a.mean(), a - a.mean())
    shift = b.mean() - turn * a.mean()
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


# Not cv2.FaceRecognizerSF: it refuses this file, whose weights are inputs too, and its own alignment, which shrinks
# without averaging, ends at cosines of .994 to .999 to ours. Of the same square it makes the same.
@lru_cache(maxsize=1)
def _sface() -> onnxruntime.InferenceSession:
    return open_bytes(keep_first_input(assets.path("face_recognition_sface.onnx").read_bytes()))
