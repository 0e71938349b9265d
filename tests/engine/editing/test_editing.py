"""Head editing: ends are the inputs, the middle is the middle, nothing outside a region changes."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from engine import avatar as avatars
from engine.avatar import Avatar, deform, drive
from engine.editing import interpolate, replace_region, transfer, with_expression
from engine.errors import AvatarError
from engine.gaussians.binding import triangle_frames
from engine.gaussians.gaussians import BoundGaussians, concatenate, select
from engine.heads import load_head
from engine.heads.atlas import make_atlas
from engine.rendering import orbit_camera, render

SMILE = {"mouthSmileLeft": 0.8, "mouthSmileRight": 0.6, "jawOpen": 0.4}


def make_avatar(seed: int, resolution: int = 64) -> Avatar:
    """A random person with a Gaussian per texel, offsets and rotations included."""
    head, rng = load_head(), np.random.default_rng(seed)
    neutral = head.template + np.tensordot(rng.normal(0, 0.7, 20), head.identity_basis[:20], axes=1)
    atlas = make_atlas(head.uv, head.uv_faces, resolution)
    n = int(atlas.mask.sum())
    quats = rng.normal(0, 0.2, (n, 4)) + [1, 0, 0, 0]
    values = (
        rng.normal(0, 2e-4, (n, 3)), quats / np.linalg.norm(quats, axis=1, keepdims=True),
        rng.uniform(5e-4, 3e-3, (n, 3)), rng.uniform(0.3, 1, n), rng.uniform(0, 1, (n, 3)),
    )  # fmt: skip
    gaussians = BoundGaussians(
        torch.from_numpy(atlas.triangle[atlas.mask]).long(),
        torch.from_numpy(atlas.barycentric[atlas.mask]),
        *(torch.from_numpy(value).float() for value in values),
        torch.zeros(n, dtype=torch.uint8),
    )
    return Avatar(
        name=f"person {seed}",
        vertices=neutral.astype(np.float32),
        faces=head.faces,
        uv=head.uv,
        uv_faces=head.uv_faces,
        regions=head.regions,
        key_names=head.expression_names,
        key_deltas=head.expression_basis * np.float32(1 + 0.1 * seed),
        joint_names=head.joint_names,
        joint_parents=head.joint_parents,
        joint_positions=(head.joint_regressor @ neutral).astype(np.float32),
        skin_weights=head.skin_weights,
        gaussians=gaussians,
        views=(),
        provenance={
            "photos": [{"name": f"{seed}.jpg", "sha256": "0" * 64}], "versions": {}, "options": {}, "metrics": {},
            "head_model": {"name": head.name, "licence": head.licence}, "created": "2026-01-01T00:00:00+00:00",
        },
    )  # fmt: skip


@pytest.fixture(scope="module")
def pair() -> tuple[Avatar, Avatar]:
    return make_avatar(1), make_avatar(2)


def assert_same(a: BoundGaussians, b: BoundGaussians) -> None:
    for field in fields(BoundGaussians):
        torch.testing.assert_close(getattr(a, field.name), getattr(b, field.name), rtol=0, atol=0)


def assert_loads_and_renders(head: Avatar, path) -> None:
    avatars.save(head, path)
    again = avatars.load(path)
    picture = render(drive(again, SMILE), orbit_camera(again, 0.3, width=64, height=64))
    assert torch.isfinite(picture.rgb).all() and picture.alpha.mean() > 0.1


@pytest.mark.slow
@pytest.mark.parametrize("gamma", [0.0, 1.0])
def test_ends_are_the_inputs(pair, gamma):
    made = interpolate(*pair, gamma).avatar
    source = pair[int(gamma)]
    assert_same(made.gaussians, source.gaussians)
    for name in ("vertices", "key_deltas", "joint_positions", "skin_weights"):
        np.testing.assert_array_equal(getattr(made, name), getattr(source, name))


def test_halfway_is_halfway_in_driven_positions(pair, tmp_path):
    """Under keys and bones; offsets turn with their triangles, whose normals differ, hence the tolerance."""
    made = interpolate(*pair, 0.5).avatar
    turn = {"head": (0.1, 0.3, 0.0), "jaw": (0.1, 0, 0)}
    first, second, middle = (drive(head, SMILE, turn) for head in (*pair, made))
    away = (middle.means - (first.means + second.means) / 2).norm(dim=1)
    apart = (first.means - second.means).norm(dim=1)
    assert apart.median() > 2e-3
    assert away.median() < 2e-5 and away.max() < 6e-4
    torch.testing.assert_close(middle.opacities, (first.opacities + second.opacities) / 2)
    torch.testing.assert_close(middle.colors, (first.colors + second.colors) / 2)
    assert_loads_and_renders(made, tmp_path / "middle.npz")


def test_other_bindings_are_resampled_and_said(pair):
    finer = make_avatar(2, resolution=90)
    made = interpolate(pair[0], finer, 0.5)
    assert any("nearest in UV" in note for note in made.notes)
    count = len(pair[0].gaussians)
    a, m = drive(pair[0], {}), drive(made.avatar, {})
    # anchors stay the first's own, now on the mesh in between
    corners = torch.from_numpy(finer.vertices)[torch.from_numpy(finer.faces).long()[pair[0].gaussians.triangles]]
    theirs = (corners * pair[0].gaussians.barycentrics[..., None]).sum(1)
    assert ((m.means[:count] - (a.means + theirs) / 2).norm(dim=1)).max() < 1.5e-3


def test_gaussians_of_one_head_only_fade(pair):
    first, second = pair
    beyond = replace(select(second.gaussians, torch.arange(50)), parts=torch.ones(50, dtype=torch.uint8))
    hairy = replace(second, gaussians=concatenate(second.gaussians, beyond))
    made = interpolate(first, hairy, 0.25).avatar.gaussians
    hair = select(made, made.parts == 1)
    torch.testing.assert_close(hair.opacities, 0.25 * beyond.opacities)
    assert len(made) == len(first.gaussians) + 50
    assert not (replace_region(first, hairy, ["lips"]).avatar.gaussians.parts == 1).any()


@pytest.mark.slow
def test_replacement_changes_its_region_only(pair, tmp_path):
    first, second = pair
    border = 0.006
    made = replace_region(first, second, ["lips", "mouth_interior"], border).avatar
    inside = first.regions["lips"] | first.regions["mouth_interior"]
    distance = np.linalg.norm(first.vertices[:, None] - first.vertices[None, inside], axis=2).min(axis=1)
    far = distance >= border
    np.testing.assert_array_equal(made.vertices[far], first.vertices[far])
    np.testing.assert_array_equal(made.key_deltas[:, far], first.key_deltas[:, far])
    np.testing.assert_array_equal(made.joint_positions, first.joint_positions)
    untouched = torch.from_numpy(far[first.faces].all(axis=1))[first.gaussians.triangles]
    assert_same(select(made.gaussians, untouched), select(first.gaussians, untouched))
    replaced = torch.from_numpy(inside[first.faces].all(axis=1))[first.gaussians.triangles]
    torch.testing.assert_close(made.gaussians.colors[replaced], second.gaussians.colors[replaced])
    # the lips have the second's shape: equal up to a similarity, seen in their ratios of edge lengths
    edges = first.faces[first.regions["lips"][first.faces].all(axis=1)][:, :2]
    lengths = [np.linalg.norm(np.subtract(*head.vertices[edges.T]), axis=1) for head in (made, second, first)]
    assert np.std(np.log(lengths[0] / lengths[1])) < 1e-4 < 0.02 < np.std(np.log(lengths[2] / lengths[1]))
    assert_loads_and_renders(made, tmp_path / "mouth.npz")


def test_replaced_eyes_bring_their_joints(pair):
    made = replace_region(pair[0], pair[1], ["eyes"]).avatar
    left = made.joint_names.index("eyeLeft")
    ball = made.vertices[made.regions["eyes"] & (made.vertices[:, 0] > 0)]
    before = pair[0].vertices[pair[0].regions["eyes"] & (pair[0].vertices[:, 0] > 0)]
    moved, joint = ball.mean(0) - before.mean(0), made.joint_positions[left] - pair[0].joint_positions[left]
    assert np.linalg.norm(joint) > 1e-5
    assert np.linalg.norm(moved - joint) < 0.002
    np.testing.assert_array_equal(made.joint_positions[:3], pair[0].joint_positions[:3])


def test_replacing_a_head_by_itself_is_the_identity(pair):
    made = replace_region(pair[0], pair[0], ["face", "lips"]).avatar
    np.testing.assert_allclose(made.vertices, pair[0].vertices, atol=1e-6)
    for field in fields(BoundGaussians):
        torch.testing.assert_close(
            getattr(made.gaussians, field.name), getattr(pair[0].gaussians, field.name), rtol=1e-4, atol=1e-6
        )


def test_transferring_a_neutral_is_the_identity(pair):
    made = transfer(pair[0], pair[1], pair[1]).avatar
    np.testing.assert_array_equal(made.vertices, pair[0].vertices)
    assert_same(made.gaussians, pair[0].gaussians)


def test_transferring_ones_own_expression_is_driving_it(pair, tmp_path):
    head = pair[0]
    made = transfer(head, with_expression(head, SMILE), head).avatar
    rest, driven = drive(made, {}), drive(head, SMILE)
    for name in ("means", "scales", "opacities", "colors"):
        torch.testing.assert_close(getattr(rest, name), getattr(driven, name), rtol=1e-3, atol=2e-6)
    assert_loads_and_renders(made, tmp_path / "smile.npz")


def test_transferred_residual_is_added(pair):
    """Colour and mesh of an expressive reconstruction arrive as differences from its neutral."""
    source, other = pair
    blush = other.gaussians.colors * 0.5 + 0.2
    expressive = with_expression(other, SMILE)
    expressive = replace(expressive, gaussians=replace(expressive.gaussians, colors=blush))
    made = transfer(source, expressive, other).avatar
    torch.testing.assert_close(
        made.gaussians.colors, source.gaussians.colors + blush - other.gaussians.colors, rtol=0, atol=1e-6
    )
    weights = np.array([SMILE.get(name, 0.0) for name in other.key_names], np.float32)
    motion = deform(other, weights, np.zeros((5, 3), np.float32)).numpy() - other.vertices
    np.testing.assert_allclose(made.vertices - source.vertices, motion, atol=1e-6)
    assert (triangle_frames(torch.from_numpy(made.vertices), torch.from_numpy(made.faces))[1] >= 0).all()


def test_refusals_name_both_heads_and_the_way_out(pair):
    other = replace(pair[1], provenance=pair[1].provenance | {"head_model": {"name": "flame", "licence": ""}})
    with pytest.raises(AvatarError, match=r"person 1 has the head model makehuman, person 2 has flame.*--head"):
        interpolate(pair[0], other, 0.5)
    smaller = replace(pair[1], faces=pair[1].faces[:-1])
    with pytest.raises(AvatarError, match="meshes differ.*again"):
        replace_region(pair[0], smaller, ["lips"])
    with pytest.raises(AvatarError, match="no region 'moustache'.*lips"):
        replace_region(*pair, ["moustache"])
    with pytest.raises(AvatarError, match="out of range"):
        interpolate(*pair, 1.5)
    with pytest.raises(AvatarError, match="no shape key 'grin'"):
        with_expression(pair[0], {"grin": 1.0})
