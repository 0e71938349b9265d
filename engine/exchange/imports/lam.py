"""LAM avatars (He et al. 2025, arXiv 2502.17796): the .zip that its renderer in browsers loads.

In one folder of the zip: ``skin.glb``, a mesh with one vertex for each Gaussian, its keys by ARKit's names and a
skeleton with a bone ``head``; ``offset.ply``, the Gaussians in the same order, their places counted from the vertices
and their colours plain RGB. ``animation.glb`` (clips of a body) and ``vertex_order.json`` (in which order to draw) say
nothing of the head.
"""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from scipy.spatial import cKDTree

from engine.archives import members
from engine.arkit import ARKIT_NAMES
from engine.avatar import Avatar
from engine.errors import AvatarError
from engine.exchange.facing import find_head
from engine.exchange.glb_file import Glb
from engine.exchange.incoming import HeadImport, Imported, Wanted
from engine.exchange.origin import UNKNOWN, origin
from engine.exchange.ply_table import read_table, splats_of
from engine.exchange.similarity import Similarity
from engine.exchange.static import bounded
from engine.formats.avatar_layout import LAYOUT, TABLE, is_name
from engine.gaussians.binding import bind
from engine.gaussians.gaussians import PARTS, Splats
from engine.heads import load_head
from engine.heads.parametric import JOINTS, ParametricHead
from engine.progress import Progress

SKIN, OFFSETS = "skin.glb", "offset.ply"
UNPACKED = 600_000_000  # bytes of a zip, at most; the public samples have 20 MB
AGAIN = "Export the avatar from LAM again."
NEIGHBOURS = 32  # vertices, of which a triangle is made where a mesh comes without
BONES = {
    "neck": ("neck", "necktwist01", "neck_01"),
    "head": ("head",),
    "jaw": ("jaw", "jawroot", "jaw_root"),
    "eyeLeft": ("eyeleft", "lefteye", "l_eye", "eye_l"),
    "eyeRight": ("eyeright", "righteye", "r_eye", "eye_r"),
}


def _recognise(path: Path, start: bytes) -> bool:
    if not start.startswith(b"PK"):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return {SKIN, OFFSETS} <= {PurePosixPath(name).name for name in archive.namelist()}
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False


def _read(path: Path, wanted: Wanted, progress: Progress) -> Imported:
    progress.start("file")
    mesh, splats = read_lam(path)
    progress.start("face")
    head = load_head()
    placed = Splats(**{**vars(splats), "means": torch.from_numpy(mesh.vertices).float() + splats.means})
    space = find_head(placed, head, progress)
    notes = [] if space else ["No face was found in the avatar: it keeps its axes and its size."]
    if lacking := [name for name in ARKIT_NAMES if name not in mesh.keys]:
        notes.append(f"Not in the avatar, so that they move nothing: {', '.join(lacking)}.")
    provenance = origin(path, SPEC.name, "lam", UNKNOWN, notes)
    made = _avatar(mesh, placed, space or Similarity(1.0, np.eye(3), np.zeros(3)), head, wanted.name, provenance)
    progress.finish()
    return Imported(made, tuple(notes))


def read_lam(path: Path) -> tuple[Mesh, Splats]:
    """The mesh and its Gaussians, whose places count from its vertices.

    Raises:
        AvatarError: the file is missing or damaged.
    """
    try:
        with tempfile.TemporaryDirectory() as folder:
            skin, offsets = _unpacked(path, Path(folder))
            mesh = Mesh(Glb(skin.read_bytes()))
            splats = splats_of(read_table(offsets, f"{OFFSETS} in {path.name}"), plain_colors=True)
        if len(splats.means) != len(mesh.vertices):
            raise ValueError(f"{len(splats.means)} Gaussians on {len(mesh.vertices)} vertices")
        return mesh, splats
    except AvatarError:
        raise
    except OSError as error:
        raise AvatarError(f"{path.name} cannot be read ({error.strerror or error}).", "Check the file.") from error
    except Exception as error:  # zip, JSON and arrays of strangers fail in a dozen ways
        raise AvatarError(f"{path.name} is a LAM avatar, but damaged ({error}).", AGAIN) from error


def _unpacked(path: Path, folder: Path) -> tuple[Path, Path]:
    """The two files, unpacked under names of our own."""
    with zipfile.ZipFile(path) as archive:
        found = {PurePosixPath(name).name: entry for name, entry in members(archive, UNPACKED).items()}
        for name in (SKIN, OFFSETS):
            content = archive.read(found[name])  # checks its length and checksum
            (folder / name).write_bytes(content)
    return folder / SKIN, folder / OFFSETS


class Mesh:
    """The skinned mesh of a file, at rest in the scene.

    Attributes:
        vertices: [V, 3] float64. faces: [F, 3]. keys: ARKit name to [V, 3].
        joints: name of ours to place [3] in the scene. weights: [V, 6], column 0 for what is none of them.
    """

    def __init__(self, file: Glb) -> None:
        node = next(n for n, node in enumerate(file.all("nodes")) if "mesh" in node and "skin" in node)
        nodes = file.all("nodes")
        mesh, skin = (
            file.all(f"{kind}s" if kind == "skin" else "meshes")[nodes[node][kind]] for kind in ("mesh", "skin")
        )
        (primitive,) = mesh["primitives"]
        attributes = primitive["attributes"]
        bones, self._nodes = list(skin["joints"]), nodes
        inverse = file.array(skin["inverseBindMatrices"]).reshape(-1, 4, 4).transpose(0, 2, 1).astype(np.float64)
        named = self._named(file, bones)
        number = bones.index(named["head"])
        rest = file.world(bones[number]) @ inverse[number]  # the renderer moves all by this bone
        self.vertices = file.array(attributes["POSITION"]).astype(np.float64) @ rest[:3, :3].T + rest[:3, 3]
        count = len(self.vertices)
        if not 0 < count <= LAYOUT.limits["V"] or not np.isfinite(self.vertices).all():
            raise ValueError(f"a mesh of {count} vertices")
        self.faces = self._faces(file, primitive, count)
        self.keys = self._keys(file, mesh, primitive, rest[:3, :3], count)
        self.joints = {name: file.world(bone)[:3, 3] for name, bone in named.items()}
        self.weights = self._weights(file, attributes, bones, named, count)

    def _named(self, file: Glb, bones: list[int]) -> dict[str, int]:
        """The nodes of our joints, as far as the skeleton has them; the head's always."""
        by_name = {str(self._nodes[bone].get("name", "")).rpartition(":")[2].lower(): bone for bone in bones}
        named = {joint: by_name[name] for joint, names in BONES.items() for name in reversed(names) if name in by_name}
        if "head" not in named:
            raise ValueError("its skeleton has no bone named head")
        return named

    def _faces(self, file: Glb, primitive: dict, count: int) -> np.ndarray:
        faces = file.array(primitive["indices"]).astype(np.int64)
        faces = faces[: len(faces) // 3 * 3].reshape(-1, 3)
        if len(faces) and faces.max() >= count:
            raise ValueError("triangles of vertices that do not exist")
        faces = faces[(faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])]
        bare = np.setdiff1d(np.arange(count), faces)
        return np.concatenate([faces, self._around(bare)])

    def _around(self, bare: np.ndarray) -> np.ndarray:
        """[K, 3] a triangle for each vertex [K] without one, so that its Gaussian has something to follow: as large as
        its neighbours can make it, since small ones say little of where skin turns."""
        _, near = cKDTree(self.vertices).query(self.vertices[bare], k=min(NEIGHBOURS, len(self.vertices)))
        ways = self.vertices[near] - self.vertices[bare][:, None]
        row = np.arange(len(bare))
        first = np.linalg.norm(ways, axis=2).argmax(axis=1)
        second = np.linalg.norm(np.cross(ways, ways[row, first][:, None]), axis=2).argmax(axis=1)
        return np.column_stack([bare, near[row, first], near[row, second]])

    def _keys(self, file: Glb, mesh: dict, primitive: dict, turn: np.ndarray, count: int) -> dict[str, np.ndarray]:
        names = mesh.get("extras", {}).get("targetNames", [])
        known = {name.lower(): name for name in ARKIT_NAMES}
        if count * len(ARKIT_NAMES) > TABLE["key_entries"]:
            raise ValueError("more keys than fit into memory")
        keys = {}
        for name, target in zip(names, primitive.get("targets", []), strict=True):
            if "POSITION" in target and (key := known.get(str(name).lower())) is not None:
                keys[key] = file.array(target["POSITION"]).astype(np.float64) @ turn.T
                if keys[key].shape != (count, 3) or not np.isfinite(keys[key]).all():
                    raise ValueError(f"the key {key} does not fit the mesh")
        return keys

    def _weights(self, file: Glb, attributes: dict, bones: list[int], named: dict[str, int], count: int) -> np.ndarray:
        """[V, 6]: every bone counts as the nearest of ours above it, or as what never moves."""
        columns = {bone: 1 + JOINTS.index(joint) for joint, bone in named.items()}
        owner = np.array([next((columns[n] for n in file.ancestors(bone) if n in columns), 0) for bone in bones])
        found, number = np.zeros((count, 1 + len(JOINTS))), 0
        while f"JOINTS_{number}" in attributes:
            which, share = (file.array(attributes[f"{kind}_{number}"]) for kind in ("JOINTS", "WEIGHTS"))
            for k in range(which.shape[1]):
                np.add.at(found, (np.arange(count), owner[which[:, k].astype(np.int64)]), share[:, k])
            number += 1
        if not np.isfinite(found).all() or found.min(initial=0.0) < 0:
            raise ValueError("weights that are none")
        total = found.sum(axis=1, keepdims=True)
        found[total[:, 0] < 1e-6, 1 + JOINTS.index("head")] = 1.0
        return found / np.maximum(found.sum(axis=1, keepdims=True), 1e-6)


def _avatar(mesh: Mesh, splats: Splats, space: Similarity, head: ParametricHead, name: str, provenance: dict) -> Avatar:
    """The mesh and its Gaussians in ``space``: a Gaussian sits on its own vertex, in one of the triangles there."""
    assert is_name(name)
    vertices = space.points(mesh.vertices).astype(np.float32)
    count = len(vertices)
    if len(bounded(moved := space.splats(splats)).means) != count or np.abs(vertices).max() >= 100:
        raise AvatarError("The avatar is larger than a scene.", AGAIN)
    moved = bounded(moved)
    triangles = np.zeros(count, np.int64)
    corner = np.zeros(count, np.int64)
    for k in range(3):
        triangles[mesh.faces[:, k]], corner[mesh.faces[:, k]] = np.arange(len(mesh.faces)), k
    order = [head.joint_names.index(joint) for joint in JOINTS]
    joints = (head.joint_regressor @ head.template)[order]
    for joint, place in mesh.joints.items():
        joints[JOINTS.index(joint)] = space.points(place)
    parents = [JOINTS.index(head.joint_names[p]) if p >= 0 else -1 for p in head.joint_parents[order]]
    _, near = cKDTree(head.template).query(vertices)
    deltas = np.zeros((len(ARKIT_NAMES), count, 3), np.float32)
    for key, delta in mesh.keys.items():
        deltas[ARKIT_NAMES.index(key)] = space.scale * delta @ space.rotation.T
    gaussians = bind(
        **vars(moved),
        parts=torch.full((count,), PARTS.index("surface"), dtype=torch.uint8),
        vertices=torch.from_numpy(vertices),
        faces=torch.from_numpy(mesh.faces),
        triangles=torch.from_numpy(triangles),
        barycentrics=torch.eye(3)[corner],
    )
    around = np.arctan2(vertices[:, 0], vertices[:, 2]) / (2 * np.pi) + 0.5
    up = (vertices[:, 1] - vertices[:, 1].min()) / max(float(np.ptp(vertices[:, 1])), 1e-9)
    return Avatar(
        name=name,
        vertices=vertices,
        faces=mesh.faces.astype(np.int32),
        uv=np.column_stack([around, up]).astype(np.float32),
        uv_faces=mesh.faces.astype(np.int32),
        regions={region: mask[near] for region, mask in head.regions.items()},
        key_names=ARKIT_NAMES,
        key_deltas=deltas,
        joint_names=JOINTS,
        joint_parents=np.array(parents, np.int32),
        joint_positions=joints.astype(np.float32),
        skin_weights=mesh.weights.astype(np.float32),
        gaussians=gaussians,
        views=(),
        provenance=provenance,
    )


SPEC = HeadImport("lam", "LAM avatar", (".zip",), _recognise, _read, order=5)
