"""A person's head as a differentiable rig: keys, then joints, on torch tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from engine.heads.lbs import joint_transforms, linear_blend_skinning
from engine.heads.lids import meeting_lids
from engine.heads.parametric import ParametricHead


@dataclass(frozen=True)
class Rig:
    """One person's neutral mesh with everything that moves it. All tensors float32.

    Attributes:
        neutral: [V, 3] metres. faces: [F, 3] int64. expression_basis: [E, V, 3] metres at weight 1.
        joints: [J, 3] metres. parents: [J] int32. skin_weights: [V, J + 1]. chain: joints between torso and head.
    """

    neutral: torch.Tensor
    faces: torch.Tensor
    expression_basis: torch.Tensor
    joints: torch.Tensor
    parents: np.ndarray
    skin_weights: torch.Tensor
    chain: tuple[int, ...]

    def deform(self, expression: torch.Tensor, joint_rotations: torch.Tensor) -> torch.Tensor:
        """[V, 3] vertices in the rest space for weights [E] and axis-angle rotations [J, 3]."""
        keyed = self.neutral + torch.tensordot(expression, self.expression_basis, dims=1)
        transforms = joint_transforms(joint_rotations, self.joints, self.parents)
        root = torch.eye(4, dtype=transforms.dtype, device=transforms.device)[None]
        return linear_blend_skinning(keyed, torch.cat([root, transforms]), self.skin_weights)

    def head_transform(self, joint_rotations: torch.Tensor) -> torch.Tensor:
        """[4, 4]: the rigid motion of the head's rest points under rotations [J, 3]."""
        return joint_transforms(joint_rotations, self.joints, self.parents)[self.chain[-1]]


def joint_chain(head: ParametricHead) -> tuple[int, ...]:
    """Indices of the joints between torso and head, root first."""
    return tuple(head.joint_names.index(name) for name in ("neck", "head"))


def person_fields(head: ParametricHead, rig: Rig) -> dict[str, Any]:
    """What an avatar has of a head model and of a person's rig, by the names of its fields."""
    return {
        "vertices": rig.neutral.numpy(),
        "faces": head.faces,
        "uv": head.uv,
        "uv_faces": head.uv_faces,
        "regions": head.regions,
        "key_names": head.expression_names,
        "key_deltas": rig.expression_basis.numpy(),
        "joint_names": head.joint_names,
        "joint_parents": head.joint_parents,
        "joint_positions": rig.joints.numpy(),
        "skin_weights": head.skin_weights,
    }


def make_rig(head: ParametricHead, neutral: np.ndarray, joints: np.ndarray) -> Rig:
    """The rig of a head model with a person's ``neutral`` [V, 3] and ``joints`` [J, 3]; its blinks close this person's
    eyes."""

    def tensor(array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))

    return Rig(
        tensor(neutral),
        torch.from_numpy(head.faces.astype(np.int64)),
        tensor(meeting_lids(head, neutral)),
        tensor(joints),
        head.joint_parents,
        tensor(head.skin_weights),
        joint_chain(head),
    )
