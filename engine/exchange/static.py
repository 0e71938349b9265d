"""Splats that nothing moves, as an avatar: all else of the product then works on them as on any head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from engine.arkit import ARKIT_NAMES
from engine.avatar import Avatar
from engine.errors import AvatarError
from engine.formats.avatar_layout import LAYOUT, RULES
from engine.gaussians.binding import bind
from engine.gaussians.gaussians import PARTS, Splats
from engine.heads.parametric import JOINTS, ParametricHead

KIND = "static"
SIDES = np.array(
    [[0, 2, 3], [0, 3, 1], [4, 5, 7], [4, 7, 6], [0, 1, 5], [0, 5, 4], [2, 6, 7], [2, 7, 3], [0, 4, 6], [0, 6, 2],
     [1, 3, 7], [1, 7, 5]], np.int32,
)  # fmt: skip
"""[12, 3] a box's triangles: bit 2 of a corner's number is its x, bit 1 its y, bit 0 its z."""
CORNERS = np.stack([np.arange(8) >> 2, np.arange(8) >> 1 & 1, np.arange(8) & 1], axis=1)
FARTHEST = 50.0  # metres from the head to what is kept of a scene: the avatar file has room for twice that


def is_static(avatar: Avatar) -> bool:
    """Whether an avatar is of splats that nothing moves yet."""
    return avatar.provenance.get("kind") == KIND


def static_avatar(splats: Splats, head: ParametricHead, name: str, provenance: Mapping[str, Any]) -> Avatar:
    """Splats as an avatar: bound to a box where the head is, which the joint ``head`` carries; its keys move nothing.

    Args:
        splats: :func:`bounded`, in metres, the head where ``head`` has it.
        head: which says where joints and box are.
    """
    inside = head.regions["face"] | head.regions["scalp"] | head.regions["ears"]
    low, high = head.template[inside].min(axis=0), head.template[inside].max(axis=0)
    vertices = (low + CORNERS * (high - low)).astype(np.float32)
    count, none = len(splats.means), np.zeros(len(vertices), bool)
    skin_weights = np.zeros((len(vertices), len(JOINTS) + 1), np.float32)
    skin_weights[:, 1 + JOINTS.index("head")] = 1
    order = [head.joint_names.index(joint) for joint in JOINTS]
    parents = [JOINTS.index(head.joint_names[p]) if p >= 0 else -1 for p in head.joint_parents[order]]
    gaussians = bind(
        **vars(splats),
        parts=torch.full((count,), PARTS.index("surface"), dtype=torch.uint8),
        vertices=torch.from_numpy(vertices),
        faces=torch.from_numpy(SIDES),
        triangles=torch.zeros(count, dtype=torch.int64),
        barycentrics=torch.full((count, 3), 1 / 3),
    )
    return Avatar(
        name=name,
        vertices=vertices,
        faces=SIDES,
        uv=np.array([[0, 0], [1, 0], [0, 1], [1, 1]], np.float32),
        uv_faces=np.tile(np.array([[0, 1, 3], [0, 3, 2]], np.int32), (6, 1)),
        regions={"face": ~none, "scalp": none, "ears": none},
        key_names=ARKIT_NAMES,
        key_deltas=np.zeros((len(ARKIT_NAMES), len(vertices), 3), np.float32),
        joint_names=JOINTS,
        joint_parents=np.array(parents, np.int32),
        joint_positions=(head.joint_regressor @ head.template)[order].astype(np.float32),
        skin_weights=skin_weights,
        gaussians=gaussians,
        views=(),
        provenance=provenance,
    )


def bounded(splats: Splats) -> Splats:
    """The splats that an avatar file can hold: far away and huge ones left out, odd values brought in.

    Raises:
        AvatarError: nothing is left, or too many are.
    """
    largest, most = RULES["scales"]["range"][1], LAYOUT.limits["N"]
    kept = (splats.means.abs() < FARTHEST).all(dim=1) & (splats.scales < largest).all(dim=1)
    if not 0 < int(kept.sum()) <= most:
        raise AvatarError(
            f"The file holds {int(kept.sum())} splats within {FARTHEST:.0f} m of the head; 1 to {most} can be used.",
            "Crop the scene to the person in a splat editor, and save it again.",
        )
    return Splats(
        splats.means[kept],
        torch.nn.functional.normalize(splats.quats[kept], dim=1),
        splats.scales[kept].clamp_min(1e-9),
        splats.opacities[kept].clamp(0, 1),
        splats.colors[kept].clamp(*RULES["colors"]["range"]),
    )
