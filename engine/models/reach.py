"""How far Gaussians may lie from the skin that carries them: networks and refinement keep to the same bounds."""

from __future__ import annotations

import numpy as np
import torch

from engine.gaussians.gaussians import PARTS, BoundGaussians
from engine.heads.parametric import MOUTH_INSIDE, ParametricHead

REACH = {"face": 0.006, "inner": 0.001, "hair": 0.02, "beyond": 0.02}  # m along each axis (ours)
LID = 0.0012  # m that a blink moves skin, from which it may not stand out over the eye
BLINKS = ("eyeBlinkLeft", "eyeBlinkRight")


def member(gaussians: BoundGaussians, head: ParametricHead, *regions: str) -> torch.Tensor:
    """[N] bool: Gaussians of the mesh's surface on triangles of any of the regions."""
    on_surface = gaussians.parts == PARTS.index("surface")
    return torch.from_numpy(head.face_region(*regions)).to(on_surface.device)[gaussians.triangles] & on_surface


def lid_faces(head: ParametricHead) -> np.ndarray:
    """[F] bool: the face's triangles that a blink moves over the eye, and the lids' inner rims."""
    closing = head.expression_basis[[head.expression_names.index(name) for name in BLINKS]].sum(axis=0)
    moved = np.linalg.norm(closing, axis=1)[head.faces].max(axis=1) > LID
    return (moved & head.face_region("face")) | head.face_region("lids")


def reach(gaussians: BoundGaussians, head: ParametricHead) -> torch.Tensor:
    """[N, 1] metres: little inside mouth and eyes, where Gaussians would stick out of lips and lids; most for hair."""
    on_surface = gaussians.parts == PARTS.index("surface")
    found = torch.full(on_surface.shape, REACH["face"], device=on_surface.device)
    found[member(gaussians, head, "scalp", "neck", "torso")] = REACH["hair"]
    found[~on_surface] = REACH["beyond"]
    inner = torch.from_numpy(head.face_region("eyes", *MOUTH_INSIDE) | lid_faces(head)).to(on_surface.device)
    found[inner[gaussians.triangles] & on_surface] = REACH["inner"]
    return found[:, None]


def bounded(changes: torch.Tensor, room: torch.Tensor) -> torch.Tensor:
    """Changes [N, C] drawn softly into their room [N, 1 or C], to either side of 0; small ones stay as they are."""
    return room * torch.tanh(changes / room)
