"""What is drawn stays as drawn, and nothing beside it may be painted to make up for it.

Eyes, teeth and the mouth's inside move on their own under keys. Where a photo shows them otherwise than they are drawn,
refinement would turn lids and lips over them into pieces of iris and teeth, which a closed eye and an open mouth carry
away with them.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import torch

from engine.photos.crop import Target
from engine.photos.openings import openings
from engine.photos.photo import MARGIN, Photo

SOFT = 1.0  # px, of the border between the photo and what is drawn


def keep_drawn(target: Target, photo: Photo, image: torch.Tensor, alpha: torch.Tensor, shown: torch.Tensor) -> Target:
    """The goal of a photo's refinement, with the head as it began wherever drawn parts are, in it or in the photo.

    Args:
        image: [H, W, 3] premultiplied, the head as it began. alpha: [H, W, 1] its own.
        shown: [H, W, 1] 0..1, how much of each of its pixels is a drawn part.

    The border is softened by OpenCV, on the CPU; the rest happens where the pictures are.
    """
    height, width = target.alpha.shape[:2]
    opened = openings(photo.landmarks[:, :2] - MARGIN, height, width).astype(np.float32)
    share = np.maximum(opened, shown[..., 0].clamp(0, 1).cpu().numpy())
    soft = torch.from_numpy(cv2.GaussianBlur(share, (0, 0), SOFT)).to(target.valid.device)
    kept = soft[..., None] * target.valid
    return replace(target, image=target.image.lerp(image, kept.expand_as(image)), alpha=target.alpha.lerp(alpha, kept))
