"""A view as free parameters: the head's pose in the camera, the torso's under it, the expression."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from engine.gaussians.rotations import rotvec_to_matrix
from engine.heads.rig import Rig
from engine.tracking.tracked import View


@dataclass
class FreeView:
    """A :class:`View` whose parts can be optimised. The head's pose in the camera does not depend on the torso's.

    Attributes:
        head_pose: [4, 4] the head's rest space to camera, where the optimisation starts.
        turn, shift: [3] rotation vector and translation (metres) on top of ``head_pose``.
        joint_rotations: [J, 3]; for neck and head they move the torso under the fixed head.
        expression: [E]. K: [3, 3].
    """

    name: str
    head_pose: torch.Tensor
    turn: torch.Tensor
    shift: torch.Tensor
    joint_rotations: torch.Tensor
    expression: torch.Tensor
    K: torch.Tensor

    @staticmethod
    def of(view: View, rig: Rig) -> FreeView:
        """Start at a view, on the rig's device."""
        arrays = view.joint_rotations, view.viewmat, view.expression, view.K
        rotations, viewmat, expression, K = (torch.from_numpy(each).float().to(rig.neutral.device) for each in arrays)
        head_pose = viewmat @ rig.head_transform(rotations)
        return FreeView(view.name, head_pose, rotations.new_zeros(3), rotations.new_zeros(3), rotations, expression, K)

    def camera(self) -> torch.Tensor:
        """[4, 4] the head's rest space to camera, differentiable in ``turn`` and ``shift``."""
        rotation = rotvec_to_matrix(self.turn) @ self.head_pose[:3, :3]
        top = torch.cat([rotation, (self.head_pose[:3, 3] + self.shift)[:, None]], dim=1)
        return torch.cat([top, top.new_tensor([[0.0, 0.0, 0.0, 1.0]])])

    def place(self, rig: Rig) -> tuple[torch.Tensor, torch.Tensor]:
        """Vertices [V, 3] in the rest space and the view matrix [4, 4] (rest space to camera)."""
        vertices = rig.deform(self.expression.clamp(0, 1), self.joint_rotations)
        return vertices, self.camera() @ torch.linalg.inv(rig.head_transform(self.joint_rotations))

    def fixed(self, rig: Rig, residual: float) -> View:
        """The view as it stands now."""
        with torch.no_grad():
            viewmat = self.camera() @ torch.linalg.inv(rig.head_transform(self.joint_rotations))
        found = viewmat, self.K, self.expression.detach().clamp(0, 1), self.joint_rotations.detach()
        place, K, expression, rotations = (each.cpu().numpy().astype(np.float64) for each in found)
        return View(self.name, place, K, expression, rotations, residual)
