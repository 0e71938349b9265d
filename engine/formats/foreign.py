"""Names files that are not what somebody asked for: a healthy file of another kind is not damaged."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from engine.formats import ply_file

TOOL = "npx @playcanvas/splat-transform"
CONVERT = f"Convert it first, with PlayCanvas's tool: {TOOL} {{name}} {{stem}}_plain.ply."
IMPORT = "Bring it in with Import, or python -m engine import."
ENTRIES = 10_000  # of an archive that are looked at
GAUSSIAN = ("x", "y", "z", "f_dc_0", "f_dc_1", "f_dc_2", "opacity", "scale_0", "scale_1", "scale_2",
            "rot_0", "rot_1", "rot_2", "rot_3")  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """What a file is. ``what``: "a mesh", after "is". ``way_out``: what to do with it instead."""

    what: str
    way_out: str


AVATAR = Kind("an avatar file", "Open it as a head; it needs no import.")
POINT_CLOUD = Kind("a 3DGS point cloud", IMPORT)
SPLAT = Kind("a .splat, a 3DGS point cloud", IMPORT)
SPZ = Kind("an SPZ, a 3DGS point cloud", IMPORT)
SPZ_4 = Kind("an SPZ of version 4, packed with Zstandard", CONVERT)
COMPRESSED = Kind("a compressed PLY of SuperSplat (packed_position)", CONVERT)
SOG = Kind("a SOG, PlayCanvas's packed splats", CONVERT)
KSPLAT = Kind("a .ksplat, the packed splats of GaussianSplats3D", CONVERT)
BOUND = Kind(
    "a GaussianAvatars head, whose splats lie on FLAME's triangles (binding_0)",
    "Import it as a head, beside its flame_param.npz and with your FLAME file.",
)
MESH = Kind("a mesh without Gaussians", "Export the head's splats from where it was made; a mesh cannot be read.")
POINTS = Kind("a point cloud without Gaussians", "Export it as 3D Gaussian Splatting's .ply, with sizes and turns.")
GLB = Kind("a glTF file", IMPORT)
LAM = Kind("a LAM avatar", IMPORT)
FLAME = Kind("a FLAME model", "Choose it as the head model of a reconstruction.")
FLAME_MOTION = Kind("FLAME's motion of a recording", "Import it beside its point_cloud.ply.")
ARRAYS = Kind("an archive of other arrays", "Choose a head that Gaussian Heads wrote.")
ARCHIVE = Kind("an archive of something else", "Unpack it and choose what is in it.")
PICTURE = Kind("a picture", "Choose it as a photo of a reconstruction.")
CLIP = Kind("a picture or clip", "Choose it as a photo of a reconstruction.")
BLEND = Kind("a Blender file", "Open it in Blender, or append the head from it.")
PACKED_BLEND = Kind("a packed .blend file or archive", "Open it in Blender, or unpack it first.")
FBX = Kind("an FBX model", "Import it with Blender's own FBX importer.")
USD = Kind("a USD scene", "Import it with Blender's own USD importer, or save its splats as .ply.")
STL = Kind("a mesh (STL)", "Import it with Blender's own STL importer.")
POINTER = Kind("only Git LFS' pointer to a file", "Run git lfs pull where it came from.")
PAGE = Kind("a web page", "Download the file itself.")


def kind_of(path: Path) -> Kind | None:
    """What a file is by what is in it, and where that says nothing, by its ending; None for what is not known.

    Only its beginning, and an archive's directory, are read.
    """
    try:
        with path.open("rb") as file:
            start = file.read(64)
            file.seek(0)
            for magic, look in MAGIC.items():
                if start.startswith(magic) or start.lstrip().lower().startswith(magic):
                    return look(file) if callable(look) else look
            size = file.seek(0, 2)
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return None
    suffix = path.suffix.lower()
    if suffix == ".splat" and size and size % 32 == 0:
        return SPLAT
    return KSPLAT if suffix == ".ksplat" and size > 4096 else None


def complain(path: Path) -> tuple[str, str] | None:
    """For an error's two arguments: what a file is instead of an avatar file, if that is known."""
    kind = kind_of(path)
    if kind in (None, AVATAR):
        return None
    return f"{path.name} is {kind.what}, no avatar file.", way_out(kind, path)


def way_out(kind: Kind, path: Path) -> str:
    """What to do with this file of a kind."""
    return kind.way_out.format(name=path.name, stem=path.name.split(".")[0])


def ply_kind(header: ply_file.Header) -> Kind:
    """What a .ply holds."""
    properties = header.element("vertex").properties
    if "packed_position" in properties:
        return COMPRESSED
    if "binding_0" in properties:
        return BOUND
    if all(name in properties for name in GAUSSIAN):
        return POINT_CLOUD
    return MESH if header.element("face").count else POINTS


def _look_at_ply(file: BinaryIO) -> Kind:
    return ply_kind(ply_file.read_header(file))


def _look_at_gzip(file: BinaryIO) -> Kind | None:
    import gzip

    try:
        with gzip.GzipFile(fileobj=file) as unpacked:
            return SPZ if unpacked.read(4) == b"NGSP" else None
    except (EOFError, OSError):
        return None


def _look_at_zip(file: BinaryIO) -> Kind:
    with zipfile.ZipFile(file) as archive:
        names = {Path(entry.filename).name for entry in archive.infolist()[:ENTRIES]}
    if {"metadata.npy", "key_starts.npy", "triangles.npy"} <= names:
        return AVATAR
    if "skin.glb" in names and "offset.ply" in names:
        return LAM
    if "meta.json" in names and any(name.endswith(".webp") for name in names):
        return SOG
    if {"v_template.npy", "shapedirs.npy"} <= names:
        return FLAME
    if {"expr.npy", "jaw_pose.npy"} <= names:
        return FLAME_MOTION
    return ARRAYS if any(name.endswith(".npy") for name in names) else ARCHIVE


MAGIC: dict[bytes, Kind | Callable[[BinaryIO], Kind | None]] = {
    b"ply\n": _look_at_ply,
    b"ply\r": _look_at_ply,
    b"PK\x03\x04": _look_at_zip,
    b"glTF": GLB,
    b"NGSP": SPZ_4,
    b"\x1f\x8b": _look_at_gzip,
    b"\x89PNG": PICTURE,
    b"\xff\xd8\xff": PICTURE,
    b"RIFF": CLIP,
    b"BLENDER": BLEND,
    b"\x28\xb5\x2f\xfd": PACKED_BLEND,
    b"Kaydara FBX": FBX,
    b"PXR-USDC": USD,
    b"#usda": USD,
    b"solid ": STL,
    b"version https://git-lfs": POINTER,
    b"<!doctype": PAGE,
    b"<html": PAGE,
}
