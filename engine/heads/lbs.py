"""The forward pass of a head model: shape, expression, pose correctives and linear-blend skinning, differentiable.

The pure functions take tensors and are what tracking and the avatar's drive call; ``shape_vertices``,
``regress_joints`` and ``skin`` apply them to a :class:`~engine.heads.parametric.ParametricHead`.

Same mathematics as SMPL and FLAME (Loper et al. 2015, doi 10.1145/2816795.2818013; Li et al. 2017,
doi 10.1145/3130800.3130813). The reference implementation, ``smplx``, is licensed for non-commercial research only,
so the engine must not need it; the tests compare with the printed formula, and with ``smplx`` where it is installed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from engine.gaussians.rotations import rotvec_to_matrix
from engine.heads.parametric import ParametricHead


def blend_shapes(template: torch.Tensor, basis: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Add weighted deltas: ``template`` [V, 3] + ``weights`` [K] · ``basis`` [K, V, 3] -> [V, 3]."""
    return template + torch.tensordot(weights, basis, dims=1)


def pose_features(rotvecs: torch.Tensor) -> torch.Tensor:
    """[9 * J] weights of the pose correctives: the entries of R - I, joint by joint, of ``rotvecs`` [J, 3]."""
    return (rotvec_to_matrix(rotvecs) - torch.eye(3, dtype=rotvecs.dtype, device=rotvecs.device)).flatten()


def joint_transforms(rotvecs: torch.Tensor, joints: torch.Tensor, parents: Sequence[int] | np.ndarray) -> torch.Tensor:
    """Where each joint carries the points around it, relative to rest.

    Args:
        rotvecs: [J, 3] axis-angle in radians, each in the world-aligned rest frame of its joint.
        joints: [J, 3] rest positions in metres.
        parents: [J] int, -1 for a root; a parent comes before its children.

    Returns:
        [J, 4, 4]: rest-pose homogeneous points -> posed points; identities at zero rotation.
    """
    rotations = rotvec_to_matrix(rotvecs)
    # Turning about a joint is x -> R x + (joint - R joint); a child's turn happens first, then its parent's.
    shifts = joints - (rotations @ joints[..., None]).squeeze(-1)
    bottom = torch.tensor([[0.0, 0.0, 0.0, 1.0]], dtype=rotvecs.dtype, device=rotvecs.device)
    transforms: list[torch.Tensor] = []
    for j, parent in enumerate(parents):
        own = torch.cat([torch.cat([rotations[j], shifts[j, :, None]], dim=1), bottom])
        transforms.append(own if parent < 0 else transforms[int(parent)] @ own)
    return torch.stack(transforms)


def linear_blend_skinning(vertices: torch.Tensor, transforms: torch.Tensor, skin_weights: torch.Tensor) -> torch.Tensor:
    """Move every vertex by its weighted mean of joint transforms.

    Args:
        vertices: [V, 3] in the rest pose.
        transforms: [J + 1, 4, 4] relative to rest, the unmoving root's identity first.
        skin_weights: [V, J + 1], rows sum to 1.

    Returns:
        [V, 3].
    """
    blended = (skin_weights @ transforms[:, :3].flatten(1)).unflatten(1, (3, 4))
    return (blended[..., :3] @ vertices[..., None]).squeeze(-1) + blended[..., 3]


def shape_vertices(head: ParametricHead, identity: torch.Tensor, expression: torch.Tensor) -> torch.Tensor:
    """[V, 3] vertices in the rest pose.

    Args:
        identity: [I'] standard deviations of the first I' ≤ I components.
        expression: [E'] weights of the first E' ≤ E expressions, 0..1 for ARKit's.
    """
    identity_basis = _like(head.identity_basis[: len(identity)], identity)
    expression_basis = _like(head.expression_basis[: len(expression)], expression)
    return blend_shapes(
        blend_shapes(_like(head.template, identity), identity_basis, identity), expression_basis, expression
    )


def regress_joints(head: ParametricHead, vertices: torch.Tensor) -> torch.Tensor:
    """[J, 3] joint positions of shaped ``vertices`` [V, 3]."""
    return _like(head.joint_regressor, vertices) @ vertices


def skin(head: ParametricHead, vertices: torch.Tensor, rotvecs: torch.Tensor, joints: torch.Tensor) -> torch.Tensor:
    """Pose shaped vertices.

    Args:
        vertices: [V, 3] from :func:`shape_vertices`.
        rotvecs: [J, 3] axis-angle per joint, in the order of ``head.joint_names``.
        joints: [J, 3] from :func:`regress_joints`.

    Returns:
        [V, 3].
    """
    corrected = len(head.pose_correctives) // 9  # the last joints; FLAME's first one, a root, has no correctives
    if corrected:
        correctives = _like(head.pose_correctives, vertices)
        vertices = blend_shapes(vertices, correctives, pose_features(rotvecs[-corrected:]))
    transforms = joint_transforms(rotvecs, joints, head.joint_parents)
    root = torch.eye(4, dtype=transforms.dtype, device=transforms.device)[None]
    return linear_blend_skinning(vertices, torch.cat([root, transforms]), _like(head.skin_weights, vertices))


def _like(array: np.ndarray, tensor: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(array, dtype=tensor.dtype, device=tensor.device)
