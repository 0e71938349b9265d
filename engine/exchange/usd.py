"""Puts together one USD file: skeleton and its pose, skinned meshes with blend shapes and pictures, and splats.

USD is told the engine's axes and units (y up, metres, faces toward +z, right-handed); v points up, as in the engine.
Imports the optional package usd-core.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from pxr import Gf, Sdf, Tf, Usd, UsdGeom, UsdShade, UsdSkel, UsdVol, Vt
from scipy.spatial.transform import Rotation

from engine.avatar import Avatar, Pose, drive, motion
from engine.baking.textured import TexturedHead, TexturedMesh
from engine.formats.viewers import SH_C0, VISIBLE
from engine.heads.portrait import vertex_normals

ROOT = "torso"  # the joint that never moves, column 0 of the skin weights
ROUGHNESS = 0.6
Timed = list[tuple[Usd.TimeCode, Pose]]
CUT = 0.5  # alpha below which nothing is drawn
COLORS = "srgb_rec709_display"  # what splats were trained and are blended in, as NVIDIA's 3DGRUT calls it in its files


def write_package(head: TexturedHead, poses: Sequence[Pose], rate: float | None, path: Path, folder: Path) -> None:
    """Write a baked head as .usdz.

    Args:
        poses: the one that is set; or with ``rate``, those of the frames from 1 on, so many in a second.
        folder: an empty one for what goes into the package.

    Raises:
        AvatarError: the avatar has no such key or joint. OSError: the file cannot be written.
    """
    layer = folder / "head.usdc"  # a package's first file is the one that counts
    stage = Usd.Stage.CreateNew(str(layer))
    _fill(stage, head, _timed(stage, poses, rate), folder)
    stage.GetRootLayer().Save()
    del stage
    package = Sdf.ZipFileWriter.CreateNew(str(path))
    for file in (layer, *sorted(folder.glob("*.png"))):
        package.AddFile(str(file), file.name)
    if not package.Save():
        raise OSError(f"{path.name} cannot be written")


def _timed(stage: Usd.Stage, poses: Sequence[Pose], rate: float | None) -> Timed:
    """When each pose is; what is not animated is so at no time in particular."""
    if rate is None:
        return [(Usd.TimeCode.Default(), poses[0])]
    stage.SetTimeCodesPerSecond(rate)
    stage.SetFramesPerSecond(rate)
    stage.SetStartTimeCode(1)
    stage.SetEndTimeCode(len(poses))
    return [(Usd.TimeCode(frame), pose) for frame, pose in enumerate(poses, start=1)]


def _fill(stage: Usd.Stage, head: TexturedHead, timed: Timed, folder: Path) -> None:
    avatar = head.avatar
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    root = UsdSkel.Root.Define(stage, f"/{_name(avatar.name, set())}")
    Usd.ModelAPI(root.GetPrim()).SetKind("component")
    root.GetPrim().SetDisplayName(avatar.name)
    stage.SetDefaultPrim(root.GetPrim())
    names = set[str]()
    keys = [_name(key, names) for key in avatar.key_names]
    skeleton = _add_skeleton(stage, root.GetPath().AppendChild("rig"), avatar, keys, timed)
    taken = {"rig", "splats", "materials"}
    boxes = [
        _add_mesh(stage, root.GetPath(), mesh, keys, _name(mesh.name, taken), skeleton, folder) for mesh in head.meshes
    ]
    boxes.append(_add_splats(stage, root.GetPath().AppendChild("splats"), avatar, timed))
    root.CreateExtentAttr(_box(np.concatenate(boxes)))


def _add_skeleton(stage: Usd.Stage, path: Sdf.Path, avatar: Avatar, keys: list[str], timed: Timed) -> UsdSkel.Skeleton:
    positions = np.concatenate((np.zeros((1, 3)), avatar.joint_positions))
    parents = np.concatenate(([-1], avatar.joint_parents + 1))
    shifts = positions - np.where(parents[:, None] < 0, 0, positions[parents])
    joints, taken = [ROOT], {ROOT}
    for name, parent in zip(avatar.joint_names, parents[1:], strict=True):
        joints.append(f"{joints[parent]}/{_name(name, taken)}")
    skeleton = UsdSkel.Skeleton.Define(stage, path)
    skeleton.CreateJointsAttr(joints)
    skeleton.CreateJointNamesAttr([ROOT, *avatar.joint_names])
    skeleton.CreateBindTransformsAttr([_moved(place) for place in positions])
    skeleton.CreateRestTransformsAttr([_moved(shift) for shift in shifts])
    animation = UsdSkel.Animation.Define(stage, path.AppendChild("pose"))
    animation.CreateJointsAttr(joints)
    animation.CreateTranslationsAttr(Vt.Vec3fArray.FromNumpy(shifts.astype(np.float32)))
    animation.CreateScalesAttr([Gf.Vec3h(1, 1, 1)] * len(joints))
    animation.CreateBlendShapesAttr(keys)
    rotations, sliders = animation.CreateRotationsAttr(), animation.CreateBlendShapeWeightsAttr()
    for when, pose in timed:
        weights, turns = motion(avatar, pose)
        quats = Rotation.from_rotvec(np.concatenate((np.zeros((1, 3)), turns))).as_quat(scalar_first=True)
        rotations.Set(_quats(quats), when)
        sliders.Set(Vt.FloatArray.FromNumpy(weights.astype(np.float32)), when)
    binding = UsdSkel.BindingAPI.Apply(skeleton.GetPrim())
    binding.CreateAnimationSourceRel().SetTargets([animation.GetPath()])
    return skeleton


def _add_mesh(
    stage: Usd.Stage,
    above: Sdf.Path,
    mesh: TexturedMesh,
    keys: list[str],
    name: str,
    skeleton: UsdSkel.Skeleton,
    folder: Path,
) -> np.ndarray:
    """Returns its box at rest, [2, 3]."""
    prim = UsdGeom.Mesh.Define(stage, above.AppendChild(name))
    prim.CreatePointsAttr(Vt.Vec3fArray.FromNumpy(mesh.vertices.astype(np.float32)))
    prim.CreateFaceVertexCountsAttr([3] * len(mesh.faces))
    prim.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(mesh.faces.reshape(-1).astype(np.int32)))
    prim.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    prim.CreateDoubleSidedAttr(mesh.see_through)
    prim.CreateNormalsAttr(Vt.Vec3fArray.FromNumpy(vertex_normals(mesh.vertices, mesh.faces).astype(np.float32)))
    prim.SetNormalsInterpolation(UsdGeom.Tokens.vertex)
    prim.CreateExtentAttr(_box(mesh.vertices))
    uv = UsdGeom.PrimvarsAPI(prim).CreatePrimvar("st", Sdf.ValueTypeNames.TexCoord2fArray, UsdGeom.Tokens.faceVarying)
    uv.Set(Vt.Vec2fArray.FromNumpy(mesh.uv.astype(np.float32)))
    uv.SetIndices(Vt.IntArray.FromNumpy(mesh.uv_faces.reshape(-1).astype(np.int32)))
    binding = UsdSkel.BindingAPI.Apply(prim.GetPrim())
    binding.CreateSkeletonRel().SetTargets([skeleton.GetPath()])
    count = int((mesh.skin_weights > 0).sum(axis=1).max())
    joints = np.argsort(-mesh.skin_weights, axis=1, kind="stable")[:, :count]
    weights = np.take_along_axis(mesh.skin_weights, joints, axis=1)
    binding.CreateJointIndicesPrimvar(False, count).Set(Vt.IntArray.FromNumpy(joints.reshape(-1).astype(np.int32)))
    binding.CreateJointWeightsPrimvar(False, count).Set(Vt.FloatArray.FromNumpy(weights.reshape(-1)))
    binding.CreateGeomBindTransformAttr(Gf.Matrix4d(1))
    here = {key: delta for key, delta in zip(keys, mesh.key_deltas, strict=True) if delta.any()}
    binding.CreateBlendShapesAttr(list(here))  # of all that the pose has, those that this mesh has, too
    shapes = []
    for key, delta in here.items():
        shape = UsdSkel.BlendShape.Define(stage, prim.GetPath().AppendChild(key))
        moving = np.flatnonzero(delta.any(axis=1))
        shape.CreateOffsetsAttr(Vt.Vec3fArray.FromNumpy(delta[moving].astype(np.float32)))
        shape.CreatePointIndicesAttr(Vt.IntArray.FromNumpy(moving.astype(np.int32)))
        shapes.append(shape.GetPath())
    binding.CreateBlendShapeTargetsRel().SetTargets(shapes)
    Image.fromarray(mesh.texture if mesh.see_through else mesh.texture[..., :3]).save(folder / f"{name}.png")
    material = _add_material(stage, above.AppendPath(f"materials/{name}"), f"{name}.png", mesh.see_through)
    UsdShade.MaterialBindingAPI.Apply(prim.GetPrim()).Bind(material)
    return _bounds(mesh.vertices)


def _add_material(stage: Usd.Stage, path: Sdf.Path, file: str, see_through: bool) -> UsdShade.Material:
    """A lit material, as everything else in a scene is, that wears a picture which holds the photo's light."""
    UsdGeom.Scope.Define(stage, path.GetParentPath())
    material = UsdShade.Material.Define(stage, path)
    kinds = Sdf.ValueTypeNames

    def shader(name: str, kind: str, inputs: dict[str, tuple[Sdf.ValueTypeName, object]]) -> UsdShade.Shader:
        made = UsdShade.Shader.Define(stage, path.AppendChild(name))
        made.CreateIdAttr(kind)
        for key, (value_type, value) in inputs.items():
            made.CreateInput(key, value_type).Set(value)
        return made

    reader = shader("st", "UsdPrimvarReader_float2", {"varname": (kinds.String, "st")})
    picture = shader(
        "picture", "UsdUVTexture",
        {
            "file": (kinds.Asset, Sdf.AssetPath(file)), "sourceColorSpace": (kinds.Token, "sRGB"),
            "wrapS": (kinds.Token, "clamp"), "wrapT": (kinds.Token, "clamp"),
        },
    )  # fmt: skip
    picture.CreateInput("st", kinds.Float2).ConnectToSource(reader.CreateOutput("result", kinds.Float2))
    surface = shader(
        "surface", "UsdPreviewSurface", {"roughness": (kinds.Float, ROUGHNESS), "metallic": (kinds.Float, 0.0)}
    )
    color = picture.CreateOutput("rgb", kinds.Float3)
    surface.CreateInput("diffuseColor", kinds.Color3f).ConnectToSource(color)
    if see_through:
        surface.CreateInput("opacity", kinds.Float).ConnectToSource(picture.CreateOutput("a", kinds.Float))
        surface.CreateInput("opacityThreshold", kinds.Float).Set(CUT)
    material.CreateSurfaceOutput().ConnectToSource(surface.CreateOutput("surface", kinds.Token))
    return material


def _add_splats(stage: Usd.Stage, path: Sdf.Path, avatar: Avatar, timed: Timed) -> np.ndarray:
    """Those that can be seen at any time. Returns their box at all times, [2, 3]."""
    field = UsdVol.ParticleField3DGaussianSplat.Define(stage, path)
    field.CreateProjectionModeHintAttr("perspective")
    field.CreateSortingModeHintAttr("zDepth")
    prim = field.GetPrim()
    prim.GetAttribute("radiance:sphericalHarmonicsDegree").Set(0)
    Usd.ColorSpaceAPI.Apply(prim).CreateColorSpaceNameAttr(COLORS)
    seen = np.zeros(len(avatar.gaussians), bool)
    for _, pose in timed:
        seen |= _splats(avatar, pose)["opacities"] >= VISIBLE
    box = np.empty((0, 3), np.float32)
    for when, pose in timed:
        splats = {name: values[seen] for name, values in _splats(avatar, pose).items()}
        coefficients = ((splats["colors"] - 0.5) / SH_C0).astype(np.float32)
        for name, values in {
            "positions": Vt.Vec3fArray.FromNumpy(splats["means"]),
            "orientations": _quats(splats["quats"]),
            "scales": Vt.Vec3fArray.FromNumpy(splats["scales"]),
            "opacities": Vt.FloatArray.FromNumpy(splats["opacities"]),
            "radiance:sphericalHarmonicsCoefficients": Vt.Vec3fArray.FromNumpy(coefficients),
        }.items():
            prim.GetAttribute(name).Set(values, when)
        reach = 3 * splats["scales"].max(axis=1, keepdims=True)
        box = _bounds(np.concatenate((box, splats["means"] - reach, splats["means"] + reach)))
    field.CreateExtentAttr(_box(box))
    return box


def _splats(avatar: Avatar, pose: Pose) -> dict[str, np.ndarray]:
    splats = drive(avatar, pose.expression, pose.joint_rotations)
    return {name: value.detach().cpu().float().numpy() for name, value in vars(splats).items()}


def _name(text: str, taken: set[str]) -> str:
    """A name that USD allows, as near to ``text`` as one can be, and not among those ``taken``; it is, from then on."""
    plain = Tf.MakeValidIdentifier(text)
    found = next(name for name in (plain, *(f"{plain}_{n}" for n in range(1, len(taken) + 2))) if name not in taken)
    taken.add(found)
    return found


def _moved(shift: np.ndarray) -> Gf.Matrix4d:
    return Gf.Matrix4d(1).SetTranslate(Gf.Vec3d(*map(float, shift)))


def _quats(wxyz: np.ndarray) -> Vt.QuatfArray:
    """Quaternions [n, 4], wxyz; USD's buffers hold them as xyzw."""
    return Vt.QuatfArray.FromNumpy(np.roll(wxyz, -1, axis=1).astype(np.float32))


def _bounds(points: np.ndarray) -> np.ndarray:
    """[2, 3]: the lowest and highest of points [n, 3]; nothing of none."""
    return np.stack((points.min(axis=0), points.max(axis=0))) if len(points) else points


def _box(points: np.ndarray) -> Vt.Vec3fArray:
    return Vt.Vec3fArray.FromNumpy(_bounds(points).astype(np.float32))
