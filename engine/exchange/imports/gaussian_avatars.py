"""GaussianAvatars' heads (Qian et al. 2024, arXiv 2312.02069): Gaussians on the triangles of a FLAME mesh.

``point_cloud.ply`` has a triangle for each Gaussian (``binding_0``), and its place, scales and rotation in that
triangle's frame, in units of the triangle's size. ``flame_param.npz`` beside it has the person's shape, and their pose
and expression in each frame of the recording. The FLAME file itself is the user's.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from engine.archives import members, read_array
from engine.avatar import Avatar
from engine.errors import AvatarError, HeadModelError
from engine.exchange.incoming import HeadImport, Imported, Wanted
from engine.exchange.origin import origin
from engine.exchange.ply_table import read_table, splats_of
from engine.exchange.static import bounded
from engine.gaussians.binding import bind
from engine.gaussians.gaussians import PARTS, Splats
from engine.gaussians.rotations import matrix_to_quat, quat_multiply
from engine.heads import load_head
from engine.heads.flame_file import read_flame
from engine.heads.parametric import ParametricHead
from engine.heads.rig import Rig, make_rig, person_fields
from engine.progress import Progress

PARAMETERS = "flame_param.npz"
BINDING = "binding_0"
UNPACKED = 600_000_000  # bytes
LONGEST = 200_000  # frames
RATE = 25.0  # frames a second of the recordings; the files do not say
TEETH = (120, 168)  # vertices and triangles that GaussianAvatars adds to FLAME for teeth, in its own way
POSES = {"rotation": 3, "neck_pose": 3, "jaw_pose": 3, "eyes_pose": 6}
AGAIN = "Copy point_cloud.ply and flame_param.npz again from where they were trained."
WHICH = "Give the FLAME file (2023, as GaussianAvatars uses it) that the head was trained with: --head flame2023.pkl."


def _recognise(path: Path, start: bytes) -> bool:
    return start.startswith(b"ply") and BINDING.encode() in start.partition(b"end_header")[0]


def _read(path: Path, wanted: Wanted, progress: Progress) -> Imported:
    if wanted.head is None:
        raise HeadModelError(f"{path.name} is a head of GaussianAvatars, which lies on FLAME.", WHICH)
    progress.start("file")
    table = read_table(path, path.name, (BINDING,))
    said = read_parameters(path.with_name(PARAMETERS))
    flame = read_flame(wanted.head)
    progress.start("head model")
    head = load_head(wanted.head)
    vertex_count, face_count = len(flame.template), len(flame.faces)
    triangles = table[BINDING].astype(np.int64)
    most, offset = int(triangles.max()), said["static_offset"]
    fits = len(offset) in (0, vertex_count, vertex_count + TEETH[0]) and most < face_count + TEETH[1]
    if not fits or triangles.min() < 0:
        raise HeadModelError(
            f"{path.name} was made on another FLAME than {wanted.head.name}, which has {vertex_count} vertices and "
            f"{face_count} triangles: its own has {len(offset) or 'some'} vertices and at least {most + 1} triangles.",
            WHICH,
        )
    rig = _rig(head, said, vertex_count)
    on_teeth = triangles >= face_count
    splats, kept = splats_of(table, plain_colors=False), torch.from_numpy(~on_teeth)
    splats = Splats(*(value[kept] for value in vars(splats).values()))
    notes = [f"The recording comes at {RATE:.0f} frames a second, which the file does not say."]
    if on_teeth.any():
        notes.append(f"{int(on_teeth.sum())} Gaussians on teeth that FLAME does not have are left out.")
    provenance = origin(path, SPEC.name, head.name, head.licence, notes)
    made = _avatar(splats, triangles[~on_teeth], rig, head, wanted.name, provenance)
    progress.finish()
    return Imported(made, tuple(notes), _performance(said, head))


def read_parameters(path: Path) -> dict[str, np.ndarray]:
    """What a flame_param.npz says, by name: shape [S], static_offset [V or 0, 3], and [T, n] each of expr and poses.

    Raises:
        AvatarError: it is missing, damaged, or something else.
    """

    def accept(shape: tuple[int, ...], dtype: np.dtype) -> None:
        if dtype.kind not in "fiu" or min(shape, default=0) < 0:
            raise ValueError(f"an array of type {dtype}")

    try:
        with zipfile.ZipFile(path) as archive:
            found = members(archive, UNPACKED)
            names = ("shape", "expr", *POSES, "static_offset")
            said = {
                name: np.asarray(read_array(archive, found[f"{name}.npy"], accept), np.float64)
                for name in names
                if name != "static_offset" or f"{name}.npy" in found
            }
        said["shape"] = said["shape"].reshape(-1)
        said["static_offset"] = said.get("static_offset", np.zeros((0, 3))).reshape(-1, 3)
        frames = len(said["expr"])
        fine = all(said[name].shape == (frames, width) for name, width in POSES.items()) and said["expr"].ndim == 2
        if not fine or not 0 < frames <= LONGEST or not all(np.isfinite(array).all() for array in said.values()):
            raise ValueError("its arrays do not fit each other")
    except OSError as error:
        raise AvatarError(
            f"{path.name} cannot be read ({error.strerror or error}); it says how the head is formed and moves.",
            f"Put it beside the .ply: {path.parent}.",
        ) from error
    except Exception as error:  # zipfile, zlib and numpy raise a dozen kinds on damaged bytes
        raise AvatarError(f"{path.name} is damaged or no {PARAMETERS} ({error}).", AGAIN) from error
    return said


def _rig(head: ParametricHead, said: Mapping[str, np.ndarray], vertex_count: int) -> Rig:
    """The person at rest: FLAME in their shape, with their own offsets."""
    shape = said["shape"][: len(head.identity_basis)]
    neutral = head.template + np.tensordot(shape, head.identity_basis[: len(shape)], axes=1)
    own = said["static_offset"][:vertex_count]
    neutral[: len(own)] += own
    if not np.abs(neutral).max() < 10:
        raise AvatarError(f"{PARAMETERS} forms no head.", AGAIN)
    return make_rig(head, neutral, (head.joint_regressor @ neutral).astype(np.float32))


def _avatar(
    splats: Splats, triangles: np.ndarray, rig: Rig, head: ParametricHead, name: str, provenance: dict
) -> Avatar:
    """The Gaussians where their triangles put them at rest, by the paper's section 3.2."""
    corners = rig.neutral.double()[rig.faces[torch.from_numpy(triangles)]]
    frames, sizes = triangle_axes(corners)
    placed = Splats(
        means=((frames @ splats.means.double()[:, :, None])[:, :, 0] * sizes + corners.mean(dim=1)).float(),
        quats=quat_multiply(matrix_to_quat(frames).float(), splats.quats),
        scales=splats.scales * sizes.float(),
        opacities=splats.opacities,
        colors=splats.colors,
    )
    kept = bounded(placed)
    if len(kept.means) < len(placed.means):
        raise AvatarError("Some of the Gaussians lie far away from the head.", AGAIN)
    on_torso = rig.skin_weights[rig.faces[torch.from_numpy(triangles)]].mean(dim=1)[:, 0] > 0.5
    gaussians = bind(
        **vars(kept),
        parts=torch.where(on_torso, PARTS.index("torso"), PARTS.index("surface")).to(torch.uint8),
        vertices=rig.neutral,
        faces=rig.faces,
        triangles=torch.from_numpy(triangles),
        barycentrics=torch.full((len(triangles), 3), 1 / 3),
    )
    return Avatar(
        name=name,
        **person_fields(head, rig),
        gaussians=gaussians,
        views=(),
        provenance=provenance,
    )


def triangle_axes(corners: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """[N, 3, 3] and [N, 1] of triangles [N, 3, 3], one corner a row: the columns are the first edge's direction, the
    normal, and what is square to both; the size is the mean of that edge and of the height over it."""
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    length = first.norm(dim=1, keepdim=True).clamp_min(1e-12)
    x = first / length
    across = second - (second * x).sum(dim=1, keepdim=True) * x
    height = across.norm(dim=1, keepdim=True).clamp_min(1e-12)
    z = -across / height
    return torch.stack((x, torch.linalg.cross(z, x), z), dim=2), (length + height) / 2


def _performance(said: Mapping[str, np.ndarray], head: ParametricHead) -> dict[str, np.ndarray]:
    """The recording as columns of a take: angles in radians as perform writes them, FLAME's components by the names
    that they have among the head's keys."""

    def turns(rotations: Rotation, prefix: str) -> dict[str, np.ndarray]:
        angles = rotations.as_euler("xyz")
        return {f"{prefix}{axis}": angles[:, k] for k, axis in enumerate(("Pitch", "Yaw", "Roll"))}

    frames, eyes = len(said["expr"]), said["eyes_pose"]
    take = {"Time": np.arange(frames) / RATE}
    take |= turns(Rotation.from_rotvec(said["rotation"]) * Rotation.from_rotvec(said["neck_pose"]), "Head")
    take |= turns(Rotation.from_rotvec(said["jaw_pose"]), "Jaw")
    take |= turns(Rotation.from_rotvec(eyes[:, :3]), "LeftEye") | turns(Rotation.from_rotvec(eyes[:, 3:]), "RightEye")
    components = [f"flame_expr_{k:03d}" for k in range(said["expr"].shape[1])]
    return take | {name: said["expr"][:, k] for k, name in enumerate(components) if name in head.expression_names}


SPEC = HeadImport("gaussian_avatars", "GaussianAvatars head", (".ply",), _recognise, _read, order=6)
