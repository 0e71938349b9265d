"""FLAME as a head model: the user's file, with the default head's 52 keys, regions and mouth carried over."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from engine.arkit import ARKIT_NAMES
from engine.curves import smoothstep
from engine.errors import HeadModelError
from engine.heads.flame_file import HINT, FlameFile, read_bytes, read_flame
from engine.heads.landmarks import find_landmarks
from engine.heads.lids import meeting_lids
from engine.heads.mouth import Mouth, fit_mouth
from engine.heads.parametric import JOINTS, REGIONS, ParametricHead
from engine.heads.register import Registration, register, surface
from engine.heads.transfer import transfer_expressions
from engine.heads.unwrap import unwrap

__all__ = ["load_flame", "read_bytes"]

LICENCE = (
    "FLAME (Max Planck Institute for Intelligent Systems), under the terms of the file that was loaded; "
    "ARKit keys, teeth and tongue from MakeHuman, CC0 1.0"
)
EYE_REACH = 0.015  # metres from an eye joint to the middle of its eyeball
BUST = (-0.03, 0.05)  # metres from the root joint: below the first the neck stands still, above the second it turns


def load_flame(path: Path, makehuman: ParametricHead) -> ParametricHead:
    """Load FLAME 2020, 2023 or 2023 Open and complete it to a head like the default one.

    FLAME's root joint becomes ``neck`` and its neck joint, which lies at the base of the skull, ``head``. With the
    neck at rest the model's vertices are exactly FLAME's own, pose correctives included; when it turns, the bust's rim
    stands still. Expressions are ARKit's 52, then FLAME's components as ``flame_expr_000`` and so on. Where the file
    brings ARKit keys of its own, these are used.

    Args:
        path: ``.pkl`` as downloaded, or ``.npz`` with the same keys (see :func:`engine.heads.flame_file.read_flame`).
        makehuman: the default head, source of keys, regions, teeth and tongue.

    Raises:
        HeadModelError: the file is missing, damaged, hostile or not a FLAME model.
        AssetError: the landmark detector has not been fetched.
    """
    flame = read_flame(path)
    eyes = _eyeballs(flame)
    landmarks = find_landmarks(flame.template, flame.faces, {"eyes": eyes})
    skin = np.logical_not(eyes[flame.faces].all(axis=1))
    target = surface(flame.template, flame.faces, skin, *landmarks[:2])
    correspondence = register(makehuman, target)
    keys = transfer_expressions(makehuman, target, eyes, correspondence)
    mouth = fit_mouth(makehuman, target, correspondence)

    template = np.concatenate([flame.template, mouth.vertices])
    faces = np.concatenate([flame.faces, mouth.faces + len(flame.template)]).astype(np.int32)
    regions = _regions(makehuman, correspondence, mouth, eyes)
    names, expressions = _expressions(flame, keys, mouth)
    root, *joints = flame.skin_weights.T
    turning = smoothstep(flame.template[:, 1], *(flame.joint_regressor[0] @ flame.template[:, 1] + np.array(BUST)))
    weights = np.stack([root * (1 - turning), root * turning, *joints], axis=1)
    uv, uv_faces = unwrap(template, faces, regions)
    head = ParametricHead(
        name="flame",
        licence=LICENCE,
        template=template,
        faces=faces,
        identity_basis=_along(flame.identity_basis, mouth.follow),
        expression_names=names,
        expression_basis=expressions,
        joint_names=JOINTS,
        joint_parents=np.array([-1, 0, 1, 1, 1], np.int32),
        joint_regressor=np.pad(flame.joint_regressor, ((0, 0), (0, len(mouth.vertices)))),
        skin_weights=np.concatenate([weights, makehuman.skin_weights[mouth.origins]]).astype(np.float32),
        pose_correctives=_along(flame.pose_correctives, mouth.follow * mouth.yielding[:, None]),
        uv=uv,
        uv_faces=uv_faces,
        regions=regions,
        landmark_triangles=landmarks[0],
        landmark_barycentrics=landmarks[1],
        landmark_weights=landmarks[2],
    )
    return replace(head, expression_basis=meeting_lids(head, template))


def _eyeballs(flame: FlameFile) -> np.ndarray:
    """[V] bool: the two pieces of the mesh around the eye joints."""
    ends = flame.faces[:, [0, 1, 1, 2]].reshape(-1, 2)
    count = len(flame.template)
    linked = sparse.coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(count, count))
    pieces, piece = connected_components(linked, directed=False)
    joints = flame.joint_regressor @ flame.template
    eyes = np.zeros(count, bool)
    for joint in joints[[JOINTS.index("eyeLeft"), JOINTS.index("eyeRight")]]:
        middles = np.array([flame.template[piece == k].mean(axis=0) for k in range(pieces)])
        gaps = np.linalg.norm(middles - joint, axis=1)
        if gaps.min() > EYE_REACH:
            raise HeadModelError("It has no eyeballs where FLAME has them.", HINT)
        eyes |= piece == gaps.argmin()
    return eyes


def _regions(
    makehuman: ParametricHead, correspondence: Registration, mouth: Mouth, eyes: np.ndarray
) -> dict[str, np.ndarray]:
    """Region masks, carried over vertex by vertex; each of FLAME's vertices looks at the nearest corner."""
    corners = makehuman.faces[correspondence.triangles]
    nearest = corners[np.arange(len(corners)), correspondence.barycentrics.argmax(axis=1)]
    regions = {
        name: np.concatenate([makehuman.regions[name][nearest] & ~eyes, makehuman.regions[name][mouth.origins]])
        for name in REGIONS
    }
    regions["eyes"] = np.concatenate([eyes, np.zeros(len(mouth.origins), bool)])
    return regions


def _expressions(flame: FlameFile, keys: np.ndarray, mouth: Mouth) -> tuple[tuple[str, ...], np.ndarray]:
    """Names and deltas [E, V + M, 3]: ARKit's, then FLAME's own."""
    arkit = np.concatenate([keys, mouth.deltas], axis=1)
    own_names = flame.expression_names or tuple(f"flame_expr_{k:03d}" for k in range(len(flame.expression_basis)))
    for name, delta in zip(own_names, flame.expression_basis, strict=True):
        if name in ARKIT_NAMES and delta.any():
            arkit[ARKIT_NAMES.index(name), : len(delta)] = delta
    others = [k for k, name in enumerate(own_names) if name not in ARKIT_NAMES]
    extra = _along(flame.expression_basis[others], mouth.follow * mouth.yielding[:, None])
    return (*ARKIT_NAMES, *(own_names[k] for k in others)), np.concatenate([arkit, extra])


def _along(basis: np.ndarray, follow: np.ndarray) -> np.ndarray:
    """[K, V + M, 3]: a basis [K, V, 3] continued on the mouth, whose vertices follow the skin by [M, V]."""
    return np.concatenate([basis, np.einsum("mv,kvc->kmc", follow, basis, optimize=True)], axis=1, dtype=np.float32)
