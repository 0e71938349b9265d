"""The avatar: all that an animation program needs of a head, its one file, and how it moves."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engine.atomic import atomic_write
from engine.errors import AvatarError
from engine.formats.avatar_layout import LAYOUT, check, pack_metadata
from engine.formats.npz import fit, read_npz, write_npz
from engine.gaussians.binding import pose, triangle_frames
from engine.gaussians.eigenbasis import STEPS, Eigenbasis, motion_features
from engine.gaussians.gaussians import BoundGaussians, Splats
from engine.heads.lbs import blend_shapes, joint_transforms, linear_blend_skinning

SAME = ("vertices", "faces", "uv", "uv_faces", "joint_parents", "joint_positions", "skin_weights")  # in file and Avatar


@dataclass(frozen=True)
class SourceView:
    """The camera, expression and pose of one photo, so that the avatar can be rendered as the photo shows it.

    Attributes:
        name: the photo's name.
        viewmat: [4, 4] float64, world (the avatar's rest space) to camera, OpenCV.
        K: [3, 3] float64 pixels.
        width, height: pixels.
        expression: [E] float64 weights, in the order of the avatar's keys.
        joint_rotations: [J, 3] float64 axis-angle, radians.
    """

    name: str
    viewmat: np.ndarray
    K: np.ndarray
    width: int
    height: int
    expression: np.ndarray
    joint_rotations: np.ndarray


@dataclass(frozen=True)
class Avatar:
    """A rigged head with Gaussians on it. Metres, y up, z toward the viewer, x the subject's left.

    Attributes:
        name: 1 to 63 bytes, printable, no slashes.
        vertices: [V, 3] float32, neutral.
        faces: [F, 3] int32, counter-clockwise seen from outside.
        uv: [T, 2] float32 in 0..1, v up. uv_faces: [F, 3] int32 into ``uv``.
        regions: name -> [V] bool.
        key_names: E shape keys; the first 52 are :data:`engine.arkit.ARKIT_NAMES`.
        key_deltas: [E, V, 3] float32 metres at weight 1.
        joint_names: J names. joint_parents: [J] int32, -1 for a root; a parent comes before its children.
        joint_positions: [J, 3] float32, at rest.
        skin_weights: [V, J + 1] float32, rows sum to 1; column 0 is the unmoving root, column j + 1 joint j.
        gaussians: N Gaussians bound to the neutral mesh, float32.
        views: one per photo.
        provenance: how it was made, plain JSON: ``photos`` (name, sha256), ``head_model`` (name, licence),
            ``versions``, ``options``, ``metrics``, ``created`` (ISO 8601); further keys are free.
        eigenbasis: how the Gaussians change with keys and joints beyond what the mesh does; None if they do not.
    """

    name: str
    vertices: np.ndarray
    faces: np.ndarray
    uv: np.ndarray
    uv_faces: np.ndarray
    regions: Mapping[str, np.ndarray]
    key_names: tuple[str, ...]
    key_deltas: np.ndarray
    joint_names: tuple[str, ...]
    joint_parents: np.ndarray
    joint_positions: np.ndarray
    skin_weights: np.ndarray
    gaussians: BoundGaussians
    views: tuple[SourceView, ...]
    provenance: Mapping[str, Any]
    eigenbasis: Eigenbasis | None = None

    @cached_property
    def rest_areas(self) -> torch.Tensor:
        """[F] m², the neutral triangles' areas, on the Gaussians' device."""
        return triangle_frames(self._on_device(self.vertices), self._device_faces)[1]

    def region(self, name: str) -> np.ndarray:
        """[V] bool: the vertices of a region, none of them where the head lacks it."""
        return self.regions.get(name, np.zeros(len(self.vertices), bool))

    @cached_property
    def _device_faces(self) -> torch.Tensor:
        return self._on_device(self.faces).long()

    @cached_property
    def _device_eigenbasis(self) -> Eigenbasis | None:
        if self.eigenbasis is None:
            return None
        device = self.gaussians.triangles.device
        return Eigenbasis(self.eigenbasis.basis.to(device), self.eigenbasis.gains.to(device))

    def _on_device(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array).to(self.gaussians.triangles.device)


@dataclass(frozen=True)
class Pose:
    """How an avatar is driven: weights by shape key; axis-angle [3] in radians by joint. What is not named rests."""

    expression: Mapping[str, float] = field(default_factory=dict)
    joint_rotations: Mapping[str, Sequence[float] | np.ndarray] = field(default_factory=dict)


def deform(avatar: Avatar, expression: np.ndarray, joint_rotations: np.ndarray) -> torch.Tensor:
    """The mesh under shape keys and bones: linear keys, then linear-blend skinning.

    Args:
        expression: [E] weights in the order of ``avatar.key_names``.
        joint_rotations: [J, 3] axis-angle in radians, each in its joint's world-aligned rest frame.

    Returns:
        [V, 3] float32 metres, on the CPU.
    """
    used = np.flatnonzero(expression)  # most sliders rest: their deltas need not be read
    weights = torch.from_numpy(expression[used]).float()
    shaped = blend_shapes(torch.from_numpy(avatar.vertices), torch.from_numpy(avatar.key_deltas[used]), weights)
    if not np.any(joint_rotations):
        return shaped
    rotvecs = torch.from_numpy(joint_rotations).float()
    transforms = joint_transforms(rotvecs, torch.from_numpy(avatar.joint_positions), avatar.joint_parents)
    return linear_blend_skinning(
        shaped, torch.cat((torch.eye(4)[None], transforms)), torch.from_numpy(avatar.skin_weights)
    )


def motion(avatar: Avatar, pose: Pose) -> tuple[np.ndarray, np.ndarray]:
    """A pose in the order of an avatar's keys and joints, as :func:`deform` takes it: [E] weights, [J, 3] axis-angle.

    Raises:
        AvatarError: a name that the avatar does not have.
    """
    weights = np.zeros(len(avatar.key_names))
    for name, weight in pose.expression.items():
        weights[_position(name, avatar.key_names, f"{avatar.name} has no shape key")] = weight
    rotvecs = np.zeros((len(avatar.joint_names), 3))
    for name, rotvec in pose.joint_rotations.items():
        rotvecs[_position(name, avatar.joint_names, f"{avatar.name} has no joint")] = rotvec
    return weights, rotvecs


def drive(
    avatar: Avatar,
    expression: Mapping[str, float],
    joint_rotations: Mapping[str, Sequence[float] | np.ndarray] | None = None,
) -> Splats:
    """The avatar's Gaussians in world space under an expression and a pose, on the device of its Gaussians.

    Args:
        expression: weight per shape key, 0..1 for ARKit's; keys that are not named rest.
        joint_rotations: axis-angle [3] in radians per joint; joints that are not named rest.

    Raises:
        AvatarError: a name that the avatar does not have.
    """
    return _splats(avatar, *motion(avatar, Pose(expression, joint_rotations or {})))


def drive_view(avatar: Avatar, view: SourceView) -> Splats:
    """The avatar's Gaussians as the person looked in one of its photos; render them with ``view.viewmat`` and ``K``."""
    return _splats(avatar, view.expression, view.joint_rotations)


def _splats(avatar: Avatar, expression: np.ndarray, joint_rotations: np.ndarray) -> Splats:
    gaussians, eigenbasis = avatar.gaussians, avatar._device_eigenbasis
    device = gaussians.triangles.device
    if eigenbasis is not None:
        features = motion_features(torch.from_numpy(expression), torch.from_numpy(joint_rotations))
        gaussians = eigenbasis.apply(gaussians, features.to(device, torch.float32))
    moved = deform(avatar, expression, joint_rotations).to(device)
    return pose(gaussians, moved, avatar._device_faces, avatar.rest_areas)


def _position(name: str, names: tuple[str, ...], complaint: str) -> int:
    try:
        return names.index(name)
    except ValueError:
        raise AvatarError(f"{complaint} {name!r}.", f"It has: {', '.join(names)}.") from None


def save(avatar: Avatar, path: str | os.PathLike[str]) -> None:
    """Write the avatar file (docs/avatar-format.md), all or nothing.

    Everything comes back to the last bit, but for the eigenbasis, of which half floats are kept.

    Raises:
        AvatarError: the avatar holds what :func:`load` would refuse; nothing is written.
        OutputError: the file cannot be written.
    """
    source = Path(path).name
    arrays = fit(_to_arrays(avatar, source), LAYOUT, source)
    check(arrays, source)
    with atomic_write(path) as temporary:
        write_npz(temporary, arrays)


def load(path: str | os.PathLike[str]) -> Avatar:
    """Read an avatar file and check everything in it. Nothing in a file is ever executed.

    Raises:
        AvatarError: missing, truncated, damaged, hostile or of another version; the message names file and field.
    """
    arrays = read_npz(path, LAYOUT)
    return _from_arrays(arrays, check(arrays, Path(path).name))


def _to_arrays(avatar: Avatar, source: str) -> dict[str, np.ndarray]:
    views = avatar.views
    metadata = {
        "name": avatar.name,
        "key_names": list(avatar.key_names),
        "joint_names": list(avatar.joint_names),
        "region_names": list(avatar.regions),
        "view_names": [view.name for view in views],
        "provenance": dict(avatar.provenance),
    }
    vertex_count, key_count, joint_count = len(avatar.vertices), len(avatar.key_names), len(avatar.joint_names)
    key_deltas = avatar.key_deltas.reshape(key_count, vertex_count, 3)
    moving = key_deltas.any(axis=2)  # [E, V]
    arrays = {
        "version": np.array(LAYOUT.version),
        "metadata": pack_metadata(metadata, source),
        "regions": np.array(list(avatar.regions.values())).reshape(-1, vertex_count),
        "key_starts": np.concatenate(([0], np.cumsum(moving.sum(1)))),
        "key_vertices": np.nonzero(moving)[1],
        "key_deltas": key_deltas[moving],
        "view_viewmats": np.array([view.viewmat for view in views]).reshape(-1, 4, 4),
        "view_Ks": np.array([view.K for view in views]).reshape(-1, 3, 3),
        "view_sizes": np.array([(view.width, view.height) for view in views]).reshape(-1, 2),
        "view_expressions": np.array([view.expression for view in views]).reshape(len(views), key_count),
        "view_joint_rotations": np.array([view.joint_rotations for view in views]).reshape(len(views), joint_count, 3),
    }
    gaussians = {each.name: getattr(avatar.gaussians, each.name) for each in fields(BoundGaussians)}
    arrays |= {name: tensor.detach().cpu().numpy() for name, tensor in gaussians.items()}
    if avatar.eigenbasis is not None:
        arrays |= _pack_eigenbasis(avatar.eigenbasis)
    return arrays | {name: getattr(avatar, name) for name in SAME}


def _from_arrays(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> Avatar:
    starts, vertex_count = arrays["key_starts"], len(arrays["vertices"])
    key_deltas = np.zeros((len(starts) - 1, vertex_count, 3), np.float32)
    keys = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    key_deltas[keys, arrays["key_vertices"]] = arrays["key_deltas"]
    gaussians = {each.name: torch.from_numpy(arrays[each.name]) for each in fields(BoundGaussians)}
    gaussians["triangles"] = gaussians["triangles"].long()
    views = tuple(
        SourceView(
            name=name,
            viewmat=arrays["view_viewmats"][p],
            K=arrays["view_Ks"][p],
            width=int(arrays["view_sizes"][p, 0]),
            height=int(arrays["view_sizes"][p, 1]),
            expression=arrays["view_expressions"][p],
            joint_rotations=arrays["view_joint_rotations"][p],
        )
        for p, name in enumerate(metadata["view_names"])
    )
    return Avatar(
        name=metadata["name"],
        regions={name: arrays["regions"][r].astype(bool) for r, name in enumerate(metadata["region_names"])},
        key_names=tuple(metadata["key_names"]),
        key_deltas=key_deltas,
        joint_names=tuple(metadata["joint_names"]),
        gaussians=BoundGaussians(**gaussians),
        views=views,
        provenance=metadata["provenance"],
        eigenbasis=_unpack_eigenbasis(arrays) if "eigenbasis" in arrays else None,
        **{name: arrays[name] for name in SAME},
    )


def _pack_eigenbasis(eigenbasis: Eigenbasis) -> dict[str, np.ndarray]:
    """Its two fields: each direction's largest entry comes to about one step, by a power of two, which costs no bits.

    Half floats keep 11 bits of entries above 6e-5 steps; smaller ones nobody sees.
    """
    basis = eigenbasis.basis.detach().cpu().numpy() / np.array(STEPS, np.float32)
    largest = np.abs(basis).max(axis=(1, 2), initial=0.0)
    # A rounded exponent: what was loaded is some way from where it would tip over, and is saved as it was.
    factors = np.exp2(np.round(np.log2(np.where(largest > 0, largest, 1.0)))).astype(np.float32)
    return {
        "eigenbasis": (basis / factors[:, None, None]).astype(np.float16),
        "eigenbasis_gains": eigenbasis.gains.detach().cpu().numpy() * factors,
    }


def _unpack_eigenbasis(arrays: Mapping[str, np.ndarray]) -> Eigenbasis:
    basis = arrays["eigenbasis"].astype(np.float32) * np.array(STEPS, np.float32)
    return Eigenbasis(torch.from_numpy(basis), torch.from_numpy(arrays["eigenbasis_gains"]))
