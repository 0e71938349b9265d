"""Writes a head as the .zip of LAM (He et al. 2025, arXiv 2502.17796), for its renderer in browsers.

In a folder of the zip: ``skin.glb``, a mesh with one vertex for each Gaussian where that sits on the skin, all keys and
our skeleton; ``offset.ply``, the Gaussians in the same order, with places counted from the vertices and colours as they
are; ``animation.glb``, clips by number; ``vertex_order.json``.

What the renderer (npm ``gaussian-splat-renderer-for-lam`` 0.0.8) makes of it decides what goes in. It moves Gaussians
by the keys of their vertices, then all of them by the bone ``head``, from below a bone ``hip``; neither turns, resizes
or recolours them. It keeps everything in a texture of 2²³ texels.
"""

from __future__ import annotations

import json
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pygltflib as lib
from plyfile import PlyData, PlyElement
from scipy.spatial.transform import Rotation

from engine.atomic import atomic_write
from engine.avatar import Avatar, Pose, drive, motion
from engine.exchange.gltf import GltfFile, Skeleton
from engine.exchange.spec import HeadFormat
from engine.formats.viewers import VISIBLE

TEXELS = 4096 * 2048  # of the renderer's texture: one for each Gaussian at rest and in each key
STAND = np.array((0.0, 1.6, 0.0), np.float32)  # m, where the renderer's camera looks: its heads stand on bodies
ROOT = "hip"
CLIPS = ("hello", "hello2", "idle", *(f"speak{n}" for n in range(6)), *(f"think{n}" for n in range(3)))
OPAQUE = 1 - 1e-6  # the logit of 1 is infinite
DATE = (1980, 1, 1, 0, 0, 0)  # of all entries: the same head gives the same file


def write_zip(avatar: Avatar, pose: Pose, path: Path) -> None:
    """Write a head at rest; its clips hold the joints as ``pose`` has them.

    Where not all Gaussians fit into the renderer's texture, some are left out evenly, those that nobody sees first.

    Raises:
        AvatarError: the avatar has no such key or joint. OutputError: the file cannot be written.
    """
    weights, turns = motion(avatar, pose)
    rest = {name: value.detach().cpu().float().numpy() for name, value in vars(drive(avatar, {})).items()}
    kept = _that_fit(rest["opacities"], TEXELS // (1 + len(avatar.key_names)))
    gaussians = avatar.gaussians
    corners = avatar.faces[gaussians.triangles.cpu().numpy()[kept]]
    barycentrics = gaussians.barycentrics.cpu().numpy()[kept]

    def on_skin(values: np.ndarray) -> np.ndarray:
        """Of values at the mesh's vertices [V, k], those where the Gaussians sit [n, k]."""
        return np.einsum("nc,nck->nk", barycentrics, values[corners]).astype(np.float32)

    skin, animation = GltfFile(), GltfFile()
    anchors = on_skin(avatar.vertices)
    joints = _add_skeleton(skin, avatar, turns)
    attributes = lib.Attributes(
        POSITION=skin.array(anchors + STAND, target=lib.ARRAY_BUFFER, bounds=True),
        **skin.influences(on_skin(avatar.skin_weights).clip(min=0)),  # anchors may lie beside their triangle
    )
    primitive = lib.Primitive(attributes=attributes, indices=skin.triangles(_triangles(avatar, corners, barycentrics)))
    keys = {key: on_skin(delta) for key, delta in zip(avatar.key_names, avatar.key_deltas, strict=True)}
    skin.node(name="gaussians", mesh=skin.mesh("gaussians", primitive, keys, weights), skin=joints.skin)
    _add_clips(animation, avatar, turns)
    files = {"skin.glb": skin.save, "animation.glb": animation.save}
    with atomic_write(path) as temporary, tempfile.TemporaryDirectory() as folder:
        for name, save in files.items():
            save(Path(folder, name))
        _write_offsets(rest, kept, anchors, Path(folder, "offset.ply"))
        Path(folder, "vertex_order.json").write_text(json.dumps(list(range(len(kept)))), "utf-8")
        _pack(temporary, avatar.name, Path(folder))


def _that_fit(opacities: np.ndarray, most: int, seed: int = 0) -> np.ndarray:
    """Numbers of at most ``most`` Gaussians in their order: all, or else any of those that can be seen."""
    if len(opacities) <= most:
        return np.arange(len(opacities))
    seen = np.flatnonzero(opacities >= VISIBLE)
    return np.sort(np.random.default_rng(seed).permutation(seen)[:most])


def _triangles(avatar: Avatar, corners: np.ndarray, barycentrics: np.ndarray) -> np.ndarray:
    """[F, 3] between Gaussians: the avatar's where these sit on its vertices, as LAM's do; otherwise one, since a mesh
    has some, that nobody sees."""
    sitting = np.flatnonzero(barycentrics.max(axis=1) > 1 - 1e-6)
    at = np.full(len(avatar.vertices), -1)
    at[corners[sitting, barycentrics[sitting].argmax(axis=1)]] = sitting
    faces = at[avatar.faces]
    faces = faces[(faces >= 0).all(axis=1)]
    return faces if len(faces) else np.zeros((1, 3), int)


def _add_skeleton(file: GltfFile, avatar: Avatar, turns: np.ndarray) -> Skeleton:
    positions = avatar.joint_positions + STAND
    return file.skeleton("skeleton", ROOT, avatar.joint_names, avatar.joint_parents, positions, turns)


def _add_clips(file: GltfFile, avatar: Avatar, turns: np.ndarray) -> None:
    """Clips by the number that the renderer knows them by; all keep the joints where they are."""
    joints = _add_skeleton(file, avatar, turns)
    quats = Rotation.from_rotvec(turns).as_quat()
    still = [(node, lib.ROTATION, np.stack((quat, quat))) for node, quat in zip(joints.nodes[1:], quats, strict=True)]
    for clip in CLIPS:
        file.animation(clip, np.array([0.0, 1.0]), still)


def _write_offsets(splats: dict[str, np.ndarray], kept: np.ndarray, anchors: np.ndarray, path: Path) -> None:
    """3D Gaussian Splatting's .ply, but for places, which count from the vertices, and colours, which are plain RGB."""
    opacities = splats["opacities"][kept].astype(np.float64).clip(1 - OPAQUE, OPAQUE)
    fields = {
        "xyz": splats["means"][kept] - anchors,
        ("f_dc_0", "f_dc_1", "f_dc_2"): splats["colors"][kept],
        ("opacity",): np.log(opacities / (1 - opacities))[:, None],
        ("scale_0", "scale_1", "scale_2"): np.log(splats["scales"][kept]),
        ("rot_0", "rot_1", "rot_2", "rot_3"): splats["quats"][kept],
    }
    columns = np.concatenate(list(fields.values()), axis=1, dtype="<f4")
    rows = columns.view([(name, "<f4") for names in fields for name in names]).reshape(-1)
    PlyData([PlyElement.describe(rows, "vertex")], byte_order="<").write(str(path))


def _pack(path: Path, name: str, folder: Path) -> None:
    """A zip with a folder, which the renderer looks for as an entry of its own, and the files in it."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(f"{name}/", DATE), b"")
        for file in sorted(folder.iterdir()):
            entry = zipfile.ZipInfo(f"{name}/{file.name}", DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, file.read_bytes())


SPEC = HeadFormat(name="zip", label="Gaussians with sliders for LAM's renderer", write=write_zip, order=60)
