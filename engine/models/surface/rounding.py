"""The skin between the mesh's vertices is round, not flat: without it a skull's outline shows its triangles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from engine.gaussians.binding import triangle_frames
from engine.gaussians.gaussians import PARTS, BoundGaussians
from engine.heads.parametric import ParametricHead
from engine.heads.portrait import vertex_normals
from engine.heads.rig import Rig

BULGE = 0.75  # of the way to the tangent planes, as Boubekeur and Alexa recommend
SHARP = ("lids", "lips", "eyes", "lashes", "teeth", "tongue", "mouth_interior")


def rounded(gaussians: BoundGaussians, head: ParametricHead, rig: Rig) -> BoundGaussians:
    """Skin Gaussians lifted from their flat triangles onto the curved surface that the vertices' normals imply.

    Phong tessellation (Boubekeur and Alexa 2008, doi 10.1145/1457515.1409101), as offsets in the triangles' frames.
    """
    skin = ~head.face_region(*SHARP)
    at = np.flatnonzero(skin[gaussians.triangles.numpy()] & (gaussians.parts == PARTS.index("surface")).numpy())
    vertices = rig.neutral.numpy().astype(np.float64)
    corners = head.faces[gaussians.triangles.numpy()[at]]
    weights = gaussians.barycentrics.numpy()[at].astype(np.float64)
    points = np.einsum("nk,nkc->nc", weights, vertices[corners])
    normals = vertex_normals(vertices, head.faces)[corners]
    below = np.einsum("nkc,nkc->nk", points[:, None] - vertices[corners], normals)  # over each corner's tangent plane
    lift = -BULGE * np.einsum("nk,nk,nkc->nc", weights, below, normals)
    frames = triangle_frames(rig.neutral, rig.faces)[0][gaussians.triangles[at]]
    offsets = gaussians.offsets.clone()
    offsets[at] += (frames.transpose(1, 2) @ torch.from_numpy(lift).float()[:, :, None]).squeeze(-1)
    return replace(gaussians, offsets=offsets)
