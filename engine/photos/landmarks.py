"""Finds the face in a photo, however it lies in it, and steadies its landmarks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from engine import assets
from engine.errors import PhotoError
from engine.landmarker import MAX_FACES, Face, detect_faces
from engine.photos.resampling import warp

MIN_FACE = 40  # px of face height below which nothing worth reconstructing is left
SOFT_FACE = 120  # px of face height below which the result is visibly soft
MAX_ROLL = np.radians(60)  # a face tilted further is looked for in the photo turned by a quarter
DETECTOR_SIDE = 1280  # px; YuNet finds faces of 10 px and more at this size
DETECTOR_SCORE = 0.3  # the landmarker has the last word on what YuNet proposes
BOX_SCORE = 14  # column of YuNet's result
UPRIGHT_LEAD = 0.02  # on the sample photos upright faces lead by 0.03 and more
CROP_AROUND = 2.2  # side of the crop around YuNet's box, in box sides: what the landmarker's own detector likes
EXPOSURE_SIDE = 64  # px, the face's height when its brightness is judged
DARK = 25  # of 255, the median from which on a face is too dark
BRIGHT, WASHED_OUT = 250, 0.35  # of 255, and the share of a face that may be as bright
BORDER = 0.5  # of the photo's side, put around it when a face fills the frame

# Four small shifts (in crop sides), scales and turns (radians) of the normalised crop. Averaging them brings the
# landmarks' repeatability from 0.42 % to 0.15 % of the eye distance on the sample photos, for 30 ms.
REFINE_SIDE = 384
REFINE_FILL = 0.5  # the face's height as a fraction of the crop
REFINE_JITTER = (
    (0.03, 0.02, 1.0, 0.04),
    (-0.03, -0.02, 1.05, -0.04),
    (0.02, -0.03, 0.95, 0.04),
    (-0.02, 0.03, 1.0, -0.04),
)


@dataclass(frozen=True)
class Found:
    """The largest face of a photo.

    Attributes:
        face: in pixels of ``image``.
        image: [H, W, 3] uint8, the photo, turned upright where it lay on its side.
        count: faces in the photo.
        turned: whether ``image`` is not as it was given.
        warnings: sentences for the report.
    """

    face: Face
    image: np.ndarray
    count: int
    turned: bool
    warnings: tuple[str, ...]


def find_face(image: np.ndarray, name: str) -> Found:
    """Find the largest face, trying harder where the first look fails, and refine its landmarks.

    Args:
        image: [H, W, 3] uint8 sRGB.
        name: of the photo, for the messages.

    Raises:
        PhotoError: no face, or one too small to use.
    """
    for turn in (0, 1, 3, 2):
        turned = np.ascontiguousarray(np.rot90(image, turn))
        faces = _look(turned)
        if faces and _upside_down(turned, _largest(faces)):
            turn = (turn + 2) % 4
            turned = np.ascontiguousarray(np.rot90(image, turn))
            faces = _look(turned)
        if faces:
            break
    else:
        raise PhotoError(
            f"No face found in {name}.",
            "Use a photo that shows the face from the front or at most half from the side, well lit and in focus.",
        )
    largest = refine(turned, _largest(faces))
    if largest.height < MIN_FACE:
        raise PhotoError(
            f"The face in {name} is only {largest.height:.0f} pixels high.",
            f"Use a photo in which it has at least {SOFT_FACE} pixels.",
        )
    warnings = []
    if turn:
        warnings.append(f"{name} lies on its side or upside down; it was turned by {90 * turn}° counter-clockwise.")
    if len(faces) > 1:
        warnings.append(f"{name} shows {len(faces)} faces; the largest is used.")
    warnings += _exposure(turned, largest, name)
    if largest.height < SOFT_FACE:
        warnings.append(f"The face in {name} is only {largest.height:.0f} pixels high; the result will be soft.")
    return Found(largest, turned, len(faces), turn != 0, tuple(warnings))


def locate(image: np.ndarray) -> Face | None:
    """The largest upright face of [H, W, 3] uint8 sRGB, of whatever size and not refined; None without one."""
    faces = _look(image)
    return _largest(faces) if faces else None


def around(image: np.ndarray, face: Face, side: int, fill: float = 1.0) -> np.ndarray:
    """[side, side, 3] uint8, the face in the middle, unturned; its height is ``fill`` of the side."""
    scale = fill * side / face.height
    shift = side / 2 - scale * face.center
    return warp(image, np.array([[scale, 0.0, shift[0]], [0.0, scale, shift[1]]]), side)


def _exposure(image: np.ndarray, face: Face, name: str) -> list[str]:
    """What is to be said of a face's brightness."""
    grey = cv2.cvtColor(around(image, face, EXPOSURE_SIDE), cv2.COLOR_RGB2GRAY)
    if np.median(grey) < DARK:
        return [f"The face in {name} is so dark that little can be seen; use a brighter photo."]
    if np.mean(grey >= BRIGHT) > WASHED_OUT:
        return [f"Much of the face in {name} is overexposed and has no skin in it; use a darker photo."]
    return []


def refine(image: np.ndarray, face: Face) -> Face:
    """Look again at upright crops in which the face has always the same size, and average what they say."""
    looks = []
    for shift_x, shift_y, zoom, turn in REFINE_JITTER:
        angle, scale = face.roll + turn, zoom * REFINE_FILL * REFINE_SIDE / face.height
        linear = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        middle = REFINE_SIDE * (0.5 + np.array([shift_x, shift_y]))
        to_crop = np.column_stack([linear, middle - linear @ face.center])
        crop = warp(image, to_crop, REFINE_SIDE)
        found = detect_faces(crop)
        if found:
            nearest = min(found, key=lambda other: float(np.linalg.norm(other.center - middle)))
            looks.append(nearest.moved(cv2.invertAffineTransform(to_crop)))
    if not looks:
        return face
    return Face(
        np.mean([look.landmarks for look in looks], axis=0),
        np.mean([look.scores for look in looks], axis=0),
        face.rotation,
    )


def _look(image: np.ndarray) -> list[Face]:
    """The upright faces of an image by the first way that finds any, unrefined."""
    for detect in (detect_faces, _detect_with_border, _detect_around_boxes):
        faces = [face for face in detect(image) if abs(face.roll) < MAX_ROLL]
        if faces:
            return faces
    return []


def _largest(faces: list[Face]) -> Face:
    return max(faces, key=lambda face: face.height)


def _upside_down(image: np.ndarray, face: Face) -> bool:
    """Whether ``face`` was fitted the wrong way up, as the landmarker does; YuNet is surer of upright faces."""
    crop = around(image, face, REFINE_SIDE, REFINE_FILL)
    return _surest(np.rot90(crop, 2)) > _surest(crop) + UPRIGHT_LEAD


def likeness(image: np.ndarray, face: Face) -> float:
    """0..1, how sure YuNet is of an upright face where one was found in [H, W, 3] uint8 sRGB."""
    return _surest(around(image, face, REFINE_SIDE, REFINE_FILL))


def _surest(image: np.ndarray) -> float:
    return float(_detect_boxes(image)[:, BOX_SCORE].max(initial=0.0))


def _detect_with_border(image: np.ndarray) -> list[Face]:
    """A face that fills the frame is found when there is something around it."""
    pad = round(BORDER * max(image.shape[:2]))
    framed = cv2.copyMakeBorder(image, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
    back = np.array([[1.0, 0.0, -pad], [0.0, 1.0, -pad]])
    return [face.moved(back) for face in detect_faces(framed)]


def _detect_around_boxes(image: np.ndarray) -> list[Face]:
    """Small faces: YuNet finds where they are, the landmarker looks at each from near."""
    height, width = image.shape[:2]
    scale = min(1.0, DETECTOR_SIDE / max(height, width))
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    boxes = _detect_boxes(small)[:, :4] / scale
    faces = []
    for x, y, box_width, box_height in sorted(boxes, key=lambda box: -box[2] * box[3])[:MAX_FACES]:
        side = CROP_AROUND * max(box_width, box_height)
        zoom = REFINE_SIDE / side
        corner = np.array([x + box_width / 2, y + box_height / 2]) - side / 2
        to_crop = np.array([[zoom, 0.0, -zoom * corner[0]], [0.0, zoom, -zoom * corner[1]]])
        found = detect_faces(warp(image, to_crop, REFINE_SIDE))
        if found:
            faces.append(_largest(found).moved(cv2.invertAffineTransform(to_crop)))
    return faces


def _detect_boxes(image: np.ndarray) -> np.ndarray:
    """[N, 15] YuNet's faces in [H, W, 3] uint8 sRGB: x, y, width, height, five points, score."""
    detector = _box_detector()
    detector.setInputSize((image.shape[1], image.shape[0]))
    _, boxes = detector.detect(np.ascontiguousarray(image[..., ::-1]))
    return np.zeros((0, 15)) if boxes is None else boxes


@lru_cache(maxsize=1)
def _box_detector() -> cv2.FaceDetectorYN:
    loud = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # it warns of a default that it sets itself
    try:
        # From memory: OpenCV cannot open every path on Windows.
        model = np.fromfile(assets.path("face_detection_yunet.onnx"), np.uint8)
        return cv2.FaceDetectorYN.create(
            "onnx", model, np.zeros(0, np.uint8), (320, 320), score_threshold=DETECTOR_SCORE
        )
    finally:
        cv2.utils.logging.setLogLevel(loud)
