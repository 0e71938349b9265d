"""The default head: built from the CC0 MakeHuman base mesh, its shape targets and its 52 ARKit face units."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial.transform import Rotation

from engine import assets
from engine.arkit import ARKIT_NAMES
from engine.heads.lids import meeting_lids
from engine.heads.makehuman_files import BaseMesh, read_base, read_target
from engine.heads.parametric import JOINTS, ParametricHead
from engine.heads.people import detail_axes, identity_basis_of, joint_regressor_of, read_macro

LICENCE = "CC0 1.0: MakeHuman base mesh, targets and face units (MakeHuman community)"
DECIMETRE = 0.1  # the base mesh's unit
CUT = 4.4  # dm; a little below the collar bone (joints at 5.2) of the base mesh
SHOULDER = 2.0  # dm; where the arms are cut off (shoulder joints at 1.7)
GAZE_DEGREES = {"In": 30.0, "Out": 30.0, "Up": 25.0, "Down": 30.0}  # ARKit's range, as ICT-FaceKit has it
TONGUE_LIFT = (0.0, 0.06, 0.04)  # dm, of tongueOut: over the lower teeth from where jawOpen has laid the tongue
UPPER_ARCH, LOWER_ARCH = (0.0, -0.040, 0.0), (0.0, -0.012, -0.030)  # dm: incisors show 2 to 4 mm under a parted lip and
# overlap the lower ones by 2 mm
UPPER_WIDTH, LOWER_WIDTH, ARCH_BEND = 0.87, 0.81, 2.2  # of MakeHuman's widths, and 1/dm: its canines stick out of the
# corners of the lips
TONGUE_FLAT, TONGUE_NARROW = 0.3, 0.88  # of its height over the floor and of its width, in a wide open mouth
TONGUE_BACK, TONGUE_SINK = 0.08, 0.16  # dm that it draws back then, and how steeply it falls towards the throat
SOLID_PARTS = {
    "eyes": ("helper-l-eye", "helper-r-eye"),
    "teeth": ("helper-upper-teeth", "helper-lower-teeth"),
    "tongue": ("helper-tongue",),
    "lashes": (
        "helper-l-eyelashes-1",
        "helper-l-eyelashes-2",
        "helper-r-eyelashes-1",
        "helper-r-eyelashes-2",
    ),
}
PAINTED = {
    "ears": "mpfb_ears.jpg",
    "lids": "mpfb_eyelids.jpg",
    "face": "mpfb_face.jpg",
    "lips": "mpfb_lips.jpg",
    "mouth_interior": "mpfb_inside-mouth.jpg",
}


def _keep(base: BaseMesh) -> np.ndarray:
    """[V] bool: the skin above the cut and inside the shoulders, and the solid parts of the head."""
    keep = np.zeros(len(base.positions), bool)
    keep[base.group("body")] = True
    keep &= (base.positions[:, 1] > CUT) & (np.abs(base.positions[:, 0]) < SHOULDER)
    for parts in SOLID_PARTS.values():
        for part in parts:
            keep[base.group(part)] = True
    return keep


def _skin_weights(bones: dict[str, list], parents: dict[str, str], count: int) -> np.ndarray:
    """[V, 6]: MakeHuman's 160 bones gathered into torso, neck, head, jaw and the two eyes."""

    def chain(bone: str) -> list[str]:
        return [bone, *chain(parents[bone])] if parents.get(bone) else [bone]

    def column(bone: str) -> int:
        names = chain(bone)
        if bone == "eye.L":
            return 1 + JOINTS.index("eyeLeft")
        if bone == "eye.R":
            return 1 + JOINTS.index("eyeRight")
        if "jaw" in names:
            return 1 + JOINTS.index("jaw")
        if "head" in names or "neck03" in names:
            return 1 + JOINTS.index("head")
        return 1 + JOINTS.index("neck") if "neck01" in names else 0

    weights = np.zeros((count, len(JOINTS) + 1))
    for bone, entries in bones.items():
        index, value = np.array([e[0] for e in entries], int), np.array([e[1] for e in entries])
        weights[index, column(bone)] += value
    return weights / weights.sum(axis=1, keepdims=True)


def _joint_positions(base: BaseMesh, positions: np.ndarray) -> np.ndarray:
    """[5, 3] joints from the base mesh's joint cubes, in the order of ``JOINTS``."""
    cubes = ("joint-neck", "joint-head", "joint-mouth", "joint-l-eye", "joint-r-eye")
    return np.stack([positions[base.group(cube)].mean(axis=0) for cube in cubes])


def _largest_component(mask: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """[V] bool: the largest connected patch of a vertex mask."""
    inner = faces[mask[faces].all(axis=1)]
    edges = coo_matrix((np.ones(2 * len(inner)), (inner[:, :2].ravel(), inner[:, 1:].ravel())), shape=(len(mask),) * 2)
    labels = connected_components(edges, directed=False)[1]
    return mask & (labels == np.bincount(labels[mask]).argmax())


def _regions(
    base: BaseMesh, keep: np.ndarray, skin: np.ndarray, weights: np.ndarray, shape: np.ndarray, faces: np.ndarray
) -> dict[str, np.ndarray]:
    """Region masks over kept vertices, from MakeHuman's painted masks, groups and skin weights."""
    uv = np.zeros((len(base.positions), 2))
    for _, corners, uv_corners in base.quads:
        uv[corners] = base.uv[uv_corners]
    regions = {}
    for name, file in PAINTED.items():
        mask = np.asarray(Image.open(assets.path(f"makehuman/textures/{file}")).convert("L"))
        rows, columns = ((1 - uv[:, 1]) * len(mask)).astype(int), (uv[:, 0] * len(mask)).astype(int)
        regions[name] = (mask[rows.clip(0, len(mask) - 1), columns.clip(0, len(mask) - 1)] > 127)[keep] & skin
    for name, parts in SOLID_PARTS.items():
        member = np.zeros(len(base.positions), bool)
        for part in parts:
            member[base.group(part)] = True
        regions[name] = member[keep]
    head = weights[:, 1 + JOINTS.index("head")] + weights[:, 1 + JOINTS.index("jaw")]
    regions["torso"] = skin & (weights[:, 0] > 0.5)
    regions["neck"] = skin & ~regions["torso"] & (head < 0.5)
    ears = shape[regions["ears"]]
    above = shape[:, 1] > ears[:, 1].min() + 0.25 * np.ptp(ears[:, 1])
    inside = regions["mouth_interior"]
    scalp = skin & (head >= 0.5) & above & ~regions["face"] & ~regions["ears"] & ~inside
    regions["scalp"] = _largest_component(scalp, faces)
    sockets = scalp & ~regions["scalp"]  # the skin behind the eyeballs belongs to no region
    other = regions["scalp"] | regions["ears"] | regions["neck"] | sockets | inside
    regions["face"] = skin & (head >= 0.5) & ~other
    eyes = shape[regions["eyes"]]
    brow = (shape[:, 1] > eyes[:, 1].max()) & (shape[:, 1] < eyes[:, 1].max() + 0.16)
    regions["brows"] = regions["face"] & brow & (np.abs(shape[:, 0]) > 0.1) & (shape[:, 2] > eyes[:, 2].max() - 0.25)
    return regions


def _expressions(folder: Path, count: int, keep: np.ndarray, shape: np.ndarray, regions: dict) -> np.ndarray:
    """[52, K, 3] dm. The eyeballs' share of the gaze keys is replaced by a true rotation of ARKit's range."""
    basis = np.stack([read_target(folder / f"{name}.target", count)[keep] for name in ARKIT_NAMES])
    for k, name in enumerate(ARKIT_NAMES):
        if not name.startswith("eyeLook"):
            continue
        left = name.endswith("Left")
        ball = regions["eyes"] & ((shape[:, 0] > 0) == left)
        direction = name.removeprefix("eyeLook").removesuffix("Left").removesuffix("Right")
        angle = np.deg2rad(GAZE_DEGREES[direction])
        outward = 1.0 if left else -1.0
        axis = {"In": [0, -outward, 0], "Out": [0, outward, 0], "Up": [-1, 0, 0], "Down": [1, 0, 0]}[direction]
        points = shape[ball]
        centre = (points.max(axis=0) + points.min(axis=0)) / 2
        basis[k, ball] = (points - centre) @ Rotation.from_rotvec(angle * np.array(axis, float)).as_matrix().T
        basis[k, ball] -= points - centre
    return basis


def _open_mouth(deltas: np.ndarray, shape: np.ndarray, lower: np.ndarray, tongue: np.ndarray) -> None:
    """Let lower arch and tongue turn with the jaw in ``deltas`` [K, 3] of jawOpen: the face unit bends the one a little
    and leaves the other behind, where it would fill the open mouth. The tongue settles on the mouth's floor."""
    rest, opened = shape[lower], (shape + deltas)[lower]
    turn, _ = Rotation.align_vectors(opened - opened.mean(axis=0), rest - rest.mean(axis=0))
    floor = rest[:, 1].min()
    settled = shape[tongue] * [TONGUE_NARROW, 1, 1] - [0, 0, TONGUE_BACK]
    settled[:, 1] = floor + TONGUE_FLAT * (settled[:, 1] - floor)
    settled[:, 1] -= TONGUE_SINK * (settled[:, 2].max() - settled[:, 2])
    for part, points in ((lower, rest), (tongue, settled)):
        deltas[part] = turn.apply(points - rest.mean(axis=0)) + opened.mean(axis=0) - shape[part]


def _bite(shape: np.ndarray, upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """``shape`` [K, 3] with the arches where an adult's are: MakeHuman closes its lips before teeth that stop at the
    lips' line, so that a parted mouth would show none of the upper ones."""
    shape = shape.copy()
    for arch, width, shift in ((upper, UPPER_WIDTH, UPPER_ARCH), (lower, LOWER_WIDTH, LOWER_ARCH)):
        shape[arch, 0] *= width
        shape[arch, 2] -= ARCH_BEND * shape[arch, 0] ** 2
        shape[arch] += shift
    return shape


def build(seed: int = 0) -> ParametricHead:
    """Build the default head from the fetched MakeHuman data (about half a minute; callers cache it).

    The identity basis is a PCA over random combinations of the macro and detail targets: age, build and ancestry vary,
    asymmetry stays off. Expressions are the 52 face units as they are, in linear metres.

    Raises:
        AssetError: the MakeHuman data have not been fetched.
    """
    from engine.heads.landmarks import find_landmarks
    from engine.heads.unwrap import unwrap

    root = assets.path("makehuman/base.obj").parent
    base = read_base(root / "base.obj")
    count = len(base.positions)
    bones = json.loads((root / "rigs/weights.default.json").read_text())["weights"]
    rig = json.loads((root / "rigs/rig.default.json").read_text())
    parents = {bone: entry["parent"] for bone, entry in rig.get("bones", rig).items()}

    keep = _keep(base)
    cubes = np.zeros(count, bool)
    for name in ("joint-neck", "joint-head", "joint-mouth", "joint-l-eye", "joint-r-eye"):
        cubes[base.group(name)] = True
    wide = keep | cubes  # the joint cubes follow the identity targets too
    kept = keep[wide]
    weights = _skin_weights(bones, parents, count)
    for group, joint in (("helper-l-eye", "eyeLeft"), ("helper-r-eye", "eyeRight")):  # eyeballs turn as a whole
        weights[base.group(group)] = np.eye(len(JOINTS) + 1)[1 + JOINTS.index(joint)]
    head_only = (weights[:, 1:].sum(axis=1) - weights[:, 1] > 0.5)[wide] & kept

    macro = read_macro(root / "targets/macrodetails", count, wide)
    axes = detail_axes(root / "targets", count, wide)
    mean, basis, samples = identity_basis_of(base.positions[wide], macro, axes, head_only, seed)

    def joints_of(shape: np.ndarray) -> np.ndarray:
        full = np.zeros((count, 3))
        full[wide] = shape
        return _joint_positions(base, full)

    joints = np.stack([joints_of(sample) for sample in samples])
    regressor = joint_regressor_of(samples[:, kept], joints)

    shape = mean[kept]
    renumber = np.cumsum(keep) - 1
    solid = {part for parts in SOLID_PARTS.values() for part in parts}
    faces = []
    for group, corners, _ in base.quads:
        if (group == "body" or group in solid) and keep[corners].all():
            a, b, c, d = renumber[corners]
            faces += [(a, b, c), (a, c, d)]
    faces = np.array(faces, np.int32)
    is_skin = np.zeros(count, bool)
    is_skin[base.group("body")] = True
    skin = is_skin[keep]
    regions = _regions(base, keep, skin, weights[keep], shape, faces)
    lower = np.zeros(count, bool)
    lower[base.group("helper-lower-teeth")] = True
    lower = lower[keep]
    shape = _bite(shape, regions["teeth"] & ~lower, lower)
    expressions = _expressions(root / "faceunits", count, keep, shape, regions)
    expressions[ARKIT_NAMES.index("tongueOut"), regions["tongue"]] += TONGUE_LIFT
    _open_mouth(expressions[ARKIT_NAMES.index("jawOpen")], shape, lower, regions["tongue"])

    origin = (regressor @ shape)[JOINTS.index("head")]
    template = ((shape - origin) * DECIMETRE).astype(np.float32)
    uv, uv_faces = unwrap(template, faces, regions)
    landmarks = find_landmarks(template, faces, regions)
    head = ParametricHead(
        name="makehuman",
        licence=LICENCE,
        template=template,
        faces=faces,
        identity_basis=(basis[:, kept] * DECIMETRE).astype(np.float32),
        expression_names=ARKIT_NAMES,
        expression_basis=(expressions * DECIMETRE).astype(np.float32),
        joint_names=JOINTS,
        joint_parents=np.array([-1, 0, 1, 1, 1], np.int32),
        joint_regressor=regressor.astype(np.float32),
        skin_weights=weights[keep].astype(np.float32),
        pose_correctives=np.zeros((0, len(template), 3), np.float32),
        uv=uv,
        uv_faces=uv_faces,
        regions=regions,
        landmark_triangles=landmarks[0],
        landmark_barycentrics=landmarks[1],
        landmark_weights=landmarks[2],
    )
    return replace(head, expression_basis=meeting_lids(head, template))
