"""The avatar file: exact round trips, refusal of everything damaged or hostile, atomic writes; and driving."""

from __future__ import annotations

import dataclasses
import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from scipy.spatial.transform import Rotation

from engine.atomic import atomic_write
from engine.avatar import Avatar, deform, drive, drive_view, load, save
from engine.errors import AvatarError, OutputError
from engine.gaussians.binding import pose
from engine.gaussians.eigenbasis import STEPS, motion_features
from tests.engine.avatars import PROVENANCE, assert_same, make_avatar, with_eigenbasis


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("avatar") / "ada.npz"
    save(make_avatar(), path)
    return path


sizes = st.integers(0, 40)


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 99), gaussians=sizes, keys=st.integers(0, 4), joints=st.integers(5, 7), views=sizes)
def test_what_is_saved_is_loaded(tmp_path_factory, seed, gaussians, keys, joints, views):
    avatar = make_avatar(seed, gaussians, keys, joints, min(views, 4))
    path = tmp_path_factory.mktemp("round") / "ada.npz"
    save(avatar, path)
    assert_same(avatar, load(path))
    first = path.read_bytes()
    save(load(path), path)
    assert path.read_bytes() == first


def test_an_eigenbasis_is_kept_in_half_floats(tmp_path):
    avatar, path = with_eigenbasis(make_avatar()), tmp_path / "ada.npz"
    save(avatar, path)
    loaded = load(path)
    assert avatar.eigenbasis is not None and loaded.eigenbasis is not None
    before, after = (
        (torch.einsum("mk,kna->mna", each.gains, each.basis) / torch.tensor(STEPS))
        for each in (avatar.eigenbasis, loaded.eigenbasis)
    )
    assert (after - before).abs().max() < 2**-11 * before.abs().max()
    for one, other in zip(*(vars(drive(each, {"key1": 0.8})).values() for each in (avatar, loaded)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
    first = path.read_bytes()
    save(loaded, path)
    assert path.read_bytes() == first
    assert_same(load(path), loaded)


def test_photo_names_never_stop_a_save(tmp_path):
    avatar = make_avatar(views=1)
    view = dataclasses.replace(avatar.views[0], name="J\udce9r\u00f4me \\\n\U0001f600.jpg")
    save(dataclasses.replace(avatar, views=(view,)), tmp_path / "ada.npz")
    assert load(tmp_path / "ada.npz").views[0].name == "J?r\u00f4me \\\n\U0001f600.jpg"


# --- damage ---------------------------------------------------------------------------------------------------------


def test_saving_refuses_what_loading_would(tmp_path):
    avatar = make_avatar()
    path = tmp_path / "ada.npz"
    bad_quats = dataclasses.replace(avatar.gaussians, quats=avatar.gaussians.quats * 2)
    for field, value in (
        ("name", "a/b"), ("gaussians", bad_quats), ("uv_faces", avatar.uv_faces[:-1]), ("key_names", ("a", "b", "b")),
        ("provenance", PROVENANCE | {"metrics": {"psnr": np.nan}}), ("provenance", PROVENANCE | {"options": {1: path}}),
    ):  # fmt: skip
        with pytest.raises(AvatarError, match=r"ada\.npz"):
            save(dataclasses.replace(avatar, **{field: value}), path)
    assert list(tmp_path.iterdir()) == []


# --- atomic writes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "says"),
    [(errno.ENOSPC, "disk is full"), (errno.EROFS, "may not be written"), (errno.EACCES, "may not be written")],
)
@pytest.mark.parametrize("function", ["open", "fsync", "replace"])
def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch, code, says, function):
    path = tmp_path / "ada.npz"
    save(make_avatar(), path)
    old = path.read_bytes()

    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(f"engine.atomic.os.{function}", fail)
    with pytest.raises(OutputError) as caught:
        save(make_avatar(seed=1), path)
    monkeypatch.undo()
    assert says in caught.value.message and str(tmp_path) in caught.value.message and caught.value.hint
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_half_way_leaves_the_old_file(tmp_path):
    path = tmp_path / "ada.ply"
    path.write_text("old")

    def write_half(failure: BaseException) -> None:
        with atomic_write(path) as temporary:
            assert temporary.suffix == ".ply" and temporary.parent == tmp_path
            temporary.write_text("half")
            raise failure

    with pytest.raises(OutputError):
        write_half(OSError(errno.ENOSPC, "full"))
    with pytest.raises(KeyboardInterrupt):
        write_half(KeyboardInterrupt())
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is read-only to the superuser")
def test_a_read_only_folder_is_named(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="may not be written"):
        save(make_avatar(), tmp_path / "ada.npz")
    tmp_path.chmod(0o700)


def test_impossible_places_are_named(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.npz").mkdir()
    for place in ("absent/ada.npz", "file/ada.npz", "folder.npz", "a" * 300 + ".npz"):
        with pytest.raises(OutputError):
            save(make_avatar(), tmp_path / place)
    with pytest.raises(OutputError):
        save(make_avatar(), "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.npz"]


# --- driving --------------------------------------------------------------------------------------------------------


def deform_one_by_one(avatar: Avatar, expression: dict[str, float], rotations: dict[str, list[float]]) -> np.ndarray:
    """Keys and skinning vertex by vertex: each joint turns what its children have turned."""
    out = []
    for v, vertex in enumerate(avatar.vertices.astype(np.float64)):
        shaped = vertex + sum(w * avatar.key_deltas[avatar.key_names.index(k), v] for k, w in expression.items())
        total = avatar.skin_weights[v, 0] * shaped
        for joint in range(len(avatar.joint_names)):
            point, parent = shaped, joint
            while parent >= 0:
                turn = Rotation.from_rotvec(rotations.get(avatar.joint_names[parent], [0, 0, 0]))
                point = turn.apply(point - avatar.joint_positions[parent]) + avatar.joint_positions[parent]
                parent = avatar.joint_parents[parent]
            total = total + avatar.skin_weights[v, joint + 1] * point
        out.append(total)
    return np.array(out)


def test_driving_moves_keys_then_bones():
    avatar = make_avatar()
    expression, rotations = {"key2": 0.7, "key0": -0.2}, {"neck": [0.1, 0.5, -0.2], "jaw": [0.0, 0.0, 1.0]}
    splats = drive(avatar, expression, rotations)
    vertices = deform_one_by_one(avatar, expression, rotations)
    still = [0, 0, 0]
    weights, rotvecs = np.array([-0.2, 0.0, 0.7]), np.array([rotations["neck"], still, rotations["jaw"], still, still])
    np.testing.assert_allclose(deform(avatar, weights, rotvecs), vertices, atol=1e-6)
    flat = dataclasses.replace(avatar.gaussians, offsets=torch.zeros(20, 3))
    anchors = drive(dataclasses.replace(avatar, gaussians=flat), expression, rotations).means
    corners = vertices[avatar.faces[avatar.gaussians.triangles]]
    expected = np.einsum("nk,nkd->nd", avatar.gaussians.barycentrics, corners)
    np.testing.assert_allclose(anchors, expected, atol=1e-6)
    assert (splats.means - anchors).norm(dim=1).max() > 1e-3
    view = dataclasses.replace(avatar.views[0], expression=weights, joint_rotations=rotvecs)
    assert_same(drive_view(avatar, view), splats)


def test_driving_applies_the_eigenbasis_before_the_mesh():
    avatar = with_eigenbasis(make_avatar())
    view = avatar.views[0]
    assert avatar.eigenbasis is not None
    features = motion_features(torch.from_numpy(view.expression), torch.from_numpy(view.joint_rotations)).float()
    gaussians = avatar.eigenbasis.apply(avatar.gaussians, features)
    vertices = deform(avatar, view.expression, view.joint_rotations)
    expected = pose(gaussians, vertices, torch.from_numpy(avatar.faces).long(), avatar.rest_areas)
    assert_same(drive_view(avatar, view), expected)
    plain = dataclasses.replace(avatar, eigenbasis=None)
    assert (drive_view(plain, view).means - expected.means).norm(dim=1).max() > 1e-3
    assert_same(drive(avatar, {}), drive(plain, {}))


def test_unknown_names_are_refused():
    avatar = make_avatar()
    with pytest.raises(AvatarError, match="no shape key 'smile'.*key0"):
        drive(avatar, {"smile": 1.0})
    with pytest.raises(AvatarError, match="no joint 'tail'.*jaw"):
        drive(avatar, {}, {"tail": [0, 0, 0]})
