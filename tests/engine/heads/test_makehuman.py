"""The default head: a plausible person, whose keys do what their names say."""

import numpy as np
import pytest

from engine.arkit import ARKIT_NAMES
from engine.heads import load_head
from engine.heads.landmarks import LEFT_LIDS
from engine.heads.parametric import REGIONS
from engine.heads.portrait import eyeballs
from engine.heads.rig import make_rig


@pytest.fixture(scope="module")
def head():
    return load_head()


def key(head, name):
    return head.expression_basis[head.expression_names.index(name)]


def test_measures_are_those_of_a_grown_person(head):
    eyes = head.template[head.regions["eyes"]]
    pupils = 2 * np.abs(eyes[:, 0]).mean()
    assert 0.052 < pupils < 0.072  # adult interpupillary distance, metres
    skull = head.template[head.regions["scalp"] | head.regions["face"]]
    assert 0.20 < np.ptp(skull[:, 1]) < 0.27
    assert head.expression_names[:52] == ARKIT_NAMES
    assert set(head.regions) == set(REGIONS)


def test_identity_components_are_ordered_and_keep_the_pose(head):
    size = np.linalg.norm(head.identity_basis, axis=2)
    inside = ~head.regions["torso"]
    energy = (size[:, inside] ** 2).sum(axis=1)
    assert (np.diff(energy[:10]) < 0.2 * energy[0]).all()
    assert energy[:10].sum() > 0.5 * energy.sum()
    # asymmetry is off: the mean is its own mirror image
    mirrored = head.template * [-1, 1, 1]
    gap = np.linalg.norm(head.template[:, None][::37] - mirrored[None], axis=2).min(axis=1)
    assert gap.max() < 2e-3


def test_joints_follow_the_identity(head):
    """The regressor finds the eye joints at the eyeballs' centres, whoever the person is."""
    rng = np.random.default_rng(3)
    for weights in rng.normal(size=(5, len(head.identity_basis))):
        shape = head.template + np.tensordot(weights, head.identity_basis, axes=1)
        joints = head.joint_regressor @ shape
        for name, side in (("eyeLeft", shape[:, 0] > 0), ("eyeRight", shape[:, 0] < 0)):
            ball = shape[head.regions["eyes"] & side]
            centre = (ball.max(axis=0) + ball.min(axis=0)) / 2
            assert np.linalg.norm(joints[head.joint_names.index(name)] - centre) < 4e-3


def test_keys_move_what_they_name(head):
    lower_teeth = head.regions["teeth"] & (key(head, "jawOpen")[:, 1] < -0.005)
    assert lower_teeth.any() and not (lower_teeth & (key(head, "mouthSmileLeft")[:, 1] != 0)).any()
    left = head.template[:, 0] > 0.005
    other_lids = head.regions["lids"] & (head.template[:, 0] < 0)
    assert other_lids.any() and np.abs(key(head, "eyeBlinkLeft")[other_lids]).max() < 1e-6
    tongue = key(head, "tongueOut")[head.regions["tongue"]]
    assert tongue[:, 2].max() > 0.01
    # gaze turns the eyeball by ARKit's 25 to 30 degrees
    ball = head.regions["eyes"] & left
    centre = (head.template[ball].max(axis=0) + head.template[ball].min(axis=0)) / 2
    front = np.flatnonzero(ball)[head.template[ball][:, 2].argmax()]
    before, after = head.template[front] - centre, head.template[front] + key(head, "eyeLookOutLeft")[front] - centre
    angle = np.degrees(np.arccos(before @ after / np.linalg.norm(before) / np.linalg.norm(after)))
    assert 25 < angle < 35 and after[0] > before[0]


def test_closed_lids_meet(head):
    """With the blink key the upper lid's rim comes down to the lower one's: no eyeball is seen from the front."""
    from engine.gaussians.mesh_raster import rasterize_mesh

    shape = head.template + key(head, "eyeBlinkLeft") + key(head, "eyeBlinkRight")
    camera = shape * [1, -1, -1] + [0, 0, 0.6]
    K = np.array([[1500.0, 0, 256], [0, 1500.0, 350], [0, 0, 1]])
    seen = rasterize_mesh(camera, head.faces, K, 512, 512).triangle
    on_eye = head.face_region("eyes")
    opened = rasterize_mesh(head.template * [1, -1, -1] + [0, 0, 0.6], head.faces, K, 512, 512).triangle
    count = lambda image: int(on_eye[image[image >= 0]].sum())  # noqa: E731
    assert count(opened) > 1500
    assert count(seen) < 0.06 * count(opened)


@pytest.mark.parametrize("seed", range(6))
def test_a_blink_ends_where_this_persons_lids_meet(head, seed):
    """However wide somebody's eyes are open: the edges of the lids end on each other, and cover the eye."""
    rng = np.random.default_rng(seed)
    shape = head.template + np.tensordot(rng.normal(0, 0.9, len(head.identity_basis)), head.identity_basis, axes=1)
    rig = make_rig(head, shape, head.joint_regressor @ shape)
    blink = rig.expression_basis[ARKIT_NAMES.index("eyeBlinkLeft")].numpy()
    pins = head.faces[head.landmark_triangles]

    def edge(rim, weight):
        points = np.einsum(
            "nc,ncd->nd", head.landmark_barycentrics[list(rim)], (shape + weight * blink)[pins[list(rim)]]
        )
        return points[np.argsort(points[:, 0])]

    for weight, bounds in ((0, (2e-3, 2e-2)), (1, (-1.5e-3, 1e-3))):
        upper, lower = (edge(rim, weight) for rim in LEFT_LIDS)
        gap = upper[1:-1, 1] - np.interp(upper[1:-1, 0], lower[:, 0], lower[:, 1])
        assert bounds[0] < gap.min() and gap.max() < bounds[1], (weight, gap)
    moved = np.linalg.norm(blink, axis=1)
    assert not ((moved > 0) & (moved < 9e-7)).any()  # nothing that a program keeping float32 places would lose
    ball = eyeballs(shape, head.regions["eyes"])[0]
    upper = edge(LEFT_LIDS[0], 1)
    assert (np.linalg.norm(upper - ball.centre, axis=1) > ball.radius).all()
    other = (head.regions["face"] | head.regions["lids"]) & (head.template[:, 0] < -0.005)
    assert np.abs(blink[other]).max() < 1e-6


def test_skin_weights_sum_to_one(head):
    assert np.allclose(head.skin_weights.sum(axis=1), 1, atol=1e-5)
    assert (head.skin_weights[head.regions["eyes"]].max(axis=1) > 0.99).all()
