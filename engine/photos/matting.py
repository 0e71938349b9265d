"""Separates the person from the background: Robust Video Matting on the photo around the head."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import onnxruntime

from engine import assets
from engine.photos.onnx import open_model

COARSE_SIDE = 512  # px, RVM's inner resolution; its authors advise 256 to 512 for the longer side
CONNECTED = 0.1  # alpha from which pixels count as one body


def matte(image: np.ndarray, point: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Foreground colour and alpha (Lin et al., "Robust High-Resolution Video Matting", arXiv 2108.11515).

    Args:
        image: [H, W, 3] uint8 sRGB, head and shoulders. Context helps; painted borders harm.
        point: [2] x, y of a pixel on the person's face. Bodies that do not touch this one are dropped.

    Returns:
        foreground: [H, W, 3] float32 0..1, colours without the background's bleed.
        alpha: [H, W] float32 0..1.
    """
    source = (image.astype(np.float32) / 255).transpose(2, 0, 1)[None]
    ratio = np.array([min(1.0, COARSE_SIDE / max(image.shape[:2]))], dtype=np.float32)
    inputs = {"src": source, "downsample_ratio": ratio}
    for memory in ("r1i", "r2i", "r3i", "r4i"):  # empty: more passes over the same picture did not improve its matte
        inputs[memory] = np.zeros((1, 1, 1, 1), np.float32)
    foreground, alpha, *_ = _rvm().run(None, inputs)
    return foreground[0].transpose(1, 2, 0), _keep_body(alpha[0, 0], point)


def _keep_body(alpha: np.ndarray, point: np.ndarray) -> np.ndarray:
    _, labels = cv2.connectedComponents((alpha > CONNECTED).astype(np.uint8))
    x, y = np.clip(point.astype(int), 0, np.array(alpha.shape[::-1]) - 1)
    if labels[y, x] == 0:  # the matte missed the face itself; cutting would only do more harm
        return alpha
    body = (labels == labels[y, x]).astype(np.uint8)
    around = cv2.dilate(body, np.ones((5, 5), np.uint8))  # the soft edge below CONNECTED
    return alpha * around


@lru_cache(maxsize=1)
def _rvm() -> onnxruntime.InferenceSession:
    return open_model(assets.path("rvm_mobilenetv3_fp32.onnx"))
