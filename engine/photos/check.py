"""Judges one photo or clip by a quick look, before anything is reconstructed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from engine.errors import PhotoError
from engine.photos.clips import clip_frames, clip_length, is_clip
from engine.photos.landmarks import Found, find_face
from engine.photos.near import decode_near

LOOKS = 5  # frames of a clip that are looked at
STEEP = 45.0  # degrees to either side, beyond which the far half of the face is hidden


@dataclass(frozen=True)
class Verdict:
    """What a quick look at a photo says.

    Attributes:
        usable: whether a head can be made from it.
        message: one sentence; what to do when it is not usable.
        warnings: sentences about what will limit the result.
        yaw, pitch: degrees, signed as in the report of a reconstruction; None without a face.
        faces: how many were found.
    """

    usable: bool
    message: str
    warnings: tuple[str, ...] = ()
    yaw: float | None = None
    pitch: float | None = None
    faces: int = 0


def check_photo(path: Path) -> Verdict:
    """Decode an image, or some frames of a clip, and look for a face. Takes a tenth of a second or two per look."""
    try:
        return _check_clip(path) if is_clip(path) else _check_image(path)
    except PhotoError as error:
        return Verdict(False, str(error))


def _check_image(path: Path) -> Verdict:
    decoded = decode_near(path)
    return _judge(find_face(decoded.image, path.name), path.name, decoded.warnings)


def _check_clip(path: Path) -> Verdict:
    numbers = np.linspace(0, clip_length(path) - 1, LOOKS + 2)[1:-1].round().astype(int).tolist()
    verdicts = []
    for _, image in clip_frames(path, numbers):
        try:
            verdicts.append(_judge(find_face(image, path.name), path.name, ()))
        except PhotoError as error:
            verdicts.append(Verdict(False, str(error)))
    usable = [verdict for verdict in verdicts if verdict.usable]
    if not usable:
        raise PhotoError(
            f"No usable face found in {path.name}, of which {len(verdicts)} frames were looked at.",
            "Use a clip in which the face is seen from the front, well lit and in focus.",
        )
    best = min(usable, key=lambda verdict: abs(verdict.yaw or 0.0))
    message = f"{len(usable)} of {len(verdicts)} frames looked at in {path.name} show a usable face."
    return Verdict(True, message, best.warnings, best.yaw, best.pitch, best.faces)


def _judge(found: Found, name: str, warnings: tuple[str, ...]) -> Verdict:
    yaw, pitch, _ = Rotation.from_matrix(found.face.rotation).as_euler("YXZ", degrees=True)
    if abs(yaw) > STEEP:
        warnings = (*warnings, too_steep(name, abs(yaw)))
    message = f"{name} is usable: the face is {found.face.height:.0f} pixels high and turned by {abs(yaw):.0f}°."
    return Verdict(True, message, warnings + found.warnings, float(yaw), float(pitch), found.count)


def too_steep(name: str, yaw: float) -> str:
    """The warning about a face turned by ``yaw`` degrees."""
    return f"The face in {name} is turned by {yaw:.0f}°; add a photo from further in front."
