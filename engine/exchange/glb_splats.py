"""Splats out of a binary glTF with ``KHR_gaussian_splatting``: all meshes that have some, where the scene puts them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from engine.errors import AvatarError
from engine.exchange.glb_file import Glb
from engine.exchange.similarity import Similarity
from engine.formats.avatar_layout import LAYOUT
from engine.formats.viewers import SH_C0
from engine.gaussians.gaussians import Splats

EXTENSION = "KHR_gaussian_splatting"
SQUARE = 1e-3  # how far a node's axes may be from a similarity's, of its size


def read_glb_splats(path: Path) -> Splats:
    """The splats at rest, in glTF's axes, which are the engine's; colours of degree 0.

    Raises:
        AvatarError: the file is damaged, or holds none.
    """
    try:
        file = Glb(path.read_bytes())
        meshes = file.all("meshes")
        parts = [
            _part(file, primitive, file.world(number))
            for number, node in enumerate(file.all("nodes"))
            if "mesh" in node
            for primitive in meshes[node["mesh"]]["primitives"]
            if EXTENSION in primitive.get("extensions", {})
        ]
        found = Splats(*(torch.cat(values) for values in zip(*(vars(part).values() for part in parts), strict=True)))
        if not 0 < len(found.means) <= LAYOUT.limits["N"]:
            raise ValueError(f"{len(found.means)} splats")
        if not all(torch.isfinite(value).all() for value in vars(found).values()):
            raise ValueError("numbers that are not finite")
    except OSError as error:
        raise AvatarError(f"{path.name} cannot be read ({error.strerror or error}).", "Check the file.") from error
    except Exception as error:  # JSON and arrays of strangers fail in a dozen ways
        raise AvatarError(f"{path.name} is damaged ({error}).", "Export its splats again, as .glb or .ply.") from error
    return found


def _part(file: Glb, primitive: dict, world: np.ndarray) -> Splats:
    attributes = primitive["attributes"]

    def values(name: str, width: int) -> torch.Tensor:
        array = file.array(attributes[name]).astype(np.float32)
        return torch.from_numpy(array.reshape(-1, width))

    quats = values(f"{EXTENSION}:ROTATION", 4).roll(1, dims=1)  # xyzw to wxyz
    splats = Splats(
        values("POSITION", 3),
        torch.nn.functional.normalize(quats + torch.tensor([1e-9, 0, 0, 0]), dim=1),
        values(f"{EXTENSION}:SCALE", 3),
        values(f"{EXTENSION}:OPACITY", 1)[:, 0].clamp(0, 1),
        values(f"{EXTENSION}:SH_DEGREE_0_COEF_0", 3) * SH_C0 + 0.5,
    )
    if len({len(value) for value in vars(splats).values()}) != 1:
        raise ValueError("splats whose properties are of different numbers")
    space = Similarity.of(world[:3])
    if space.scale <= 0 or np.abs(space.rotation @ space.rotation.T - np.eye(3)).max() > SQUARE:
        raise ValueError("splats that are mirrored or stretched")
    return space.splats(splats)
