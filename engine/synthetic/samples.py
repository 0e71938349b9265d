"""One training or test sample: a random person seen by a few cameras, and the exact truth about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from engine.arkit import ARKIT_NAMES
from engine.gaussians.mesh_raster import MeshRaster, rasterize_mesh
from engine.synthetic.acting import (
    Light,
    SyntheticCamera,
    random_expression,
    random_light,
    random_pose,
    random_view,
    view_from,
)
from engine.synthetic.person import Person, Posed, facing, make_person, pose
from engine.synthetic.shading import shade

HELD_OUT = range(0, 1000)
"""Seeds of the people kept for tests; training takes seeds from ``HELD_OUT.stop`` on, endlessly."""

SUPERSAMPLING = 2  # samples per pixel and axis
LANDMARK_BIAS = 0.005  # m behind the nearest surface at which a landmark still counts as seen
LIGHT, INSTANT, VIEW = 10, 11, 12  # streams of random numbers beside those of the person
JAW_OPEN = ARKIT_NAMES.index("jawOpen")
MOUTH_SHADE = 0.35  # of the light reaches into a closed mouth
FACE_TO_HEAD = (0, 0.012, -0.045)  # m from the mean of the face's skin to the middle of the head


@dataclass(frozen=True)
class SyntheticSample:
    """N views of one person. Pixels [N, S, S]; pixel centres at +0.5; engine axes and OpenCV cameras.

    Attributes:
        seed: the identity.
        rgb: [N, S, S, 3] float32 sRGB over ``background``; ``rgb + (1 - alpha) * (other - background)`` changes it.
        alpha: [N, S, S] float32 0..1, person (hair and shoulders too).
        background: [3] float32 sRGB.
        covered: [N, S, S] bool, the head's mesh lies under the pixel's centre, be it behind hair.
        visible: [N, S, S] bool, and no part of the pixel shows hair or what carries the shirt on beyond the mesh.
        triangle: [N, S, S] int32 of the head's faces, -1 where not ``covered``.
        barycentric: [N, S, S, 3] float32, 0 there.
        uv: [N, S, S, 2] float32 in the head's atlas, v up, 0 there.
        rest_positions: [N, S, S, 3] float32 metres on the person's neutral mesh, 0 there.
        posed_positions: [N, S, S, 3] float32 metres in world space under expression and pose, 0 there.
        landmarks: [N, 478, 2] float32 pixels. landmark_visible: [N, 478] bool, in the picture and nothing before it.
        vertices: [N, V, 3] float32 metres, the posed head.
        identity: [I] float64 standard deviations. neutral: [V, 3] float32. joints: [J, 3] float32, metres.
        expression: [N, E] float64 0..1. joint_rotations: [N, J, 3] float64 axis-angle.
        viewmats: [N, 4, 4] float64. Ks: [N, 3, 3] float64 pixels.
    """

    seed: int
    rgb: np.ndarray
    alpha: np.ndarray
    background: np.ndarray
    covered: np.ndarray
    visible: np.ndarray
    triangle: np.ndarray
    barycentric: np.ndarray
    uv: np.ndarray
    rest_positions: np.ndarray
    posed_positions: np.ndarray
    landmarks: np.ndarray
    landmark_visible: np.ndarray
    vertices: np.ndarray
    identity: np.ndarray
    neutral: np.ndarray
    joints: np.ndarray
    expression: np.ndarray
    joint_rotations: np.ndarray
    viewmats: np.ndarray
    Ks: np.ndarray


def sample(seed: int, views: int, size: int, same_expression: bool) -> SyntheticSample:
    """Person ``seed`` under one light; the same bytes in every process.

    A view depends on the seed and on its own number only: asking for more views leaves the first ones as they were.
    The first is within 20° of the front.

    Args:
        seed: ≥ 0, see :data:`HELD_OUT`. views: N ≥ 1. size: S, pixels.
        same_expression: all views show one instant; otherwise expression, gaze and pose differ from view to view.

    Raises:
        AssetError: the default head's data have not been fetched.
    """
    instants = [instant(seed, number, same_expression) for number in range(views)]
    return act(seed, instants, size)


def act(
    seed: int,
    instants: Sequence[tuple[np.ndarray, np.ndarray]],
    size: int,
    frontal: bool = False,
    directions: Sequence[tuple[float, float]] = (),
) -> SyntheticSample:
    """Person ``seed`` under one light at given instants, a view each.

    Args:
        instants: expression [E] and joint rotations [J, 3] of each view. size: S, pixels.
        frontal: every camera is within 20° of the front, not the first one alone.
        directions: yaw and pitch in radians from where each camera looks; by chance where none are given.
    """
    person = make_person(seed)
    surroundings = np.random.default_rng([seed, LIGHT])
    light = random_light(surroundings)
    background = _background(surroundings)
    pictures = []
    for number, (expression, rotations) in enumerate(instants):
        posed = pose(person, expression, rotations)
        face = posed.vertices[: len(person.neutral)][person.sheet.head.regions["face"]]
        middle = face.mean(axis=0).astype(np.float64) + FACE_TO_HEAD
        where = np.random.default_rng([seed, VIEW, number])
        if directions:
            view = view_from(*directions[number], middle, size)
        else:
            view = random_view(where, middle, size, frontal=frontal or number == 0)
        lip_gap = MOUTH_SHADE + (1 - MOUTH_SHADE) * float(expression[JAW_OPEN])
        pictures.append(_take(person, posed, view, light, background, size, lip_gap, expression, rotations))
    stacked = {field.name: np.stack([getattr(p, field.name) for p in pictures]) for field in fields(SampleView)}
    return SyntheticSample(
        seed=seed, background=background, identity=person.identity, neutral=person.neutral, joints=person.joints,
        **stacked,
    )  # fmt: skip


def instant(seed: int, view: int, same_expression: bool) -> tuple[np.ndarray, np.ndarray]:
    """The expression [E] and the joint rotations [J, 3] of person ``seed`` in one of its views; see :func:`sample`."""
    rng = np.random.default_rng([seed, INSTANT, 0 if same_expression else view])
    return random_expression(rng), random_pose(rng)


@dataclass(frozen=True)
class SampleView:
    """One view of a :class:`SyntheticSample`: the fields of the same names without their first axis."""

    rgb: np.ndarray
    alpha: np.ndarray
    covered: np.ndarray
    visible: np.ndarray
    triangle: np.ndarray
    barycentric: np.ndarray
    uv: np.ndarray
    rest_positions: np.ndarray
    posed_positions: np.ndarray
    landmarks: np.ndarray
    landmark_visible: np.ndarray
    vertices: np.ndarray
    expression: np.ndarray
    joint_rotations: np.ndarray
    viewmats: np.ndarray
    Ks: np.ndarray


def _take(
    person: Person, posed: Posed, view: SyntheticCamera, light: Light, background: np.ndarray, size: int,
    mouth_open: float,
    expression: np.ndarray, rotations: np.ndarray,
) -> SampleView:  # fmt: skip
    head, count = person.sheet.head, len(person.neutral)
    rotation, shift = view.viewmat[:3, :3], view.viewmat[:3, 3]
    camera = posed.vertices @ rotation.T + shift
    rgb, alpha, hidden, depth = _picture(person, posed, view, light, camera, size, mouth_open)
    mesh = rasterize_mesh(camera[:count], head.faces[person.sheet.seen], view.K, size, size, cull_back=True)
    triangle = np.where(mesh.covered, person.sheet.seen[mesh.triangle], -1)
    mesh = MeshRaster(triangle, mesh.barycentric, mesh.depth)
    positions = mesh.interpolate(np.concatenate([person.neutral, posed.vertices[:count]], axis=1), head.faces)
    marks = np.einsum("lkc,lk->lc", camera[head.faces[head.landmark_triangles]], head.landmark_barycentrics)
    pixels = marks[:, :2] / marks[:, 2:] * view.K[0, 0] + view.K[:2, 2]
    column, row = np.floor(SUPERSAMPLING * pixels).astype(int).clip(0, SUPERSAMPLING * size - 1).T
    inside = ((pixels >= 0) & (pixels < size)).all(axis=1)
    return SampleView(
        rgb=rgb + (1 - alpha[..., None]) * background,
        alpha=alpha,
        covered=mesh.covered,
        visible=mesh.covered & ~hidden,
        triangle=mesh.triangle,
        barycentric=mesh.barycentric,
        uv=mesh.interpolate(head.uv, head.uv_faces),
        rest_positions=positions[..., :3],
        posed_positions=positions[..., 3:],
        landmarks=pixels.astype(np.float32),
        landmark_visible=inside & (marks[:, 2] < depth[row, column] + LANDMARK_BIAS),
        vertices=posed.vertices[:count],
        expression=expression,
        joint_rotations=rotations,
        viewmats=view.viewmat,
        Ks=view.K,
    )


def _picture(
    person: Person, posed: Posed, view: SyntheticCamera, light: Light, camera: np.ndarray, size: int, mouth_open: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """[S, S, 3] colours premultiplied by alpha and [S, S] alpha, the mean of each pixel's samples; [S, S] bool, one of
    them shows hair or sleeves; the samples' depth."""
    faces = person.faces
    near = np.ones(len(faces), bool)
    near[: len(person.sheet.seen)] = facing(camera, faces[: len(person.sheet.seen)])  # half of the work saved
    fine = SUPERSAMPLING * size
    K = view.K * [[SUPERSAMPLING], [SUPERSAMPLING], [1]]
    raster = rasterize_mesh(camera, faces[near], K, fine, fine)
    triangle = np.where(raster.covered, np.flatnonzero(near).astype(np.int32)[raster.triangle], -1)
    eye = -view.viewmat[:3, :3].T @ view.viewmat[:3, 3]
    colours = shade(person, posed, light, eye, faces, triangle, raster.barycentric, mouth_open)
    beyond = triangle >= len(person.sheet.seen)
    return _pool(colours), _pool(raster.covered.astype(np.float32)), _pool(beyond.astype(np.float32)) > 0, raster.depth


def _pool(samples: np.ndarray) -> np.ndarray:
    """The mean of each pixel's samples; adding slices takes a fifth of the time of numpy's mean over two axes."""
    n = SUPERSAMPLING
    total = samples[::n, ::n].copy()
    for i, j in list(np.ndindex(n, n))[1:]:
        total += samples[i::n, j::n]
    return total * np.float32(1 / n**2)


def _background(rng: np.random.Generator) -> np.ndarray:
    """[3] float32 sRGB: white, black, grey or a muted colour."""
    kind = rng.uniform()
    if kind < 0.3:
        return np.full(3, rng.choice((0.0, 0.5, 1.0)), np.float32)
    grey = rng.uniform(0.1, 0.9)
    return np.clip(grey + rng.normal(0, 0.10, 3), 0, 1).astype(np.float32)
