"""Gaussian Heads for scripts: typed functions that do what the buttons do, and wait until it is done.

    from bl_ext.user_default.gaussian_heads import api

    head = api.reconstruct(["front.jpg", "left.jpg"], name="Ada")
    api.set_expression(head, {"mouthSmileLeft": 0.8, "mouthSmileRight": 0.8})
    api.key(head, frame=1)

Every function raises :class:`AddonError` with one sentence on what happened and one on the way out. docs/scripting.md
shows them at work.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from pathlib import Path

import bpy
import numpy as np

from .animation import expressions, poses
from .animation.live import Live
from .compat import HAS_NATIVE_SPLATS
from .engine_client.client import Client
from .engine_client.engine import ENGINE
from .engine_client.jobs import ReconstructionJob
from .engine_client.messages import JobOptions
from .errors import AddonError
from .files import atomic_write, require_readable
from .formats import AVATAR, require_ending
from .paths import resolve
from .performances import animate_from_clip, clean_up, import_capture, live, pose_from_photo, speak
from .rig import avatar_file, baked, blending, build, copies, extract, textured
from .rig.heads import Head, active_head, all_heads, find_head, name_parts
from .rig.linked import require_local
from .rig.provenance import provenance
from .systems import DEFAULT_HEAD, DEFAULT_SYSTEM
from .viewport.render import RenderOptions, render_splats

__all__ = [
    "AddonError",
    "Head",
    "Live",
    "active_head",
    "all_heads",
    "animate_from_clip",
    "bind_head",
    "clean_up",
    "export",
    "find_head",
    "import_capture",
    "import_head",
    "key",
    "live",
    "match_blender",
    "pose_from_photo",
    "reconstruct",
    "render",
    "set_expression",
    "set_pose",
    "show",
    "speak",
]


def reconstruct(
    photos: Sequence[str | Path],
    name: str = "Head",
    *,
    system: str = DEFAULT_SYSTEM,
    head_model: str = DEFAULT_HEAD,
    quality: str = "normal",
    refine_seconds: float | None = None,
    count: int | None = None,
    frames: int = 4,
    weights: str | None = None,
) -> Head:
    """Turn photos of one person into a head in the current scene. Starts the engine where necessary.

    Args:
        photos: image files and clips, the best first.
        system: how photos become Gaussians: ``surface``, or the name of a network in the panel's list. Networks were
            trained on synthetic heads; docs/systems.md describes them.
        head_model: ``makehuman``, or the path of a FLAME file; networks only know the former.
        quality: ``draft``, ``normal`` or ``high``: how long the Gaussians are fitted to the photos, and how many.
        refine_seconds: the most that the fitting may take for one photo, 0 to 3600; 0 skips it, None lets it end.
        count: Gaussians on the surface instead of the quality's, 1 000 to 2 000 000; hair and torso come on top.
            Networks have their own number.
        frames: frames taken from each clip.
        weights: the name of a file of weights in the preferences; None for those of the extension.

    Raises:
        AddonError: no usable photo, no engine, a setting out of range, or a system that the engine does not have.
    """
    if head_model != DEFAULT_HEAD:
        head_model = str(resolve(head_model).absolute())  # the engine runs in another folder
    options = JobOptions(system, head_model, quality, refine_seconds, count, frames, weights)
    paths = [resolve(photo) for photo in photos]
    job = ReconstructionJob(ENGINE, paths, name, options, avatar_file.read_avatar)
    job.start()
    return build.build(job.wait_done(), bpy.context)


def import_head(path: str | Path) -> Head:
    """Bring a head into the current scene. Starts the engine where necessary: for all but avatar files.

    Args:
        path: an avatar (``.npz``), Gaussian splats of any trainer (``.ply``, ``.splat``, ``.spz``, ``.glb``), which
            :func:`bind_head` makes move, or a LAM avatar (``.zip``).

    Raises:
        AddonError: it is missing, damaged or no head, or there is no engine.
    """
    return build.build(prepare_import(resolve(path))(), bpy.context)


def prepare_import(path: Path) -> Callable[[], avatar_file.AvatarFile]:
    """What reads a file for :func:`import_head`, in any thread."""
    if path.suffix.lower() == AVATAR:
        return lambda: avatar_file.read_avatar(path)
    require_readable(path)  # before the engine starts, which takes seconds
    return lambda: avatar_file.read_avatar(ENGINE.wait_ready().import_file(path), path.name)


def bind_head(head: Head) -> Head:
    """Make imported splats move: the head that comes back takes their place. Starts the engine where necessary.

    Raises:
        AddonError: the head moves already, shows no face, or there is no engine.
    """
    read, replace = prepare_bind(head)
    return build.finished(replace(read()))


def prepare_bind(
    head: Head,
) -> tuple[Callable[[], avatar_file.AvatarFile], Callable[[avatar_file.AvatarFile], Generator[None, None, Head]]]:
    """What :func:`bind_head` does in any thread, and what it does with the result in Blender's own, in pieces."""
    name, send = head.name, _prepare_sending(head, extract.extract(head))

    def read() -> avatar_file.AvatarFile:
        client, key = send()
        return avatar_file.read_avatar(client.bind(key), name)

    def replace(made: avatar_file.AvatarFile) -> Generator[None, None, Head]:
        bound = yield from build.build_steps(made, bpy.context)
        before = next((other for other in all_heads(bpy.context.scene) if other.name == name), None)
        place = before.root.matrix_world.copy() if before else None
        if before:
            copies.delete(before)
            bound.root.name = name  # which was taken until now
            bound.root.users_collection[0].name = name
            name_parts(bound)
        if place:
            bound.root.matrix_world = place
        return bound

    return read, replace


def is_static(head: Head) -> bool:
    """Whether a head is of splats that nothing moves yet."""
    return provenance(head).get("kind") == "static"


def notes_of(head: Head) -> list[str]:
    """Sentences on what was assumed when the head was imported."""
    notes = provenance(head).get("notes", [])
    return [note for note in notes if isinstance(note, str)] if isinstance(notes, list) else []


def set_expression(head: Head, expression: Mapping[str, float], *, reset: bool = True) -> None:
    """Set shape keys.

    Args:
        expression: weight per shape key, 0 to 1 for ARKit's.
        reset: bring all other shape keys to rest.

    Raises:
        AddonError: the head has no such shape key, or is linked without an override; nothing is changed.
    """
    _require_names(head, expression, head.keys, "shape key")
    require_local(head)
    expressions.set_weights(head, {**dict.fromkeys(head.keys, 0.0), **expression} if reset else expression)


def set_pose(head: Head, joint_rotations: Mapping[str, Sequence[float]]) -> None:
    """Turn bones about their own axes: x to the subject's left, y up, z out of the face.

    Args:
        joint_rotations: pitch, yaw and roll (Euler XYZ, radians) per bone: neck, head, jaw, eyeLeft, eyeRight.

    Raises:
        AddonError: the head has no such bone; nothing is changed.
    """
    _require_names(head, joint_rotations, head.armature.pose.bones.keys(), "bone")
    require_local(head)
    for name, angles in joint_rotations.items():
        poses.set_rotation(head, name, angles)


def key(head: Head, frame: float | None = None, names: Iterable[str] | None = None) -> None:
    """Insert keyframes for shape keys and bones as they are.

    Args:
        frame: where; the current frame by default.
        names: shape keys and bones; all by default.

    Raises:
        AddonError: the head has no such shape key or bone; nothing is keyed.
    """
    frame = bpy.context.scene.frame_current if frame is None else frame
    keys, bones = head.keys, list(poses.JOINTS)
    chosen = list(names) if names is not None else [*keys, *bones]
    _require_names(head, chosen, [*keys, *bones], "shape key or bone")
    require_local(head)
    expressions.key_weights(head, frame, [name for name in chosen if name in keys])
    poses.key_rotations(head, frame, [name for name in chosen if name in bones])


def show(head: Head, what: str, *, size: int = 2048, lit: bool = True) -> None:
    """Show a head as its Gaussians, as a textured mesh that Blender itself renders, lights and exports, or as both.

    The first mesh of a head is baked by the engine, which is started where necessary.

    Args:
        what: ``SPLATS``, ``MESH`` or ``BOTH``: splats, and the mesh under them for its shadows.
        size: texels a side of its pictures: 1024, 2048 or 4096.
        lit: whether the scene's light falls on the mesh, or its pictures show as they are.

    Raises:
        AddonError: no engine, or the head is linked without an override.
    """
    require_local(head)
    if what != "SPLATS" and not textured.is_textured(head):
        head = bake(head, size)
    textured.show(head, what)
    if textured.is_textured(head):
        textured.light(head, lit)


def bake(head: Head, size: int) -> Head:
    """Give a head the mesh's pictures and hair anew; returns it with these. Raises as :func:`show`."""
    build.finished(textured.dress_steps(head, prepare_bake(head, size)()))
    return textured.whole(head)


def prepare_bake(head: Head, size: int) -> Callable[[], baked.Baked]:
    """Take from Blender what baking needs; the function that comes back bakes, in any thread."""
    send = _prepare_sending(head, extract.extract(head))

    def bake() -> baked.Baked:
        client, key = send()
        return baked.read_baked(client.bake(key, size))

    return bake


def match_blender(head: Head, matched: bool = True) -> None:
    """Give a head colours with which it looks in Blender's own drawing as in its photos, or its own back.

    Blender 5.3 and later draw Gaussians themselves, and blend them in linear light, which makes them too bright. The
    engine, which is started where necessary, works out what makes up for it. Avatar files keep the head's own colours.

    Args:
        matched: whether it shall have those colours.

    Raises:
        AddonError: this Blender draws no Gaussians, no engine, or the head is linked without an override.
    """
    require_local(head)
    if not matched:
        blending.restore(head)
    elif not blending.is_matched(head):
        blending.match(head, prepare_match(head)())


def prepare_match(head: Head) -> Callable[[], np.ndarray]:
    """Take from Blender what matching needs; the function that comes back finds the colours, in any thread.

    Raises:
        AddonError: this Blender draws no Gaussians: the add-on does, in the light of the photos.
    """
    if not HAS_NATIVE_SPLATS:
        raise AddonError("This Blender leaves Gaussians to the add-on, which blends them as they are.", "Use 5.3.")
    send = _prepare_sending(head, extract.extract(head))

    def find() -> np.ndarray:
        client, key = send()
        return client.linear(key)

    return find


def render(
    path: str | Path, frames: range | None = None, *, size: tuple[int, int] | None = None, over_scene: bool = False
) -> None:
    """Render the scene's heads through its camera, in the scene's file format. For Blender below 5.3.

    Args:
        path: as in Blender's output settings: ``//frame_####`` numbers the frames.
        frames: a still of the current frame by default.
        size: width and height in pixels; the scene's by default.
        over_scene: lay the heads over the scene's own render, whose surfaces hide what is behind them.

    Raises:
        AddonError: no camera, no visible head, no GPU, or the files cannot be written.
    """
    width, height = size or (0, 0)
    options = RenderOptions(str(path), frames, width, height, over_scene)
    for _ in render_splats(bpy.context, options):
        pass


def export(head: Head, path: str | Path) -> None:
    """Write a head to a file, chosen by its ending.

    Args:
        path: ``.npz`` for an avatar file; ``.glb``, ``.usdz``, ``.ply`` or another ending that the running
            engine writes, for the head as it looks now, for other programs.

    Raises:
        AddonError: another ending, no engine (other files than .npz), or the file cannot be written.
    """
    prepare_export(head, resolve(path))()


def prepare_export(head: Head, path: Path) -> Callable[[], None]:
    """Take from Blender what :func:`export` needs; the function that comes back writes, in any thread."""
    require_ending(path, ENGINE.status.health)
    avatar = extract.extract(head)
    if path.suffix == AVATAR:
        return lambda: _write(path, avatar)
    send = _prepare_sending(head, avatar)
    pose = extract.pose_state(head, bpy.context.evaluated_depsgraph_get())

    def write() -> None:
        client, key = send()
        _write(path, client.export(key, path.suffix[1:], pose.expression, pose.joint_rotations))

    return write


def _prepare_sending(head: Head, avatar: bytes) -> Callable[[], tuple[Client, str]]:
    """What gives a head to the engine, in any thread, and returns whom to ask and by what name."""
    key = extract.content_key(head)

    def send() -> tuple[Client, str]:
        client = ENGINE.wait_ready()
        client.put_head(key, avatar)
        return client, key

    return send


def _write(path: Path, content: bytes) -> None:
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def _require_names(head: Head, wanted: Iterable[str], names: Iterable[str], what: str) -> None:
    for name in wanted:
        if name not in names:
            raise AddonError(f"{head.name} has no {what} {name!r}.", f"It has: {', '.join(names)}.")
