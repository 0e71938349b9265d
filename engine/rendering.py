"""Pictures of an avatar: in any pose from any camera, as one of its photos saw it, or on an orbit around the head."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from engine.avatar import Avatar, SourceView, drive, drive_view
from engine.gaussians.gaussians import Splats
from engine.photos.photo import CROP, MARGIN
from engine.splatting import rasterization

ORBIT_FOV = math.radians(20.0)  # a portrait lens: about 100 mm on a full-frame camera held upright
ORBIT_FILL = 0.6  # share of the picture's shorter side that the head's mesh takes, so that hair fits in
HEAD_REGIONS = ("face", "scalp", "ears")


@dataclass(frozen=True)
class Picture:
    """A rendered view before it is laid over a background.

    Attributes:
        rgb: [H, W, 3] float32 display-referred sRGB, premultiplied by alpha.
        alpha: [H, W] float32 in 0..1.
    """

    rgb: torch.Tensor
    alpha: torch.Tensor

    def over(self, background: float | tuple[float, float, float]) -> torch.Tensor:
        """[H, W, 3] in 0..1: the picture over a plain colour (a grey value or sRGB)."""
        return (self.rgb + (1 - self.alpha[..., None]) * self.rgb.new_tensor(background)).clamp(0, 1)


@dataclass(frozen=True)
class Camera:
    """A pinhole camera: viewmat [4, 4] world to camera (OpenCV axes), K [3, 3] in pixels, picture size in pixels."""

    viewmat: np.ndarray
    K: np.ndarray
    width: int
    height: int


@torch.no_grad()
def render(splats: Splats, camera: Camera) -> Picture:
    """Render posed Gaussians, on the device they are on; the picture comes back on the CPU."""
    means = splats.means
    renders, alphas, _ = rasterization(
        means,
        splats.quats,
        splats.scales,
        splats.opacities,
        splats.colors,
        torch.as_tensor(camera.viewmat, dtype=means.dtype, device=means.device)[None],
        torch.as_tensor(camera.K, dtype=means.dtype, device=means.device)[None],
        camera.width,
        camera.height,
    )
    return Picture(renders[0, ..., :3].cpu(), alphas[0, ..., 0].cpu())


def render_avatar(
    avatar: Avatar,
    expression: Mapping[str, float],
    joint_rotations: Mapping[str, Sequence[float] | np.ndarray],
    camera: Camera,
    background: float | tuple[float, float, float] = 1.0,
) -> torch.Tensor:
    """The avatar under an expression and a pose, over a plain colour.

    Args:
        expression: weight per shape key, see :func:`engine.avatar.drive`. joint_rotations: axis-angle [3] per joint.

    Returns:
        [H, W, 3] float32 sRGB 0..1.

    Raises:
        AvatarError: a name that the avatar does not have.
    """
    return render(drive(avatar, expression, joint_rotations), camera).over(background)


def render_view(avatar: Avatar, view: SourceView) -> Picture:
    """The avatar as one of its photos, or a driven frame, sees it."""
    return render(drive_view(avatar, view), Camera(view.viewmat, view.K, view.width, view.height))


def crop_view(view: SourceView) -> SourceView:
    """A view of a photo's whole window, narrowed to the inner crop (see :class:`engine.photos.photo.Photo`)."""
    K = view.K.copy()
    K[:2, 2] -= MARGIN
    return replace(view, K=K, width=CROP, height=CROP)


def orbit_camera(avatar: Avatar, yaw: float, pitch: float = 0.0, width: int = 512, height: int = 512) -> Camera:
    """A camera on a sphere around the head, looking at its middle, far enough for hair to fit in.

    Args:
        yaw: radians; positive moves the camera to the subject's left, so that the left side of the face is seen.
        pitch: radians, within ±π/2 exclusive; positive moves the camera up.
        width, height: picture size in pixels.
    """
    inside = np.logical_or.reduce([avatar.regions[name] for name in HEAD_REGIONS])
    return orbit_around(avatar.vertices[inside], yaw, pitch, width, height)


def orbit_around(points: np.ndarray, yaw: float, pitch: float, width: int, height: int) -> Camera:
    """The same around points [N, 3] in metres, of which there is one at least."""
    low, high = points.min(axis=0).astype(np.float64), points.max(axis=0).astype(np.float64)
    centre, tall = (low + high) / 2, float(high[1] - low[1])
    focal = min(width, height) / (2 * math.tan(ORBIT_FOV / 2))
    distance = focal * tall / (ORBIT_FILL * min(width, height))
    backward = np.array([math.sin(yaw) * math.cos(pitch), math.sin(pitch), math.cos(yaw) * math.cos(pitch)])
    right = np.array([math.cos(yaw), 0.0, -math.sin(yaw)])
    rotation = np.stack([right, -np.cross(backward, right), -backward])
    viewmat = np.eye(4)
    viewmat[:3, :3] = rotation
    viewmat[:3, 3] = -rotation @ (centre + distance * backward)
    K = np.array([[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]])
    return Camera(viewmat, K, width, height)
