"""Writes a whole head as one binary glTF 2.0 file, which Blender, three, Unity, Unreal, Godot and Babylon read.

In it: every textured mesh with the skeleton and all keys as morph targets, in the pose that was asked for, which any
program may change; and the Gaussians as they look in that pose, as ``KHR_gaussian_splatting``, fixed to the head's
joint. Programs without that extension show them as points.

Materials are lit ones, as everything else in an artist's scene is. The picture holds the photo's light already, so a
neutral even light shows the head as it was photographed; what makes it unlit is one click in any program.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pygltflib as lib
import torch
from scipy.spatial.transform import Rotation

from engine.atomic import atomic_write
from engine.avatar import Avatar, Pose, drive, motion
from engine.baking.bake import bake
from engine.baking.textured import TexturedHead, TexturedMesh
from engine.curves import to_linear
from engine.exchange.gltf import GltfFile, Skeleton
from engine.exchange.spec import HeadFormat
from engine.formats.viewers import SH_C0, visible
from engine.heads.lbs import joint_transforms
from engine.heads.portrait import vertex_normals

ROOT = "torso"  # what column 0 of the skin weights stands for, by the name that it has in Blender's rigs of ours
SPLATTING = "KHR_gaussian_splatting"
ROUGHNESS = 0.6


def write_glb(head: TexturedHead, pose: Pose, path: Path) -> None:
    """Write a baked head, with ``pose`` set on its joints and morph targets.

    Raises:
        AvatarError: the avatar has no such key or joint. OutputError: the file cannot be written.
    """
    _write(head, [pose], None, path)


def animate_glb(head: TexturedHead, poses: Sequence[Pose], rate: float, path: Path) -> None:
    """Write a baked head with a clip of poses, ``rate`` in a second; the splats are as they look in the first.

    Raises:
        AvatarError: the avatar has no such key or joint. OutputError: the file cannot be written.
    """
    _write(head, poses, rate, path)


def _write(head: TexturedHead, poses: Sequence[Pose], rate: float | None, path: Path) -> None:
    avatar = head.avatar
    moves = [motion(avatar, pose) for pose in poses]
    weights, turns = np.array([weights for weights, _ in moves]), np.array([turns for _, turns in moves])
    file = GltfFile()
    skeleton = file.skeleton(
        f"{avatar.name}_rig", ROOT, avatar.joint_names, avatar.joint_parents, avatar.joint_positions, turns[0]
    )
    nodes = [_add_mesh(file, avatar, mesh, weights[0], skeleton) for mesh in head.meshes]
    _add_splats(file, avatar, poses[0], turns[0], skeleton)
    if rate is not None:
        channels = [(node, lib.WEIGHTS, weights) for node in nodes]
        for j, node in enumerate(skeleton.nodes[1:]):
            channels.append((node, lib.ROTATION, Rotation.from_rotvec(turns[:, j]).as_quat()))
        file.animation("performance", np.arange(len(poses)) / rate, channels)
    with atomic_write(path) as temporary:
        file.save(temporary)


def split_at_seams(mesh: TexturedMesh) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What a mesh is where a vertex has one place in the picture only.

    Returns:
        Of each new vertex the mesh's vertex [n] and its place in the picture [n]; the new triangles [F, 3].
    """
    corners = np.stack((mesh.faces.reshape(-1), mesh.uv_faces.reshape(-1)), axis=1)
    pairs, faces = np.unique(corners, axis=0, return_inverse=True)
    return pairs[:, 0], pairs[:, 1], faces.reshape(-1, 3)


def _add_mesh(file: GltfFile, avatar: Avatar, mesh: TexturedMesh, weights: np.ndarray, skeleton: Skeleton) -> int:
    """Returns the mesh's node."""
    source, places, faces = split_at_seams(mesh)
    normals = vertex_normals(mesh.vertices, mesh.faces)
    normals[~normals.any(axis=1)] = (0, 0, 1)  # of vertices on triangles without area; glTF wants length 1
    uv = mesh.uv[places].astype(np.float32)
    uv[:, 1] = 1 - uv[:, 1]
    attributes = lib.Attributes(
        POSITION=file.array(mesh.vertices[source].astype(np.float32), target=lib.ARRAY_BUFFER, bounds=True),
        NORMAL=file.array(normals[source].astype(np.float32), target=lib.ARRAY_BUFFER),
        TEXCOORD_0=file.array(uv, target=lib.ARRAY_BUFFER),
        **file.influences(mesh.skin_weights[source]),
    )
    name = f"{avatar.name}_{mesh.name}"
    material = file.material(name, mesh.texture, mesh.see_through, ROUGHNESS)
    primitive = lib.Primitive(attributes=attributes, indices=file.triangles(faces), material=material)
    keys = {key: delta[source] for key, delta in zip(avatar.key_names, mesh.key_deltas, strict=True)}
    # Beside the skeleton, not below: only joints place a skinned mesh.
    return file.node(name=name, mesh=file.mesh(name, primitive, keys, weights), skin=skeleton.skin)


def _add_splats(file: GltfFile, avatar: Avatar, pose: Pose, turns: np.ndarray, skeleton: Skeleton) -> None:
    splats = visible(drive(avatar, pose.expression, pose.joint_rotations))
    if not len(splats["means"]):
        return
    colors, opacities = splats["colors"], splats["opacities"]
    attributes = lib.Attributes(
        POSITION=file.array(splats["means"], target=lib.ARRAY_BUFFER, bounds=True),
        COLOR_0=file.array(_as_points(colors, opacities), target=lib.ARRAY_BUFFER, unit=True),
        **{
            f"{SPLATTING}:{name}": file.array(np.ascontiguousarray(values), target=lib.ARRAY_BUFFER)
            for name, values in {
                "ROTATION": np.roll(splats["quats"], -1, axis=1),  # wxyz to xyzw
                "SCALE": splats["scales"],
                "OPACITY": opacities,
                "SH_DEGREE_0_COEF_0": (colors - 0.5) / np.float32(SH_C0),
            }.items()
        },
    )
    primitive = lib.Primitive(attributes=attributes, mode=lib.POINTS)
    primitive.extensions = {
        SPLATTING: {
            "kernel": "ellipse", "colorSpace": "srgb_rec709_display",
            "projection": "perspective", "sortingMethod": "cameraDistance",
        }
    }  # fmt: skip
    file.document.extensionsUsed.append(SPLATTING)
    name = f"{avatar.name}_splats"
    joint = avatar.joint_names.index("head")
    back = np.linalg.inv(_world_of(avatar, turns, joint))
    file.node(
        skeleton.nodes[joint + 1],
        name=name,
        mesh=file.mesh(name, primitive),
        translation=back[:3, 3].tolist(),
        rotation=Rotation.from_matrix(back[:3, :3]).as_quat().tolist(),
    )


def _world_of(avatar: Avatar, turns: np.ndarray, joint: int) -> np.ndarray:
    """[4, 4] float64: a joint's frame in the world under turns [J, 3]; at rest it lies along the world's axes."""
    positions = torch.from_numpy(avatar.joint_positions.astype(np.float64))
    carried = joint_transforms(torch.from_numpy(turns), positions, avatar.joint_parents)[joint].numpy()
    rest = np.eye(4)
    rest[:3, 3] = avatar.joint_positions[joint]
    return carried @ rest


def _as_points(colors: np.ndarray, opacities: np.ndarray) -> np.ndarray:
    """[n, 4] uint16: what programs without splatting give their points; glTF's colours of vertices are linear."""
    return (np.column_stack((to_linear(colors.clip(0, 1)), opacities)).clip(0, 1) * 65535).round().astype(np.uint16)


SPEC = HeadFormat(
    name="glb",
    label="textured mesh with bones and sliders, and splats (glTF)",
    write=lambda avatar, pose, path: write_glb(bake(avatar), pose, path),
    order=50,
    animate=lambda avatar, poses, rate, path: animate_glb(bake(avatar), poses, rate, path),
)
