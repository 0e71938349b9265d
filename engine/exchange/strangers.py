"""What a file is that holds no head: healthy files of other kinds are named, and never called damaged."""

from __future__ import annotations

from pathlib import Path

from engine.errors import AvatarError

STARTS: tuple[tuple[bytes, str, str], ...] = (
    (b"\x89PNG", "a picture", "Choose New Head from photos for it."),
    (b"\xff\xd8\xff", "a picture", "Choose New Head from photos for it."),
    (b"RIFF", "a picture or clip", "Choose New Head from photos for it."),
    (b"BLENDER", "a .blend file", "Open it in Blender, or append the head from it."),
    (b"\x28\xb5\x2f\xfd", "a packed .blend file or archive", "Open it in Blender, or unpack it first."),
    (b"glTF", "a 3D model without splats", "Import it with Blender's own glTF importer."),
    (b"Kaydara FBX", "an FBX model", "Import it with Blender's own FBX importer."),
    (b"PXR-USDC", "a USD scene", "Import it with Blender's own USD importer, or save its splats as .ply."),
    (b"#usda", "a USD scene", "Import it with Blender's own USD importer, or save its splats as .ply."),
    (b"solid ", "a mesh (STL)", "Import it with Blender's own STL importer."),
    (b"version https://git-lfs", "only Git LFS' pointer to a file", "Run git lfs pull where it came from."),
    (b"<!doctype", "a web page", "Download the file itself."),
    (b"<html", "a web page", "Download the file itself."),
)  # fmt: skip
KNOWN = "Heads come from .npz avatars, splats as .ply, .splat, .spz or .glb, LAM's .zip, and GaussianAvatars' .ply."


def named(path: Path, start: bytes) -> AvatarError:
    """The error that says what a file is, by its first bytes."""
    if not start:
        return AvatarError(f"{path.name} is empty.", "Copy the file again from where it was made.")
    if start.startswith(b"ply"):
        return _ply(path, start)
    if start.startswith(b"PK"):
        return AvatarError(
            f"{path.name} is an archive of something else.", f"Unpack it and choose what is in it. {KNOWN}"
        )
    plain = start[:200].lstrip().lower()
    for begin, what, way_out in STARTS:
        if start.startswith(begin) or plain.startswith(begin):
            return AvatarError(f"{path.name} is {what}, not a head.", way_out)
    return AvatarError(f"{path.name} is of an unknown kind.", KNOWN)


def _ply(path: Path, start: bytes) -> AvatarError:
    header = start.partition(b"end_header")[0]
    if b"element face" in header:
        return AvatarError(f"{path.name} is a mesh, not splats.", "Import it with Blender's own PLY importer.")
    if b"packed_position" in header:
        return AvatarError(
            f"{path.name} holds compressed splats.", "Save it as an uncompressed .ply: npx @playcanvas/splat-transform."
        )
    return AvatarError(f"{path.name} is a point cloud without splats.", "Train splats from it, or save them as .ply.")
