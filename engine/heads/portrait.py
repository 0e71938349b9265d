"""A plain portrait of a head mesh: skin, lips, eyes with irises. Good enough for a face detector to know a face."""

from __future__ import annotations

from dataclasses import dataclass

import igl
import numpy as np
from scipy.spatial.transform import Rotation

from engine.errors import HeadModelError
from engine.gaussians.mesh_raster import MeshRaster, rasterize_mesh

SIZE = 768
DISTANCE = 0.9  # metres from the eyes
FRAME = 0.30  # metres across the picture at the eyes' distance
BROW_DENSITY = 0.75
IRIS_RADIUS = 5.85e-3  # metres; MediaPipe's iris model takes 11.7 mm for every adult
PUPIL_RADIUS = 2.2e-3
# An adult's brow beside the pupil, millimetres: outward, up, half its thickness; from the nose to the tail.
BROW = ((-17.0, 14.5, 4.0), (-6.0, 17.0, 4.5), (8.0, 19.0, 3.8), (17.0, 17.5, 2.8), (25.0, 14.0, 1.5))

SKIN, LIPS, BROWS, MOUTH, TEETH = (
    (0.80, 0.62, 0.53),
    (0.66, 0.36, 0.35),
    (0.25, 0.18, 0.14),
    (0.2, 0.07, 0.07),
    (0.9, 0.88, 0.84),
)
SCLERA, IRIS, PUPIL, BACKGROUND = (0.93, 0.92, 0.90), (0.30, 0.20, 0.12), (0.03, 0.03, 0.03), (0.55, 0.57, 0.60)
COLOURED = {"lips": LIPS, "mouth_interior": MOUTH, "tongue": LIPS, "teeth": TEETH}


@dataclass(frozen=True)
class Portrait:
    """A picture and what lies under it, in the head's own space.

    Attributes:
        image: [H, W, 3] uint8. raster: its triangles. points: [H, W, 3] metres, the surface under each pixel.
        eye: [3] the camera's centre. rotation: [3, 3] camera axes -> the head's. K: [3, 3].
    """

    image: np.ndarray
    raster: MeshRaster
    points: np.ndarray
    eye: np.ndarray
    rotation: np.ndarray
    K: np.ndarray

    def rays(self, pixels: np.ndarray) -> np.ndarray:
        """[N, 3] unit directions from the camera's centre through ``pixels`` [N, 2]."""
        homogeneous = np.concatenate([pixels, np.ones((len(pixels), 1))], axis=1)
        directions = homogeneous @ (self.rotation @ np.linalg.inv(self.K)).T
        return directions / np.linalg.norm(directions, axis=1, keepdims=True)


@dataclass(frozen=True)
class Eyeball:
    """centre [3] and radius in metres; the gaze of the template is straight ahead, along +z."""

    centre: np.ndarray
    radius: float

    def off_axis(self, points: np.ndarray) -> np.ndarray:
        """[..] metres between ``points`` [.., 3] and the gaze; inf behind the centre."""
        away = points - self.centre
        return np.where(away[..., 2] > 0, np.hypot(away[..., 0], away[..., 1]), np.inf)


def eyeballs(template: np.ndarray, eyes: np.ndarray) -> tuple[Eyeball, Eyeball]:
    """The subject's left (x > 0) and right eyeball of a template [V, 3] with the region ``eyes`` [V] bool.

    Raises:
        HeadModelError: one of them is missing.
    """
    found = []
    for side in (1, -1):
        points = template[eyes & (side * template[:, 0] > 0)]
        if not len(points):
            raise HeadModelError("The head model lacks an eyeball.", "Check that x is the subject's left.")
        low, high = points.min(axis=0), points.max(axis=0)
        found.append(Eyeball((low + high) / 2, float(np.median(high - low) / 2)))
    return found[0], found[1]


def brow_cover(points: np.ndarray, balls: tuple[Eyeball, Eyeball]) -> np.ndarray:
    """[..] 0..1: how much of the skin at ``points`` [.., 3] metres an adult's brows would cover.

    Head models have no hair, and without brows the detector puts them on the edge of the eye socket, 5 mm too low.
    """
    outward, up, half = np.array(BROW).T * 1e-3
    cover = np.zeros(points.shape[:-1])
    for side, ball in zip((1, -1), balls, strict=True):
        x = side * (points[..., 0] - ball.centre[0])
        inside = np.interp(x, outward, half, left=0, right=0)
        above = np.abs(points[..., 1] - ball.centre[1] - np.interp(x, outward, up))
        cover += np.clip((inside - above) / 1e-3, 0, 1) * (points[..., 2] > ball.centre[2])
    return cover


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """[V, 3] unit normals, weighted by the area of the triangles [F, 3] around; 0 where these have none."""
    normals = igl.per_vertex_normals(
        vertices, faces, igl.PerVertexNormalsWeightingType.PER_VERTEX_NORMALS_WEIGHTING_TYPE_AREA
    )
    return np.nan_to_num(normals).astype(vertices.dtype)


def take_portrait(
    template: np.ndarray,
    faces: np.ndarray,
    regions: dict[str, np.ndarray],
    yaw: float,
    pitch: float,
    key_light: np.ndarray,
) -> Portrait:
    """Draw the head from in front, turned by ``yaw`` (camera to the subject's left) and ``pitch`` (camera above).

    Args:
        template: [V, 3] metres. faces: [F, 3].
        regions: ``eyes`` is needed, lips and the mouth's parts are painted where known; [V] bool each.
        yaw, pitch: radians.
        key_light: [3] direction to the main light, in the camera's frame with y up.
    """
    left, right = eyeballs(template, regions["eyes"])
    target = (left.centre + right.centre) / 2 - [0, 0.035, 0]  # between the eyes and the mouth
    turn = Rotation.from_euler("yx", [yaw, -pitch])  # camera's y-up frame -> the head's
    rotation = turn.as_matrix() * [1, -1, -1]
    eye = target + turn.apply([0, 0, DISTANCE])
    in_front = (template - eye) @ rotation
    focal = DISTANCE / FRAME * SIZE
    K = np.array([[focal, 0, SIZE / 2], [0, focal, SIZE / 2], [0, 0, 1]])
    raster = rasterize_mesh(in_front, faces, K, SIZE, SIZE, cull_back=True)
    points = raster.interpolate(template, faces)

    colours = np.tile(np.array(SKIN), (len(template), 1))
    for name, colour in COLOURED.items():
        if name in regions:
            colours[regions[name]] = colour
    albedo = raster.interpolate(colours, faces)
    cover = brow_cover(points, (left, right))[..., None] * BROW_DENSITY
    albedo = albedo * (1 - cover) + np.array(BROWS) * cover
    eye_faces = np.asarray(regions["eyes"][faces].all(axis=1))
    on_eye = eye_faces[np.maximum(raster.triangle, 0)] & raster.covered
    albedo[on_eye] = SCLERA
    for ball in (left, right):
        off_axis = np.where(on_eye, ball.off_axis(points), np.inf)
        albedo[off_axis < IRIS_RADIUS] = IRIS
        albedo[off_axis < PUPIL_RADIUS] = PUPIL

    normals = turn.inv().apply(vertex_normals(template, faces))
    normals = raster.interpolate(normals, faces)
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-12)
    key = np.clip(normals @ (key_light / np.linalg.norm(key_light)), 0, None)
    sky = 0.5 + 0.5 * normals[..., 1]
    light = 0.30 + 0.20 * sky + 0.60 * key
    image = np.where(raster.covered[..., None], np.clip(albedo * light[..., None], 0, 1), BACKGROUND)
    return Portrait((image * 255).astype(np.uint8), raster, points, eye, rotation, K)
