"""What scripts do with performances: captures, clips, voices, live sources, photos' poses; :mod:`.api` has it all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import bpy

from .animation import capture, performance, performing, photo_pose, takes
from .animation.background import show_clip
from .animation.clean_up import Cleaning, CleanReport, clean_up_steps
from .animation.live import Live
from .engine_client.messages import LiveSettings, LiveWish
from .paths import resolve
from .rig import build
from .rig.heads import Head
from .rig.linked import require_local


def import_capture(
    head: Head,
    path: str | Path,
    *,
    start: float = 1.0,
    strength: float = 1.0,
    parts: Sequence[str] = ("FACE", "HEAD"),
    place: str = "ACTIVE",
    span: tuple[float, float] | None = None,
    blend: float = 5.0,
) -> performance.ImportReport:
    """Key a head from a Live Link Face or ARKit CSV; the scene's range grows to hold it.

    Args:
        start: frame of the first sample.
        strength: factor for weights and angles.
        parts: of FACE, HEAD and EYES; or, instead of all of the FACE, of BROW, EYE, CHEEK, NOSE, JAW, MOUTH and TONGUE.
        place: ACTIVE, the head's action; ACTION, a new one in its place; NLA, a strip of a new one. Actions, tracks and
            strips are named after the file.
        span: first and last frame that the take may change, all else playing on as it did; None for all of its own.
        blend: frames over which it begins and ends in the span.

    Raises:
        AddonError: no capture, or nothing in it fits.
    """
    source = resolve(path)
    read = capture.read_capture(source)
    require_local(head)
    placement = takes.Placement(place, source.stem, span, blend)
    return performance.import_capture(head, read, bpy.context.scene, start, strength, parts, placement=placement)


def animate_from_clip(
    head: Head,
    clip: str | Path,
    *,
    start: float = 1.0,
    strength: float = 1.0,
    parts: Sequence[str] = ("FACE", "HEAD"),
    place: str = "ACTIVE",
    span: tuple[float, float] | None = None,
    blend: float = 5.0,
    smoothing: float = 0.5,
    neutral: bool = True,
    sound: bool = False,
    background: bool = False,
) -> performance.ImportReport:
    """Read an actor's face off a video clip and key a head with it. Starts the engine where necessary.

    Args:
        clip: of anybody's face.
        start: frame of the clip's beginning.
        strength, parts, place, span, blend: as :func:`import_capture` has them.
        smoothing: 0..1; blinks keep their height. neutral: take the actor's resting face out.
        sound: also put the clip's sound into the sequencer. background: also show the clip behind what the scene's
            camera sees. Both in step.

    Raises:
        AddonError: no face in the clip, no engine, or another clip is being read.
    """
    require_local(head)
    source, scene = resolve(clip), bpy.context.scene
    placement = takes.Placement(place, source.stem, span, blend)
    take = performing.start(source, smoothing, neutral).wait_done()
    begin = performance.first_frame(take, scene, start)
    done = performance.import_capture(head, take, scene, begin, strength, parts, placement=placement)
    if sound and not performance.add_sound(scene, source, start):
        done = done.with_note(f"{source.name} has no sound.")
    note = show_clip(scene, source, start) if background else ""
    return done.with_note(note) if note else done


def clean_up(
    head: Head,
    span: tuple[float, float] | None = None,
    *,
    take: str = "",
    parts: Sequence[str] = ("FACE", "HEAD", "EYES"),
    tolerance: float = 0.01,
    degrees: float = 0.5,
    gain: float = 1.0,
    limits: tuple[float, float] | None = None,
    mirror: bool = False,
    blend: float = 5.0,
) -> CleanReport:
    """Take keys away that hardly matter, make parts stronger or weaker, keep them within limits, or swap the sides.

    Args:
        span: first and last frame; None for all that there is.
        take: the name of an action that the head's NLA plays; the active one if empty.
        parts: as :func:`import_capture` has them.
        tolerance: how far a slider may then be off at any frame. degrees: the same for how a bone is turned.
        gain: factor for sliders and turns. limits: lowest and highest value of sliders.
        mirror: swap left and right, and turn and tilt to the other side.
        blend: frames over which gain, limits and mirror begin and end where keys before and after the span stay.

    Raises:
        AddonError: an empty range, no such take, no keys in it, or a linked action.
    """
    require_local(head)
    lowest, highest = limits or (-float("inf"), float("inf"))
    cleaning = Cleaning(tolerance, math.radians(degrees), gain, lowest, highest, mirror, blend)
    return build.finished(clean_up_steps(head, bpy.context.scene, span, parts, cleaning, take))


def live(
    head: Head,
    source: str,
    *,
    address: str = "127.0.0.1",
    port: int = 0,
    target: str = "",
    parts: Sequence[str] = ("brows", "eyes", "mouth", "head"),
    gain: float = 1.0,
    smoothing: float = 0.0,
    mirror: bool = False,
    neck_share: float = 0.4,
) -> Live:
    """Let a head follow a live source; :meth:`Live.poll` shows its newest sample. Starts the engine where necessary.

    Without Blender's window nothing polls by itself:

        followed = api.live(head, "livelinkface")
        followed.poll(5.0)
        followed.record()
        while acting():
            followed.poll(0.1)
        followed.finish()
        followed.stop()

    Args:
        source: ``livelinkface``, ``ifacialmocap``, ``vmc``, ``facecap``, ``webcam`` or ``clip``.
        address: of this computer, to listen on; ``0.0.0.0`` opens it to the network. port: 0 for the source's own.
        target: a phone's address for iFacialMocap, a camera's number, or a clip's path.
        parts: of brows, eyes, mouth, head and gaze, which turns the eyeballs in the place of the eyeLook keys.
        gain: factor of the weights. smoothing: 0..1. mirror: left for right.
        neck_share: how much of the head's turn the neck does.

    Raises:
        AddonError: the head is linked without an override. What is wrong with the source, ``poll`` raises.
    """
    if source == "clip":
        target = str(resolve(target).absolute())  # the engine runs in another folder
    settings = LiveSettings(list(parts), gain, smoothing, mirror)
    return Live(head, LiveWish(source, address, port, target, settings), neck_share)


def speak(
    head: Head,
    voice: str | Path,
    text: str = "",
    *,
    start: float = 1.0,
    strength: float = 1.0,
    parts: Sequence[str] = ("FACE", "HEAD"),
    liveliness: float = 0.5,
    seed: int = 0,
) -> performance.ImportReport:
    """Key a head so that it speaks as a voice does. Starts the engine where necessary.

    Args:
        voice: a sound, or a clip with one. text: what is said, in English; without it lips are guessed.
        start: frame of the sound's beginning. strength: factor for weights and angles. parts: of FACE and HEAD.
        liveliness: of blinks, brows and small motion, 0..1. seed: of their moments.

    Raises:
        AddonError: no sound in the file, no engine, or another file is being read.
    """
    require_local(head)
    take, scene = performing.speak(resolve(voice), text, seed, liveliness).wait_done(), bpy.context.scene
    return performance.import_capture(head, take, scene, performance.first_frame(take, scene, start), strength, parts)


def pose_from_photo(
    head: Head, photo: str | Path, *, strength: float = 1.0, turn: bool = False, gaze: bool = True
) -> None:
    """Set a head to a photo's expression; :func:`key` then keys it. Starts the engine where necessary.

    One photo does not tell how that face looks at rest, so what is its own comes along.

    Args:
        photo: of anybody's face. strength: factor for weights and angles.
        turn: turn the head as in the photo, too. gaze: let the eyes look where they do there.

    Raises:
        AddonError: no face in the photo, no engine, or another file is being read.
    """
    require_local(head)
    photo_pose.apply_pose(head, performing.pose(resolve(photo)).wait_done(), strength, turn, gaze)
