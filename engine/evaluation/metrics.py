"""How near a render comes to a photo: pure functions on one frame, and the means over many.

The protocol of the papers' self-reenactment tables at 512²: PSNR, SSIM, LPIPS (AlexNet), matte IoU, AKD, CSIM.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from engine.perceptual import LPIPS
from engine.photos.crop import face_hull
from engine.ssim import RADIUS, ssim_map

CHIN = 152  # MediaPipe's lowest point of the face oval
HEAD_BELOW_CHIN = 8  # px; the head ends this far below the chin
PSNR_CAP = 100.0  # dB, what equal images are given: infinity has no mean and no place in JSON
BACKGROUNDS = {"": 1.0, "_black": 0.0}  # suffix of the region's name -> grey value


@dataclass(frozen=True)
class ImageScores:
    """PSNR in dB (higher is better), SSIM in -1..1 (higher), LPIPS (lower)."""

    psnr: float
    ssim: float
    lpips: float


@dataclass(frozen=True)
class Scores:
    """What one frame, or the mean over frames, reaches. NaN where it could not be measured.

    Attributes:
        regions: ``full``, ``head``, ``face`` on white, and the same with ``_black`` on black.
        iou: intersection over union of the mattes above one half.
        akd: average keypoint distance in pixels, MediaPipe on the render against MediaPipe on the target.
        csim: cosine of SFace embeddings, render against target.
        csim_source: the same, render against the source photos.
        faces_missed: frames on whose render no face was found; they are left out of ``akd``.
    """

    regions: Mapping[str, ImageScores]
    iou: float
    akd: float
    csim: float
    csim_source: float
    faces_missed: int = 0


@dataclass(frozen=True)
class Truth:
    """What a held-out frame says, over its crop.

    Attributes:
        image: [H, W, 3] float32 sRGB 0..1, not matted.
        alpha: [H, W] float32 matte.
        valid: [H, W] bool, inside the original photo.
        landmarks: [478, 2] float32 in crop pixels.
    """

    image: torch.Tensor
    alpha: torch.Tensor
    valid: torch.Tensor
    landmarks: np.ndarray

    def over(self, background: float) -> torch.Tensor:
        """[H, W, 3]: the matted frame over a plain grey, which also fills what lies outside the photo."""
        alpha = (self.alpha * self.valid)[..., None]
        return self.image * alpha + background * (1 - alpha)


@dataclass(frozen=True)
class Region:
    """Where two images are compared.

    Attributes:
        kept: [H, W] bool; elsewhere both images become background.
        pixels: [H, W] bool, over which PSNR's squared error is averaged.
        windows: [H, W] bool, centres of the SSIM windows that are averaged.
    """

    kept: torch.Tensor
    pixels: torch.Tensor
    windows: torch.Tensor


def regions(truth: Truth) -> dict[str, Region]:
    """The three regions of a frame.

    ``full`` is the whole crop. ``head`` blanks everything from 8 px below the chin on and still averages over the whole
    crop. ``face`` is the convex hull of the face landmarks: PSNR over its pixels, SSIM over windows that lie inside.
    """
    height, width = truth.valid.shape
    everything = torch.ones(height, width, dtype=torch.bool)
    inner = torch.zeros(height, width, dtype=torch.bool)
    inner[RADIUS : height - RADIUS, RADIUS : width - RADIUS] = True  # windows inside the image
    above_chin = torch.arange(height)[:, None] < int(truth.landmarks[CHIN, 1]) + HEAD_BELOW_CHIN

    hull = face_hull(truth.landmarks, height, width).astype(np.uint8)
    window = np.ones((2 * RADIUS + 1, 2 * RADIUS + 1), np.uint8)
    eroded = cv2.erode(hull, window, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    face = torch.from_numpy(hull.astype(bool)) & truth.valid
    return {
        "full": Region(truth.valid, everything, inner),
        "head": Region(truth.valid & above_chin, everything, inner),
        "face": Region(face, face, torch.from_numpy(eroded.astype(bool))),
    }


@torch.no_grad()
def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    """Peak signal-to-noise ratio in dB of two tensors of sRGB 0..1, at most :data:`PSNR_CAP`."""
    return float(-10 * torch.log10((a - b).square().mean().clamp_min(10 ** (-PSNR_CAP / 10))))


def image_scores(
    render: torch.Tensor, target: torch.Tensor, region: Region, background: float, lpips: LPIPS
) -> ImageScores:
    """Compare a render with its target inside a region.

    Args:
        render: [H, W, 3] sRGB 0..1, laid over ``background``. target: [H, W, 3], the same way.
    """
    kept = region.kept[..., None]
    a, b = (torch.where(kept, image, background) for image in (render, target))
    planes = a.permute(2, 0, 1)[None], b.permute(2, 0, 1)[None]
    structure = ssim_map(*planes)[0].mean(0)[region.windows].mean()
    return ImageScores(psnr(a[region.pixels], b[region.pixels]), float(structure), float(lpips(*planes)))


def matte_iou(alpha: torch.Tensor, truth: Truth) -> float:
    """:func:`overlap` of a render's matte [H, W] and the photo's, inside the photo."""
    return overlap(alpha * truth.valid, truth.alpha * truth.valid)


def overlap(a: torch.Tensor, b: torch.Tensor) -> float:
    """Intersection over union of two mattes [H, W] above one half; 1 when both are empty."""
    a, b = a > 0.5, b > 0.5
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else 1.0


def keypoint_distance(render: np.ndarray, target: np.ndarray) -> float:
    """Mean distance in pixels between landmarks [L, 2]."""
    return float(np.linalg.norm(render - target, axis=1).mean())


def mean_scores(frames: Sequence[Scores]) -> Scores:
    """Mean over frames, each value over the frames where it could be measured."""
    names = frames[0].regions if frames else {}
    return Scores(
        {
            name: ImageScores(
                *(mean([getattr(frame.regions[name], key) for frame in frames]) for key in ("psnr", "ssim", "lpips"))
            )
            for name in names
        },
        *(mean([getattr(frame, key) for frame in frames]) for key in ("iou", "akd", "csim", "csim_source")),
        faces_missed=sum(frame.faces_missed for frame in frames),
    )


def mean(values: Sequence[float]) -> float:
    """Mean of the values that are known (not NaN); NaN when none is."""
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan
