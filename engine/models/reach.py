"""How far Gaussians may lie from the skin that carries them: networks and refinement keep to the same bounds."""

from __future__ import annotations

import torch

from engine.gaussians.gaussians import PARTS, BoundGaussians
from engine.heads.parametric import ParametricHead

REACH = {"face": 0.006, "inner": 0.001, "hair": 0.02, "beyond": 0.02}  # m along each axis (ours)
INNER = ("mouth_interior", "teeth", "tongue")


def member(gaussians: BoundGaussians, head: ParametricHead, *regions: str) -> torch.Tensor:
    """[N] bool: Gaussians of the mesh's surface on triangles of any of the regions."""
    on_surface = gaussians.parts == PARTS.index("surface")
    return torch.from_numpy(head.face_region(*regions))[gaussians.triangles] & on_surface


def reach(gaussians: BoundGaussians, head: ParametricHead) -> torch.Tensor:
    """[N, 1] metres: little inside mouth and eyes, where Gaussians would stick out of lips and lids; most for hair."""
    found = torch.full((len(gaussians),), REACH["face"])
    found[member(gaussians, head, "scalp", "neck", "torso")] = REACH["hair"]
    found[gaussians.parts != PARTS.index("surface")] = REACH["beyond"]
    found[member(gaussians, head, "eyes", *INNER)] = REACH["inner"]
    return found[:, None]


def bounded(changes: torch.Tensor, room: torch.Tensor) -> torch.Tensor:
    """Changes [N, C] drawn softly into their room [N, 1 or C], to either side of 0; small ones stay as they are."""
    return room * torch.tanh(changes / room)
