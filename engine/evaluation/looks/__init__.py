"""``python -m engine evaluate --looks``: what an art director would object to in a head, as numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import cv2
import numpy as np
import torch
from scipy.spatial import cKDTree

from engine.avatar import Avatar, drive
from engine.evaluation.looks.eyes import gaze_error, iris_std
from engine.evaluation.looks.marks import Marks, mark, on_region, shares
from engine.evaluation.subject import sight
from engine.gaussians.gaussians import PARTS, select
from engine.gaussians.mesh_raster import rasterize_mesh
from engine.models.parts.light import GREY as LUMINANCE
from engine.photos.crop import face_hull
from engine.photos.photo import INNER, MARGIN, Photo
from engine.rendering import HEAD_REGIONS, Camera, crop_view, orbit_camera, render, render_view

SIDE = 1024  # px, of the pictures that are measured
GREY = 0.75  # what they are laid over
SEEN = 0.9  # of a pixel, from which it shows a part
BLINK = {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0}
BESIDE = (3, 12)  # px off a closed lid, where the skin beside it is
INCISORS = 0.004  # m from the middle
RIBBON_YAWS, LIGHTER, RIM = (45, -45, 90, -90), 8 / 255, 3  # degrees; of sRGB's range; px off the outline
YAWS = (0, 30, 45, 60)
FACE = np.s_[420:700, 400:620]  # of a picture from in front: brows to lips
FINE = 2.0  # px, standard deviation of the blur whose rest counts as hatching
BACK_HALF = (0.005, 0.02)  # m beside the middle of the head's back
NEIGHBOURS = 9


@dataclass(frozen=True)
class Looks:
    """One head's numbers; NaN where something could not be measured.

    Attributes:
        lid_ratio: luminance of the closed lids over the cheeks', medians in the picture. lid_p5: their 5th percentile.
        lid_step: how much the closed lids' colour is off the skin's beside them, over the cheeks' luminance.
        iris_std: see :func:`engine.evaluation.looks.eyes.iris_std`. gaze_error_deg: degrees.
        incisors_mm: height of upper teeth seen at jawOpen 0.3 in the middle.
        tongue_share: of the opening at jawOpen 1.
        ribbon: per cent of the head's outline that loose hair makes lighter by over 8/255, worst of ±45° and ±90°.
        hatch: high-pass energy of the face in its sharpest photo's view over that photo's. Needs the photos.
        midline_step: difference of colour between the two sides of the head's back.
        back_front_texture: local contrast of the scalp's back over its front's.
        laplacian: variance of the Laplacian of the face from in front.
        csim: yaw in degrees -> SFace cosine, the better of both sides; against the photos, or where they are not given
            against the head's own pictures in their views, which flatters it.
    """

    lid_ratio: float
    lid_p5: float
    lid_step: float
    iris_std: float
    gaze_error_deg: float
    incisors_mm: float
    tongue_share: float
    ribbon: float
    hatch: float
    midline_step: float
    back_front_texture: float
    laplacian: float
    csim: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        """Plain values for ``json.dump``; what could not be measured is None."""

        def plain(value: Any) -> Any:
            if isinstance(value, Mapping):
                return {name: plain(entry) for name, entry in value.items()}
            return value if math.isfinite(value) else None

        return {name: plain(value) for name, value in asdict(self).items()}


def judge(avatar: Avatar, photos: Sequence[Photo] = ()) -> Looks:
    """Measure a head.

    Args:
        photos: those it was made from, as far as they are at hand.
    """
    marks = mark(avatar)
    front = picture(avatar, {}, 0)
    step, texture = _back(avatar, marks)
    return Looks(
        *lids(avatar, marks),
        iris_std(avatar),
        gaze_error(avatar),
        _incisors(avatar, marks),
        _tongue(avatar, marks),
        max(_ribbon(avatar, yaw) for yaw in RIBBON_YAWS),
        _hatch(avatar, photos),
        step,
        texture,
        float(cv2.Laplacian(_grey(front)[FACE].astype(np.float32) * 255, cv2.CV_32F).var()),
        _likeness(avatar, photos),
    )


def camera_at(avatar: Avatar, yaw: float) -> Camera:
    """The camera of the measures: :data:`SIDE` px, ``yaw`` in degrees."""
    return orbit_camera(avatar, math.radians(yaw), width=SIDE, height=SIDE)


def picture(avatar: Avatar, expression: Mapping[str, float], yaw: float) -> np.ndarray:
    """[SIDE, SIDE, 3] float32 0..1: the head over grey."""
    return render(drive(avatar, expression), camera_at(avatar, yaw)).over(GREY).numpy()


def _grey(image: np.ndarray) -> np.ndarray:
    return image @ LUMINANCE


def lids(avatar: Avatar, marks: Marks) -> tuple[float, float, float]:
    """``lid_ratio``, ``lid_p5`` and ``lid_step`` of :class:`Looks`."""
    image = picture(avatar, BLINK, 0)
    grey = _grey(image)
    groups = marks.lids, marks.cheeks, marks.skin
    closed, cheeks, skin = (shown > SEEN for shown in shares(avatar, BLINK, camera_at(avatar, 0), groups))
    beside = _grown(closed, BESIDE[1]) & ~_grown(closed, BESIDE[0]) & skin
    if not closed.any() or not cheeks.any() or not beside.any():
        return math.nan, math.nan, math.nan
    lid, cheek = grey[closed], float(np.median(grey[cheeks]))
    step = np.abs(np.median(image[closed], axis=0) - np.median(image[beside], axis=0)).mean()
    return float(np.median(lid)) / cheek, float(np.percentile(lid, 5)) / cheek, float(step) / cheek


def _grown(mask: np.ndarray, pixels: int) -> np.ndarray:
    return cv2.dilate(mask.astype(np.uint8), np.ones((2 * pixels + 1,) * 2, np.uint8)).astype(bool)


def _incisors(avatar: Avatar, marks: Marks) -> float:
    camera = camera_at(avatar, 0)
    if not marks.upper_teeth.any():
        return math.nan
    (seen,) = shares(avatar, {"jawOpen": 0.3}, camera, (marks.upper_teeth,))
    teeth = marks.position[marks.upper_teeth]
    front = teeth[np.abs(teeth[:, 0]) < INCISORS]
    depth = float(np.median((front @ camera.viewmat[:3, :3].T + camera.viewmat[:3, 3])[:, 2]))
    pixel = depth / camera.K[0, 0]
    column = (np.array([-1, 1]) * INCISORS / pixel + camera.K[0, 2]).round().astype(int)
    return float(seen[:, column[0] : column[1]].sum(axis=0).mean() * pixel * 1e3)


def _tongue(avatar: Avatar, marks: Marks) -> float:
    tongue, mouth = shares(avatar, {"jawOpen": 1.0}, camera_at(avatar, 0), (marks.tongue, marks.mouth))
    return float(tongue.sum() / mouth.sum()) if mouth.sum() > 0 else math.nan


def _ribbon(avatar: Avatar, yaw: float) -> float:
    camera = camera_at(avatar, yaw)
    in_camera = avatar.vertices.astype(np.float64) @ camera.viewmat[:3, :3].T + camera.viewmat[:3, 3]
    faces = avatar.faces[on_region(avatar, *HEAD_REGIONS)]
    inside = rasterize_mesh(in_camera, faces, camera.K, SIDE, SIDE).covered.astype(np.uint8)
    inside = cv2.erode(inside, np.ones((2 * RIM + 1,) * 2, np.uint8)).astype(bool)
    loose = avatar.gaussians.parts == PARTS.index("hair")
    bare = replace(avatar, gaussians=select(avatar.gaussians, ~loose), eigenbasis=None)
    lighter = _grey(picture(avatar, {}, yaw)) - _grey(picture(bare, {}, yaw)) > LIGHTER
    return float(100 * (lighter & inside).sum() / inside.sum())


def _fine(image: np.ndarray) -> np.ndarray:
    grey = _grey(image).astype(np.float32)
    return grey - cv2.GaussianBlur(grey, (0, 0), FINE)


def _hatch(avatar: Avatar, photos: Sequence[Photo]) -> float:
    views = {view.name: view for view in avatar.views}
    best = math.nan, 0.0
    for photo in photos:
        if photo.name not in views:
            continue
        made = render_view(avatar, crop_view(views[photo.name])).over(1.0).numpy()
        face = face_hull(photo.landmarks[:, :2] - MARGIN, *made.shape[:2]) & photo.valid[INNER, INNER]
        theirs, ours = (_fine(image)[face] for image in (photo.image[INNER, INNER], made))
        energy = float(np.square(theirs).mean())
        if energy > best[1]:
            best = float(np.square(ours).mean()) / energy, energy
    return best[0]


def _back(avatar: Avatar, marks: Marks) -> tuple[float, float]:
    """Step of colour at the middle of the head's back, and its texture against the front's."""
    g = avatar.gaussians
    scalp = torch.from_numpy(on_region(avatar, "scalp"))[g.triangles].numpy() & (g.parts == 0).numpy()
    if scalp.sum() < 100:
        return math.nan, math.nan
    colors, position = g.colors.numpy()[scalp], marks.position[scalp]
    back, front = position[:, 2] < np.median(position[:, 2]), position[:, 2] > np.percentile(position[:, 2], 75)
    beside = (np.abs(position[:, 0]) > BACK_HALF[0]) & (np.abs(position[:, 0]) < BACK_HALF[1]) & back
    sides = [np.median(colors[beside & (side * position[:, 0] > 0)], axis=0) for side in (1, -1)]

    def contrast(where: np.ndarray) -> float:
        tree = cKDTree(position[where])
        _, near = tree.query(position[where][::7], k=min(NEIGHBOURS, tree.n))
        return float(np.median(colors[where].mean(axis=1)[near].std(axis=1)))

    return float(np.abs(sides[0] - sides[1]).mean()), contrast(back) / max(contrast(front), 1e-9)


def _likeness(avatar: Avatar, photos: Sequence[Photo]) -> dict[str, float]:
    if photos:
        known = [photo.embedding for photo in photos]
    else:
        own = [_face(render_view(avatar, crop_view(view)).over(1.0).numpy()) for view in avatar.views]
        known = [face for face in own if face is not None]
    found = {}
    for yaw in YAWS:
        seen = [_face(picture(avatar, {}, side * yaw)) for side in ((1, -1) if yaw else (1,))]
        alike = [float(face @ other) for face in seen if face is not None for other in known]
        found[str(yaw)] = max(alike) if alike else math.nan
    return found


def _face(image: np.ndarray) -> np.ndarray | None:
    pixels = np.ascontiguousarray((image * 255).round().astype(np.uint8))
    seen = sight(pixels)
    return None if seen is None else seen.embedding
