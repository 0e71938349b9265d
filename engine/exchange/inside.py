"""The inside of a mouth that no picture shows: what a capture has there gives way to teeth, tongue and lining."""

from __future__ import annotations

import numpy as np
import torch

from engine.gaussians.binding import triangle_frames
from engine.gaussians.gaussians import PARTS, BoundGaussians, Splats, concatenate
from engine.heads.landmarks import LOWER_LIP_INNER, UPPER_LIP_INNER
from engine.heads.parametric import ParametricHead
from engine.heads.rig import Rig
from engine.models.parts import mouth
from engine.models.parts.light import Light, light_on
from engine.models.parts.placing import scattered, tie
from engine.models.surface import OPACITY

SHUT = 0.004  # metres between the lips' inner edges, up to which nothing is seen between them
AROUND, DEEP = 0.012, 0.05  # metres to the sides of the lips, and behind them, that are mouth
STEP, OVERLAP = 0.001, 0.8  # metres between Gaussians on tongue and lining; their standard deviation in steps


def is_shut(head: ParametricHead, vertices: np.ndarray) -> bool:
    """Whether the lips of a mesh [V, 3] close the mouth."""
    upper, lower = (
        np.einsum("lkc,lk->lc", vertices[head.faces[head.landmark_triangles[rim]]], head.landmark_barycentrics[rim])
        for rim in (list(UPPER_LIP_INNER), list(LOWER_LIP_INNER))
    )
    return float(np.median(upper[:, 1] - lower[:, 1])) < SHUT


def inside(splats: Splats, hidden: np.ndarray, rig: Rig, head: ParametricHead) -> np.ndarray:
    """[N] bool: of the ``hidden`` [N] splats, those behind the lips and the skin around them."""
    lips = rig.neutral[torch.from_numpy(head.regions["lips"])]
    low, high = lips.min(dim=0).values, lips.max(dim=0).values
    away = (torch.maximum(low - splats.means, splats.means - high)).clamp_min(0)
    behind = (away[:, :2] < AROUND).all(dim=1) & (away[:, 2] < DEEP) & (splats.means[:, 2] < high[2])
    return hidden & behind.numpy()


def draw_mouth(skin: np.ndarray, rig: Rig, head: ParametricHead) -> BoundGaussians:
    """Teeth, tongue and lining in the light in which ``skin`` [M, 3] has its colours."""
    light = light_on(skin)
    vertices = rig.neutral.numpy().astype(np.float64)
    front = float(vertices[head.regions["teeth"], 2].max())
    drawn = [
        _lining(rig, head, "mouth_interior", front, light),
        _lining(rig, head, "tongue", front, light),
        *(
            tie(mouth.teeth(head, vertices, faces, name == "upper", mouth.enamel(skin[:0], light), light), rig, at)
            for name, faces in mouth.arches(head).items()
            for at in [np.flatnonzero(faces)]
        ),
    ]
    made = drawn[0]
    for part in drawn[1:]:
        made = concatenate(made, part)
    return made


def _lining(rig: Rig, head: ParametricHead, region: str, front: float, light: Light) -> BoundGaussians:
    """Flat Gaussians all over a region's triangles."""
    faces = np.flatnonzero(head.face_region(region))
    _, areas = triangle_frames(rig.neutral, rig.faces)
    which, barycentrics = scattered(areas.numpy()[faces].astype(np.float64), STEP)
    triangles, count = torch.from_numpy(faces[which]), len(which)
    corners = rig.neutral[rig.faces[triangles]].double().numpy()
    position = np.einsum("nkc,nk->nc", corners, barycentrics)
    paint = mouth.tongue_colors if region == "tongue" else mouth.lining_colors
    return BoundGaussians(
        triangles,
        torch.from_numpy(barycentrics).float(),
        torch.zeros(count, 3),
        torch.tensor([1.0, 0, 0, 0]).repeat(count, 1),
        STEP * torch.tensor([OVERLAP, OVERLAP, 0.2]).repeat(count, 1),
        torch.full((count,), OPACITY),
        torch.from_numpy(paint(position, front, light)).float(),
        torch.full((count,), PARTS.index("surface"), dtype=torch.uint8),
    )
