"""The forward pass against the published formula and FLAME's own code, and its gradients against differences."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh

from engine.arkit import ARKIT_NAMES
from engine.heads import lbs
from engine.heads.parametric import JOINTS, ParametricHead
from tests.engine.heads.flame_fixture import flame_arrays
from tests.engine.heads.flame_references import by_smplx, published


@pytest.fixture(scope="module")
def ball() -> trimesh.Trimesh:
    return trimesh.creation.icosphere(subdivisions=2, radius=0.1)


@pytest.fixture(scope="module")
def head(ball: trimesh.Trimesh) -> ParametricHead:
    """FLAME's arrays laid out as a ParametricHead, in float64."""
    arrays = flame_arrays(ball.vertices, ball.faces)
    count = len(ball.vertices)
    basis = arrays["shapedirs"].transpose(2, 0, 1)
    return ParametricHead(
        name="flame",
        licence="",
        template=arrays["v_template"],
        faces=ball.faces,
        identity_basis=basis[:300],
        expression_names=ARKIT_NAMES,
        expression_basis=basis[300:],
        joint_names=JOINTS,
        joint_parents=np.array([-1, 0, 1, 1, 1]),
        joint_regressor=arrays["J_regressor"],
        skin_weights=np.concatenate([np.zeros((count, 1)), arrays["weights"]], axis=1),
        pose_correctives=arrays["posedirs"].transpose(2, 0, 1),
        uv=np.zeros((0, 2)),
        uv_faces=ball.faces,
        regions={},
        landmark_triangles=np.zeros(478, int),
        landmark_barycentrics=np.zeros((478, 3)),
        landmark_weights=np.zeros(478),
    )


def forward(head: ParametricHead, identity: torch.Tensor, expression: torch.Tensor, rotvecs: torch.Tensor):
    vertices = lbs.shape_vertices(head, identity, expression)
    return lbs.skin(head, vertices, rotvecs, lbs.regress_joints(head, vertices))


@pytest.mark.parametrize(("reference", "tolerance"), [(published, 1e-13), (by_smplx, 1e-7)])
def test_equals_references(head: ParametricHead, ball: trimesh.Trimesh, reference: Callable, tolerance: float) -> None:
    torch.manual_seed(1)
    identity = torch.randn(300, dtype=torch.float64)
    expression = torch.randn(100, dtype=torch.float64)
    rotvecs = torch.randn(5, 3, dtype=torch.float64)
    coefficients = torch.cat([identity, expression])
    expected = reference(flame_arrays(ball.vertices, ball.faces), coefficients.numpy(), rotvecs.numpy())

    posed = forward(head, identity, expression, rotvecs)

    torch.testing.assert_close(posed, torch.as_tensor(expected), atol=tolerance, rtol=0)


def test_gradients(head: ParametricHead) -> None:
    """All inputs, at the rest pose too, where axis-angle has its removable singularity."""
    torch.manual_seed(2)
    identity, expression = torch.randn(3, dtype=torch.float64), torch.rand(2, dtype=torch.float64)
    for rotvecs in (torch.zeros(5, 3, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64)):
        inputs = [t.clone().requires_grad_() for t in (identity, expression, rotvecs)]
        assert torch.autograd.gradcheck(lambda *xs: forward(head, *xs).sin().sum(dim=0), inputs)


def test_unmoving_root_and_chain(head: ParametricHead) -> None:
    """Vertices of column 0 stay; vertices of a leaf follow neck, head and jaw, the jaw's turn first."""
    count = len(head.template)
    weights = np.zeros((count, 6))
    weights[: count // 2, 0] = weights[count // 2 :, 1 + JOINTS.index("jaw")] = 1
    plain = replace(head, skin_weights=weights, pose_correctives=np.zeros((0, count, 3)))
    rotvecs = torch.zeros(5, 3, dtype=torch.float64)
    rotvecs[JOINTS.index("neck"), 2] = torch.pi / 2
    rotvecs[JOINTS.index("jaw"), 0] = torch.pi / 2
    vertices = torch.as_tensor(head.template)
    joints = torch.as_tensor(head.joint_regressor) @ vertices

    posed = lbs.skin(plain, vertices, rotvecs, joints)

    torch.testing.assert_close(posed[: count // 2], vertices[: count // 2])
    turn_x = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]], dtype=torch.float64)
    turn_z = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]], dtype=torch.float64)
    neck, jaw = joints[JOINTS.index("neck")], joints[JOINTS.index("jaw")]
    by_jaw = (vertices - jaw) @ turn_x.T + jaw
    torch.testing.assert_close(posed[count // 2 :], ((by_jaw - neck) @ turn_z.T + neck)[count // 2 :])
