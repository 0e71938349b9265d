"""A .usdz as USD's own library evaluates and validates it."""

from __future__ import annotations

import dataclasses
import io
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from pxr import Sdf, Usd, UsdGeom, UsdShade, UsdSkel, UsdValidation, UsdVol

from engine.avatar import Pose, deform, drive, motion
from engine.errors import EngineError
from engine.exchange.heads.usdz import animate_usdz, write_usdz
from tests.engine.avatars import make_avatar, with_eigenbasis
from tests.engine.exchange.textured import make_textured

POSE = Pose({"key0": 0.6, "key2": 0.3}, {"neck": (0.1, 0.2, 0), "head": (0, 0.5, 0.2), "jaw": (0.3, 0, 0)})
SH_C0 = 0.28209479177387814
PRECISION = 1e-5  # m


@pytest.fixture(scope="module")
def head():
    return make_textured(with_eigenbasis(make_avatar(gaussians=200)))


@pytest.fixture
def stage(head, tmp_path):
    write_usdz(head, POSE, tmp_path / "head.usdz")
    return Usd.Stage.Open(str(tmp_path / "head.usdz"))


def complaints(stage):
    validators = UsdValidation.ValidationRegistry().GetOrLoadAllValidators()
    assert len(validators) > 20
    return [error.GetMessage() for error in UsdValidation.ValidationContext(validators).Validate(stage)]


def test_usds_own_skinning_gives_the_engines_mesh(head, stage):
    flat = Usd.Stage.Open(stage.Flatten())
    assert UsdSkel.BakeSkinning(flat.Traverse())
    weights, turns = motion(head.avatar, POSE)
    for mesh in head.meshes:
        asked = dataclasses.replace(
            head.avatar, vertices=mesh.vertices, key_deltas=mesh.key_deltas, skin_weights=mesh.skin_weights
        )
        points = UsdGeom.Mesh(flat.GetPrimAtPath(f"/Ada/{mesh.name}")).GetPointsAttr().Get()
        assert np.abs(np.array(points) - deform(asked, weights, turns).numpy()).max() < PRECISION


def test_usds_validators_have_no_complaints(stage):
    assert complaints(stage) == []
    assert UsdGeom.GetStageUpAxis(stage) == "Y"
    assert UsdGeom.GetStageMetersPerUnit(stage) == 1
    assert stage.GetDefaultPrim().GetTypeName() == "SkelRoot"


def test_splats_are_usds_own(head, stage):
    splats = drive(head.avatar, POSE.expression, POSE.joint_rotations)
    seen = splats.opacities >= 1 / 255
    field = UsdVol.ParticleField3DGaussianSplat(stage.GetPrimAtPath("/Ada/splats"))

    def values(name):
        return field.GetPrim().GetAttribute(name).Get()

    np.testing.assert_array_equal(values("positions"), splats.means[seen])
    np.testing.assert_array_equal(values("scales"), splats.scales[seen])
    np.testing.assert_array_equal(values("opacities"), splats.opacities[seen])
    quats = [(quat.GetReal(), *quat.GetImaginary()) for quat in values("orientations")]
    np.testing.assert_allclose(quats, splats.quats[seen], atol=1e-6)
    assert values("radiance:sphericalHarmonicsDegree") == 0
    colors = np.array(values("radiance:sphericalHarmonicsCoefficients")) * SH_C0 + 0.5
    np.testing.assert_allclose(colors, splats.colors[seen], atol=1e-6)
    low, high = np.array(UsdGeom.Boundable(field).GetExtentAttr().Get())
    assert (low < splats.means[seen].numpy()).all() and (high > splats.means[seen].numpy()).all()


def test_a_performance_is_in_its_frames(head, tmp_path):
    poses = [Pose(), POSE, Pose({"key1": 1.0}, {"eyeLeft": (0, 0.3, 0), "neck": (0, -0.4, 0)})]
    animate_usdz(head, poses, 25.0, tmp_path / "head.usdz")
    stage = Usd.Stage.Open(str(tmp_path / "head.usdz"))
    assert complaints(stage) == []
    assert (stage.GetStartTimeCode(), stage.GetEndTimeCode(), stage.GetTimeCodesPerSecond()) == (1, 3, 25)
    flat = Usd.Stage.Open(stage.Flatten())
    assert UsdSkel.BakeSkinning(flat.Traverse())
    points = UsdGeom.Mesh(flat.GetPrimAtPath("/Ada/head")).GetPointsAttr()
    places = stage.GetPrimAtPath("/Ada/splats").GetAttribute("positions")
    driven = [drive(head.avatar, pose.expression, pose.joint_rotations) for pose in poses]
    seen = torch.stack([splats.opacities >= 1 / 255 for splats in driven]).any(0)
    for frame, (pose, splats) in enumerate(zip(poses, driven, strict=True), start=1):
        moved = deform(head.avatar, *motion(head.avatar, pose)).numpy()
        assert np.abs(np.array(points.Get(frame)) - moved).max() < PRECISION
        np.testing.assert_array_equal(places.Get(frame), splats.means[seen])


def test_pictures_travel_inside(head, stage, tmp_path):
    package = Sdf.ZipFile.Open(str(tmp_path / "head.usdz"))
    for mesh in head.meshes:
        prim = stage.GetPrimAtPath(f"/Ada/{mesh.name}")
        uv = UsdGeom.PrimvarsAPI(prim).GetPrimvar("st").ComputeFlattened()
        np.testing.assert_allclose(uv, mesh.uv[mesh.uv_faces].reshape(-1, 2))
        material, _ = UsdShade.MaterialBindingAPI(prim).ComputeBoundMaterial()
        surface, _, _ = material.ComputeSurfaceSource()
        (connection,), _ = surface.GetInput("diffuseColor").GetConnectedSources()
        asset = connection.source.GetPrim().GetAttribute("inputs:file").Get()
        assert asset.resolvedPath.endswith(f"head.usdz[{mesh.name}.png]")
        picture = Image.open(io.BytesIO(package.GetFile(f"{mesh.name}.png")))
        np.testing.assert_array_equal(picture.convert("RGBA"), mesh.texture)
        assert bool(surface.GetInput("opacity")) == mesh.see_through


def test_names_that_usd_does_not_allow_come_out_apart(head, tmp_path):
    avatar = dataclasses.replace(head.avatar, name="Zoë 2", key_names=("a b", "a_b", "1"))
    write_usdz(make_textured(avatar), Pose({"a_b": 1.0}), tmp_path / "head.usdz")
    stage = Usd.Stage.Open(str(tmp_path / "head.usdz"))
    assert complaints(stage) == []
    assert stage.GetDefaultPrim().GetDisplayName() == "Zoë 2"
    pose = UsdSkel.Animation(stage.GetDefaultPrim().GetChild("rig").GetChild("pose"))
    names = pose.GetBlendShapesAttr().Get()
    assert len(set(names)) == 3
    assert list(pose.GetBlendShapeWeightsAttr().Get()) == [0, 1, 0]


def test_without_usd_the_way_to_it_is_told(head, tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "engine.exchange.usd", raising=False)
    monkeypatch.setitem(sys.modules, "pxr", None)
    with pytest.raises(EngineError, match=r"needs USD, .* -m pip install usd-core"):
        write_usdz(head, POSE, tmp_path / "head.usdz")
    assert not list(tmp_path.iterdir())
